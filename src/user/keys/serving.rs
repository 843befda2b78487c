//! What other servers are told of the keys of this server's users.
//!
//! Exists so that a list that is asked for, and a change that is told, say the same. Knows nothing
//! of requests and EDUs.

use belfry_data::{Snapshot, account as accounts, keys as rows};
use ruma_common::UserId;
use std::collections::BTreeMap;

use super::{
    DeviceList, KeyError, KeyViewer, QueriedKeys, WantedDevices,
    query::{Found, read},
};
use crate::Users;

impl Users {
    /// The device list of a user of this server, for other servers: devices with keys, without
    /// their names. `None` if there is no such user. Policy is not asked.
    pub async fn serve_device_list(&self, user: &UserId) -> Result<Option<DeviceList>, KeyError> {
        let snapshot = self.0.store.snapshot().await?;
        let account = accounts::user(&*snapshot, user).await?;
        if account.is_none_or(|row| row.deactivated.is_some()) {
            return Ok(None);
        }
        let wanted = WantedDevices::from([(user.to_owned(), Vec::new())]);
        let mut keys = keys_for_servers(&*snapshot, &wanted).await?;
        let streams = rows::device_streams(&*snapshot, &[user]).await?;
        let devices = keys.device_keys.remove(user).unwrap_or_default();
        let devices = devices.into_iter().map(|(id, json)| (id, json, None));
        Ok(Some(DeviceList {
            stream_id: streams.into_iter().next().unwrap_or_default(),
            devices: devices.collect(),
            master: keys.master_keys.remove(user),
            self_signing: keys.self_signing_keys.remove(user),
        }))
    }
}

/// The keys of users of this server as other servers see them, at most
/// [`belfry_data::GET_MANY_KEYS_MAX`] users: of these devices, or of all if none is named.
pub async fn keys_for_servers(
    snapshot: &dyn Snapshot,
    wanted: &WantedDevices,
) -> Result<QueriedKeys, belfry_data::ReadError> {
    let users: Vec<_> = wanted.keys().cloned().collect();
    let viewer = KeyViewer::Server;
    let found: Vec<Found> = read(snapshot, viewer, &users).await?;
    let mut answer = QueriedKeys {
        device_keys: BTreeMap::new(),
        ..QueriedKeys::default()
    };
    for (user, found) in users.iter().zip(found) {
        let devices = wanted.get(user).map(Vec::as_slice).unwrap_or_default();
        found.tell(user, viewer, devices, &mut answer);
    }
    Ok(answer)
}
