//! Reading rooms: `/sync`, history, state, members.
//!
//! Answers go out as the text that `sync` put together, so that no event is parsed on its way.

use std::time::Duration;

use belfry_policy::{Action, Request, Requester as Asking};
use belfry_sync::{
    ContextRequest, Direction, EventList, MembersFilter, MembersRequest, Membership,
    MessagesRequest, RoomEventFilter, StateFormat, SyncRequest,
};
use belfry_user::{Requester, Users};
use ruma_client_api::{
    context::get_context::v3 as context,
    membership::{get_member_events::v3 as members, joined_members::v3 as joined_members},
    message::get_message_events::v3 as messages,
    room::get_room_event::v3 as event,
    state::{
        get_state_event_for_key::v3::{self as state_event, StateEventFormat},
        get_state_events::v3 as state,
    },
};
use ruma_common::{api::Direction as Dir, presence::PresenceState};
use ruma_events::room::member::MembershipState;

use super::history::History;
use super::passing::stored;
use super::to_device;
use crate::{
    edge::{Call, JsonPieces, JsonText},
    error::{ApiError, EdgeError},
    state::ViewDoor,
    wire::{Filtered, Sync},
};

/// How long `/sync` may take beyond the wait that its client asked for.
pub(crate) const SYNC_TIME_MAX: Duration = Duration::from_mins(6);

impl ViewDoor {
    /// Asks policy whether the account may read.
    pub(super) fn admit(&self, requester: &Requester) -> Result<(), ApiError> {
        let asking = Asking::Account(requester.account());
        let request = Request::new(asking, Action::Read);
        Ok(belfry_policy::decide(&self.rules, &request).into_result()?)
    }
}

/// `GET /sync`.
pub(crate) async fn sync(
    door: ViewDoor,
    users: Users,
    call: Call<Sync>,
) -> Result<JsonText, ApiError> {
    // On the heap, and gone before the wait: a request that waits is small.
    let wanted = Box::pin(wanted(&door, &users, call)).await?;
    Ok(JsonText(door.views.sync(&wanted).await?.to_json()))
}

/// What the client asks for, once what it says by the way is noted.
async fn wanted(
    door: &ViewDoor,
    users: &Users,
    call: Call<Sync>,
) -> Result<Box<SyncRequest>, ApiError> {
    door.admit(&call.auth)?;
    let Sync { request, filter } = call.request;
    note_presence(door, users, &call.auth, &request.set_presence).await?;
    to_device::forget(door, users, &call.auth, request.since.as_deref()).await;
    let user_id = call.auth.user_id;
    let filter = door.views.filter(&user_id, filter.as_deref()).await?;
    Ok(Box::new(SyncRequest {
        user_id,
        device_id: Some(call.auth.device_id),
        since: request.since,
        filter,
        full_state: request.full_state,
        use_state_after: request.use_state_after,
        timeout: request.timeout.unwrap_or_default(),
    }))
}

/// A client that polls says by the way whether its user is there.
pub(crate) async fn note_presence(
    door: &ViewDoor,
    users: &Users,
    requester: &Requester,
    state: &PresenceState,
) -> Result<(), ApiError> {
    let state = stored(state)?;
    if let Some(said) = users.note_presence(requester, state).await? {
        door.views.nudge();
        let user = &requester.user_id;
        door.federation
            .tell_presence(user, said.state, said.status.as_deref());
    }
    Ok(())
}

/// `GET /rooms/{roomId}/messages`.
pub(crate) async fn messages(
    door: ViewDoor,
    history: History,
    call: Call<Filtered<messages::Request>>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let Filtered { request, filter } = call.request;
    let wanted = MessagesRequest {
        user_id: call.auth.user_id,
        device_id: Some(call.auth.device_id),
        room_id: request.room_id,
        from: request.from,
        to: request.to,
        direction: match request.dir {
            Dir::Backward => Direction::Backward,
            Dir::Forward => Direction::Forward,
        },
        limit: Some(request.limit.into()),
        filter: room_filter(filter.as_deref())?,
    };
    let mut gaps = history.gaps(&wanted.room_id);
    loop {
        let page = door.views.messages(&wanted).await?;
        if !gaps.fill(page.gap).await {
            return Ok(JsonText(page.to_json()));
        }
    }
}

