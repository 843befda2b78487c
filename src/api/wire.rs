//! Request types of our own, where ruma has none or its parser does not do.

mod login;
pub(crate) mod shared_secret;

pub(crate) use login::Login;
