//! A request of another server: read, its signature checked, its origin given a turn.
//!
//! Exists so that no endpoint of federation runs for anybody who has not proved who they are, and
//! so that one server that asks much does not keep others waiting. Knows nothing of what is asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::extract::Request;
use belfry_event::{KeyRing, SignatureError};
use belfry_policy::{Peer, Purpose, Requester};
use belfry_room::KeyWanted;
use bytes::Bytes;
use http::{StatusCode, request::Parts};
use ruma_common::{
    MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName,
    api::error::{ErrorKind, LimitExceededErrorData},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::x_matrix::{self, Unnamed, XMatrix};
use crate::{
    edge::{JsonText, Rule, check_object, segments},
    error::{ApiError, EdgeError, Refusal},
    state::Api,
};

/// Requests of one server that run at the same time; further ones wait.
pub(crate) const RUNNING_MAX: usize = 8;
/// Requests of one server that run or wait; further ones are answered 429.
pub(crate) const WAITING_MAX: usize = 64;
/// Servers with requests under way.
pub(crate) const ORIGINS_MAX: usize = 10_000;

/// One authenticated request.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Who asks, by the signature on the request.
    pub(crate) origin: OwnedServerName,
    /// The path's variable segments, decoded.
    pub(crate) path: Vec<String>,
    /// The query, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// The body: a JSON object, or nothing.
    pub(crate) body: Bytes,
}

impl Ask {
    /// The variable segment at this place as an identifier.
    pub(crate) fn id<T>(&self, place: usize) -> Result<T, ApiError>
    where
        T: for<'a> TryFrom<&'a str>,
    {
        let text = self.path.get(place).map_or("", String::as_str);
        T::try_from(text).map_err(|_| invalid("an identifier in the path is none"))
    }

    /// The only value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters(name).next()
    }

    /// Every value of a query parameter.
    pub(crate) fn parameters(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.query.iter().filter(move |(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A query parameter that must be there, as an identifier.
    pub(crate) fn needed<T>(&self, name: &str) -> Result<T, ApiError>
    where
        T: for<'a> TryFrom<&'a str>,
    {
        let Some(text) = self.parameter(name) else {
            let text = format!("the parameter {name} is missing");
            return Err(
                Refusal::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, text).into(),
            );
        };
        T::try_from(text).map_err(|_| invalid(format!("the parameter {name} is no identifier")))
    }

    /// A number in the query: the default if there is none, at most `max`.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, ApiError> {
        match self.parameter("limit") {
            None => Ok(default),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => Ok(usize::try_from(number).unwrap_or(max).min(max)),
                Err(_) => Err(invalid("limit is no number")),
            },
        }
    }

    /// The body as this type.
    pub(crate) fn content<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| EdgeError::BadJson(error.to_string()).into())
    }

    /// The body as it came.
    pub(crate) fn raw(&self) -> Result<Box<RawValue>, ApiError> {
        self.content()
    }
}

/// 400 `M_INVALID_PARAM`.
pub(crate) fn invalid(text: impl Into<String>) -> ApiError {
    EdgeError::InvalidParam(text.into()).into()
}

/// What is answered, as JSON.
pub(crate) fn json(answer: &impl Serialize) -> Result<JsonText, ApiError> {
    serde_json::to_string(answer)
        .map(JsonText)
        .map_err(ApiError::fault)
}

/// The turns of servers that ask. Shared.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<OwnedServerName, Arc<Turn>>>);

#[derive(Debug)]
struct Turn {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// A request that runs; the next one may when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Turns {
    /// Waits for a turn of this server.
    pub(crate) async fn take(&self, origin: &ServerName) -> Result<Running, ApiError> {
        let turn = self.of(origin)?;
        let busy = || {
            let text = "too many requests of your server wait; send fewer at a time";
            Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorKind::LimitExceeded(LimitExceededErrorData::default()),
                text,
            )
        };
        let place = Arc::clone(&turn.waiting).try_acquire_owned();
        let place = place.map_err(|_| busy())?;
        let running = Arc::clone(&turn.running).acquire_owned().await;
        let running = running.map_err(|_| busy())?;
        Ok(Running {
            _place: place,
            _turn: running,
        })
    }

    fn of(&self, origin: &ServerName) -> Result<Arc<Turn>, ApiError> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= ORIGINS_MAX {
            turns.retain(|_, turn| turn.waiting.available_permits() < WAITING_MAX);
        }
        if turns.len() >= ORIGINS_MAX && !turns.contains_key(origin) {
            return Err(ApiError::unavailable("too many servers ask at once"));
        }
        let fresh = || {
            Arc::new(Turn {
                waiting: Arc::new(Semaphore::new(WAITING_MAX)),
                running: Arc::new(Semaphore::new(RUNNING_MAX)),
            })
        };
        let turn = turns.entry(origin.to_owned()).or_insert_with(fresh);
        Ok(Arc::clone(turn))
    }
}

