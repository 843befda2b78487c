//! The rows of encryption, in the spec's terms. JSON in them is as the client sent it, once looked
//! at.

use serde::{Deserialize, Serialize};

use crate::codec::postcard_row;

/// The identity keys of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKeysRow {
    /// `DeviceKeys` as JSON, with the device's own signatures.
    pub json: Box<str>,
}
postcard_row!(DeviceKeysRow);

/// A one-time key that nobody has claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKeyRow {
    /// The key ID without its algorithm.
    pub key_id: Box<str>,
    /// The key as JSON: a text or an object.
    pub json: Box<str>,
}
postcard_row!(OneTimeKeyRow);

/// That a one-time key of this ID was uploaded. It outlives the key for a while, so that an upload
/// that is repeated after a claim does not bring the key back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKeyIdRow {
    /// Of the key without its signatures.
    pub digest: [u8; 16],
    /// Whether it was given away.
    pub claimed: bool,
}
postcard_row!(OneTimeKeyIdRow);

/// The key that is given when no one-time key is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackKeyRow {
    /// The key ID without its algorithm.
    pub key_id: Box<str>,
    /// The key as JSON.
    pub json: Box<str>,
    /// Whether it was given to somebody.
    pub used: bool,
}
postcard_row!(FallbackKeyRow);

/// A user's cross-signing keys, each a `CrossSigningKey` as JSON with the signatures that it was
/// uploaded with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CrossSigningRow {
    /// `master`
    pub master: Option<Box<str>>,
    /// `self_signing`
    pub self_signing: Option<Box<str>>,
    /// `user_signing`
    pub user_signing: Option<Box<str>>,
}
postcard_row!(CrossSigningRow);

/// A signature on a device or a cross-signing key that was uploaded later than the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureRow {
    /// Base64.
    pub signature: Box<str>,
}
postcard_row!(SignatureRow);

/// A change of a user's device list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceListRow {
    /// The user's ID, of whatever server; empty in place of older entries that are gone.
    pub user: Box<str>,
    /// The device; `None` if it is not about one: cross-signing, or a remote user's list.
    pub device: Option<Box<str>>,
    /// Increases with each change of a user of this server; 0 for what other servers are not told.
    pub stream_id: u64,
    /// Only this user sees the change; `None`: everybody.
    pub only: Option<Box<str>>,
}
postcard_row!(DeviceListRow);

/// A message in a device's inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDeviceRow {
    /// The message itself.
    Whole {
        /// The sender's ID.
        sender: Box<str>,
        /// The event type.
        event_type: Box<str>,
        /// The content, a JSON object.
        content: Box<str>,
        /// The age of the installation, in milliseconds, from which on it is not delivered.
        expires_age_ms: u64,
    },
    /// One that other devices have too: the key of a [`SharedMessageRow`].
    Shared([u8; 16]),
}
postcard_row!(ToDeviceRow);

/// A message that several devices have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedMessageRow {
    /// The sender's ID.
    pub sender: Box<str>,
    /// The event type.
    pub event_type: Box<str>,
    /// The content, a JSON object.
    pub content: Box<str>,
    /// How many inboxes refer to it still, at most: a deleted device takes its reference with it
    /// uncounted, and the row's expiry makes up for that.
    pub inboxes: u32,
    /// The age of the installation, in milliseconds, from which on it is not delivered.
    pub expires_age_ms: u64,
}
postcard_row!(SharedMessageRow);

/// That somebody began or ceased to be in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberLogRow {
    /// Who; `None` if so many changed at once that they were not noted one by one, and in place of
    /// older entries that are gone.
    pub(crate) user: Option<Box<str>>,
}
postcard_row!(MemberLogRow);

/// A version of a user's key backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupVersionRow {
    /// The algorithm.
    pub algorithm: Box<str>,
    /// `auth_data`, a JSON object; empty if the version was deleted: the last version stays as a
    /// row, so that its number is not given again.
    pub auth_data: Box<str>,
    /// Keys stored.
    pub count: u64,
    /// Changes with every change of the keys.
    pub etag: u64,
}
postcard_row!(BackupVersionRow);

impl BackupVersionRow {
    /// Whether the version is no more.
    pub fn is_deleted(&self) -> bool {
        self.auth_data.is_empty()
    }
}

/// A backed-up room key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSessionRow {
    /// `first_message_index`
    pub first_message_index: u64,
    /// `forwarded_count`
    pub forwarded_count: u64,
    /// `is_verified`
    pub is_verified: bool,
    /// `session_data`, a JSON object.
    pub session_data: Box<str>,
}
postcard_row!(BackupSessionRow);

/// A user's dehydrated device (MSC3814).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DehydratedRow {
    /// The device's ID.
    pub device: Box<str>,
    /// `device_data`, a JSON object.
    pub data: Box<str>,
}
postcard_row!(DehydratedRow);