/// `GET /rooms/{roomId}/context/{eventId}`.
pub(crate) async fn context(
    door: ViewDoor,
    history: History,
    call: Call<Filtered<context::Request>>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let Filtered { request, filter } = call.request;
    let wanted = ContextRequest {
        user_id: call.auth.user_id,
        device_id: Some(call.auth.device_id),
        room_id: request.room_id,
        event_id: request.event_id,
        limit: Some(request.limit.into()),
        filter: room_filter(filter.as_deref())?,
    };
    let mut gaps = history.gaps(&wanted.room_id);
    loop {
        let context = door.views.context(&wanted).await?;
        if !gaps.fill(context.gap).await {
            return Ok(JsonText(context.to_json()));
        }
    }
}

/// `GET /rooms/{roomId}/event/{eventId}`.
pub(crate) async fn event(
    door: ViewDoor,
    call: Call<event::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    let (user, room) = (&call.auth.user_id, &request.room_id);
    let device = Some(&*call.auth.device_id);
    let found = door.views.event_on(device, user, room, &request.event_id);
    Ok(JsonText(found.await?))
}

/// `GET /rooms/{roomId}/state`.
pub(crate) async fn state(
    door: ViewDoor,
    call: Call<state::Request>,
) -> Result<JsonPieces, ApiError> {
    door.admit(&call.auth)?;
    let (user, room) = (&call.auth.user_id, &call.request.room_id);
    let state = door.views.state(user, room).await?;
    Ok(between("[", state, "]"))
}

/// `GET /rooms/{roomId}/state/{eventType}/{stateKey}`.
pub(crate) async fn state_event(
    door: ViewDoor,
    call: Call<state_event::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    let format = match request.format {
        StateEventFormat::Event => StateFormat::Event,
        _ => StateFormat::Content,
    };
    let (user, room) = (&call.auth.user_id, &request.room_id);
    let (kind, key) = (request.event_type.to_string(), &request.state_key);
    let found = door.views.state_event(user, room, &kind, key, format);
    Ok(JsonText(found.await?))
}

/// `GET /rooms/{roomId}/members`.
pub(crate) async fn members(
    door: ViewDoor,
    call: Call<members::Request>,
) -> Result<JsonPieces, ApiError> {
    door.admit(&call.auth)?;
    let request = call.request;
    let wanted = MembersRequest {
        user_id: call.auth.user_id,
        room_id: request.room_id,
        at: request.at,
        filter: MembersFilter {
            membership: request.membership.as_ref().map(membership).transpose()?,
            not_membership: request
                .not_membership
                .as_ref()
                .map(membership)
                .transpose()?,
        },
    };
    let members = door.views.members(&wanted).await?;
    Ok(between("{\"chunk\":[", members, "]}"))
}

fn between(begin: &str, list: EventList, end: &str) -> JsonPieces {
    let mut pieces = vec![begin.to_owned()];
    pieces.extend(list.into_pieces());
    pieces.push(end.to_owned());
    JsonPieces(pieces)
}

/// `GET /rooms/{roomId}/joined_members`.
pub(crate) async fn joined_members(
    door: ViewDoor,
    call: Call<joined_members::Request>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let (user, room) = (&call.auth.user_id, &call.request.room_id);
    Ok(JsonText(door.views.joined_members(user, room).await?))
}

fn membership(state: &MembershipState) -> Result<Membership, ApiError> {
    Membership::from_name(state.as_str())
        .ok_or_else(|| EdgeError::InvalidParam(format!("There is no membership {state}")).into())
}

fn room_filter(filter: Option<&str>) -> Result<RoomEventFilter, ApiError> {
    let filter = RoomEventFilter::parse(filter.unwrap_or("{}"));
    filter.map_err(|error| EdgeError::InvalidParam(error.to_string()).into())
}
