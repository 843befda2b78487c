//! Simplified sliding sync (MSC4186) in the draft's shape, as Element X speaks it.

use belfry_sync::{
    Extensions, ListFilters, ListRequest, RoomDetails, Scope, SlidingRequest, TIMEOUT_MAX,
    ToDeviceRequest,
};
use belfry_user::Users;

use super::{reading::note_presence, to_device};
use crate::{
    edge::{Call, JsonText},
    error::ApiError,
    state::ViewDoor,
    wire::sliding as wire,
};

/// `POST /org.matrix.simplified_msc3575/sync`.
pub(crate) async fn sync(
    door: ViewDoor,
    users: Users,
    call: Call<wire::Slide>,
) -> Result<JsonText, ApiError> {
    door.admit(&call.auth)?;
    note_presence(&door, &users, &call.auth, &call.request.set_presence).await?;
    let got = call.request.body.extensions.to_device.since.as_deref();
    to_device::forget(&door, &users, &call.auth, got).await;
    let (request, body) = (call.request.timeout, call.request.body);
    let lists = body.lists.into_iter();
    let subscriptions = body.room_subscriptions.into_iter();
    let wanted = SlidingRequest {
        connection: body.conn_id.unwrap_or_default(),
        pos: call.request.pos,
        timeout: request.unwrap_or(TIMEOUT_MAX),
        txn_id: body.txn_id,
        lists: lists.map(|(name, wanted)| (name, list(wanted))).collect(),
        subscriptions: subscriptions
            .map(|(room, wanted)| (room, details(wanted)))
            .collect(),
        extensions: extensions(body.extensions),
        ..SlidingRequest::new(call.auth.user_id, call.auth.device_id)
    };
    Ok(JsonText(door.views.slide(&wanted).await?.to_json()))
}

fn list(wanted: wire::List) -> ListRequest {
    let filters = wanted.filters;
    ListRequest {
        ranges: wanted.ranges,
        details: details(wanted.details),
        filters: ListFilters {
            is_dm: filters.is_dm,
            is_encrypted: filters.is_encrypted,
            is_invite: filters.is_invite,
            room_types: filters.room_types.filter(|types| !types.is_empty()),
            not_room_types: filters.not_room_types.unwrap_or_default(),
        },
    }
}

fn details(wanted: wire::Details) -> RoomDetails {
    RoomDetails {
        required_state: wanted.required_state,
        timeline_limit: wanted.timeline_limit,
    }
}

fn scope(wanted: wire::Scope) -> Option<Scope> {
    (wanted.enabled == Some(true)).then_some(Scope {
        lists: wanted.lists,
        rooms: wanted.rooms,
    })
}

fn extensions(wanted: wire::Extensions) -> Extensions {
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
    }
}
