//! Handlers of the client-server API, a file for each group of endpoints.
//!
//! A handler translates: from ruma's request to a call of a domain crate and back. Rules live in
//! the domain, statuses in `error`.

pub(crate) mod account;
pub(crate) mod account_data;
pub(crate) mod administration;
pub(crate) mod backup;
pub(crate) mod dehydrated;
pub(crate) mod delayed;
pub(crate) mod device;
pub(crate) mod directory;
pub(crate) mod discovery;
pub(crate) mod filter;
pub(crate) mod history;
pub(crate) mod keys;
pub(crate) mod knock;
pub(crate) mod media;
pub(crate) mod membership;
pub(crate) mod openid;
pub(crate) mod passing;
pub(crate) mod profile;
pub(crate) mod push_rule;
pub(crate) mod pusher;
pub(crate) mod reading;
pub(crate) mod register;
pub(crate) mod relation;
pub(crate) mod report;
pub(crate) mod room;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod sliding;
pub(crate) mod subscription;
pub(crate) mod sync_v4;
pub(crate) mod tag;
pub(crate) mod thirdparty;
pub(crate) mod to_device;
mod uia;
pub(crate) mod upgrade;
pub(crate) mod voip;
pub(crate) mod well_known;

#[cfg(test)]
mod account_data_tests;
#[cfg(test)]
mod account_tests;
#[cfg(test)]
mod act_tests;
#[cfg(test)]
mod administration_tests;
#[cfg(test)]
mod backup_tests;
#[cfg(test)]
mod bad_act_tests;
#[cfg(test)]
mod bad_reading_tests;
#[cfg(test)]
mod bad_room_tests;
#[cfg(test)]
mod delayed_tests;
#[cfg(test)]
mod device_extension_tests;
#[cfg(test)]
mod device_tests;
#[cfg(test)]
mod directory_tests;
#[cfg(test)]
mod discovery_tests;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod keys_fixture;
#[cfg(test)]
mod keys_tests;
#[cfg(test)]
mod outage_tests;
#[cfg(test)]
mod passing_tests;
#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod profile_extension_tests;
#[cfg(test)]
mod push_hostile_tests;
#[cfg(test)]
mod push_rule_tests;
#[cfg(test)]
mod pusher_tests;
#[cfg(test)]
mod reading_tests;
#[cfg(test)]
mod register_tests;
#[cfg(test)]
mod relation_tests;
#[cfg(test)]
mod room_act_tests;
#[cfg(test)]
mod room_endpoint_tests;
#[cfg(test)]
mod room_scenario_tests;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod signing_tests;
#[cfg(test)]
mod sliding_tests;
#[cfg(test)]
mod subscription_tests;
#[cfg(test)]
mod sync_hostile_tests;
#[cfg(test)]
mod sync_v4_tests;
#[cfg(test)]
mod talk;
#[cfg(test)]
mod thread_extension_tests;
#[cfg(test)]
mod to_device_tests;
#[cfg(test)]
mod visibility_tests;
