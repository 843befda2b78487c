//! What passes: typing, receipts, presence. Whoever waits in a sync is told at once.

use axum::extract::FromRef;
use belfry_room::{ReadMark, ReceiptKind};
use belfry_sync::Presence;
use belfry_user::{PresenceState, Users};
use ruma_client_api::{
    presence::{get_presence::v3 as get_presence, set_presence::v3 as set_presence},
    read_marker::set_read_marker::v3 as markers,
    receipt::create_receipt::v3::{self as receipt, ReceiptType},
    typing::create_typing_event::v3 as typing,
};
use ruma_common::{EventId, OwnedEventId, RoomId, UserId, presence::PresenceState as Wire};
use ruma_events::receipt::ReceiptThread;
use std::time::Duration;

use crate::{
    edge::{Call, Edge},
    error::{ApiError, EdgeError, Refusal},
    federation::Federation,
    rate::{Limit, Subject},
    state::{Api, RoomDoor, ViewDoor},
    wire::SetTyping,
};

/// How long somebody types whose client does not say.
const TYPING_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// `PUT /rooms/{roomId}/typing/{userId}`.
pub(crate) async fn set_typing(
    door: RoomDoor,
    views: ViewDoor,
    federation: Federation,
    call: Call<SetTyping>,
) -> Result<typing::Response, ApiError> {
    let (request, account) = (&call.request, call.auth.account());
    if request.user_id != call.auth.user_id {
        return Err(not_yours("You can type as yourself only"));
    }
    let timeout = request.timeout.unwrap_or(TYPING_TIMEOUT_DEFAULT);
    let timeout = request.typing.then_some(timeout);
    door.rooms
        .type_as(&door.rules, account, &request.room_id, timeout)
        .await?;
    views.views.nudge();
    federation.tell_typing(&request.room_id, &request.user_id, request.typing);
    Ok(typing::Response::new())
}

/// Other servers, which are told how far somebody has read.
pub(crate) struct Others {
    federation: Federation,
    edge: Edge,
}

impl FromRef<Api> for Others {
    fn from_ref(api: &Api) -> Self {
        Self {
            federation: api.federation.clone(),
            edge: api.edge.clone(),
        }
    }
}

impl Others {
    fn read(&self, room: &RoomId, user: &UserId, event: &EventId, thread: Option<&str>) {
        let when = (thread, self.edge.clock().wall_ms());
        self.federation.tell_receipt(room, user, event, when);
    }
}

/// `POST /rooms/{roomId}/receipt/{receiptType}/{eventId}`.
pub(crate) async fn set_receipt(
    door: RoomDoor,
    users: Users,
    others: Others,
    call: Call<receipt::Request>,
) -> Result<receipt::Response, ApiError> {
    let request = &call.request;
    let thread = match &request.thread {
        ReceiptThread::Unthreaded => None,
        thread => thread.as_str(),
    };
    let kind = match request.receipt_type {
        ReceiptType::Read => ReceiptKind::Read,
        ReceiptType::ReadPrivate => ReceiptKind::Private,
        ReceiptType::FullyRead if thread.is_some() => {
            let text = "m.fully_read is of no thread; leave thread_id out";
            return Err(EdgeError::InvalidParam(text.to_owned()).into());
        }
        ReceiptType::FullyRead => {
            let marked = (&*request.room_id, &request.event_id);
            mark_fully_read(&door, &users, &call.auth, marked).await?;
            return Ok(receipt::Response::new());
        }
        _ => {
            let text = format!("There are no receipts of type {}", request.receipt_type);
            return Err(EdgeError::InvalidParam(text).into());
        }
    };
    let mark = ReadMark {
        kind,
        event_id: &request.event_id,
        thread,
    };
    let account = call.auth.account();
    door.rooms
        .read_as(&door.rules, account, &request.room_id, mark)
        .await?;
    if kind == ReceiptKind::Read {
        others.read(
            &request.room_id,
            &call.auth.user_id,
            &request.event_id,
            thread,
        );
    }
    Ok(receipt::Response::new())
}

/// `POST /rooms/{roomId}/read_markers`.
pub(crate) async fn set_markers(
    door: RoomDoor,
    users: Users,
    others: Others,
    call: Call<markers::Request>,
) -> Result<markers::Response, ApiError> {
    let request = &call.request;
    if let Some(event_id) = &request.fully_read {
        mark_fully_read(&door, &users, &call.auth, (&request.room_id, event_id)).await?;
    }
    let marks = [
        (ReceiptKind::Read, &request.read_receipt),
        (ReceiptKind::Private, &request.private_read_receipt),
    ];
    for (kind, event_id) in marks {
        let Some(event_id) = event_id else { continue };
        let mark = ReadMark {
            kind,
            event_id,
            thread: None,
        };
        let account = call.auth.account();
        door.rooms
            .read_as(&door.rules, account, &request.room_id, mark)
            .await?;
        if kind == ReceiptKind::Read {
            others.read(&request.room_id, &call.auth.user_id, event_id, None);
        }
    }
    Ok(markers::Response::new())
}

async fn mark_fully_read(
    door: &RoomDoor,
    users: &Users,
    requester: &belfry_user::Requester,
    (room_id, event_id): (&RoomId, &OwnedEventId),
) -> Result<(), ApiError> {
    let account = requester.account();
    door.rooms.check_mark(account, room_id, event_id).await?;
    Ok(users.set_fully_read(requester, room_id, event_id).await?)
}

/// `PUT /presence/{userId}/status`.
pub(crate) async fn set_status(
    users: Users,
    views: ViewDoor,
    others: Others,
    call: Call<set_presence::Request>,
) -> Result<set_presence::Response, ApiError> {
    let request = &call.request;
    let state = stored(&request.presence)?;
    let subject = Subject::User(call.auth.user_id.clone());
    others.edge.charge(Limit::Presence, subject)?;
    users
        .set_presence(
            &call.auth,
            &request.user_id,
            state,
            request.status_msg.as_deref(),
        )
        .await?;
    views.views.nudge();
    if users.keeps_presence() {
        let status = request.status_msg.as_deref();
        others
            .federation
            .tell_presence(&request.user_id, state, status);
    }
    Ok(set_presence::Response::new())
}

/// `GET /presence/{userId}/status`.
pub(crate) async fn get_status(
    views: ViewDoor,
    call: Call<get_presence::Request>,
) -> Result<get_presence::Response, ApiError> {
    views.admit(&call.auth)?;
    let user = &call.request.user_id;
    let found: Presence = views.views.presence(&call.auth.user_id, user).await?;
    let mut answer = get_presence::Response::new(Wire::from(found.state.name()));
    answer.currently_active = Some(found.is_active());
    answer.last_active_ago = found.active_ago_ms.map(Duration::from_millis);
    answer.status_msg = found.status;
    Ok(answer)
}

/// The state that a client names.
pub(crate) fn stored(state: &Wire) -> Result<PresenceState, ApiError> {
    PresenceState::from_name(state.as_str())
        .ok_or_else(|| EdgeError::InvalidParam(format!("There is no presence {state}")).into())
}

fn not_yours(text: &str) -> ApiError {
    use http::StatusCode;
    use ruma_common::api::error::ErrorKind;
    Refusal::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, text).into()
}
