//! The tables of encryption. Tags 90 to 109 are theirs.

use belfry_kv::{
    Counter, Shape, Stamp, Table,
    Temperature::{Cold, Hot},
};

use super::rows::{
    BackupSessionRow, BackupVersionRow, CrossSigningRow, DehydratedRow, DeviceKeysRow,
    DeviceListRow, FallbackKeyRow, MemberLogRow, OneTimeKeyIdRow, OneTimeKeyRow, SharedMessageRow,
    SignatureRow, ToDeviceRow,
};
use crate::{
    column::{DIGEST_BYTES, RoomKey, UserKey},
    tables::{count, ground},
};

/// User, device: its identity keys.
pub(crate) static DEVICE_KEYS: Table<(UserKey, String), DeviceKeysRow> =
    Table::new(ground(90, "device_keys", Shape::Scan, Hot));

/// User, device, algorithm, and by arrival each one-time key.
pub(crate) static ONE_TIME_KEY: Table<(UserKey, String, String, Stamp), OneTimeKeyRow> =
    Table::new(ground(91, "one_time_key", Shape::Queue, Hot));

/// User, device, algorithm, key ID.
pub(crate) static ONE_TIME_KEY_ID: Table<(UserKey, String, String, String), OneTimeKeyIdRow> =
    Table::new(ground(92, "one_time_key_id", Shape::Scan, Cold));

/// User, device, algorithm: how many one-time keys there are.
pub(crate) static ONE_TIME_KEY_COUNT: Counter<(UserKey, String, String)> =
    Counter::new(count(93, "one_time_key_count"));

/// The same, row by row.
pub(crate) static ONE_TIME_KEY_COUNT_ROWS: Table<(UserKey, String, String), i64> =
    Table::new(*ONE_TIME_KEY_COUNT.space());

/// User, device, algorithm.
pub(crate) static FALLBACK_KEY: Table<(UserKey, String, String), FallbackKeyRow> =
    Table::new(ground(94, "fallback_key", Shape::Scan, Hot));

/// Users of this server.
pub(crate) static CROSS_SIGNING: Table<(UserKey,), CrossSigningRow> =
    Table::new(ground(95, "cross_signing", Shape::Point, Hot));

/// User whose key is signed, user who signs, what is signed (a device ID or a public key), and the
/// key that it is signed with.
pub(crate) static SIGNATURE: Table<(UserKey, UserKey, String, String), SignatureRow> =
    Table::new(ground(96, "signature", Shape::Scan, Hot));

/// Whose device lists changed, in order.
pub(crate) static DEVICE_LIST_LOG: Table<(Stamp,), DeviceListRow> =
    Table::new(ground(97, "device_list_log", Shape::Log, Hot));

/// User, device, and by arrival each message that it has not got.
pub(crate) static TO_DEVICE: Table<(UserKey, String, Stamp), ToDeviceRow> =
    Table::new(ground(98, "to_device", Shape::Queue, Hot));

/// Messages that several devices have.
pub(crate) static SHARED_MESSAGE: Table<([u8; DIGEST_BYTES],), SharedMessageRow> =
    Table::new(ground(99, "shared_message", Shape::Point, Cold));

/// User, device: how many messages its inbox has.
pub(crate) static TO_DEVICE_COUNT: Counter<(UserKey, String)> =
    Counter::new(count(100, "to_device_count"));

/// The same, row by row.
pub(crate) static TO_DEVICE_COUNT_ROWS: Table<(UserKey, String), i64> =
    Table::new(*TO_DEVICE_COUNT.space());

/// Room, and by arrival who began or ceased to be in it.
pub(crate) static MEMBER_LOG: Table<(RoomKey, Stamp), MemberLogRow> =
    Table::new(ground(101, "member_log", Shape::Log, Hot));

/// User, version.
pub(crate) static BACKUP_VERSION: Table<(UserKey, u64), BackupVersionRow> =
    Table::new(ground(102, "backup_version", Shape::Scan, Cold));

/// User, version, room ID, session ID.
pub(crate) static BACKUP_SESSION: Table<(UserKey, u64, String, String), BackupSessionRow> =
    Table::new(ground(103, "backup_session", Shape::Scan, Cold));

/// Dehydrated devices.
pub(crate) static DEHYDRATED: Table<(UserKey,), DehydratedRow> =
    Table::new(ground(104, "dehydrated", Shape::Point, Cold));
