//! Request types of our own, where ruma has none or its parser does not do.

pub(crate) mod account_data;
mod delayed;
mod filtered;
mod find_server;
pub(crate) mod keys;
mod legacy_auth;
mod login;
mod notice;
pub(crate) mod partner;
mod pusher;
pub(crate) mod shared_secret;
pub(crate) mod sliding;
mod subscription;
mod sync;
pub(crate) mod sync_v4;
mod typing;

pub(crate) use delayed::{Act, Delayable, Look, LookAtAll, OldAct, Schedule};
pub(crate) use filtered::Filtered;
pub(crate) use find_server::FindServer;
pub(crate) use notice::{NoticeBody, SendNotice, SendNoticeOnce};
pub(crate) use pusher::SetPusher;
pub(crate) use subscription::{GetSubscription, Removal, Subscribe, Unsubscribe};
pub(crate) use sync::Sync;
pub(crate) use typing::SetTyping;
pub(crate) use {legacy_auth::LegacyAuth, login::Login};
