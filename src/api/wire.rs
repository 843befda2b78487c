//! Request types of our own, where ruma has none or its parser does not do.

pub(crate) mod account_data;
mod filtered;
pub(crate) mod keys;
mod legacy_auth;
mod login;
mod pusher;
pub(crate) mod shared_secret;
pub(crate) mod sliding;
mod typing;

pub(crate) use filtered::Filtered;
pub(crate) use pusher::SetPusher;
pub(crate) use typing::SetTyping;
pub(crate) use {legacy_auth::LegacyAuth, login::Login};
