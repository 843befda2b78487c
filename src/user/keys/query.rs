//! `POST /keys/query`: the keys of users, as somebody may see them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_data::{
    ReadError, Snapshot,
    keys::{self as rows, CrossSigningRow, DeviceKeysRow, StoredSignature},
};
use belfry_policy::{Action, Purpose, Request};
use ruma_common::{OwnedServerName, OwnedUserId, ServerName, UserId};
use serde_json::{Map, Value, json};

use super::{KeyError, shape};
use crate::{Requester, Users};

/// Users that one query asks for.
pub const QUERY_USERS_MAX: usize = 10_000;
/// How long other servers are waited for, whatever the client says.
pub const KEY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Users read at once.
const CHUNK: usize = 500;

/// Whose keys are wanted, and of which devices; an empty list means all.
pub type WantedDevices = BTreeMap<OwnedUserId, Vec<String>>;

/// Who looks at keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyViewer<'a> {
    /// A user of this server: sees what they signed themselves, and their own user-signing key.
    User(&'a UserId),
    /// Another server, on behalf of no user.
    Server,
}

/// Keys as JSON, by user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueriedKeys {
    /// `DeviceKeys` by device.
    pub device_keys: BTreeMap<OwnedUserId, BTreeMap<String, String>>,
    /// Each a `CrossSigningKey`.
    pub master_keys: BTreeMap<OwnedUserId, String>,
    /// Each a `CrossSigningKey`.
    pub self_signing_keys: BTreeMap<OwnedUserId, String>,
    /// Each a `CrossSigningKey`.
    pub user_signing_keys: BTreeMap<OwnedUserId, String>,
    /// Why servers did not answer.
    pub failures: BTreeMap<String, Value>,
}

impl QueriedKeys {
    fn absorb(&mut self, other: Self) {
        self.device_keys.extend(other.device_keys);
        self.master_keys.extend(other.master_keys);
        self.self_signing_keys.extend(other.self_signing_keys);
        self.failures.extend(other.failures);
    }
}

/// The users of other servers, by server, taken out of those asked for.
pub(super) fn take_remote<T>(
    wanted: &mut BTreeMap<OwnedUserId, T>,
    local: &ServerName,
) -> BTreeMap<OwnedServerName, BTreeMap<OwnedUserId, T>> {
    let mut remote: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (user, what) in std::mem::take(wanted) {
        if user.server_name() == local {
            wanted.insert(user, what);
        } else {
            let server = user.server_name().to_owned();
            remote.entry(server).or_default().insert(user, what);
        }
    }
    remote
}

impl Users {
    /// The keys of these users, of whatever server, as the requester sees them. Other servers are
    /// waited for as long as `wait` says, [`KEY_WAIT_MAX`] at most.
    pub async fn query_keys(
        &self,
        requester: &Requester,
        mut wanted: WantedDevices,
        wait: Duration,
    ) -> Result<QueriedKeys, KeyError> {
        self.allow(requester, Action::Read)?;
        if wanted.len() > QUERY_USERS_MAX {
            return Err(KeyError::TooMany("users", QUERY_USERS_MAX));
        }
        let mut remote = take_remote(&mut wanted, &self.0.options.server_name);
        let refused = self.refuse_servers(requester, &mut remote);
        let viewer = KeyViewer::User(&requester.user_id);
        let mut answer = self.local_keys(viewer, &wanted).await?;
        if !remote.is_empty() {
            let wait = wait.min(KEY_WAIT_MAX);
            answer.absorb(self.keys_elsewhere(viewer, &remote, wait).await?);
        }
        answer.failures.extend(refused);
        Ok(answer)
    }

    /// Takes out the servers that policy does not let the requester ask for keys; why, for each.
    pub(super) fn refuse_servers<T>(
        &self,
        requester: &Requester,
        servers: &mut BTreeMap<OwnedServerName, T>,
    ) -> BTreeMap<String, Value> {
        let mut refused = BTreeMap::new();
        servers.retain(|server, _| {
            let may = self.may_ask_for_keys(requester, server);
            if !may {
                let why = "there is no agreement with this server about keys";
                let why = json!({"errcode": "M_FORBIDDEN", "error": why});
                refused.insert(server.to_string(), why);
            }
            may
        });
        refused
    }

    /// Whether policy lets the requester reach devices of users of that server.
    pub(crate) fn may_ask_for_keys(&self, requester: &Requester, server: &ServerName) -> bool {
        let account = belfry_policy::Requester::Account(requester.account());
        let request = Request::new(account, Action::LookUp).with_peer(server, Purpose::Keys);
        let decision = belfry_policy::decide(&self.0.rules, &request);
        decision.into_result().is_ok()
    }

    /// The keys of users of this server. Policy is not asked.
    pub async fn local_keys(
        &self,
        viewer: KeyViewer<'_>,
        wanted: &WantedDevices,
    ) -> Result<QueriedKeys, KeyError> {
        let mut answer = QueriedKeys::default();
        let users: Vec<_> = wanted.keys().cloned().collect();
        for chunk in users.chunks(CHUNK) {
            let snapshot = self.0.store.snapshot().await?;
            let found = read(&*snapshot, viewer, chunk).await?;
            for (user, found) in chunk.iter().zip(found) {
                let devices = wanted.get(user).map(Vec::as_slice).unwrap_or_default();
                found.tell(user, viewer, devices, &mut answer);
            }
        }
        Ok(answer)
    }
}

