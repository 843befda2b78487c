//! `POST /pushers/set`: the pusher is kept as the client wrote it.

use http::Method;
use ruma_client_api::push::set_pusher::v3 as set;
use ruma_common::api::{IncomingRequest, Metadata, error::DeserializationError};
use serde::de::Error as _;
use serde_json::{Map, Value};

/// A change of one's pushers.
#[derive(Debug)]
pub(crate) struct SetPusher(pub(crate) belfry_user::SetPusher);

impl Metadata for SetPusher {
    const METHOD: Method = set::Request::METHOD;
    const RATE_LIMITED: bool = set::Request::RATE_LIMITED;
    type Authentication = <set::Request as Metadata>::Authentication;
    type PathBuilder = <set::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = set::Request::PATH_BUILDER;
}

/// What a pusher that is not removed has as text.
const TEXTS: [&str; 4] = ["kind", "app_display_name", "device_display_name", "lang"];

impl IncomingRequest for SetPusher {
    type EndpointError = <set::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = <set::Request as IncomingRequest>::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        let mut body: Map<String, Value> = serde_json::from_slice(request.body())?;
        let append = match body.remove("append") {
            None => false,
            Some(Value::Bool(append)) => append,
            Some(_) => return Err(serde_json::Error::custom("append is true or false").into()),
        };
        let (app_id, pushkey) = (text(&body, "app_id")?, text(&body, "pushkey")?);
        let removes = match body.get("kind") {
            Some(Value::Null) => true,
            Some(_) => false,
            None => return Err(serde_json::Error::missing_field("kind").into()),
        };
        if !removes {
            for name in TEXTS {
                text(&body, name)?;
            }
            if !body.get("data").is_some_and(Value::is_object) {
                return Err(serde_json::Error::custom("data is an object").into());
            }
        }
        Ok(Self(belfry_user::SetPusher {
            app_id,
            pushkey,
            pusher: (!removes).then_some(body),
            append,
        }))
    }
}

fn text(body: &Map<String, Value>, name: &'static str) -> Result<String, DeserializationError> {
    let text = body.get(name).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| serde_json::Error::custom(format!("{name} is a text")).into())
}
