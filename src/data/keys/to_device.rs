//! Messages to devices: inboxes of this server's devices, and EDUs for those of other servers.

use std::collections::{BTreeMap, BTreeSet};

use belfry_kv::{Commit, ReadError, Seen, Snapshot, Stamp};
use ruma_common::{OwnedUserId, ServerName, UserId};

use super::{
    device::{FORWARD, KEYED_DEVICES_MAX},
    rows::{DehydratedRow, SharedMessageRow, ToDeviceRow},
    tables::{DEHYDRATED, SHARED_MESSAGE, TO_DEVICE, TO_DEVICE_COUNT},
};
use crate::{
    account::{DeviceRow, tables::DEVICE},
    column::UserKey,
    federation::{EduRow, push_edu},
    order::{STAMP_FIRST, STAMP_LAST},
    rows::GlobalRow,
    tables::GLOBAL_LOG,
    txn::expire_at,
};

/// Most messages that one read of an inbox gives.
pub const TO_DEVICE_PAGE_MAX: usize = 1_000;

/// Content beyond this is stored once if several inboxes get it.
const SHARED_BYTES_MIN: usize = 128;

/// The inbox of a device that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    /// Whose.
    pub user: OwnedUserId,
    /// Which device's.
    pub device: String,
    /// How many messages it has.
    pub messages: u64,
    owner: Owner,
}

/// By what the device is known to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Session(DeviceRow),
    Dehydrated(DehydratedRow),
}

impl Inbox {
    fn key(&self) -> (UserKey, String) {
        (UserKey::from(&*self.user), self.device.clone())
    }

    /// Makes the commit apply only if the device is still there.
    fn check(&self, commit: &mut Commit) {
        match &self.owner {
            Owner::Session(row) => DEVICE.check_equals(commit, &self.key(), Some(row)),
            Owner::Dehydrated(row) => {
                DEHYDRATED.check_equals(commit, &(self.key().0,), Some(row));
            }
        }
    }
}

/// Whose inboxes are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// All devices of the user.
    All,
    /// These.
    Devices(Vec<String>),
}

/// A message on its way in.
#[derive(Debug, Clone, Copy)]
pub struct NewMessage<'a> {
    /// The sender.
    pub sender: &'a UserId,
    /// The event type.
    pub event_type: &'a str,
    /// The content, a JSON object.
    pub content: &'a str,
    /// The age of the installation from which on it is not delivered.
    pub expires_age_ms: u64,
    /// Random: the key of the message if several devices get it.
    pub id: [u8; 16],
}

/// A message of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxMessage {
    /// When it came.
    pub stamp: Stamp,
    /// The sender's ID.
    pub sender: Box<str>,
    /// The event type.
    pub event_type: Box<str>,
    /// The content, a JSON object.
    pub content: Box<str>,
}

/// A run of an inbox, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxPage {
    rows: Vec<(Stamp, ToDeviceRow)>,
    shared: Vec<Option<Seen<SharedMessageRow>>>,
    /// Whether there is more.
    pub more: bool,
}

impl InboxPage {
    /// Whether it has none, expired ones included.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows it has, expired ones included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The last row's place.
    pub fn last(&self) -> Option<Stamp> {
        self.rows.last().map(|(stamp, _)| *stamp)
    }

    /// Leaves only those rows at the beginning whose messages' time is up at this age.
    #[must_use]
    pub fn expired(mut self, age_ms: u64) -> Self {
        let rows = self.rows.iter().zip(&self.shared);
        let old = rows.take_while(|((stamp, row), shared)| {
            message(*stamp, row, shared.as_ref(), age_ms).is_none()
        });
        let count = old.count();
        self.rows.truncate(count);
        self.shared.truncate(count);
        self
    }

    /// The messages whose time is not up at this age.
    pub fn messages(&self, age_ms: u64) -> Vec<InboxMessage> {
        let rows = self.rows.iter().zip(&self.shared);
        rows.filter_map(|((stamp, row), shared)| message(*stamp, row, shared.as_ref(), age_ms))
            .collect()
    }
}

fn message(
    stamp: Stamp,
    row: &ToDeviceRow,
    shared: Option<&Seen<SharedMessageRow>>,
    age_ms: u64,
) -> Option<InboxMessage> {
    let (sender, event_type, content, expires_age_ms) = match row {
        ToDeviceRow::Whole {
            sender,
            event_type,
            content,
            expires_age_ms,
        } => (sender, event_type, content, *expires_age_ms),
        ToDeviceRow::Shared(_) => {
            let row = shared?.row.as_ref()?;
            (
                &row.sender,
                &row.event_type,
                &row.content,
                row.expires_age_ms,
            )
        }
    };
    (age_ms < expires_age_ms).then(|| InboxMessage {
        stamp,
        sender: sender.clone(),
        event_type: event_type.clone(),
        content: content.clone(),
    })
}

