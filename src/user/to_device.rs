//! Messages from device to device (spec, "Send-to-Device messaging"): into the inboxes of this
//! server's devices, and on their way to other servers.
//!
//! A message waits until its device has passed it by the `since` of a sync, or until it is too
//! old. Knows nothing of what a message says.

use std::{collections::BTreeMap, time::Duration};

use belfry_data::{
    Commit, EduRow, ReadError, Snapshot, Stamp, Txn,
    keys::{self as rows, Inbox, NewMessage, Recipients, ToDeviceWrites},
};
use belfry_policy::{Action, Denial};
use ruma_common::{OwnedServerName, OwnedUserId, UserId};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{Requester, Users, fault::Fault, store::Tries};

/// Largest content of one message, as JSON. Other servers take no larger event either.
pub const TO_DEVICE_BYTES_MAX: usize = 64 * 1024;
/// Devices, `*` counting as one, that one request names.
pub const TO_DEVICE_RECIPIENTS_MAX: usize = 1_000;
/// Longest event type.
pub const TO_DEVICE_TYPE_BYTES_MAX: usize = 255;
/// Messages in one inbox; beyond that the oldest give way.
pub const INBOX_MESSAGES_MAX: u64 = 10_000;
/// How long a message waits for its device.
pub const TO_DEVICE_LIFE: Duration = Duration::from_hours(90 * 24);
/// How long a transaction is remembered.
const TXN_LIFE: Duration = Duration::from_hours(24);

/// Content stored by one commit; a larger request is several.
const COMMIT_BYTES_MAX: usize = 384 * 1024;
/// Inboxes that one commit writes to: a message to all devices of many users is several.
const COMMIT_INBOXES_MAX: usize = 1_000;
/// Content of one EDU, if it is more than one message's: other servers take no larger ones.
const EDU_BYTES_MAX: usize = 48 * 1024;
/// Messages taken out of an inbox at once.
pub(crate) const FORGET_MAX: usize = 500;

/// Messages as JSON, by user and device; `*` for all devices.
pub type Messages = BTreeMap<OwnedUserId, BTreeMap<String, String>>;

/// Why no message was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToDeviceError {
    /// A message beyond [`TO_DEVICE_BYTES_MAX`].
    #[error("a message is larger than {TO_DEVICE_BYTES_MAX} bytes")]
    TooLarge,
    /// More than [`TO_DEVICE_RECIPIENTS_MAX`].
    #[error("send to at most {TO_DEVICE_RECIPIENTS_MAX} devices at once")]
    TooMany,
    /// A message that is no JSON object.
    #[error("the message to {0} is not an object")]
    NotAnObject(String),
    /// The type is empty or beyond [`TO_DEVICE_TYPE_BYTES_MAX`].
    #[error("the type has 1 to {TO_DEVICE_TYPE_BYTES_MAX} bytes")]
    Type,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for ToDeviceError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

/// Whose message it is.
#[derive(Clone, Copy)]
struct Sending<'a> {
    sender: &'a UserId,
    /// The device, or the server, that the transaction is of.
    source: &'a str,
    event_type: &'a str,
    txn_id: &'a str,
}

/// By user: devices and contents.
type ByUser<'a> = BTreeMap<&'a UserId, Vec<(&'a str, &'a str)>>;

/// What one commit takes.
#[derive(Default)]
struct Part<'a> {
    local: ByUser<'a>,
    remote: BTreeMap<OwnedServerName, ByUser<'a>>,
    bytes: usize,
}

impl Users {
    /// Sends messages of one type. The same transaction is sent once; a device that does not exist
    /// gets none.
    pub async fn send_to_devices(
        &self,
        requester: &Requester,
        event_type: &str,
        txn_id: &str,
        messages: &Messages,
    ) -> Result<(), ToDeviceError> {
        self.allow(requester, Action::Send)?;
        check(event_type, messages)?;
        let sending = Sending {
            sender: &requester.user_id,
            source: requester.device_id.as_str(),
            event_type,
            txn_id,
        };
        let mut parts = parts(messages, &self.0.options.server_name);
        for (number, part) in parts.iter_mut().enumerate() {
            part.remote
                .retain(|server, _| self.may_ask_for_keys(requester, server));
            self.send_part(sending, number, part).await?;
        }
        Ok(())
    }

    /// Takes messages from another server, whose EDU named `message_id`; those for users of
    /// other servers are left out. The same ID is taken once. Policy is not asked.
    pub async fn receive_to_devices(
        &self,
        sender: &UserId,
        event_type: &str,
        message_id: &str,
        messages: &Messages,
    ) -> Result<(), ToDeviceError> {
        check(event_type, messages)?;
        let local = &self.0.options.server_name;
        let sending = Sending {
            sender,
            source: "",
            event_type,
            txn_id: message_id,
        };
        for (number, part) in parts(messages, local).iter_mut().enumerate() {
            part.remote.clear();
            self.send_part(sending, number, part).await?;
        }
        Ok(())
    }

