//! The tables of accounts. Tags 40 to 59 are theirs.

use belfry_kv::{
    Counter, Shape, Stamp, Table,
    Temperature::{Cold, Hot},
};

use super::rows::{
    AccountDataRef, AccountDataRow, DeviceRow, DeviceSeenRow, FilterRow, ProfileLogRow, ProfileRow,
    RegistrationTokenRow, TokenHash, TokenRow, UserRow,
};
use crate::{
    column::UserKey,
    tables::{count, ground},
};

/// Every account.
pub(crate) static USER: Table<(UserKey,), UserRow> =
    Table::new(ground(40, "user", Shape::Scan, Hot));

/// User, device.
pub(crate) static DEVICE: Table<(UserKey, String), DeviceRow> =
    Table::new(ground(41, "device", Shape::Scan, Hot));

/// User, device: apart from the device's row, since it is written often and matters little.
pub(crate) static DEVICE_SEEN: Table<(UserKey, String), DeviceSeenRow> =
    Table::new(ground(42, "device_seen", Shape::Scan, Hot));

/// Access and refresh tokens, by their hashes.
pub(crate) static TOKEN: Table<(TokenHash,), TokenRow> =
    Table::new(ground(43, "token", Shape::Point, Hot));

/// Profiles of this server's users.
pub(crate) static PROFILE: Table<(UserKey,), ProfileRow> =
    Table::new(ground(44, "profile", Shape::Point, Hot));

/// Whose profiles changed, in order.
pub(crate) static PROFILE_LOG: Table<(Stamp,), ProfileLogRow> =
    Table::new(ground(49, "profile_log", Shape::Log, Hot));

/// User, room (empty for global account data), event type.
pub(crate) static ACCOUNT_DATA: Table<(UserKey, String, String), (Stamp, AccountDataRow)> =
    Table::new(ground(45, "account_data", Shape::Scan, Hot));

/// User, and by arrival the last change of each piece of account data, once.
pub(crate) static ACCOUNT_DATA_LOG: Table<(UserKey, Stamp), AccountDataRef> =
    Table::new(ground(46, "account_data_log", Shape::Scan, Hot));

/// User, filter ID.
pub(crate) static FILTER: Table<(UserKey, String), FilterRow> =
    Table::new(ground(47, "filter", Shape::Scan, Hot));

/// Registration tokens, in clear: administrators hand them out.
pub(crate) static REGISTRATION_TOKEN: Table<(String,), RegistrationTokenRow> =
    Table::new(ground(48, "registration_token", Shape::Scan, Cold));

/// How many pieces of account data each user has, in all rooms and outside of them.
pub(crate) static ACCOUNT_DATA_COUNT: Counter<(UserKey,)> =
    Counter::new(count(34, "account_data_count"));

/// The same, row by row.
pub(crate) static ACCOUNT_DATA_COUNT_ROWS: Table<(UserKey,), i64> =
    Table::new(*ACCOUNT_DATA_COUNT.space());
