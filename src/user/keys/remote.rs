//! What users of other servers have, as a port: whoever can reach other servers implements it.

use std::{collections::BTreeMap, time::Duration};

use belfry_data::BoxFuture;
use ruma_common::{OwnedServerName, ServerName};
use serde_json::json;

use super::{ClaimedKeys, QueriedKeys, WantedDevices, WantedKeys};

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
fn unreachable_server(server: &ServerName) -> (String, serde_json::Value) {
    let why = json!({
        "errcode": "M_UNKNOWN",
        "error": "this server could not be asked; try again later",
    });
    (server.to_string(), why)
}