/// The inboxes that are meant, of devices that exist, for each user in the order asked. At most
/// [`belfry_kv::SCAN_MANY_RANGES_MAX`] users. Three round trips.
pub async fn inboxes(
    snapshot: &dyn Snapshot,
    wanted: &[(OwnedUserId, Recipients)],
) -> Result<Vec<Vec<Inbox>>, ReadError> {
    let prefix = |user: &OwnedUserId| (UserKey::from(&**user),);
    let ranges = wanted.iter().map(|(user, _)| DEVICE.prefix(&prefix(user)));
    let sessions = DEVICE.scan_many(snapshot, ranges.collect(), KEYED_DEVICES_MAX);
    let sessions = sessions.await?;
    let users: Vec<_> = wanted.iter().map(|(user, _)| prefix(user)).collect();
    let dehydrated = DEHYDRATED.get_many(snapshot, &users).await?;
    let mut found = Vec::new();
    for (((user, recipients), page), dehydrated) in wanted.iter().zip(sessions).zip(dehydrated) {
        let rows = page.rows.into_iter();
        let sessions = rows.map(|((_, device), row)| (device, Owner::Session(row)));
        let dehydrated = dehydrated.map(|row| (row.device.to_string(), Owner::Dehydrated(row)));
        let all = sessions.chain(dehydrated);
        let meant = all.filter(|(device, _)| match recipients {
            Recipients::All => true,
            Recipients::Devices(devices) => devices.contains(device),
        });
        let inbox = |(device, owner)| Inbox {
            user: user.clone(),
            device,
            messages: 0,
            owner,
        };
        found.push(meant.map(inbox).collect());
    }
    count_messages(snapshot, &mut found).await?;
    Ok(found)
}

async fn count_messages(
    snapshot: &dyn Snapshot,
    inboxes: &mut [Vec<Inbox>],
) -> Result<(), ReadError> {
    let keys: Vec<_> = inboxes.iter().flatten().map(Inbox::key).collect();
    let counts = TO_DEVICE_COUNT.get_many(snapshot, &keys).await?;
    for (inbox, count) in inboxes.iter_mut().flatten().zip(counts) {
        inbox.messages = u64::try_from(count).unwrap_or(0);
    }
    Ok(())
}

/// Messages going into inboxes and outboxes in one commit.
#[derive(Debug)]
pub struct ToDeviceWrites {
    commit: Commit,
    checked: BTreeSet<(OwnedUserId, String)>,
    users: BTreeSet<OwnedUserId>,
    servers: BTreeSet<Box<str>>,
}

impl ToDeviceWrites {
    /// Nothing yet, on top of this commit.
    pub fn new(commit: Commit) -> Self {
        Self {
            commit,
            checked: BTreeSet::new(),
            users: BTreeSet::new(),
            servers: BTreeSet::new(),
        }
    }

    /// Puts a message into these inboxes, if their devices are still there.
    pub fn store(&mut self, message: &NewMessage<'_>, inboxes: &[&Inbox]) {
        let shared = inboxes.len() > 1 && message.content.len() >= SHARED_BYTES_MIN;
        if shared {
            self.share(message, inboxes.len());
        }
        let row = if shared {
            ToDeviceRow::Shared(message.id)
        } else {
            ToDeviceRow::Whole {
                sender: message.sender.as_str().into(),
                event_type: message.event_type.into(),
                content: message.content.into(),
                expires_age_ms: message.expires_age_ms,
            }
        };
        for inbox in inboxes {
            if self
                .checked
                .insert((inbox.user.clone(), inbox.device.clone()))
            {
                inbox.check(&mut self.commit);
            }
            TO_DEVICE.append(&mut self.commit, &inbox.key(), &row);
            TO_DEVICE_COUNT.add(&mut self.commit, &inbox.key(), 1);
            self.users.insert(inbox.user.clone());
        }
    }

    fn share(&mut self, message: &NewMessage<'_>, inboxes: usize) {
        let key = (message.id,);
        let row = SharedMessageRow {
            sender: message.sender.as_str().into(),
            event_type: message.event_type.into(),
            content: message.content.into(),
            inboxes: u32::try_from(inboxes).unwrap_or(u32::MAX),
            expires_age_ms: message.expires_age_ms,
        };
        SHARED_MESSAGE.check_absent(&mut self.commit, &key);
        SHARED_MESSAGE.put(&mut self.commit, &key, &row);
        let expires = message.expires_age_ms;
        expire_at(&mut self.commit, expires, &SHARED_MESSAGE.key(&key));
    }

    /// Has an EDU wait for another server.
    pub fn send(&mut self, server: &ServerName, row: &EduRow) {
        push_edu(&mut self.commit, server, row);
        self.servers.insert(server.as_str().into());
    }

    /// Takes messages out of an inbox, if they are still there.
    pub fn forget(&mut self, user: &UserId, device: &str, page: &InboxPage) {
        forget_messages(&mut self.commit, user, device, page);
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.commit.bytes()
    }

    /// The commit, which wakes those that it concerns.
    pub fn finish(mut self) -> Commit {
        for user in &self.users {
            let user = user.as_str().into();
            GLOBAL_LOG.append(&mut self.commit, &(), &GlobalRow::ToDevice { user });
        }
        for server in self.servers {
            GLOBAL_LOG.append(&mut self.commit, &(), &GlobalRow::Outbox { server });
        }
        self.commit
    }
}

