//! One's own devices.

use std::time::{Duration, UNIX_EPOCH};

use belfry_user::{Operation, Users};
use ruma_client_api::device::{
    Device, delete_device::v3 as delete, delete_devices::v3 as delete_many, get_device::v3 as get,
    get_devices::v3 as list, update_device::v3 as rename,
};
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, UserId};

use super::uia;
use crate::{
    edge::{Call, Edge},
    error::ApiError,
    wire::LegacyAuth,
};

/// `GET /devices`.
pub(crate) async fn list(
    users: Users,
    call: Call<list::Request>,
) -> Result<list::Response, ApiError> {
    let devices = users.devices(&call.auth).await?;
    Ok(list::Response::new(
        devices.into_iter().map(on_the_wire).collect(),
    ))
}

/// `GET /devices/{deviceId}`.
pub(crate) async fn get(users: Users, call: Call<get::Request>) -> Result<get::Response, ApiError> {
    let device = users.device(&call.auth, &call.request.device_id).await?;
    Ok(get::Response::new(on_the_wire(device)))
}

/// `PUT /devices/{deviceId}`.
pub(crate) async fn rename(
    users: Users,
    call: Call<rename::Request>,
) -> Result<rename::Response, ApiError> {
    let name = call.request.display_name.as_deref();
    users
        .name_device(&call.auth, &call.request.device_id, name)
        .await?;
    Ok(rename::Response::new())
}

/// `DELETE /devices/{deviceId}`.
pub(crate) async fn delete(
    edge: Edge,
    users: Users,
    call: Call<LegacyAuth<delete::Request>>,
) -> Result<delete::Response, ApiError> {
    let LegacyAuth(request) = call.request;
    let ids = [request.device_id];
    let operation = deletion(&call.auth.user_id, &ids);
    let proven = uia::prove(&edge, &users, &call.ctx, operation, request.auth).await?;
    users.delete_devices(&call.auth, &ids).await?;
    users.finish_proof(&proven.session);
    Ok(delete::Response::new())
}

/// `POST /delete_devices`.
pub(crate) async fn delete_many(
    edge: Edge,
    users: Users,
    call: Call<LegacyAuth<delete_many::Request>>,
) -> Result<delete_many::Response, ApiError> {
    let LegacyAuth(request) = call.request;
    let ids = request.devices;
    let operation = deletion(&call.auth.user_id, &ids);
    let proven = uia::prove(&edge, &users, &call.ctx, operation, request.auth).await?;
    users.delete_devices(&call.auth, &ids).await?;
    users.finish_proof(&proven.session);
    Ok(delete_many::Response::new())
}

fn deletion(user_id: &UserId, ids: &[OwnedDeviceId]) -> Operation {
    Operation::DeleteDevices(user_id.to_owned(), ids.iter().cloned().collect())
}

fn on_the_wire(device: belfry_user::Device) -> Device {
    let mut wire = Device::new(device.device_id);
    wire.display_name = device.display_name;
    wire.last_seen_ip = device.last_seen_ip;
    wire.last_seen_ts = device.last_seen_ts.and_then(|ts| {
        let at = UNIX_EPOCH.checked_add(Duration::from_millis(ts))?;
        MilliSecondsSinceUnixEpoch::from_system_time(at)
    });
    wire
}
