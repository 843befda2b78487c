//! Device lists of users of other servers, tracked while a room is shared with them.
//!
//! Exists so that a list is asked for once, kept up to date by what its server tells (Server-Server
//! API, "Device Management"), and asked for anew when something that was told was missed. A list
//! that nobody shares a room with is never kept. Knows nothing of how servers are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use belfry_data::{
    Commit, CommitError, Seen, Snapshot,
    keys::{
        self as rows, CrossSigningRow, DeviceKeysRow, TRACKED_DEVICES_MAX, TrackedDeviceRow,
        TrackedListRow,
    },
};
use ruma_common::{OwnedServerName, OwnedUserId, ServerName, UserId};

use super::{
    KeyError, QueriedKeys, WantedDevices,
    query::{Found, KeyViewer},
    shape,
};
use crate::{Users, fault::Fault, store::Tries};

/// Lists that one query asks for one by one, because something of them was missed; further ones are
/// asked for together, by server.
pub const RESYNCS_MAX: usize = 20;
/// Bytes of one list that is kept; a larger one is asked for every time.
pub const TRACKED_LIST_BYTES_MAX: usize = 512 * 1024;
/// Users looked at on one snapshot.
const USERS_AT_ONCE: usize = 100;
/// Longest name of another server's device that is kept.
const NAME_BYTES_MAX: usize = 256;
/// Names of changes that one change refers to.
const PREVIOUS_MAX: usize = 20;

/// Whose lists are asked for by server, and of which devices.
type ByServer = BTreeMap<OwnedServerName, WantedDevices>;

/// `m.device_list_update`: what a server tells of a device of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceUpdate {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Which device.
    pub device_id: String,
    /// What the device is called.
    pub name: Option<String>,
    /// The change's number.
    pub stream_id: u64,
    /// The changes right before it.
    pub prev_id: Vec<u64>,
    /// Whether the device is gone.
    pub deleted: bool,
    /// `DeviceKeys` as JSON, if it has any.
    pub keys: Option<String>,
}

/// A whole device list, as its server tells it (`GET /user/devices/{userId}`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceList {
    /// The number of the last change in it.
    pub stream_id: u64,
    /// Device ID, `DeviceKeys` as JSON, what the device is called.
    pub devices: Vec<(String, String, Option<String>)>,
    /// The master key as JSON.
    pub master: Option<String>,
    /// The self-signing key as JSON.
    pub self_signing: Option<String>,
}

/// Whose lists are being asked for right now, each by how many.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<BTreeMap<OwnedUserId, usize>>);

/// Lists that are being asked for, until it is dropped.
struct Asking<'a> {
    asked: &'a Asked,
    users: Vec<OwnedUserId>,
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<OwnedUserId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, users: Vec<OwnedUserId>) -> Asking<'_> {
        let mut asked = self.lock();
        for user in &users {
            *asked.entry(user.clone()).or_default() += 1;
        }
        Asking { asked: self, users }
    }

    fn holds(&self, user: &UserId) -> bool {
        self.lock().contains_key(user)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asked = self.asked.lock();
        for user in &self.users {
            let left = asked.get_mut(user).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if left == 0 {
                asked.remove(user);
            }
        }
    }
}

/// What is known of a list before it is asked for.
struct Known {
    seen: Seen<TrackedListRow>,
    /// Whether it may be kept.
    shared: bool,
}

impl Users {
    /// Takes what a server tells of a device of one of its users. What concerns nobody here, and
    /// what is known already, changes nothing; what does not follow on what is known has the list
    /// asked for anew when somebody needs it.
    ///
    /// # Errors
    /// [`KeyError::Mismatch`] if the user is not that server's.
    pub async fn receive_device_update(
        &self,
        origin: &ServerName,
        update: &DeviceUpdate,
    ) -> Result<(), KeyError> {
        check_speaker(origin, &update.user_id)?;
        if update.device_id.len() > crate::DEVICE_ID_BYTES_MAX
            || update.prev_id.len() > PREVIOUS_MAX
        {
            let text = "a device list update names a device or changes beyond its limit";
            return Err(KeyError::Shape(text.to_owned()));
        }
        self.note_change(&update.user_id, Some(update)).await
    }

