//! User-interactive authentication on the wire: from `auth` to an attempt, from a challenge to a
//! 401 with flows.

use belfry_user::{Attempt, Challenge, Objection, Operation, Outcome, Proof, Stage, Users};
use ruma_client_api::uiaa::{AuthData, AuthFlow, AuthType, UiaaInfo, UserIdentifier};
use ruma_common::api::error::{ErrorKind, StandardErrorBody};
use serde_json::value::RawValue;

use crate::{
    edge::{Ctx, Edge},
    error::ApiError,
    rate::{Limit, Subject},
};

/// A completed session; close it with `Users::finish_proof` once the operation is done.
pub(super) struct Proven {
    pub(super) session: String,
    pub(super) token: Option<String>,
}

/// Goes on if the stages are proven; otherwise the answer is what is left to prove.
pub(super) async fn prove(
    edge: &Edge,
    users: &Users,
    ctx: &Ctx,
    operation: Operation,
    auth: Option<AuthData>,
) -> Result<Proven, ApiError> {
    let attempt = auth.map_or_else(Attempt::default, attempt_of);
    let paid = pay(edge, users, ctx, attempt.proof.as_ref())?;
    match users.prove(&operation, &attempt).await? {
        Outcome::Proven { session, token } => {
            if let Some((limit, subject)) = paid {
                edge.limits().refund(limit, &subject);
            }
            Ok(Proven { session, token })
        }
        Outcome::Challenge(challenge) => Err(ApiError::uia(info_of(challenge))),
    }
}

/// Guesses cost as much here as where one signs in; a right one is paid back.
fn pay(
    edge: &Edge,
    users: &Users,
    ctx: &Ctx,
    proof: Option<&Proof>,
) -> Result<Option<(Limit, Subject)>, ApiError> {
    let price = match proof {
        Some(Proof::Password(name, _)) => users
            .account_named(name)
            .map(|account| (Limit::LoginFailed, Subject::User(account))),
        Some(Proof::RegistrationToken(_)) => Some((Limit::RegistrationTokenCheck, ctx.network())),
        _ => None,
    };
    if let Some((limit, subject)) = &price {
        edge.charge(*limit, subject.clone())?;
    }
    Ok(price)
}

fn attempt_of(auth: AuthData) -> Attempt {
    let session = auth.session().map(ToOwned::to_owned);
    let proof = match auth {
        AuthData::Password(password) => Some(match password.identifier {
            UserIdentifier::Matrix(identifier) => {
                Proof::Password(identifier.user, password.password)
            }
            _ => Proof::Unknown,
        }),
        AuthData::RegistrationToken(token) => Some(Proof::RegistrationToken(token.token)),
        AuthData::Dummy(_) => Some(Proof::Dummy),
        AuthData::FallbackAcknowledgement(_) => None,
        _ => Some(Proof::Unknown),
    };
    Attempt { session, proof }
}

fn info_of(challenge: Challenge) -> UiaaInfo {
    let flow = |stages: Vec<Stage>| AuthFlow::new(stages.into_iter().map(type_of).collect());
    let mut info = UiaaInfo::new(challenge.flows.into_iter().map(flow).collect());
    info.completed = challenge.completed.into_iter().map(type_of).collect();
    info.session = Some(challenge.session);
    // Some clients take a missing `params` for a server without this protocol.
    info.params = RawValue::from_string("{}".to_owned()).ok();
    info.auth_error = challenge.objection.map(|objection| {
        let (kind, text) = objection_row(objection);
        Box::new(StandardErrorBody::new(kind, text.to_owned()))
    });
    info
}

fn type_of(stage: Stage) -> AuthType {
    match stage {
        Stage::Password => AuthType::Password,
        Stage::RegistrationToken => AuthType::RegistrationToken,
        Stage::Dummy => AuthType::Dummy,
    }
}

fn objection_row(objection: Objection) -> (ErrorKind, &'static str) {
    match objection {
        Objection::WrongPassword => (ErrorKind::Forbidden, "The name or the password is wrong"),
        Objection::WrongToken => (
            ErrorKind::Unauthorized,
            "This registration token is wrong or no longer good; ask for another",
        ),
        Objection::NotOffered => (ErrorKind::Unrecognized, "Choose one of the flows"),
        Objection::UnknownSession => (ErrorKind::Unknown, "This took too long; begin again"),
    }
}
