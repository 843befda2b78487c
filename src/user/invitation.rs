//! Registration tokens: who holds one may make an account (spec, "Token-authenticated
//! registration").

use std::time::Duration;

use belfry_data::{
    ReadError,
    account::{self as rows, RegistrationTokenRow},
};
use belfry_policy::MEMBER;

use crate::{Users, fault::Fault, store::Tries};

/// Longest token (spec, grammar of registration tokens).
const TOKEN_BYTES_MAX: usize = 64;

/// Letters of a token that the server makes up: 142 bits.
const GENERATED_LENGTH: usize = 24;

/// A registration token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invitation {
    /// The token itself; the server makes one up if there is none.
    pub token: Option<String>,
    /// How many accounts may be made with it; `None` for any number.
    pub uses_allowed: Option<u32>,
    /// How long it is good; `None` for ever.
    pub life: Option<Duration>,
    /// The role of accounts made with it; members if there is none.
    pub role: Option<String>,
}

/// A registration token as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationInfo {
    /// The token itself.
    pub token: String,
    /// How many accounts may be made with it; `None` for any number.
    pub uses_allowed: Option<u32>,
    /// How many were.
    pub uses: u32,
    /// The role of accounts made with it.
    pub role: String,
    /// Whether it is still good.
    pub good: bool,
}

/// Why a registration token was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// Outside the grammar.
    #[error("use 1 to {TOKEN_BYTES_MAX} letters, digits and . _ ~ - in a token")]
    Invalid,
    /// There is one already.
    #[error("there is such a token already; revoke it or choose another")]
    Exists,
    /// No such role in the rules.
    #[error("the rules have no such role")]
    RoleUnknown,
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for InvitationError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// Makes a registration token and gives it.
    pub async fn create_invitation(&self, wanted: &Invitation) -> Result<String, InvitationError> {
        let token = wanted.token.clone();
        let token = token.unwrap_or_else(|| self.0.env.random.token(GENERATED_LENGTH));
        let role = wanted.role.as_deref().unwrap_or(MEMBER);
        if !is_grammatical(&token) {
            return Err(InvitationError::Invalid);
        }
        if !self.0.rules.roles.contains_key(role) {
            return Err(InvitationError::RoleUnknown);
        }
        let life_ms = wanted
            .life
            .map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
        let row = RegistrationTokenRow {
            created_ts: self.0.env.clock.wall_ms(),
            uses_allowed: wanted.uses_allowed,
            uses: 0,
            expires_age_ms: life_ms
                .map(|life_ms| self.0.env.clock.age_ms().saturating_add(life_ms)),
            role: role.into(),
        };
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            if rows::registration_token(&*snapshot, &token)
                .await?
                .row
                .is_some()
            {
                return Err(InvitationError::Exists);
            }
            let commit = rows::create_registration_token(&token, &row);
            if self.0.store.commit(commit, &mut tries).await? {
                return Ok(token);
            }
        }
    }

    /// At most `limit` registration tokens behind `after`, at most 1,000.
    pub async fn invitations(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<InvitationInfo>, InvitationError> {
        let snapshot = self.0.store.snapshot().await?;
        let age_ms = self.0.env.clock.age_ms();
        let page = rows::registration_tokens(&*snapshot, after, limit).await?;
        let info = |(token, row): (String, RegistrationTokenRow)| InvitationInfo {
            token,
            uses_allowed: row.uses_allowed,
            uses: row.uses,
            good: is_good(&row, age_ms),
            role: row.role.into(),
        };
        Ok(page.into_iter().map(info).collect())
    }

    /// Revokes a registration token, if there is one.
    pub async fn revoke_invitation(&self, token: &str) -> Result<(), InvitationError> {
        let commit = rows::delete_registration_token(token);
        Ok(self
            .0
            .store
            .commit(commit, &mut Tries::default())
            .await
            .map(drop)?)
    }

    /// Whether an account could be made with this token now.
    pub async fn is_invitation_good(&self, token: &str) -> Result<bool, Fault> {
        if !is_grammatical(token) {
            return Ok(false);
        }
        let snapshot = self.0.store.snapshot().await?;
        let seen = rows::registration_token(&*snapshot, token).await?;
        let age_ms = self.0.env.clock.age_ms();
        Ok(seen.row.is_some_and(|row| is_good(&row, age_ms)))
    }
}

/// Whether it is neither used up nor expired.
pub(crate) fn is_good(row: &RegistrationTokenRow, age_ms: u64) -> bool {
    let left = row.uses_allowed.is_none_or(|allowed| row.uses < allowed);
    left && row
        .expires_age_ms
        .is_none_or(|expires_ms| age_ms < expires_ms)
}

fn is_grammatical(token: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(allowed)
}
