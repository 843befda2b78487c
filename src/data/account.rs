//! What belongs to one local user: account, devices, tokens, profile, account data, filters.
//!
//! A user is one aggregate: every commit about them checks their row and writes another
//! ([`UserChange`]), so that a sign-in and a deactivation at the same moment cannot both win. It
//! knows nothing of passwords, lifetimes or who may do what; rows hold what callers decided.

mod change;
mod profile_log;
mod read;
mod rows;
pub(crate) mod tables;

#[cfg(test)]
mod account_tests;

pub(crate) use change::logged_before;
pub use change::{UserChange, create_registration_token, delete_registration_token, note_seen};
pub use profile_log::{
    PROFILE_CHANGES_MAX, PROFILE_ENTRIES_KEPT, profile_changes, profile_log_cut, trim_profile_log,
};
pub use read::{
    ACCOUNT_PAGE_MAX, account_data, account_data_changes, account_data_count, account_data_of,
    device, device_seen, devices, filter, profile, profiles, registration_token,
    registration_tokens, token, user, users,
};
pub use rows::{
    AccountDataRef, AccountDataRow, Deactivation, DeviceRow, DeviceSeenRow, FilterRow,
    ProfileLogRow, ProfileRow, RegistrationTokenRow, StandingRow, TokenHash, TokenPair,
    TokenPurpose, TokenRow, UserRow,
};
