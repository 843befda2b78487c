//! What server administrators do to accounts of this server (Client-Server API, "Server
//! Administration"): look at them, lock them, suspend them.
//!
//! Whether the requester may is asked before the account is looked up, so that nobody else learns
//! which accounts there are; and again when it is known whose the account is.

use belfry_policy::{Account, Action, Request, Requester as Asking, Rules, Standing};
use belfry_user::{Device, Requester, Restrictions};
use ruma_client_api::admin::{
    get_user_info::v3 as whois, is_user_locked::v1 as is_locked,
    is_user_suspended::v1 as is_suspended, lock_user::v1 as lock, suspend_user::v1 as suspend,
};
use ruma_client_api::discovery::get_capabilities::v3::AccountModerationCapability;
use ruma_common::{MilliSecondsSinceUnixEpoch, UserId};

use crate::{
    edge::Call,
    error::{ApiError, EdgeError},
    state::RoomDoor,
};

/// `GET /admin/lock/{userId}`.
pub(crate) async fn locked(
    door: RoomDoor,
    call: Call<is_locked::Request>,
) -> Result<is_locked::Response, ApiError> {
    let found = look(
        &door,
        &call.auth,
        &call.request.user_id,
        Action::LockAccount,
    )
    .await?;
    Ok(is_locked::Response::new(found.locked))
}

/// `PUT /admin/lock/{userId}`.
pub(crate) async fn set_locked(
    door: RoomDoor,
    call: Call<lock::Request>,
) -> Result<lock::Response, ApiError> {
    let lock::Request {
        user_id, locked, ..
    } = call.request;
    look(&door, &call.auth, &user_id, Action::LockAccount).await?;
    door.users.set_locked(&user_id, locked).await?;
    Ok(lock::Response::new(locked))
}

/// `GET /admin/suspend/{userId}`.
pub(crate) async fn suspended(
    door: RoomDoor,
    call: Call<is_suspended::Request>,
) -> Result<is_suspended::Response, ApiError> {
    let action = Action::SuspendAccount;
    let found = look(&door, &call.auth, &call.request.user_id, action).await?;
    Ok(is_suspended::Response::new(found.suspended))
}

/// `PUT /admin/suspend/{userId}`.
pub(crate) async fn set_suspended(
    door: RoomDoor,
    call: Call<suspend::Request>,
) -> Result<suspend::Response, ApiError> {
    let suspend::Request {
        user_id, suspended, ..
    } = call.request;
    look(&door, &call.auth, &user_id, Action::SuspendAccount).await?;
    door.users.set_suspended(&user_id, suspended).await?;
    Ok(suspend::Response::new(suspended))
}

/// How the account is restricted, for whoever may restrict it.
async fn look(
    door: &RoomDoor,
    requester: &Requester,
    user_id: &UserId,
    action: Action,
) -> Result<Restrictions, ApiError> {
    let request = Request::new(Asking::Account(requester.account()), action);
    belfry_policy::decide(&door.rules, &request).into_result()?;
    if user_id.server_name() != requester.user_id.server_name() {
        return Err(EdgeError::InvalidParam("name an account of this server".to_owned()).into());
    }
    let account = door.users.account(user_id).await?;
    let target = Account {
        id: user_id,
        role: &account.role,
        standing: Standing::Active,
    };
    belfry_policy::decide(&door.rules, &request.on_account(target)).into_result()?;
    Ok(door.users.restrictions(user_id).await?)
}

/// What `/capabilities` tells the requester: what they may do to accounts of others.
pub(crate) fn capability(rules: &Rules, requester: &Requester) -> AccountModerationCapability {
    let may = |action| {
        let request = Request::new(Asking::Account(requester.account()), action);
        belfry_policy::decide(rules, &request).into_result().is_ok()
    };
    AccountModerationCapability::new(may(Action::SuspendAccount), may(Action::LockAccount))
}

/// `GET /admin/whois/{userId}`: of one's own account, and for administrators of any.
pub(crate) async fn whois(
    door: RoomDoor,
    call: Call<whois::Request>,
) -> Result<whois::Response, ApiError> {
    let user_id = call.request.user_id;
    if user_id != call.auth.user_id {
        let asking = Asking::Account(call.auth.account());
        let request = Request::new(asking, Action::Administer);
        belfry_policy::decide(&door.rules, &request).into_result()?;
        door.users.account(&user_id).await?;
    }
    let devices = door.users.devices_of(&user_id).await?;
    let mut answer = whois::Response::new();
    answer.user_id = Some(user_id);
    answer.devices = devices
        .into_iter()
        .map(|device| (device.device_id.to_string(), sessions(device)))
        .collect();
    Ok(answer)
}

/// A device is one session, of which the last address is kept.
fn sessions(device: Device) -> whois::DeviceInfo {
    let mut connection = whois::ConnectionInfo::new();
    connection.ip = device.last_seen_ip;
    let ts = device.last_seen_ts.map(js_int::UInt::new_saturating);
    connection.last_seen = ts.map(MilliSecondsSinceUnixEpoch);
    let mut session = whois::SessionInfo::new();
    session.connections = vec![connection];
    let mut info = whois::DeviceInfo::new();
    info.sessions = vec![session];
    info
}