/// Reads a request, checks its signature, and whether policy speaks to its origin about this.
pub(crate) async fn accept(
    api: &Api,
    (rule, purpose): (Rule, Purpose),
    request: Request,
) -> Result<Ask, ApiError> {
    let (mut parts, body) = request.into_parts();
    let signatures = x_matrix::signatures(&parts.headers).map_err(unnamed)?;
    check_destination(api, &signatures)?;
    let path = segments(api, &mut parts).await?;
    let body = rule.read(api.edge.clock(), &parts.headers, body).await?;
    if !body.is_empty() {
        check_object(&body).map_err(EdgeError::from)?;
    } else if !rule.takes_empty() && rule != Rule::NONE {
        return Err(EdgeError::NotJson("the body is empty".to_owned()).into());
    }
    let origin = authenticate(api, &parts, &body, signatures).await?;
    api.federation.gateway()?.heard_of(&origin);
    let peer = Peer {
        server: &origin,
        purpose,
    };
    let asking =
        belfry_policy::Request::new(Requester::Server(peer), belfry_policy::Action::Federate);
    belfry_policy::decide(&api.rules, &asking).into_result()?;
    let query = parts.uri.query().unwrap_or_default();
    Ok(Ask {
        path,
        query: form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        body,
        origin,
    })
}

fn unnamed(why: Unnamed) -> ApiError {
    unauthorised(match why {
        Unnamed::Missing => "Sign the request: send an Authorization header of scheme X-Matrix",
        Unnamed::Malformed => "The Authorization header is not one of scheme X-Matrix",
    })
}

fn unauthorised(text: &str) -> ApiError {
    Refusal::new(StatusCode::UNAUTHORIZED, ErrorKind::Unauthorized, text).into()
}

fn check_destination(api: &Api, signatures: &[XMatrix]) -> Result<(), ApiError> {
    let own = api.federation.server();
    let meant = |signature: &XMatrix| {
        let destination = signature.destination.as_deref();
        destination.is_none_or(|name| name == own)
    };
    if !signatures.iter().all(meant) {
        return Err(unauthorised("The request is meant for another server"));
    }
    if signatures.iter().any(|signature| signature.origin == own) {
        return Err(unauthorised("The request says that it is of this server"));
    }
    Ok(())
}

/// What is signed (Server-Server API, "Request Authentication"), with its signatures.
#[derive(Serialize)]
struct Signed<'r> {
    method: &'r str,
    uri: &'r str,
    origin: &'r ServerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'r ServerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'r RawValue>,
    signatures: BTreeMap<&'r ServerName, BTreeMap<&'r str, &'r str>>,
}

/// Who asks. Every signature by a known key must be right, and there must be one.
async fn authenticate(
    api: &Api,
    parts: &Parts,
    body: &Bytes,
    signatures: Vec<XMatrix>,
) -> Result<OwnedServerName, ApiError> {
    let Some(first) = signatures.first() else {
        return Err(unnamed(Unnamed::Missing));
    };
    let content: Option<&RawValue> = match &body[..] {
        b"" => None,
        text => Some(serde_json::from_slice(text).map_err(ApiError::fault)?),
    };
    let pairs = signatures.iter();
    let pairs = pairs.map(|one| (one.key.as_str(), one.signature.as_str()));
    let text = serde_json::to_string(&Signed {
        method: parts.method.as_str(),
        uri: parts.uri.path_and_query().map_or("/", |path| path.as_str()),
        origin: &first.origin,
        destination: first.destination.as_deref(),
        content,
        signatures: [(&*first.origin, pairs.collect())].into(),
    });
    let text = text.map_err(ApiError::fault)?;
    let now_ms = api.edge.clock().wall_ms();
    let at = MilliSecondsSinceUnixEpoch(js_int::UInt::new_saturating(now_ms));
    let wanted = [KeyWanted {
        server: first.origin.clone(),
        key_ids: signatures.iter().map(|one| one.key.clone()).collect(),
        valid_at: Some(at),
    }];
    let keys = api.federation.keys()?;
    let check = |ring: &KeyRing| ring.verify_json(text.as_bytes(), &first.origin, at);
    let mut checked = check(&keys.held(&wanted).await);
    if matches!(checked, Err(SignatureError::NoUsableKey { .. })) {
        checked = check(&keys.fetch(&wanted).await);
    }
    match checked {
        Ok(()) => Ok(first.origin.clone()),
        Err(SignatureError::Json(error)) => Err(EdgeError::BadJson(error.to_string()).into()),
        Err(error) => Err(unauthorised(&error.to_string())),
    }
}
