//! One's own account.

use belfry_flow::Flows;
use belfry_user::{Operation, Requester, Users};
use ruma_client_api::account::{
    ThirdPartyIdRemovalStatus, change_password::v3 as change_password,
    deactivate::v3 as deactivate, whoami::v3 as whoami,
};

use super::uia;
use crate::{
    edge::{Call, Edge},
    error::{ApiError, EdgeError},
    wire::LegacyAuth,
};

/// `GET /account/whoami`.
pub(crate) async fn whoami(call: Call<whoami::Request>) -> Result<whoami::Response, ApiError> {
    let mut answer = whoami::Response::new(call.auth.user_id, false);
    answer.device_id = Some(call.auth.device_id);
    Ok(answer)
}

/// `POST /account/password`.
pub(crate) async fn change_password(
    edge: Edge,
    users: Users,
    call: Call<LegacyAuth<change_password::Request>>,
) -> Result<change_password::Response, ApiError> {
    let requester = signed_in(call.auth)?;
    let operation = Operation::ChangePassword(requester.user_id.clone());
    let LegacyAuth(request) = call.request;
    let proven = uia::prove(&edge, &users, &call.ctx, operation, request.auth).await?;
    users
        .change_password(&requester, &request.new_password, request.logout_devices)
        .await?;
    users.finish_proof(&proven.session);
    Ok(change_password::Response::new())
}

/// `POST /account/deactivate`.
pub(crate) async fn deactivate(
    edge: Edge,
    users: Users,
    flows: Flows,
    call: Call<LegacyAuth<deactivate::Request>>,
) -> Result<deactivate::Response, ApiError> {
    let requester = signed_in(call.auth)?;
    let operation = Operation::Deactivate(requester.user_id.clone());
    let LegacyAuth(request) = call.request;
    let proven = uia::prove(&edge, &users, &call.ctx, operation, request.auth).await?;
    users.deactivate(&requester, request.erase).await?;
    flows.resume();
    users.finish_proof(&proven.session);
    Ok(deactivate::Response::new(
        ThirdPartyIdRemovalStatus::NoSupport,
    ))
}

/// These endpoints may be used without a token by those who prove who they are by e-mail, which
/// nobody can here.
fn signed_in(auth: Option<Requester>) -> Result<Requester, EdgeError> {
    auth.ok_or(EdgeError::MissingToken)
}
