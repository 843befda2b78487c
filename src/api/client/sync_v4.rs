//! Simplified sliding sync (MSC4186) in the shape that was accepted, and what belongs to it.

use belfry_sync::{
    ListFilters, ListRequest, RoomDetails, Shape, SlidingRequest, StatePattern, StateSet,
    ThreadSubscriptionsRequest,
};
use belfry_user::Users;
use ruma_common::presence::PresenceState;

use super::{reading::note_presence, sliding::extensions, to_device};
use crate::{
    edge::{Call, JsonText},
    error::{ApiError, EdgeError},
    state::ViewDoor,
    wire::sync_v4 as wire,
};

/// Longest name of a list: an opaque identifier of the spec.
const LIST_NAME_BYTES_MAX: usize = 255;

/// `POST /v4/sync`.
pub(crate) async fn sync(
    door: ViewDoor,
    users: Users,
    call: Call<wire::SyncV4>,
) -> Result<JsonText, ApiError> {
    // As in classic sync.
    let wanted = Box::pin(wanted(&door, &users, call)).await?;
    Ok(JsonText(door.views.slide(&wanted).await?.to_json()))
}

/// What the client asks for, once what it says by the way is noted.
async fn wanted(
    door: &ViewDoor,
    users: &Users,
    call: Call<wire::SyncV4>,
) -> Result<Box<SlidingRequest>, ApiError> {
    door.admit(&call.auth)?;
    let wire::SyncV4(body) = call.request;
    check_names(&body)?;
    let presence = body.set_presence.as_deref().map(PresenceState::from);
    note_presence(door, users, &call.auth, &presence.unwrap_or_default()).await?;
    let got = body.extensions.to_device.since.as_deref();
    to_device::forget(door, users, &call.auth, got).await;
    let timeout = body.timeout();
    let lists = body.lists.into_iter();
    let subscriptions = body.room_subscriptions.into_iter();
    Ok(Box::new(SlidingRequest {
        shape: Shape::Accepted,
        connection: body.conn_id.unwrap_or_default(),
        pos: body.pos,
        timeout,
        lists: lists.map(|(name, wanted)| (name, list(wanted))).collect(),
        subscriptions: subscriptions
            .map(|(room, wanted)| (room, details(wanted)))
            .collect(),
        extensions: extensions(body.extensions),
        ..SlidingRequest::new(call.auth.user_id, call.auth.device_id)
    }))
}

/// `GET /thread_subscriptions` (MSC4308).
pub(crate) async fn thread_subscriptions(
    door: ViewDoor,
    call: Call<wire::ThreadSubscriptions>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    let wanted = ThreadSubscriptionsRequest {
        user_id: call.auth.user_id,
        from: call.request.from,
        to: call.request.to,
        limit: call.request.limit,
    };
    Ok(JsonText(door.views.thread_subscriptions(&wanted).await?))
}

/// Names of lists are opaque identifiers (Appendices, "Opaque identifiers").
fn check_names(body: &wire::Body) -> Result<(), EdgeError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bad = |name: &&String| {
        name.is_empty() || name.len() > LIST_NAME_BYTES_MAX || !name.bytes().all(fits)
    };
    if body.lists.keys().any(|name| bad(&name)) {
        let text = "a list's name has 1 to 255 letters, digits and -._~";
        return Err(EdgeError::InvalidParam(text.to_owned()));
    }
    Ok(())
}

fn list(wanted: wire::List) -> ListRequest {
    let filters = wanted.filters;
    ListRequest {
        ranges: wanted.range.map(|range| vec![range]),
        details: details(wanted.details),
        filters: ListFilters {
            is_dm: filters.is_dm,
            is_encrypted: filters.is_encrypted,
            is_invite: filters.is_invited,
            room_types: filters.room_types,
            not_room_types: filters.not_room_types.unwrap_or_default(),
            spaces: filters.spaces,
            tags: filters.tags,
            not_tags: filters.not_tags.unwrap_or_default(),
        },
    }
}

fn details(wanted: wire::Details) -> RoomDetails {
    let wire::RequiredState {
        include,
        exclude,
        lazy_members,
    } = wanted.required_state;
    let pattern = |element: wire::Element| -> StatePattern { (element.kind, element.state_key) };
    let mut include: Vec<_> = include.into_iter().map(pattern).collect();
    if lazy_members {
        // All members are what is not to be told all at once.
        include.retain(|(kind, key)| kind.as_deref() != Some("m.room.member") || key.is_some());
    }
    RoomDetails {
        state: vec![StateSet {
            include,
            exclude: exclude.into_iter().map(pattern).collect(),
            lazy_members,
        }],
        timeline_limit: wanted.timeline_limit,
    }
}
