//! Tokens and whose they are: looking them up, minting them, refreshing them.
//!
//! A device has one pair of tokens, and for a while two: those of a refresh count from their first
//! use on, which takes the old pair back (spec, "Refreshing access tokens"), so that a client that
//! never got the answer can ask again.

use std::time::Duration;

use belfry_data::{
    ReadError, Snapshot,
    account::{self as rows, DeviceRow, TokenHash, TokenPair, TokenPurpose, TokenRow, UserChange},
};
use ruma_common::{OwnedUserId, UserId};

use crate::{
    Requester, Users,
    fault::Fault,
    session::standing,
    store::Tries,
    token::{Token, TokenKind, recognise},
};

/// Tokens as they are given to a client.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// For requests.
    pub access: Token,
    /// For the next pair, if the client asked for one.
    pub refresh: Option<Token>,
    /// How long the access token is good; `None`: for ever.
    pub life: Option<Duration>,
}

/// Why a token is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No such token; with `soft`, its session may still exist, and the client should keep what it
    /// has and sign in again.
    #[error("sign in again")]
    Unknown {
        /// Whether the client keeps its data.
        soft: bool,
    },
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for TokenError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

const GONE: TokenError = TokenError::Unknown { soft: false };
const SOFT: TokenError = TokenError::Unknown { soft: true };

impl Users {
    /// Whose access token this is. The account may be locked: whoever asks must look.
    pub async fn identify(&self, token: &str) -> Result<Requester, TokenError> {
        let hash = recognise(TokenKind::Access, token).ok_or(GONE)?;
        let snapshot = self.0.store.snapshot().await?;
        let row = rows::token(&*snapshot, &hash).await?;
        let row = row
            .filter(|row| row.purpose == TokenPurpose::Access)
            .ok_or(GONE)?;
        if self.has_expired(&row) {
            return Err(SOFT);
        }
        let user_id = parse_user(&row)?;
        let user = rows::user(&*snapshot, &user_id).await?.ok_or(GONE)?;
        if row.next {
            self.promote(&user_id, &row.device, &hash).await?;
        }
        Ok(Requester {
            user_id,
            device_id: (*row.device).into(),
            role: user.role.into(),
            standing: standing(user.standing),
        })
    }

    /// Exchanges a refresh token for a new pair.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, TokenError> {
        let hash = recognise(TokenKind::Refresh, token).ok_or(SOFT)?;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let row = rows::token(&*snapshot, &hash).await?;
            let row = row
                .filter(|row| row.purpose == TokenPurpose::Refresh)
                .ok_or(SOFT)?;
            let user_id = parse_user(&row)?;
            let change = UserChange::of(&*snapshot, &user_id).await?;
            let mut change = change.ok_or(GONE)?;
            let device = rows::device(&*snapshot, &user_id, &row.device).await?;
            let mut device = device.ok_or(GONE)?;
            use_next(&*snapshot, &mut change, &mut device, &hash).await?;
            if let Some(unused) = device.next.take() {
                unused.hashes().for_each(|hash| change.delete_token(&hash));
            }
            let (tokens, pair) = self.mint(true);
            self.put_pair(&mut change, &row.device, &tokens, &pair, true);
            device.next = Some(pair);
            change.put_device(&row.device, &device);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(tokens);
            }
        }
    }

    /// Makes the pair that this token is of the device's current one. Another request may have
    /// done so already.
    async fn promote(&self, user_id: &UserId, id: &str, hash: &TokenHash) -> Result<(), Fault> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let Some(mut change) = UserChange::of(&*snapshot, user_id).await? else {
                return Ok(());
            };
            let Some(mut device) = rows::device(&*snapshot, user_id, id).await? else {
                return Ok(());
            };
            if !use_next(&*snapshot, &mut change, &mut device, hash).await? {
                return Ok(());
            }
            change.put_device(id, &device);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }

    pub(crate) fn mint(&self, refresh: bool) -> (Tokens, TokenPair) {
        let random = &self.0.env.random;
        let tokens = Tokens {
            access: Token::mint(TokenKind::Access, random),
            refresh: refresh.then(|| Token::mint(TokenKind::Refresh, random)),
            life: self.0.options.access_token_life.filter(|_| refresh),
        };
        let pair = TokenPair {
            access: tokens.access.hash(),
            refresh: tokens.refresh.as_ref().map(Token::hash),
        };
        (tokens, pair)
    }

    pub(crate) fn put_pair(
        &self,
        change: &mut UserChange,
        device: &str,
        tokens: &Tokens,
        pair: &TokenPair,
        next: bool,
    ) {
        let life_ms = tokens
            .life
            .map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
        let age_ms = self.0.env.clock.age_ms();
        let access = TokenRow {
            user: change.id().as_str().into(),
            device: device.into(),
            purpose: TokenPurpose::Access,
            next,
            expires_age_ms: life_ms.map(|life_ms| age_ms.saturating_add(life_ms)),
        };
        let refresh = TokenRow {
            purpose: TokenPurpose::Refresh,
            expires_age_ms: None,
            ..access.clone()
        };
        change.put_token(&pair.access, &access);
        if let Some(hash) = &pair.refresh {
            change.put_token(hash, &refresh);
        }
    }

    fn has_expired(&self, row: &TokenRow) -> bool {
        let age_ms = self.0.env.clock.age_ms();
        row.expires_age_ms
            .is_some_and(|expires_ms| age_ms >= expires_ms)
    }
}

/// If the token is of the device's next pair: makes that the current one, takes the old one back,
/// and says yes.
async fn use_next(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    device: &mut DeviceRow,
    hash: &TokenHash,
) -> Result<bool, ReadError> {
    let Some(next) = device
        .next
        .filter(|next| next.hashes().any(|token| token == *hash))
    else {
        return Ok(false);
    };
    for token in next.hashes() {
        if let Some(row) = rows::token(snapshot, &token).await? {
            change.put_token(&token, &TokenRow { next: false, ..row });
        }
    }
    device
        .current
        .hashes()
        .for_each(|token| change.delete_token(&token));
    device.current = next;
    device.next = None;
    Ok(true)
}

fn parse_user(row: &TokenRow) -> Result<OwnedUserId, Fault> {
    UserId::parse(&*row.user)
        .map_err(|_| Fault::Broken("a token's row holds no user ID".to_owned()))
}
