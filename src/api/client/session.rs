//! Signing in and out.

use belfry_user::{NewDevice, SignInError, Users};
use http::StatusCode;
use ruma_client_api::{
    session::{
        get_login_types::v3::{self as login_types, LoginType, PasswordLoginType},
        login::v3 as login,
        logout::v3 as logout,
        logout_all::v3 as logout_all,
        refresh_token::v3 as refresh,
    },
    uiaa::UserIdentifier,
};
use ruma_common::api::error::ErrorKind;

use crate::{
    edge::{Call, Ctx, Edge},
    error::{ApiError, Refusal},
    rate::{Limit, Subject},
    wire::Login,
};

/// `GET /login`.
pub(crate) async fn login_types(
    _: Call<login_types::Request>,
) -> Result<login_types::Response, ApiError> {
    let password = LoginType::Password(PasswordLoginType::new());
    Ok(login_types::Response::new(vec![password]))
}

/// `POST /login`.
pub(crate) async fn login(
    edge: Edge,
    users: Users,
    call: Call<Login>,
) -> Result<login::Response, ApiError> {
    let Call {
        request: Login(request),
        ctx,
        ..
    } = call;
    let (name, password) = password_of(request.login_info)?;
    let device = NewDevice {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refresh: request.refresh_token,
    };
    let subject = users.account_named(&name).map(Subject::User);
    before_sign_in(&edge, &ctx, subject.as_ref())?;
    let signed_in = users.sign_in(&name, &password, &device).await;
    after_sign_in(&edge, &ctx, subject.as_ref(), signed_in.as_ref().err());
    let session = signed_in?;
    let access = session.tokens.access.reveal().to_owned();
    let mut answer = login::Response::new(session.user_id, access, session.device_id);
    answer.refresh_token = session
        .tokens
        .refresh
        .map(|token| token.reveal().to_owned());
    answer.expires_in = session.tokens.life;
    Ok(answer)
}

/// What the account and the network have left. A network pays for failures only; an account pays
/// ahead, so that many who guess at once do not get through together.
fn before_sign_in(edge: &Edge, ctx: &Ctx, account: Option<&Subject>) -> Result<(), ApiError> {
    edge.check(Limit::LoginNetwork, &ctx.network())?;
    if let Some(account) = account {
        edge.charge(Limit::LoginAccount, account.clone())?;
        edge.charge(Limit::LoginFailed, account.clone())?;
    }
    Ok(())
}

fn after_sign_in(edge: &Edge, ctx: &Ctx, account: Option<&Subject>, error: Option<&SignInError>) {
    if matches!(error, Some(SignInError::Wrong)) {
        edge.charge_anyway(Limit::LoginNetwork, ctx.network());
    } else if let Some(account) = account {
        edge.limits().refund(Limit::LoginFailed, account);
    }
}

/// The name and the password; other ways to sign in are refused.
fn password_of(info: login::LoginInfo) -> Result<(String, String), Refusal> {
    let forbidden = |text| Refusal::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, text);
    match info {
        login::LoginInfo::Password(password) => {
            #[expect(deprecated, reason = "old clients still send it")]
            let user = password.user;
            let name = match password.identifier {
                Some(UserIdentifier::Matrix(identifier)) => Some(identifier.user),
                Some(_) => None,
                None => user,
            };
            let name = name.ok_or_else(|| forbidden("Sign in with your user name"))?;
            Ok((name, password.password))
        }
        // None is ever handed out, so every one is too old.
        login::LoginInfo::Token(_) => Err(forbidden("This sign-in token is no longer good")),
        login::LoginInfo::ApplicationService(_) => {
            Err(forbidden("No application service is registered here"))
        }
        _ => {
            let text = "This server does not know this way to sign in";
            Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                ErrorKind::Unknown,
                text,
            ))
        }
    }
}

/// `POST /refresh`.
pub(crate) async fn refresh(
    users: Users,
    call: Call<refresh::Request>,
) -> Result<refresh::Response, ApiError> {
    let tokens = users.refresh(&call.request.refresh_token).await?;
    let mut answer = refresh::Response::new(tokens.access.reveal().to_owned());
    answer.refresh_token = tokens.refresh.map(|token| token.reveal().to_owned());
    answer.expires_in_ms = tokens.life;
    Ok(answer)
}

/// `POST /logout`.
pub(crate) async fn logout(
    users: Users,
    call: Call<logout::Request>,
) -> Result<logout::Response, ApiError> {
    users.sign_out(&call.auth).await?;
    Ok(logout::Response::new())
}

/// `POST /logout/all`.
pub(crate) async fn logout_all(
    users: Users,
    call: Call<logout_all::Request>,
) -> Result<logout_all::Response, ApiError> {
    users.sign_out_everywhere(&call.auth).await?;
    Ok(logout_all::Response::new())
}