    /// Takes it that the cross-signing keys of a user of that server changed: their list is asked
    /// for anew.
    ///
    /// # Errors
    /// As [`Self::receive_device_update`] has them.
    pub async fn receive_signing_update(
        &self,
        origin: &ServerName,
        user: &UserId,
    ) -> Result<(), KeyError> {
        check_speaker(origin, user)?;
        self.note_change(user, None).await
    }

    async fn note_change(
        &self,
        user: &UserId,
        update: Option<&DeviceUpdate>,
    ) -> Result<(), KeyError> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            if rows::shared_with(&*snapshot, user).await?.is_none() {
                return Ok(());
            }
            let seen = rows::tracked_list(&*snapshot, user).await?;
            let mut commit = Commit::synced();
            let mut row = seen.row.clone().unwrap_or_default();
            let known = |update: &DeviceUpdate| update.stream_id <= row.stream_id;
            if row.anchor.is_some() && update.is_some_and(known) {
                return Ok(());
            }
            if seen.row.is_some() && row.anchor.is_none() {
                if !self.0.asked.holds(user) {
                    // Whoever needs the list asks for it anyway, and clients know that they do.
                    return Ok(());
                }
                // Spoils what is being asked for: it may be older than this.
                row.stream_id = row.stream_id.saturating_add(1);
            } else {
                let told = update.filter(|update| row.anchor.is_some() && follows(&row, update));
                let taken = match told {
                    Some(update) => take(&*snapshot, &mut commit, &mut row, update).await?,
                    None => false,
                };
                if !taken {
                    row.anchor = None;
                }
            }
            rows::put_tracked_list(&mut commit, user, &seen, &row);
            rows::note_remote_device_list(&mut commit, user);
            if self.0.store.commit(commit, &mut tries).await? {
                return Ok(());
            }
        }
    }

    /// The keys of users of other servers: of those whose lists are known here, without asking.
    pub(super) async fn keys_elsewhere(
        &self,
        viewer: KeyViewer<'_>,
        wanted: &ByServer,
        wait: Duration,
    ) -> Result<QueriedKeys, KeyError> {
        let mut answer = QueriedKeys::default();
        let mut known = BTreeMap::new();
        let mut ask = ByServer::new();
        let all = wanted.values().flatten();
        let all: Vec<(&OwnedUserId, &Vec<String>)> = all.collect();
        for chunk in all.chunks(USERS_AT_ONCE) {
            let snapshot = self.0.store.snapshot().await?;
            for (user, devices) in chunk {
                let (seen, trusted) = trusted_list(&*snapshot, user).await?;
                if let Some(found) = trusted {
                    let found = found.signed_for(&*snapshot, viewer, user).await?;
                    found.tell(user, viewer, devices, &mut answer);
                    continue;
                }
                let shared = rows::shared_with(&*snapshot, user).await?.is_some();
                known.insert((*user).clone(), Known { seen, shared });
                // All devices of a list that is to be kept.
                let devices = (*devices).clone();
                let devices = Some(devices).filter(|_| !shared).unwrap_or_default();
                let of_server = ask.entry(user.server_name().to_owned()).or_default();
                of_server.insert((*user).clone(), devices);
            }
        }
        if ask.is_empty() {
            return Ok(answer);
        }
        let _asking = self.0.asked.begin(known.keys().cloned().collect());
        let lists = self.ask(&known, ask, wait, &mut answer).await;
        self.keep(&known, &lists).await?;
        let snapshot = self.0.store.snapshot().await?;
        for (user, list) in lists {
            let server = user.server_name();
            let devices = wanted.get(server).and_then(|users| users.get(&user));
            let devices = devices.map(Vec::as_slice).unwrap_or_default();
            let found = Found::of_list(list);
            found.signed_for(&*snapshot, viewer, &user).await?.tell(
                &user,
                viewer,
                devices,
                &mut answer,
            );
        }
        Ok(answer)
    }

    /// Asks the servers: for lists of which something was missed one by one, for others together.
    async fn ask(
        &self,
        known: &BTreeMap<OwnedUserId, Known>,
        mut ask: ByServer,
        wait: Duration,
        answer: &mut QueriedKeys,
    ) -> BTreeMap<OwnedUserId, DeviceList> {
        let missed = known.iter();
        let missed = missed.filter(|(_, known)| known.shared && known.seen.row.is_some());
        let missed: Vec<_> = missed.map(|(user, _)| user.clone()).collect();
        let mut lists = BTreeMap::new();
        if missed.len() <= RESYNCS_MAX {
            for user in &missed {
                if let Some(users) = ask.get_mut(user.server_name()) {
                    users.remove(user);
                }
            }
            ask.retain(|_, users| !users.is_empty());
            for (user, told) in self.1.devices(missed, wait).await {
                match told {
                    Ok(list) => drop(lists.insert(user, list)),
                    Err(why) => {
                        let server = user.server_name().to_string();
                        answer.failures.insert(server, why);
                    }
                }
            }
        }
        if !ask.is_empty() {
            let mut told = self.1.query(ask, wait).await;
            answer.failures.append(&mut told.failures);
            for (user, devices) in std::mem::take(&mut told.device_keys) {
                let devices = devices.into_iter();
                let list = DeviceList {
                    stream_id: 0,
                    devices: devices.map(|(id, json)| (id, json, None)).collect(),
                    master: told.master_keys.remove(&user),
                    self_signing: told.self_signing_keys.remove(&user),
                };
                lists.insert(user, list);
            }
        }
        lists
    }

    /// Keeps lists of those with whom a room is shared, unless something was told meanwhile.
    async fn keep(
        &self,
        known: &BTreeMap<OwnedUserId, Known>,
        lists: &BTreeMap<OwnedUserId, DeviceList>,
    ) -> Result<(), KeyError> {
        let kept = lists.iter().filter_map(|(user, list)| {
            let known = known.get(user).filter(|known| known.shared)?;
            let devices = list.devices.len();
            let fits = bytes(list) <= TRACKED_LIST_BYTES_MAX && devices <= TRACKED_DEVICES_MAX;
            fits.then_some((user, &known.seen, list))
        });
        let kept: Vec<_> = kept.collect();
        // Lazy: lists that are lost are asked for again.
        let mut commit = Commit::lazy();
        for chunk in kept.chunks(USERS_AT_ONCE) {
            let snapshot = self.0.store.snapshot().await?;
            for (user, seen, list) in chunk {
                let more = bytes(list);
                if commit.bytes() + more > TRACKED_LIST_BYTES_MAX {
                    self.put_lists(std::mem::replace(&mut commit, Commit::lazy()))
                        .await?;
                }
                add_list(&*snapshot, &mut commit, user, (seen, list)).await?;
            }
        }
        self.put_lists(commit).await
    }

    async fn put_lists(&self, commit: Commit) -> Result<(), KeyError> {
        if commit.writes.is_empty() {
            return Ok(());
        }
        match self.0.store.try_commit(commit).await {
            // Told otherwise meanwhile, or asked for by another one: the next to need them asks.
            Ok(()) | Err(CommitError::Conflict) => Ok(()),
            Err(error) => Err(Fault::from(error).into()),
        }
    }
}