    async fn send_part(
        &self,
        sending: Sending<'_>,
        number: usize,
        part: &Part<'_>,
    ) -> Result<(), ToDeviceError> {
        let number = number.to_string();
        let scope = ["sendToDevice", sending.event_type, &number];
        let txn = Txn::new(sending.sender, sending.source, &scope, sending.txn_id);
        let txn = txn.map_err(|error| Fault::Broken(error.to_string()))?;
        let age_ms = self.0.env.clock.age_ms();
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            if txn.get(&*snapshot).await?.is_some() {
                return Ok(());
            }
            let mut commit = Commit::synced();
            txn.put(&mut commit, None, age_ms.saturating_add(ms(TXN_LIFE)), true);
            let mut writes = ToDeviceWrites::new(commit);
            self.fill_inboxes(&*snapshot, &mut writes, sending, part)
                .await?;
            self.fill_outboxes(&mut writes, sending, part);
            if self.0.store.commit(writes.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }

    async fn fill_inboxes(
        &self,
        snapshot: &dyn Snapshot,
        writes: &mut ToDeviceWrites,
        sending: Sending<'_>,
        part: &Part<'_>,
    ) -> Result<(), ToDeviceError> {
        let wanted: Vec<_> = part
            .local
            .iter()
            .map(|(user, devices)| ((*user).to_owned(), recipients(devices)))
            .collect();
        let found = rows::inboxes(snapshot, &wanted).await?;
        let mut by_content: BTreeMap<&str, Vec<&Inbox>> = BTreeMap::new();
        for (devices, inboxes) in part.local.values().zip(&found) {
            for inbox in inboxes {
                let named = devices.iter().find(|(device, _)| *device == inbox.device);
                let all = || devices.iter().find(|(device, _)| *device == "*");
                if let Some((_, content)) = named.or_else(all) {
                    by_content.entry(content).or_default().push(inbox);
                }
            }
        }
        for inbox in found.iter().flatten() {
            make_room(snapshot, writes, inbox).await?;
        }
        let age_ms = self.0.env.clock.age_ms();
        for (content, inboxes) in by_content {
            let message = NewMessage {
                sender: sending.sender,
                event_type: sending.event_type,
                content,
                expires_age_ms: age_ms.saturating_add(ms(TO_DEVICE_LIFE)),
                id: self.0.env.random.bytes(),
            };
            writes.store(&message, &inboxes);
        }
        Ok(())
    }

    /// Server-Server API, "Send-to-device messaging": for each server as few EDUs as hold them.
    fn fill_outboxes(&self, writes: &mut ToDeviceWrites, sending: Sending<'_>, part: &Part<'_>) {
        let each = part.remote.iter();
        let each = each.flat_map(|(server, users)| {
            let split = split(users).into_iter();
            split.map(move |messages| (server, messages))
        });
        for (server, messages) in each {
            let edu = json!({
                "edu_type": "m.direct_to_device",
                "content": {
                    "sender": sending.sender,
                    "type": sending.event_type,
                    "message_id": self.0.env.random.token(MESSAGE_ID_LENGTH),
                    "messages": messages,
                },
            });
            let json = edu.to_string().into();
            writes.send(server, &EduRow { json });
        }
    }

    /// Takes messages out of the requester's inbox that the device has got: up to a place that a
    /// sync's `since` named. Whatever fails is tried again at the next sync. Whether there were
    /// any.
    pub async fn forget_messages(
        &self,
        requester: &Requester,
        until: Stamp,
    ) -> Result<bool, Fault> {
        let (user, device) = (&*requester.user_id, requester.device_id.as_str());
        let snapshot = self.0.store.snapshot().await?;
        let first = belfry_data::STAMP_FIRST;
        let page = rows::messages_for(&*snapshot, (user, device), first, until, FORGET_MAX);
        let page = page.await?;
        if page.is_empty() {
            return Ok(false);
        }
        let mut commit = Commit::lazy();
        rows::forget_messages(&mut commit, user, device, &page);
        self.0.store.commit(commit, &mut Tries::default()).await?;
        Ok(true)
    }
}

/// Letters of the ID of a message to another server; at most 32 are allowed.
const MESSAGE_ID_LENGTH: usize = 24;

/// The messages of one server in as many runs as EDUs hold.
fn split(users: &ByUser<'_>) -> Vec<Map<String, Value>> {
    let (mut runs, mut bytes) = (vec![Map::new()], 0);
    let each = users.iter();
    let each = each.flat_map(|(user, devices)| devices.iter().map(move |one| (*user, one)));
    for (user, (device, content)) in each {
        let more = user.as_str().len() + device.len() + content.len();
        if bytes > 0 && bytes + more > EDU_BYTES_MAX {
            runs.push(Map::new());
            bytes = 0;
        }
        bytes += more;
        let Some(run) = runs.last_mut() else { continue };
        let of_user = run
            .entry(user.as_str())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(of_user) = of_user {
            let content = serde_json::from_str(content).unwrap_or(Value::Null);
            of_user.insert((*device).to_owned(), content);
        }
    }
    runs
}

/// The oldest messages give way in an inbox that is full.
async fn make_room(
    snapshot: &dyn Snapshot,
    writes: &mut ToDeviceWrites,
    inbox: &Inbox,
) -> Result<(), ReadError> {
    if inbox.messages < INBOX_MESSAGES_MAX {
        return Ok(());
    }
    let owner = (&*inbox.user, inbox.device.as_str());
    let oldest = rows::oldest_in_inbox(snapshot, owner, 1).await?;
    writes.forget(owner.0, owner.1, &oldest);
    Ok(())
}

fn recipients(devices: &[(&str, &str)]) -> Recipients {
    if devices.iter().any(|(device, _)| *device == "*") {
        return Recipients::All;
    }
    let devices = devices.iter().map(|(device, _)| (*device).to_owned());
    Recipients::Devices(devices.collect())
}

fn check(event_type: &str, messages: &Messages) -> Result<(), ToDeviceError> {
    if !(1..=TO_DEVICE_TYPE_BYTES_MAX).contains(&event_type.len()) {
        return Err(ToDeviceError::Type);
    }
    if messages.values().map(BTreeMap::len).sum::<usize>() > TO_DEVICE_RECIPIENTS_MAX {
        return Err(ToDeviceError::TooMany);
    }
    for (user, devices) in messages {
        for content in devices.values() {
            if content.len() > TO_DEVICE_BYTES_MAX {
                return Err(ToDeviceError::TooLarge);
            }
            let object = serde_json::from_str::<&RawValue>(content);
            if !object.is_ok_and(|object| object.get().starts_with('{')) {
                return Err(ToDeviceError::NotAnObject(user.to_string()));
            }
        }
    }
    Ok(())
}

/// The messages in as many parts as commits hold, always the same for the same messages.
fn parts<'a>(messages: &'a Messages, local: &ruma_common::ServerName) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut part = Part::default();
    let mut inboxes = 0;
    for (user, devices) in messages {
        for (device, content) in devices {
            // A user has so many devices at most.
            let weight = if device == "*" { crate::DEVICES_MAX } else { 1 };
            let full = part.bytes + content.len() > COMMIT_BYTES_MAX;
            if part.bytes > 0 && (full || inboxes + weight > COMMIT_INBOXES_MAX) {
                parts.push(std::mem::take(&mut part));
                inboxes = 0;
            }
            part.bytes += content.len();
            inboxes += weight;
            let message = (&**device, &**content);
            if user.server_name() == local {
                part.local.entry(user).or_default().push(message);
            } else {
                let server = user.server_name().to_owned();
                let of_server = part.remote.entry(server).or_default();
                of_server.entry(user).or_default().push(message);
            }
        }
    }
    parts.push(part);
    parts
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use ruma_common::{owned_user_id, server_name};

    use super::*;

    #[test]
    fn edu_009_messages_to_one_server_are_split_so_that_none_is_too_large() {
        let content = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
        let (user, other) = (owned_user_id!("@a:hs2"), owned_user_id!("@b:hs2"));
        let three = ["D", "E", "F"].map(|device| (device, content.as_str()));
        let users = ByUser::from([(&*user, three.to_vec()), (&*other, three[..1].to_vec())]);
        let runs = split(&users);
        let sizes: Vec<_> = runs
            .iter()
            .map(|run| serde_json::to_string(run).unwrap().len())
            .collect();
        assert!(sizes.len() > 1, "{sizes:?}");
        assert!(sizes.iter().all(|bytes| *bytes <= 64 * 1024), "{sizes:?}");
        let messages = |run: &Map<String, Value>| -> usize {
            run.values().map(|of| of.as_object().unwrap().len()).sum()
        };
        assert_eq!(runs.iter().map(messages).sum::<usize>(), 4);
    }

    #[test]
    fn parts_stay_within_a_commit_and_are_always_the_same() {
        let content = format!("{{\"a\":\"{}\"}}", "x".repeat(60_000));
        let devices: BTreeMap<_, _> = (0..20)
            .map(|number| (format!("D{number}"), content.clone()))
            .collect();
        let messages = Messages::from([
            (owned_user_id!("@a:hs1"), devices.clone()),
            (owned_user_id!("@b:hs2"), devices),
        ]);
        let sizes = || -> Vec<_> {
            let parts = parts(&messages, server_name!("hs1"));
            parts.iter().map(|part| part.bytes).collect()
        };
        assert_eq!(sizes(), sizes());
        assert!(sizes().iter().all(|bytes| *bytes <= COMMIT_BYTES_MAX));
        assert_eq!(sizes().iter().sum::<usize>(), 40 * content.len());
    }
}
