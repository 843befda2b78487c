//! Tokens by which users prove to other services who they are (spec, "`OpenID`").
//!
//! Such a token opens nothing here. Knows nothing of who asks whose it is.

use std::time::Duration;

use belfry_data::{Commit, OpenIdRow, ReadError, openid_token, put_openid_token};
use belfry_policy::{Action, Denial};
use ruma_common::{OwnedUserId, UserId};
use sha2::{Digest as _, Sha256};

use crate::{Requester, Users, fault::Fault, store::Tries};

/// How long a token is good.
pub const OPENID_LIFE: Duration = Duration::from_hours(1);

/// Letters of a token: 190 random bits.
const TOKEN_LENGTH: usize = 32;

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenIdError {
    /// Somebody else's.
    #[error("you can vouch for yourself only")]
    NotYours,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for OpenIdError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// A new token, good for [`OPENID_LIFE`].
    pub async fn openid_token(
        &self,
        requester: &Requester,
        user_id: &UserId,
    ) -> Result<String, OpenIdError> {
        self.allow(requester, Action::Read)?;
        if requester.user_id != user_id {
            return Err(OpenIdError::NotYours);
        }
        let env = &self.0.env;
        let token = format!("bfo_{}", env.random.token(TOKEN_LENGTH));
        let life_ms = u64::try_from(OPENID_LIFE.as_millis()).unwrap_or(u64::MAX);
        let row = OpenIdRow {
            user: user_id.to_owned(),
            expires_age_ms: env.clock.age_ms().saturating_add(life_ms),
        };
        let mut commit = Commit::synced();
        put_openid_token(&mut commit, &Sha256::digest(&token).into(), &row);
        self.0.store.commit(commit, &mut Tries::default()).await?;
        Ok(token)
    }

    /// Whose token it is; `None` if it is not, or no longer, good.
    pub async fn openid_user(&self, token: &str) -> Result<Option<OwnedUserId>, Fault> {
        let snapshot = self.0.store.snapshot().await?;
        let row = openid_token(&*snapshot, &Sha256::digest(token).into()).await?;
        let age_ms = self.0.env.clock.age_ms();
        Ok(row
            .filter(|row| age_ms < row.expires_age_ms)
            .map(|row| row.user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Registration, fixture::world};

    #[tokio::test(start_paused = true)]
    async fn a_token_vouches_for_an_hour() {
        let world = world(Registration::Open);
        let alice = world.alice().await;
        let alice = world.requester(&alice).await;
        let token = world
            .users
            .openid_token(&alice, &alice.user_id)
            .await
            .unwrap();
        let whose = world.users.openid_user(&token).await.unwrap();
        assert_eq!(whose.as_ref(), Some(&alice.user_id));
        assert_eq!(world.users.openid_user("bfo_other").await.unwrap(), None);
        tokio::time::advance(OPENID_LIFE).await;
        assert_eq!(world.users.openid_user(&token).await.unwrap(), None);
    }
}
