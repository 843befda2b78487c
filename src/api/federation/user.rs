//! Keys of this server's users, and who a token of theirs is of.

use std::collections::BTreeMap;

use axum::extract::Request;
use belfry_user::{KeyViewer, QUERY_USERS_MAX};
use http::StatusCode;
use ruma_common::{
    OwnedUserId, UserId,
    api::error::{ErrorKind, UnknownTokenErrorData},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::ask::{self, Ask, invalid};
use crate::{
    edge::{Ctx, JsonText},
    error::{ApiError, EdgeError, Refusal},
    state::Api,
};

#[derive(Deserialize)]
struct Query {
    device_keys: BTreeMap<OwnedUserId, Vec<String>>,
}

type Raws<'a> = BTreeMap<&'a str, &'a RawValue>;

/// The answer's shape, with keys as they are.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the spec's names")]
struct Queried<'a> {
    device_keys: BTreeMap<&'a str, Raws<'a>>,
    master_keys: Raws<'a>,
    self_signing_keys: Raws<'a>,
}

/// `POST /user/keys/query`.
pub(crate) async fn query_keys(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let mut wanted = ask.content::<Query>()?.device_keys;
    wanted.retain(|user, _| user.server_name() == api.federation.server());
    if wanted.len() > QUERY_USERS_MAX {
        return Err(invalid(format!("ask for at most {QUERY_USERS_MAX} users")));
    }
    let keys = api.users.local_keys(KeyViewer::Server, &wanted).await?;
    let mut device_keys = BTreeMap::new();
    for (user, devices) in &keys.device_keys {
        device_keys.insert(user.as_str(), raws(devices)?);
    }
    ask::json(&Queried {
        device_keys,
        master_keys: raws(&keys.master_keys)?,
        self_signing_keys: raws(&keys.self_signing_keys)?,
    })
}

fn raws<K: AsRef<str> + Ord>(keys: &BTreeMap<K, String>) -> Result<Raws<'_>, ApiError> {
    let mut raws = Raws::new();
    for (name, json) in keys {
        let raw = serde_json::from_str(json).map_err(ApiError::fault)?;
        raws.insert(name.as_ref(), raw);
    }
    Ok(raws)
}

/// A device of [`devices`].
#[derive(Serialize)]
struct Listed<'a> {
    device_id: &'a str,
    keys: &'a RawValue,
}

/// The answer of [`devices`], with keys as they are.
#[derive(Serialize)]
struct List<'a> {
    user_id: &'a UserId,
    stream_id: u64,
    devices: Vec<Listed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_key: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_signing_key: Option<&'a RawValue>,
}

/// `GET /user/devices/{userId}`.
pub(crate) async fn devices(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let user: OwnedUserId = ask.id(0)?;
    let none = || {
        let text = "there is no such user on this server";
        Refusal::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, text)
    };
    if user.server_name() != api.federation.server() {
        return Err(none().into());
    }
    let list = api.users.serve_device_list(&user).await?;
    let list = list.ok_or_else(none)?;
    let raw = |json: &'_ String| -> Result<Box<RawValue>, ApiError> {
        RawValue::from_string(json.clone()).map_err(ApiError::fault)
    };
    let mut keys = Vec::new();
    for (device, json, _) in &list.devices {
        keys.push((device, raw(json)?));
    }
    let master = list.master.as_ref().map(raw).transpose()?;
    let own = list.self_signing.as_ref().map(raw).transpose()?;
    ask::json(&List {
        user_id: &user,
        stream_id: list.stream_id,
        devices: keys
            .iter()
            .map(|(device_id, keys)| Listed { device_id, keys })
            .collect(),
        master_key: master.as_deref(),
        self_signing_key: own.as_deref(),
    })
}

#[derive(Deserialize)]
struct Claim {
    one_time_keys: BTreeMap<OwnedUserId, BTreeMap<String, String>>,
}

/// `POST /user/keys/claim`.
pub(crate) async fn claim_keys(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let mut wanted = ask.content::<Claim>()?.one_time_keys;
    wanted.retain(|user, _| user.server_name() == api.federation.server());
    let claimed = api.users.claim_local_keys(&wanted).await?;
    let mut keys: BTreeMap<&str, BTreeMap<&str, Raws<'_>>> = BTreeMap::new();
    for (user, devices) in &claimed {
        for (device, given) in devices {
            let of_user = keys.entry(user.as_str()).or_default();
            of_user.insert(device, raws(given)?);
        }
    }
    ask::json(&json!({"one_time_keys": keys}))
}

/// `GET /openid/userinfo`: whoever holds the token may know whose it is.
pub(crate) async fn userinfo(api: Api, _: Ctx, request: Request) -> Result<JsonText, ApiError> {
    let query = request.uri().query().unwrap_or_default();
    let token = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "access_token");
    let Some((_, token)) = token else {
        return Err(EdgeError::MissingToken.into());
    };
    if let Some(user) = api.users.openid_user(&token).await? {
        ask::json(&json!({"sub": user}))
    } else {
        let kind = ErrorKind::UnknownToken(UnknownTokenErrorData::new());
        let text = "The token is of nobody, or its time is up";
        Err(Refusal::new(StatusCode::UNAUTHORIZED, kind, text).into())
    }
}
