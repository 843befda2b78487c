//! Messages from device to device.

use belfry_user::{Messages, Requester, Users};
use ruma_client_api::to_device::send_event_to_device::v3 as send;

use crate::{edge::Call, error::ApiError, state::ViewDoor};

/// `PUT /sendToDevice/{eventType}/{txnId}`.
pub(crate) async fn send(
    users: Users,
    call: Call<send::Request>,
) -> Result<send::Response, ApiError> {
    let request = call.request;
    let messages: Messages = request
        .messages
        .into_iter()
        .map(|(user, devices)| {
            let devices = devices.into_iter().map(|(device, content)| {
                let content = content.json().get().to_owned();
                (device.to_string(), content)
            });
            (user, devices.collect())
        })
        .collect();
    let event_type = request.event_type.to_string();
    let txn_id = request.txn_id.as_str();
    users
        .send_to_devices(&call.auth, &event_type, txn_id, &messages)
        .await?;
    Ok(send::Response::new())
}

/// Takes what a device has got, by the `since` of its sync, out of its inbox. Whatever fails is done
/// at the next sync; a `since` that is none is the sync's to refuse.
pub(super) async fn forget(
    door: &ViewDoor,
    users: &Users,
    requester: &Requester,
    since: Option<&str>,
) {
    let Some(Ok(got)) = since.map(|since| door.views.place_of(since)) else {
        return;
    };
    let (user, device) = (&requester.user_id, &requester.device_id);
    if door.views.has_no_messages(user, device) {
        return;
    }
    match users.forget_messages(requester, got).await {
        Ok(true) => {}
        Ok(false) => door.views.note_no_messages(user, device, got),
        Err(fault) => {
            tracing::debug!(%fault, "messages that a device has got were not removed");
        }
    }
}
