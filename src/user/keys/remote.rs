//! What users of other servers have, as a port: whoever can reach other servers implements it.

use std::{collections::BTreeMap, time::Duration};

use belfry_data::BoxFuture;
use ruma_common::{OwnedServerName, OwnedUserId, ServerName};
use serde_json::{Value, json};

use super::{ClaimedKeys, DeviceList, QueriedKeys, WantedDevices, WantedKeys};

/// Asks other servers for keys. What a server does not answer in time is a failure of that server's
/// in the answer, under its name; there is no other error.
pub trait RemoteKeys: Send + Sync {
    /// Server-Server API, `POST /user/keys/query`. The answer holds only users that were asked
    /// for, each of the server that was asked.
    fn query(
        &self,
        wanted: BTreeMap<OwnedServerName, WantedDevices>,
        wait: Duration,
    ) -> BoxFuture<'_, QueriedKeys>;

    /// Server-Server API, `GET /user/devices/{userId}`, of each of these users; an error is what
    /// the answer says of the server.
    fn devices(
        &self,
        users: Vec<OwnedUserId>,
        wait: Duration,
    ) -> BoxFuture<'_, Vec<(OwnedUserId, Result<DeviceList, Value>)>>;

    /// Server-Server API, `POST /user/keys/claim`.
    fn claim(
        &self,
        wanted: BTreeMap<OwnedServerName, WantedKeys>,
        wait: Duration,
    ) -> BoxFuture<'_, ClaimedKeys>;
}

/// No way to other servers: every one of them fails.
#[derive(Debug, Clone, Copy)]
pub struct NoRemoteKeys;

impl RemoteKeys for NoRemoteKeys {
    fn query(
        &self,
        wanted: BTreeMap<OwnedServerName, WantedDevices>,
        _: Duration,
    ) -> BoxFuture<'_, QueriedKeys> {
        let failures = wanted
            .keys()
            .map(|server| unreachable_server(server))
            .collect();
        let answer = QueriedKeys {
            failures,
            ..QueriedKeys::default()
        };
        Box::pin(std::future::ready(answer))
    }

    fn devices(
        &self,
        users: Vec<OwnedUserId>,
        _: Duration,
    ) -> BoxFuture<'_, Vec<(OwnedUserId, Result<DeviceList, Value>)>> {
        let told = users.into_iter().map(|user| {
            let (_, why) = unreachable_server(user.server_name());
            (user, Err(why))
        });
        Box::pin(std::future::ready(told.collect()))
    }

    fn claim(
        &self,
        wanted: BTreeMap<OwnedServerName, WantedKeys>,
        _: Duration,
    ) -> BoxFuture<'_, ClaimedKeys> {
        let failures = wanted
            .keys()
            .map(|server| unreachable_server(server))
            .collect();
        let answer = ClaimedKeys {
            failures,
            ..ClaimedKeys::default()
        };
        Box::pin(std::future::ready(answer))
    }
}

/// What the answer says of a server that could not be asked.
fn unreachable_server(server: &ServerName) -> (String, Value) {
    let why = json!({
        "errcode": "M_UNKNOWN",
        "error": "this server could not be asked; try again later",
    });
    (server.to_string(), why)
}