/// All that is stored of one user.
pub(super) struct Found {
    pub(super) devices: Vec<(String, DeviceKeysRow, Option<Box<str>>)>,
    pub(super) signing: CrossSigningRow,
    /// On what, by whom, with what.
    pub(super) signatures: Vec<(OwnedUserId, StoredSignature)>,
}

pub(super) async fn read(
    snapshot: &dyn Snapshot,
    viewer: KeyViewer<'_>,
    users: &[OwnedUserId],
) -> Result<Vec<Found>, ReadError> {
    let devices = rows::keyed_devices(snapshot, users).await?;
    let (identities, signer) = read_signing(snapshot, viewer, users).await?;
    // Without cross-signing keys there is nothing to sign, or to sign with.
    let with_keys = users.iter().zip(&identities);
    let with_keys = with_keys.filter_map(|(user, identity)| identity.as_ref().map(|_| &**user));
    let pairs: Vec<(&UserId, &UserId)> = with_keys
        .flat_map(|user| {
            let signer = signer.filter(|signer| *signer != user);
            std::iter::once((user, user)).chain(signer.map(|signer| (user, signer)))
        })
        .collect();
    let signatures = rows::signatures_by(snapshot, &pairs).await?;
    let mut by_user: BTreeMap<&UserId, Vec<_>> = BTreeMap::new();
    for ((user, signer), signatures) in pairs.into_iter().zip(signatures) {
        let theirs = signatures.into_iter();
        let theirs = theirs.map(|signature| (signer.to_owned(), signature));
        by_user.entry(user).or_default().extend(theirs);
    }
    let found = users.iter().zip(devices).zip(identities);
    Ok(found
        .map(|((user, devices), signing)| Found {
            devices: devices.devices,
            signing: signing.unwrap_or_default(),
            signatures: by_user.remove(&**user).unwrap_or_default(),
        })
        .collect())
}

/// The cross-signing keys of these users, and the viewer if they may have signed others' keys.
async fn read_signing<'v>(
    snapshot: &dyn Snapshot,
    viewer: KeyViewer<'v>,
    users: &[OwnedUserId],
) -> Result<(Vec<Option<CrossSigningRow>>, Option<&'v UserId>), ReadError> {
    let KeyViewer::User(viewer) = viewer else {
        return Ok((rows::cross_signing(snapshot, users).await?, None));
    };
    let mut asked = users.to_vec();
    asked.push(viewer.to_owned());
    let mut signing = rows::cross_signing(snapshot, &asked).await?;
    let own = signing.pop().flatten();
    let signs = own.is_some_and(|row| row.user_signing.is_some());
    Ok((signing, signs.then_some(viewer)))
}

impl Found {
    pub(super) fn tell(
        self,
        user: &UserId,
        viewer: KeyViewer<'_>,
        wanted: &[String],
        answer: &mut QueriedKeys,
    ) {
        let wanted: BTreeSet<_> = wanted.iter().map(String::as_str).collect();
        let mut devices = BTreeMap::new();
        for (device, row, name) in &self.devices {
            if wanted.is_empty() || wanted.contains(&**device) {
                let name = name.as_deref().filter(|_| viewer != KeyViewer::Server);
                devices.insert(device.clone(), self.device(device, &row.json, name));
            }
        }
        answer.device_keys.insert(user.to_owned(), devices);
        if let Some(json) = &self.signing.master {
            let key = self.signing_key(json);
            answer.master_keys.insert(user.to_owned(), key);
        }
        if let Some(json) = &self.signing.self_signing {
            let key = self.signing_key(json);
            answer.self_signing_keys.insert(user.to_owned(), key);
        }
        let own = viewer == KeyViewer::User(user);
        if let Some(json) = self.signing.user_signing.as_ref().filter(|_| own) {
            let key = self.signing_key(json);
            answer.user_signing_keys.insert(user.to_owned(), key);
        }
    }

    fn device(&self, device: &str, json: &str, name: Option<&str>) -> String {
        let signed = self.with_signatures(json, device);
        match name {
            Some(name) => shape::with_name(&signed, name),
            None => signed,
        }
    }

    fn signing_key(&self, json: &str) -> String {
        // What nobody signed later is told as it is stored, unread.
        let signed = !self.signatures.is_empty();
        match signed.then(|| key_of(json)).flatten() {
            Some(key) => self.with_signatures(json, &key),
            None => json.to_owned(),
        }
    }

    /// The key with the signatures on it that came later.
    fn with_signatures(&self, json: &str, signed: &str) -> String {
        let later = self.signatures.iter();
        let mut later = later
            .filter(|(_, stored)| stored.signed == signed)
            .peekable();
        if later.peek().is_none() {
            return json.to_owned();
        }
        let Ok(object) = shape::object(json) else {
            return json.to_owned();
        };
        let mut signatures = match object.get("signatures") {
            Some(Value::Object(signatures)) => signatures.clone(),
            _ => Map::new(),
        };
        for (signer, stored) in later {
            let by_signer = signatures
                .entry(signer.as_str())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(by_signer) = by_signer {
                let signature = Value::from(&*stored.signature);
                by_signer.insert(stored.key_id.clone(), signature);
            }
        }
        shape::object_with(json, "signatures", signatures.into())
    }
}

/// The public part of a stored cross-signing key.
pub(super) fn key_of(json: &str) -> Option<String> {
    let object = shape::object(json).ok()?;
    let keys = object.get("keys")?.as_object()?;
    keys.values().next()?.as_str().map(str::to_owned)
}