/// Adds a list to those that are kept.
async fn add_list(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    user: &UserId,
    (seen, list): (&Seen<TrackedListRow>, &DeviceList),
) -> Result<(), KeyError> {
    let mut row = TrackedListRow {
        stream_id: list.stream_id,
        anchor: rows::shared_with(snapshot, user).await?,
        devices: 0,
        master: list.master.as_deref().map(Into::into),
        self_signing: list.self_signing.as_deref().map(Into::into),
    };
    let before = rows::tracked_devices(snapshot, user).await?.into_iter();
    let mut gone: BTreeSet<String> = before.map(|(device, _)| device).collect();
    for (device, json, name) in &list.devices {
        let Some(tracked) = fit(user, device, json.clone(), name.clone()) else {
            continue;
        };
        gone.remove(device);
        row.devices += 1;
        rows::put_tracked_device(commit, user, device, Some(&tracked));
    }
    for device in gone {
        rows::put_tracked_device(commit, user, &device, None);
    }
    rows::put_tracked_list(commit, user, seen, &row);
    Ok(())
}

fn check_speaker(origin: &ServerName, user: &UserId) -> Result<(), KeyError> {
    if user.server_name() == origin {
        return Ok(());
    }
    let text = "a server speaks for its own users only";
    Err(KeyError::Mismatch(text.to_owned()))
}

