//! The rows of accounts, in the spec's terms.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::codec::postcard_row;

/// What is stored of a token: its SHA-256.
pub type TokenHash = [u8; 32];

/// An account of this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// How often the row was written: no two rows of a user are equal, so that a check never takes
    /// a later one for an earlier one.
    pub revision: u64,
    /// When the account was made, in milliseconds since the Unix epoch.
    pub created_ts: u64,
    /// A name in policy's rules.
    pub role: Box<str>,
    /// Whether an administrator has restricted the account.
    pub standing: StandingRow,
    /// The password as a PHC string; `None` if there is none to sign in with.
    pub password: Option<Box<str>>,
    /// Set once and for ever when the account is closed.
    pub deactivated: Option<Deactivation>,
    /// How many filters are stored.
    pub filters: u32,
}
postcard_row!(UserRow);

/// Whether an account is restricted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StandingRow {
    /// Not restricted.
    Active,
    /// Reads, and does little else.
    Suspended,
    /// Only signs out.
    Locked,
    /// Only signs out, and is suspended when it is unlocked.
    SuspendedAndLocked,
}

impl StandingRow {
    /// The standing with these restrictions.
    pub fn of(suspended: bool, locked: bool) -> Self {
        match (suspended, locked) {
            (false, false) => Self::Active,
            (true, false) => Self::Suspended,
            (false, true) => Self::Locked,
            (true, true) => Self::SuspendedAndLocked,
        }
    }

    /// Whether it is suspended.
    pub fn is_suspended(self) -> bool {
        matches!(self, Self::Suspended | Self::SuspendedAndLocked)
    }

    /// Whether it is locked.
    pub fn is_locked(self) -> bool {
        matches!(self, Self::Locked | Self::SuspendedAndLocked)
    }
}

/// How an account was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deactivation {
    /// When, in milliseconds since the Unix epoch.
    pub ts: u64,
    /// Whether what it wrote is to be hidden from those who join later.
    pub erase: bool,
}

/// A device, which is also a session: one that has no tokens left is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// What the user calls it.
    pub display_name: Option<Box<str>>,
    /// When it signed in first, in milliseconds since the Unix epoch.
    pub created_ts: u64,
    /// The tokens that it uses.
    pub current: TokenPair,
    /// The tokens of the last refresh, until one of them is used and replaces `current`.
    pub next: Option<TokenPair>,
}
postcard_row!(DeviceRow);

/// Tokens that were handed out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPair {
    /// The access token.
    pub access: TokenHash,
    /// The refresh token, if the client asked for one.
    pub refresh: Option<TokenHash>,
}

impl TokenPair {
    /// Every token of the pair.
    pub fn hashes(&self) -> impl Iterator<Item = TokenHash> {
        std::iter::once(self.access).chain(self.refresh)
    }
}

impl DeviceRow {
    /// Every token that the device has.
    pub fn hashes(&self) -> impl Iterator<Item = TokenHash> {
        let next = self.next.iter().flat_map(TokenPair::hashes);
        self.current.hashes().chain(next)
    }
}

/// When and whence a device was last heard of. Never acknowledged, so it may be a little old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSeenRow {
    /// The client's address.
    pub ip: Box<str>,
    /// Milliseconds since the Unix epoch.
    pub ts: u64,
}
postcard_row!(DeviceSeenRow);

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// The user's ID.
    pub user: Box<str>,
    /// The device's ID.
    pub device: Box<str>,
    /// What it is good for.
    pub purpose: TokenPurpose,
    /// Whether it is of the device's next pair: the first use replaces the current one.
    pub next: bool,
    /// The age of the installation, in milliseconds, from which on it is no good; `None` if never.
    pub expires_age_ms: Option<u64>,
}
postcard_row!(TokenRow);

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenPurpose {
    /// Requests.
    Access,
    /// A new pair.
    Refresh,
}

/// What a user shows of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProfileRow {
    /// Field and JSON value, sorted by field, each field once.
    pub fields: Vec<(Box<str>, Box<str>)>,
}
postcard_row!(ProfileRow);

impl ProfileRow {
    /// The fields that differ: their values, or that they are there.
    pub(crate) fn differing(&self, other: &Self) -> Vec<Box<str>> {
        let lacks = |row: &Self, field| !row.fields.contains(field);
        let here = self.fields.iter().filter(|field| lacks(other, field));
        let there = other.fields.iter().filter(|field| lacks(self, field));
        let names: BTreeSet<_> = here.chain(there).map(|(name, _)| name).collect();
        names.into_iter().cloned().collect()
    }
}

/// Which fields of whose profile changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileLogRow {
    /// Whose; empty for entries that are gone: it may have been anybody.
    pub user: Box<str>,
    /// Which, sorted.
    pub fields: Vec<Box<str>>,
}
postcard_row!(ProfileLogRow);

/// A piece of account data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDataRow {
    /// The `content`, a JSON object.
    pub content: Box<str>,
}
postcard_row!(AccountDataRow);

/// Which piece of account data changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDataRef {
    /// The room; empty for global account data.
    pub room: Box<str>,
    /// The event type.
    pub event_type: Box<str>,
}
postcard_row!(AccountDataRef);

/// A stored filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterRow {
    /// The definition as JSON.
    pub definition: Box<str>,
}
postcard_row!(FilterRow);

/// A token that lets somebody make an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationTokenRow {
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ts: u64,
    /// How many accounts may be made with it; `None` for any number.
    pub uses_allowed: Option<u32>,
    /// How many were.
    pub uses: u32,
    /// The age of the installation, in milliseconds, from which on it is no good; `None` if never.
    pub expires_age_ms: Option<u64>,
    /// The role of accounts made with it, a name in policy's rules.
    pub role: Box<str>,
}
postcard_row!(RegistrationTokenRow);
