//! Dehydrated devices (MSC3814).

use std::collections::BTreeMap;

use belfry_user::{KeyUpload, Users};
use ruma_client_api::dehydrated_device::{
    delete_dehydrated_device::unstable as delete, get_dehydrated_device::unstable as get,
    get_events::unstable as events, put_dehydrated_device::unstable as put,
};
use ruma_common::{OwnedOneTimeKeyId, encryption::OneTimeKey, serde::Raw};
use serde_json::{Value, json};

use super::keys::json_text;
use crate::{
    edge::{Call, JsonText},
    error::ApiError,
    state::ViewDoor,
};

/// `PUT /dehydrated_device`.
pub(crate) async fn put(users: Users, call: Call<put::Request>) -> Result<put::Response, ApiError> {
    let request = call.request;
    let texts = |keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>| {
        let keys = keys.into_iter();
        keys.map(|(name, key)| (name.to_string(), key.json().get().to_owned()))
            .collect()
    };
    let upload = KeyUpload {
        device_keys: Some(request.device_keys.json().get().to_owned()),
        one_time_keys: texts(request.one_time_keys),
        fallback_keys: texts(request.fallback_keys),
    };
    let (device, data) = (request.device_id, request.device_data);
    let data = data.json().get();
    users
        .dehydrate(&call.auth, device.as_str(), data, &upload)
        .await?;
    Ok(put::Response::new(device))
}

/// `GET /dehydrated_device`.
pub(crate) async fn get(users: Users, call: Call<get::Request>) -> Result<get::Response, ApiError> {
    let (device, data) = users.dehydrated_device(&call.auth).await?;
    let data = Raw::from_json_string(data).map_err(ApiError::fault)?;
    Ok(get::Response::new(device.into(), data))
}

/// `DELETE /dehydrated_device`.
pub(crate) async fn delete(
    users: Users,
    call: Call<delete::Request>,
) -> Result<delete::Response, ApiError> {
    let device = users.delete_dehydrated_device(&call.auth).await?;
    Ok(delete::Response::new(device.into()))
}

/// `POST /dehydrated_device/{deviceId}/events`.
pub(crate) async fn events(
    users: Users,
    door: ViewDoor,
    call: Call<events::Request>,
) -> Result<JsonText, ApiError> {
    let after = call.request.next_batch.as_deref();
    let after = after.map(|token| door.views.place_of(token)).transpose()?;
    let device = call.request.device_id.as_str();
    let found = users.dehydrated_events(&call.auth, device, after).await?;
    let mut events = Vec::new();
    for message in &found.messages {
        let content: Value = serde_json::from_str(&message.content).map_err(ApiError::fault)?;
        events.push(json!({
            "type": message.event_type,
            "sender": message.sender,
            "content": content,
        }));
    }
    let next = door.views.token_of(found.next);
    json_text(&json!({"events": events, "next_batch": next}))
}
