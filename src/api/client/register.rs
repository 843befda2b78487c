//! Making an account.

use belfry_user::{NewAccount, NewDevice, Operation, RegisterError, Registration, Users};
use http::StatusCode;
use ruma_client_api::account::{
    check_registration_token_validity::v1 as validity,
    get_username_availability::v3 as available,
    register::{LoginType, RegistrationKind, v3 as register},
};
use ruma_common::api::error::ErrorKind;

use super::uia;
use crate::{
    edge::{Call, Edge},
    error::{ApiError, Refusal},
    rate::Limit,
    wire::LegacyAuth,
};

/// `POST /register`.
pub(crate) async fn register(
    edge: Edge,
    users: Users,
    call: Call<LegacyAuth<register::Request>>,
) -> Result<register::Response, ApiError> {
    let Call { request, ctx, .. } = call;
    let LegacyAuth(request) = request;
    refuse_others(&request)?;
    let mut wanted = NewAccount {
        username: request.username,
        password: request.password,
        token: None,
        device: (!request.inhibit_login).then_some(NewDevice {
            device_id: request.device_id,
            display_name: request.initial_device_display_name,
            refresh: request.refresh_token,
        }),
    };
    users.check_new(&wanted).await?;
    let proven = uia::prove(&edge, &users, &ctx, Operation::Register, request.auth).await?;
    if wanted.password.is_none() {
        let text = "Choose a password";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, text).into());
    }
    edge.charge(Limit::Registration, ctx.network())?;
    wanted.token = proven.token;
    let (user_id, session) = users.register(wanted).await?;
    users.finish_proof(&proven.session);
    let mut answer = register::Response::new(user_id);
    if let Some(session) = session {
        answer.device_id = Some(session.device_id);
        answer.access_token = Some(session.tokens.access.reveal().to_owned());
        answer.refresh_token = session
            .tokens
            .refresh
            .map(|token| token.reveal().to_owned());
        answer.expires_in = session.tokens.life;
    }
    Ok(answer)
}

/// Guests and application services are not served.
fn refuse_others(request: &register::Request) -> Result<(), Refusal> {
    let (kind, text) = if request.kind == RegistrationKind::Guest {
        (
            ErrorKind::GuestAccessForbidden,
            "This server has no guest accounts",
        )
    } else if request.login_type == Some(LoginType::ApplicationService) {
        (
            ErrorKind::Forbidden,
            "No application service is registered here",
        )
    } else {
        return Ok(());
    };
    Err(Refusal::new(StatusCode::FORBIDDEN, kind, text))
}

/// `GET /register/available`.
pub(crate) async fn available(
    edge: Edge,
    users: Users,
    call: Call<available::Request>,
) -> Result<available::Response, ApiError> {
    if users.registration() == Registration::Closed {
        return Err(RegisterError::Closed.into());
    }
    edge.charge(Limit::RegistrationTokenCheck, call.ctx.network())?;
    users.check_name(&call.request.username).await?;
    Ok(available::Response::new(true))
}

/// `GET /register/m.login.registration_token/validity`.
pub(crate) async fn token_validity(
    edge: Edge,
    users: Users,
    call: Call<validity::Request>,
) -> Result<validity::Response, ApiError> {
    edge.charge(Limit::RegistrationTokenCheck, call.ctx.network())?;
    let valid = users.is_invitation_good(&call.request.token).await?;
    Ok(validity::Response::new(valid))
}
