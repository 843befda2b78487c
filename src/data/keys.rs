//! End-to-end encryption as far as the server takes part: device, one-time and fallback keys,
//! cross-signing keys and signatures, the log of changed device lists, messages to devices, key
//! backups, dehydrated devices.
//!
//! Exists so that what clients rely on is decided by checks in commits: a one-time key is given
//! away only together with its own row. Knows nothing of what a key or a signature means; rows
//! hold JSON that callers have looked at.

mod backup;
mod dehydrated;
mod device;
#[cfg(test)]
pub(crate) mod golden;
pub(crate) mod heard;
#[cfg(test)]
mod keys_tests;
mod list;
mod member_log;
mod one_time;
mod rows;
mod signing;
pub(crate) mod tables;
mod to_device;
pub(crate) mod tracked;
mod trim;
#[cfg(test)]
mod trim_tests;

pub use backup::{
    BACKUP_PAGE_MAX, BackupPart, BackupSession, backup_seen, backup_sessions,
    backup_sessions_named, delete_backup_sessions, drop_backup, last_backup, latest_backup,
    put_backup, put_backup_session,
};
pub use dehydrated::{dehydrated_device, put_dehydrated_device};
pub use device::{
    DevicesPage, KEYED_DEVICES_MAX, device_keys, device_keys_of, drop_device_keys, keyed_devices,
};
pub(crate) use device::{delete_device, delete_user};
pub use heard::{DEVICES_HEARD_MAX, DeviceHeard, HeardRow, devices_heard, heard, note_heard};
pub(crate) use list::note_devices;
pub use list::{
    DEVICE_LIST_PAGE_MAX, DeviceListPage, device_list_changes, note_remote_device_list,
};
pub use member_log::{MEMBER_CHANGES_MAX, MemberChanges, member_changes};
pub(crate) use member_log::{note_member, note_members};
pub use one_time::{
    ClaimedKey, KeyPool, NewOneTimeKey, OneTimeKeyState, claim, fallback_keys, known_keys,
    oldest_keys, one_time_key_counts, put_fallback_key, put_one_time_keys, use_fallback,
};
pub use rows::{
    BackupSessionRow, BackupVersionRow, CrossSigningRow, DehydratedRow, DeviceKeysRow,
    DeviceListRow, FallbackKeyRow, OneTimeKeyIdRow, OneTimeKeyRow, SharedMessageRow, SignatureRow,
    ToDeviceRow,
};
pub use signing::{
    StoredSignature, cross_signing, drop_own_signatures, put_signature, signatures_by,
};
pub use to_device::{
    Inbox, InboxMessage, InboxPage, NewMessage, Recipients, TO_DEVICE_PAGE_MAX, ToDeviceWrites,
    forget_messages, inboxes, messages_for, oldest_in_inbox, oldest_in_inboxes,
};
pub use tracked::{
    AnchorRow, DEVICES_DUE_MAX, DeviceDue, DeviceDueRow, DeviceStreamRow, SHARED_ROOMS_MAX,
    TRACKED_DEVICES_MAX, TrackedDeviceRow, TrackedListRow, device_changes_with, device_streams,
    devices_due, devices_due_among, drop_device_due, holds, is_tracked, keep_device_stream,
    put_device_due, put_tracked_device, put_tracked_list, shared_with, tracked_devices,
    tracked_list,
};
pub use trim::{
    DEVICE_LIST_ENTRIES_KEPT, MEMBER_ENTRIES_KEPT, TRIM_MEMBERS_MAX, TRIM_ROOMS_MAX,
    device_list_cut, trim_device_list_log, trim_member_logs,
};
