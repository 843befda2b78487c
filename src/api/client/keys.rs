//! Keys of devices and users: uploading, asking for and claiming them, cross-signing.
//!
//! Keys go through as text, so that what was signed stays what it was.

use std::{collections::BTreeMap, time::Duration};

use belfry_user::{
    KeyUpload, Operation, QueriedKeys, SignatureFailure, SignedKeys, SigningKeys, Users,
};
use ruma_client_api::keys::{
    claim_keys::v3 as claim, get_key_changes::v3 as changes, get_keys::v3 as query,
    upload_signatures::v3 as upload_signatures, upload_signing_keys::v3 as upload_signing_keys,
};
use ruma_common::{OwnedUserId, encryption::CrossSigningKey, serde::Raw};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::uia;
use crate::{
    edge::{Call, Edge, JsonText},
    error::ApiError,
    rate::{Limit, Subject},
    state::ViewDoor,
    wire::{LegacyAuth, keys::UploadKeys},
};

/// How long other servers are waited for if the client does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// `POST /keys/upload`.
pub(crate) async fn upload(users: Users, call: Call<UploadKeys>) -> Result<JsonText, ApiError> {
    let upload = KeyUpload {
        device_keys: call.request.device_keys,
        one_time_keys: call.request.one_time_keys,
        fallback_keys: call.request.fallback_keys,
    };
    let mut counts = users.upload_keys(&call.auth, &upload).await?;
    // Clients take its absence for keys that the server does not count.
    counts.entry("signed_curve25519".to_owned()).or_default();
    json_text(&json!({"one_time_key_counts": counts}))
}

/// `POST /keys/query`.
pub(crate) async fn query(users: Users, call: Call<query::Request>) -> Result<JsonText, ApiError> {
    let wait = call.request.timeout.unwrap_or(WAIT_DEFAULT);
    let wanted = call.request.device_keys.into_iter();
    let wanted = wanted.map(|(user, devices)| {
        let devices = devices.into_iter().map(|device| device.to_string());
        (user, devices.collect())
    });
    let keys = users.query_keys(&call.auth, wanted.collect(), wait).await?;
    json_text(&Queried::of(&keys)?)
}

/// The answer's shape, with keys as they are.
#[derive(Serialize)]
struct Queried<'a> {
    device_keys: BTreeMap<&'a OwnedUserId, BTreeMap<&'a str, &'a RawValue>>,
    master_keys: BTreeMap<&'a OwnedUserId, &'a RawValue>,
    self_signing_keys: BTreeMap<&'a OwnedUserId, &'a RawValue>,
    user_signing_keys: BTreeMap<&'a OwnedUserId, &'a RawValue>,
    failures: &'a BTreeMap<String, serde_json::Value>,
}

impl<'a> Queried<'a> {
    fn of(keys: &'a QueriedKeys) -> Result<Self, ApiError> {
        let mut device_keys = BTreeMap::new();
        for (user, devices) in &keys.device_keys {
            let mut of_user = BTreeMap::new();
            for (device, json) in devices {
                of_user.insert(&**device, raw(json)?);
            }
            device_keys.insert(user, of_user);
        }
        Ok(Self {
            device_keys,
            master_keys: all_raw(&keys.master_keys)?,
            self_signing_keys: all_raw(&keys.self_signing_keys)?,
            user_signing_keys: all_raw(&keys.user_signing_keys)?,
            failures: &keys.failures,
        })
    }
}

fn all_raw<K: Ord>(keys: &BTreeMap<K, String>) -> Result<BTreeMap<&K, &RawValue>, ApiError> {
    let keys = keys.iter();
    keys.map(|(name, json)| Ok((name, raw(json)?))).collect()
}

fn raw(json: &str) -> Result<&RawValue, ApiError> {
    serde_json::from_str(json).map_err(ApiError::fault)
}

/// The answer of a claim.
#[derive(Serialize)]
struct Claimed<K, F> {
    one_time_keys: K,
    failures: F,
}

