//! Simplified sliding sync (MSC4186) in the draft's shape, as Element X speaks it.

use belfry_sync::{
    Extensions, ListFilters, ListRequest, ProfilesRequest, RoomDetails, Scope, SlidingRequest,
    StateSet, TIMEOUT_MAX, ToDeviceRequest,
};
use belfry_user::Users;
use ruma_common::UserId;

use super::{reading::note_presence, to_device};
use crate::{
    edge::{Call, JsonText},
    error::ApiError,
    state::ViewDoor,
    wire::sliding as wire,
};

/// Changed subscriptions of threads in an answer, if the client does not say.
const THREADS_DEFAULT: u64 = 100;

/// `POST /org.matrix.simplified_msc3575/sync`.
pub(crate) async fn sync(
    door: ViewDoor,
    users: Users,
    call: Call<wire::Slide>,
) -> Result<JsonText, ApiError> {
    // As in classic sync.
    let wanted = Box::pin(wanted(&door, &users, call)).await?;
    Ok(JsonText(door.views.slide(&wanted).await?.to_json()))
}

/// What the client asks for, once what it says by the way is noted.
async fn wanted(
    door: &ViewDoor,
    users: &Users,
    call: Call<wire::Slide>,
) -> Result<Box<SlidingRequest>, ApiError> {
    door.admit(&call.auth)?;
    note_presence(door, users, &call.auth, &call.request.set_presence).await?;
    let got = call.request.body.extensions.to_device.since.as_deref();
    to_device::forget(door, users, &call.auth, got).await;
    let (request, body) = (call.request.timeout, call.request.body);
    let user = &*call.auth.user_id;
    let lists = body.lists.into_iter();
    let lists = lists.map(|(name, wanted)| (name, list(wanted, user)));
    let subscriptions = body.room_subscriptions.into_iter();
    let subscriptions = subscriptions.map(|(room, wanted)| (room, details(wanted, user)));
    Ok(Box::new(SlidingRequest {
        connection: body.conn_id.unwrap_or_default(),
        pos: call.request.pos,
        timeout: request.unwrap_or(TIMEOUT_MAX),
        txn_id: body.txn_id,
        lists: lists.collect(),
        subscriptions: subscriptions.collect(),
        extensions: extensions(body.extensions),
        ..SlidingRequest::new(call.auth.user_id, call.auth.device_id)
    }))
}

fn list(wanted: wire::List, user: &UserId) -> ListRequest {
    let filters = wanted.filters;
    ListRequest {
        ranges: wanted.ranges,
        details: details(wanted.details, user),
        filters: ListFilters {
            is_dm: filters.is_dm,
            is_encrypted: filters.is_encrypted,
            is_invite: filters.is_invite,
            room_types: filters.room_types.filter(|types| !types.is_empty()),
            not_room_types: filters.not_room_types.unwrap_or_default(),
            spaces: filters.spaces,
            tags: filters.tags,
            not_tags: filters.not_tags.unwrap_or_default(),
        },
    }
}

/// The draft's marks stand where types and state keys do.
fn details(wanted: wire::Details, user: &UserId) -> RoomDetails {
    let mut state = StateSet::default();
    for (kind, key) in wanted.required_state {
        if kind == "m.room.member" && key == "$LAZY" {
            state.lazy_members = true;
            continue;
        }
        let any = |text: String| (text != "*").then_some(text);
        let key = if key == "$ME" {
            Some(user.to_string())
        } else {
            any(key)
        };
        state.include.push((any(kind), key));
    }
    RoomDetails {
        state: vec![state],
        timeline_limit: wanted.timeline_limit,
    }
}

fn scope(wanted: wire::Scope) -> Option<Scope> {
    (wanted.enabled == Some(true)).then_some(Scope {
        lists: wanted.lists,
        rooms: wanted.rooms,
    })
}

pub(super) fn extensions(wanted: wire::Extensions) -> Extensions {
    let to_device = wanted.to_device;
    Extensions {
        to_device: (to_device.enabled == Some(true)).then_some(ToDeviceRequest {
            since: to_device.since,
            limit: to_device.limit,
        }),
        e2ee: wanted.e2ee.enabled == Some(true),
        account_data: scope(wanted.account_data),
        receipts: scope(wanted.receipts),
        typing: scope(wanted.typing),
        threads: (wanted.threads.enabled == Some(true))
            .then_some(wanted.threads.limit.unwrap_or(THREADS_DEFAULT)),
        profiles: scope(wanted.profiles.scope).map(|scope| ProfilesRequest {
            scope,
            fields: wanted.profiles.fields,
        }),
    }
}
