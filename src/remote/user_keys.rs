//! Keys of users of other servers, asked for as clients ask for them here.
//!
//! Exists so that accounts know no network. What a server says of users that are not its own is
//! left out; keys are handed on as text, for clients check them. Knows nothing of what keys mean.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use belfry_data::BoxFuture;
use belfry_env::Clock;
use belfry_policy::Purpose;
use belfry_room::PeerError;
use belfry_user::{ClaimedKeys, DeviceList, QueriedKeys, RemoteKeys, WantedDevices, WantedKeys};
use futures_util::{StreamExt as _, stream};
use http::Method;
use ruma_common::{OwnedServerName, OwnedUserId, ServerName, UserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

use crate::{
    client::{Client, Path},
    fetch::Limits,
};

/// Servers that one question goes to at the same time.
const ASKED_AT_ONCE_MAX: usize = 16;
/// Bytes of one server's answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Asks other servers by signed requests.
pub struct SignedUserKeys {
    client: Arc<Client>,
    clock: Clock,
}

type Raws<K> = BTreeMap<K, Box<RawValue>>;

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the spec's names")]
struct Queried {
    #[serde(default)]
    device_keys: BTreeMap<OwnedUserId, Raws<String>>,
    #[serde(default)]
    master_keys: Raws<OwnedUserId>,
    #[serde(default)]
    self_signing_keys: Raws<OwnedUserId>,
}

#[derive(Deserialize)]
struct Claimed {
    #[serde(default)]
    one_time_keys: BTreeMap<OwnedUserId, BTreeMap<String, Raws<String>>>,
}

/// `GET /user/devices/{userId}`.
#[derive(Deserialize)]
struct Listed {
    user_id: OwnedUserId,
    stream_id: u64,
    devices: Vec<ListedDevice>,
    master_key: Option<Box<RawValue>>,
    self_signing_key: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct ListedDevice {
    device_id: String,
    keys: Box<RawValue>,
    device_display_name: Option<String>,
}

impl SignedUserKeys {
    /// By this client.
    pub fn new(client: Arc<Client>, clock: Clock) -> Self {
        Self { client, clock }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        server: &ServerName,
        endpoint: &str,
        content: &impl Serialize,
        wait: Duration,
    ) -> Result<T, Value> {
        let content = serde_json::value::to_raw_value(content);
        let content = content.map_err(|error| failure(&error.to_string()))?;
        let path = Path::new(Purpose::Keys, "/_matrix/federation/v1/user/keys").segment(endpoint);
        self.send(server, (Method::POST, path), Some(&*content), wait)
            .await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        server: &ServerName,
        (method, path): (Method, Path),
        content: Option<&RawValue>,
        wait: Duration,
    ) -> Result<T, Value> {
        let limits = Limits {
            bytes_max: ANSWER_BYTES_MAX,
            time_max: wait,
            redirects_max: 0,
        };
        let asked = self.client.ask(server, method, path, content, limits);
        match self.clock.within(wait, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(PeerError::Refused { errcode, error })) => {
                Err(json!({"errcode": errcode, "error": error}))
            }
            Ok(Err(error)) => Err(failure(&error.to_string())),
            Err(late) => Err(failure(&late.to_string())),
        }
    }

    async fn devices_of(&self, user: &UserId, wait: Duration) -> Result<DeviceList, Value> {
        let path =
            Path::new(Purpose::Keys, "/_matrix/federation/v1/user/devices").segment(user.as_str());
        let request = (Method::GET, path);
        let told: Listed = self.send(user.server_name(), request, None, wait).await?;
        if told.user_id != *user {
            return Err(failure("the answer is about another user"));
        }
        let text = |raw: Box<RawValue>| raw.get().to_owned();
        let devices = told.devices.into_iter().map(|device| {
            let keys = device.keys.get().to_owned();
            (device.device_id, keys, device.device_display_name)
        });
        Ok(DeviceList {
            stream_id: told.stream_id,
            devices: devices.collect(),
            master: told.master_key.map(text),
            self_signing: told.self_signing_key.map(text),
        })
    }

    async fn query_one(
        &self,
        server: OwnedServerName,
        wanted: WantedDevices,
        wait: Duration,
        answer: &mut QueriedKeys,
    ) {
        let content = json!({"device_keys": wanted});
        match self.ask::<Queried>(&server, "query", &content, wait).await {
            Ok(found) => {
                let asked = |user: &OwnedUserId| wanted.contains_key(user);
                for (user, devices) in found.device_keys {
                    if asked(&user) {
                        answer.device_keys.insert(user, texts(devices));
                    }
                }
                let signing = texts(found.master_keys).into_iter();
                answer
                    .master_keys
                    .extend(signing.filter(|(user, _)| asked(user)));
                let signing = texts(found.self_signing_keys).into_iter();
                let signing = signing.filter(|(user, _)| asked(user));
                answer.self_signing_keys.extend(signing);
            }
            Err(why) => drop(answer.failures.insert(server.to_string(), why)),
        }
    }

    async fn claim_one(
        &self,
        server: OwnedServerName,
        wanted: WantedKeys,
        wait: Duration,
        answer: &mut ClaimedKeys,
    ) {
        let content = json!({"one_time_keys": wanted});
        match self.ask::<Claimed>(&server, "claim", &content, wait).await {
            Ok(found) => {
                for (user, devices) in found.one_time_keys {
                    let Some(asked) = wanted.get(&user) else {
                        continue;
                    };
                    let given = devices.into_iter();
                    let given = given.filter(|(device, _)| asked.contains_key(device));
                    let given = given.map(|(device, keys)| (device, texts(keys)));
                    answer.one_time_keys.insert(user, given.collect());
                }
            }
            Err(why) => drop(answer.failures.insert(server.to_string(), why)),
        }
    }
}

fn texts<K: Ord>(raws: Raws<K>) -> BTreeMap<K, String> {
    let raws = raws.into_iter();
    raws.map(|(name, raw)| (name, raw.get().to_owned()))
        .collect()
}

fn failure(text: &str) -> Value {
    json!({"errcode": "M_UNKNOWN", "error": text})
}

impl RemoteKeys for SignedUserKeys {
    fn query(
        &self,
        wanted: BTreeMap<OwnedServerName, WantedDevices>,
        wait: Duration,
    ) -> BoxFuture<'_, QueriedKeys> {
        Box::pin(async move {
            let mut each: Vec<BoxFuture<'_, QueriedKeys>> = Vec::new();
            for (server, wanted) in wanted {
                each.push(Box::pin(async move {
                    let mut found = QueriedKeys::default();
                    self.query_one(server, wanted, wait, &mut found).await;
                    found
                }));
            }
            let all = stream::iter(each).buffer_unordered(ASKED_AT_ONCE_MAX);
            all.fold(QueriedKeys::default(), async |mut whole, found| {
                whole.device_keys.extend(found.device_keys);
                whole.master_keys.extend(found.master_keys);
                whole.self_signing_keys.extend(found.self_signing_keys);
                whole.failures.extend(found.failures);
                whole
            })
            .await
        })
    }

    fn devices(
        &self,
        users: Vec<OwnedUserId>,
        wait: Duration,
    ) -> BoxFuture<'_, Vec<(OwnedUserId, Result<DeviceList, Value>)>> {
        Box::pin(async move {
            let mut each: Vec<BoxFuture<'_, _>> = Vec::new();
            for user in users {
                each.push(Box::pin(async move {
                    let list = self.devices_of(&user, wait).await;
                    (user, list)
                }));
            }
            let all = stream::iter(each).buffer_unordered(ASKED_AT_ONCE_MAX);
            all.collect().await
        })
    }

    fn claim(
        &self,
        wanted: BTreeMap<OwnedServerName, WantedKeys>,
        wait: Duration,
    ) -> BoxFuture<'_, ClaimedKeys> {
        Box::pin(async move {
            let mut each: Vec<BoxFuture<'_, ClaimedKeys>> = Vec::new();
            for (server, wanted) in wanted {
                each.push(Box::pin(async move {
                    let mut found = ClaimedKeys::default();
                    self.claim_one(server, wanted, wait, &mut found).await;
                    found
                }));
            }
            let all = stream::iter(each).buffer_unordered(ASKED_AT_ONCE_MAX);
            all.fold(ClaimedKeys::default(), async |mut whole, found| {
                whole.one_time_keys.extend(found.one_time_keys);
                whole.failures.extend(found.failures);
                whole
            })
            .await
        })
    }
}