/// `POST /keys/claim`.
pub(crate) async fn claim(
    edge: Edge,
    users: Users,
    call: Call<claim::Request>,
) -> Result<JsonText, ApiError> {
    let subject = Subject::User(call.auth.user_id.clone());
    edge.charge(Limit::KeyClaim, subject)?;
    let wait = call.request.timeout.unwrap_or(WAIT_DEFAULT);
    let wanted = call.request.one_time_keys.into_iter();
    let wanted = wanted.map(|(user, devices)| {
        let devices = devices.into_iter();
        let devices =
            devices.map(|(device, algorithm)| (device.to_string(), algorithm.to_string()));
        (user, devices.collect())
    });
    let claimed = users.claim_keys(&call.auth, wanted.collect(), wait).await?;
    let mut keys = BTreeMap::new();
    for (user, devices) in &claimed.one_time_keys {
        let mut of_user = BTreeMap::new();
        for (device, given) in devices {
            of_user.insert(device, all_raw(given)?);
        }
        keys.insert(user, of_user);
    }
    json_text(&Claimed {
        one_time_keys: keys,
        failures: claimed.failures,
    })
}

/// `GET /keys/changes`.
pub(crate) async fn changes(
    door: ViewDoor,
    call: Call<changes::Request>,
) -> Result<changes::Response, ApiError> {
    door.admit(&call.auth)?;
    let (from, to) = (&call.request.from, &call.request.to);
    let lists = door
        .views
        .device_list_changes(&call.auth.user_id, from, to)
        .await?;
    Ok(changes::Response::new(lists.changed, lists.left))
}

/// `POST /keys/device_signing/upload`.
pub(crate) async fn upload_signing_keys(
    edge: Edge,
    users: Users,
    call: Call<LegacyAuth<upload_signing_keys::Request>>,
) -> Result<upload_signing_keys::Response, ApiError> {
    let text = |key: &Raw<CrossSigningKey>| key.json().get().to_owned();
    let LegacyAuth(request) = call.request;
    let keys = SigningKeys {
        master: request.master_key.as_ref().map(text),
        self_signing: request.self_signing_key.as_ref().map(text),
        user_signing: request.user_signing_key.as_ref().map(text),
    };
    if !users.set_signing_keys(&call.auth, &keys, false).await? {
        let operation = Operation::ReplaceSigningKeys(call.auth.user_id.clone());
        let proven = uia::prove(&edge, &users, &call.ctx, operation, request.auth).await?;
        users.set_signing_keys(&call.auth, &keys, true).await?;
        users.finish_proof(&proven.session);
    }
    Ok(upload_signing_keys::Response::new())
}

/// `POST /keys/signatures/upload`.
pub(crate) async fn upload_signatures(
    users: Users,
    call: Call<upload_signatures::Request>,
) -> Result<JsonText, ApiError> {
    let signed: SignedKeys = call
        .request
        .signed_keys
        .iter()
        .map(|(user, keys)| {
            let keys = keys.iter();
            let keys = keys.map(|(name, json)| (name.to_owned(), json.get().to_owned()));
            (user.clone(), keys.collect())
        })
        .collect();
    let failures = users.upload_signatures(&call.auth, &signed).await?;
    let failures: BTreeMap<_, BTreeMap<_, _>> = failures
        .into_iter()
        .map(|(user, keys)| {
            let keys = keys.into_iter();
            let keys = keys.map(|(name, failure)| (name, failure_row(failure)));
            (user, keys.collect())
        })
        .collect();
    json_text(&json!({"failures": failures}))
}

fn failure_row(failure: SignatureFailure) -> serde_json::Value {
    let (errcode, error) = match failure {
        SignatureFailure::Signature => (
            "M_INVALID_SIGNATURE",
            "The signature is missing, wrong, or by another key",
        ),
        SignatureFailure::Different => (
            "M_INVALID_PARAM",
            "What is signed is not what is here; ask for the keys again",
        ),
        SignatureFailure::Unknown => ("M_NOT_FOUND", "There is no such device or key"),
    };
    json!({"errcode": errcode, "error": error})
}

/// An answer as text.
pub(super) fn json_text(answer: &impl Serialize) -> Result<JsonText, ApiError> {
    let text = serde_json::to_string(answer).map_err(ApiError::fault)?;
    Ok(JsonText(text))
}