/// Whether the change follows on what is known.
fn follows(row: &TrackedListRow, update: &DeviceUpdate) -> bool {
    let known = |id: &u64| *id <= row.stream_id;
    !update.prev_id.is_empty() && update.prev_id.iter().all(known)
}

/// Makes the change; `false` if it cannot be made.
async fn take(
    snapshot: &dyn Snapshot,
    commit: &mut Commit,
    row: &mut TrackedListRow,
    update: &DeviceUpdate,
) -> Result<bool, KeyError> {
    let (user, device) = (&*update.user_id, update.device_id.as_str());
    let keys = update.keys.clone().filter(|_| !update.deleted);
    let after = keys.and_then(|json| fit(user, device, json, update.name.clone()));
    let before = rows::is_tracked(snapshot, user, device).await?;
    match (before, after.is_some()) {
        (false, true) => row.devices = row.devices.saturating_add(1),
        (true, false) => row.devices = row.devices.saturating_sub(1),
        _ => {}
    }
    if usize::try_from(row.devices).unwrap_or(usize::MAX) > TRACKED_DEVICES_MAX {
        return Ok(false);
    }
    rows::put_tracked_device(commit, user, device, after.as_ref());
    row.stream_id = row.stream_id.max(update.stream_id);
    Ok(true)
}

/// The device as it is kept, if a client could use it.
fn fit(
    user: &UserId,
    device: &str,
    json: String,
    mut name: Option<String>,
) -> Option<TrackedDeviceRow> {
    if device.len() > crate::DEVICE_ID_BYTES_MAX {
        return None;
    }
    shape::device_keys(&json, user, device).ok()?;
    if let Some(name) = &mut name {
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    }
    Some(TrackedDeviceRow {
        json: json.into(),
        name: name.map(Into::into),
    })
}

fn bytes(list: &DeviceList) -> usize {
    let devices = list.devices.iter();
    let signing = [&list.master, &list.self_signing];
    let signing = signing.into_iter().flatten().map(String::len);
    devices.map(|(_, json, _)| json.len()).sum::<usize>() + signing.sum::<usize>()
}

/// The list if it is known and may be trusted; its row.
async fn trusted_list(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<(Seen<TrackedListRow>, Option<Found>), KeyError> {
    let seen = rows::tracked_list(snapshot, user).await?;
    let anchor = seen.row.as_ref().and_then(|row| row.anchor.as_ref());
    let trusted = match anchor {
        Some(anchor) => rows::holds(snapshot, user, anchor).await?,
        None => false,
    };
    let Some(row) = seen.row.clone().filter(|_| trusted) else {
        return Ok((seen, None));
    };
    let devices = rows::tracked_devices(snapshot, user).await?.into_iter();
    let devices = devices.map(|(id, row)| (id, DeviceKeysRow { json: row.json }, row.name));
    let found = Found {
        devices: devices.collect(),
        signing: CrossSigningRow {
            master: row.master,
            self_signing: row.self_signing,
            user_signing: None,
        },
        signatures: Vec::new(),
    };
    Ok((seen, Some(found)))
}

impl Found {
    fn of_list(list: DeviceList) -> Self {
        let devices = list.devices.into_iter();
        let devices = devices.map(|(id, json, name)| {
            let json = json.into();
            (id, DeviceKeysRow { json }, name.map(Into::into))
        });
        Self {
            devices: devices.collect(),
            signing: CrossSigningRow {
                master: list.master.map(Into::into),
                self_signing: list.self_signing.map(Into::into),
                user_signing: None,
            },
            signatures: Vec::new(),
        }
    }

    /// With the viewer's signatures on the user's keys.
    async fn signed_for(
        mut self,
        snapshot: &dyn Snapshot,
        viewer: KeyViewer<'_>,
        user: &UserId,
    ) -> Result<Self, KeyError> {
        if let KeyViewer::User(viewer) = viewer {
            let pairs = [(user, viewer)];
            let signatures = rows::signatures_by(snapshot, &pairs).await?;
            let signatures = signatures.into_iter().flatten();
            let signatures = signatures.map(|signature| (viewer.to_owned(), signature));
            self.signatures.extend(signatures);
        }
        Ok(self)
    }
}