/// The messages of an inbox behind `after` and not behind `until`, oldest first, at most `limit`,
/// of at most [`TO_DEVICE_PAGE_MAX`].
pub async fn messages_for(
    snapshot: &dyn Snapshot,
    (user, device): (&UserId, &str),
    after: Stamp,
    until: Stamp,
    limit: usize,
) -> Result<InboxPage, ReadError> {
    let prefix = (UserKey::from(user), device.to_owned());
    let at = |stamp| TO_DEVICE.key(&(prefix.0.clone(), prefix.1.clone(), stamp));
    let range = belfry_kv::Range {
        from: at(after).successor(),
        to: at(until).successor(),
    };
    if range.is_empty() {
        return Ok(InboxPage::default());
    }
    let limit = limit.min(TO_DEVICE_PAGE_MAX);
    let page = TO_DEVICE.scan(snapshot, range, FORWARD, limit).await?;
    let more = page.rest.is_some();
    let rows = page.rows.into_iter().map(|((_, _, at), row)| (at, row));
    with_shared(snapshot, rows.collect(), more).await
}

/// The rows with the content that others have, too.
async fn with_shared(
    snapshot: &dyn Snapshot,
    rows: Vec<(Stamp, ToDeviceRow)>,
    more: bool,
) -> Result<InboxPage, ReadError> {
    let mut batch = belfry_kv::Batch::new();
    let handles: Vec<_> = rows
        .iter()
        .map(|(_, row)| match row {
            ToDeviceRow::Shared(id) => Some(batch.get_seen(&SHARED_MESSAGE, &(*id,))),
            ToDeviceRow::Whole { .. } => None,
        })
        .collect();
    let mut got = batch.read(snapshot).await?;
    let mut shared = Vec::new();
    for handle in handles {
        shared.push(match handle {
            Some(handle) => Some(got.take(handle)?),
            None => None,
        });
    }
    Ok(InboxPage { rows, shared, more })
}

/// The oldest messages of an inbox, at most `limit`.
pub async fn oldest_in_inbox(
    snapshot: &dyn Snapshot,
    inbox: (&UserId, &str),
    limit: usize,
) -> Result<InboxPage, ReadError> {
    messages_for(snapshot, inbox, STAMP_FIRST, STAMP_LAST, limit).await
}

/// The oldest message of each of these inboxes, in the order asked, as a page of its own. One round trip,
/// and one for each whose content others have, too. At most [`belfry_kv::SCAN_MANY_RANGES_MAX`] inboxes.
pub async fn oldest_in_inboxes(
    snapshot: &dyn Snapshot,
    inboxes: &[(&UserId, &str)],
) -> Result<Vec<InboxPage>, ReadError> {
    let prefix = |(user, device): &(&UserId, &str)| (UserKey::from(*user), (*device).to_owned());
    let ranges = inboxes.iter().map(|inbox| TO_DEVICE.prefix(&prefix(inbox)));
    let found = TO_DEVICE.scan_many(snapshot, ranges.collect(), 1).await?;
    let mut pages = Vec::new();
    for rows in found {
        let more = rows.rest.is_some();
        let rows = rows.rows.into_iter().map(|((_, _, at), row)| (at, row));
        pages.push(with_shared(snapshot, rows.collect(), more).await?);
    }
    Ok(pages)
}

/// Takes messages out of an inbox: the commit applies only if all are still there. What no other
/// inbox refers to goes with them.
pub fn forget_messages(commit: &mut Commit, user: &UserId, device: &str, page: &InboxPage) {
    let mut taken: BTreeMap<[u8; 16], u32> = BTreeMap::new();
    for ((stamp, row), shared) in page.rows.iter().zip(&page.shared) {
        let key = (UserKey::from(user), device.to_owned(), *stamp);
        TO_DEVICE.check_equals(commit, &key, Some(row));
        TO_DEVICE.delete(commit, &key);
        let (ToDeviceRow::Shared(id), Some(shared)) = (row, shared) else {
            continue;
        };
        let taken = taken.entry(*id).or_default();
        *taken += 1;
        release(commit, *id, shared, *taken);
    }
    let count = i64::try_from(page.rows.len()).unwrap_or(i64::MAX);
    if count > 0 {
        let key = (UserKey::from(user), device.to_owned());
        TO_DEVICE_COUNT.add(commit, &key, -count);
    }
}

/// Takes so many references from a shared message.
fn release(commit: &mut Commit, id: [u8; 16], seen: &Seen<SharedMessageRow>, taken: u32) {
    let Some(row) = &seen.row else { return };
    if taken == 1 {
        SHARED_MESSAGE.check_unchanged(commit, &(id,), seen);
    }
    let inboxes = row.inboxes.saturating_sub(taken);
    if inboxes == 0 {
        SHARED_MESSAGE.delete(commit, &(id,));
    } else {
        let row = SharedMessageRow {
            inboxes,
            ..row.clone()
        };
        SHARED_MESSAGE.put(commit, &(id,), &row);
    }
}
