//! Request types of our own, where ruma has none or its parser does not do.

pub(crate) mod account_data;
mod legacy_auth;
mod login;
pub(crate) mod shared_secret;

pub(crate) use {legacy_auth::LegacyAuth, login::Login};
