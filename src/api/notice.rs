//! Server notices, as administrators' tools send them.

use belfry_flow::{Notice, NoticeError};
use belfry_policy::{Action, Request, Requester as Asking};
use belfry_user::Requester;
use serde_json::json;

use crate::{
    edge::{Call, JsonText},
    error::{ApiError, EdgeError},
    state::RoomDoor,
    wire::{NoticeBody, SendNotice, SendNoticeOnce},
};

/// What is sent if the request does not say.
const KIND: &str = "m.room.message";

/// `POST /_synapse/admin/v1/send_server_notice`.
pub(crate) async fn send(door: RoomDoor, call: Call<SendNotice>) -> Result<JsonText, ApiError> {
    tell(&door, &call.auth, call.request.0, None).await
}

/// `PUT /_synapse/admin/v1/send_server_notice/{txnId}`.
pub(crate) async fn send_once(
    door: RoomDoor,
    call: Call<SendNoticeOnce>,
) -> Result<JsonText, ApiError> {
    let SendNoticeOnce { txn_id, body } = call.request;
    let txn = format!("{}/{}/{txn_id}", call.auth.user_id, call.auth.device_id);
    tell(&door, &call.auth, body, Some(txn)).await
}

async fn tell(
    door: &RoomDoor,
    requester: &Requester,
    body: NoticeBody,
    txn: Option<String>,
) -> Result<JsonText, ApiError> {
    let request = Request::new(Asking::Account(requester.account()), Action::Administer);
    belfry_policy::decide(&door.rules, &request).into_result()?;
    if !body.content.get().starts_with('{') {
        return Err(EdgeError::BadJson("content is an object".to_owned()).into());
    }
    let notice = Notice {
        user: body.user_id,
        kind: body.kind.unwrap_or_else(|| KIND.to_owned()),
        state_key: body.state_key,
        content: body.content,
        txn,
    };
    let event_id = door.flows.send_notice(notice).await.map_err(refusal)?;
    Ok(JsonText(json!({"event_id": event_id}).to_string()))
}

fn refusal(error: NoticeError) -> ApiError {
    match error {
        NoticeError::UnknownUser => belfry_user::ProfileError::NotFound.into(),
        NoticeError::Room(error) => error.into(),
        NoticeError::Fault(fault) => fault.into(),
    }
}
