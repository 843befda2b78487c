//! User-interactive authentication as clients of the first years send it, and many still do: `user`
//! beside `password`, where the specification has had an `identifier` since r0.4; and an `auth`
//! that proves nothing yet, with neither a stage nor a session, to be told what would.

use http::Method;
use ruma_common::api::{IncomingRequest, Metadata, error::DeserializationError};
use serde_json::{Value, json};

/// A request whose `auth` may name the user the old way, or say nothing.
pub(crate) struct LegacyAuth<T>(pub(crate) T);

impl<T: Metadata> Metadata for LegacyAuth<T> {
    const METHOD: Method = T::METHOD;
    const RATE_LIMITED: bool = T::RATE_LIMITED;
    type Authentication = T::Authentication;
    type PathBuilder = T::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = T::PATH_BUILDER;
}

impl<T: IncomingRequest> IncomingRequest for LegacyAuth<T> {
    type EndpointError = T::EndpointError;
    type OutgoingResponse = T::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (parts, body) = request.into_parts();
        let renewed = renewed(body);
        let body = renewed.as_deref().unwrap_or(body);
        let request = http::Request::from_parts(parts, body);
        T::try_from_http_request_inner(request, path_args).map(Self)
    }
}

/// The body with an identifier made of `user`, or without an `auth` that says nothing; `None` if it
/// is fine as it is, or not for us to judge.
fn renewed(body: &[u8]) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let auth = body.get_mut("auth")?.as_object_mut()?;
    if !auth.contains_key("type") && !auth.contains_key("session") {
        body.as_object_mut()?.remove("auth");
        return serde_json::to_vec(&body).ok();
    }
    if auth.get("type")? != "m.login.password" || auth.contains_key("identifier") {
        return None;
    }
    let user = auth.remove("user").filter(Value::is_string)?;
    auth.insert(
        "identifier".to_owned(),
        json!({"type": "m.id.user", "user": user}),
    );
    serde_json::to_vec(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renew(body: &Value) -> Option<Value> {
        let renewed = renewed(body.to_string().as_bytes())?;
        Some(serde_json::from_slice(&renewed).unwrap())
    }

    #[test]
    fn a_user_becomes_an_identifier() {
        let old =
            json!({"auth": {"type": "m.login.password", "user": "ada", "password": "x"}, "a": 1});
        let new = json!({
            "auth": {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": "ada"},
                "password": "x",
            },
            "a": 1,
        });
        assert_eq!(renew(&old), Some(new.clone()));
        assert_eq!(renew(&new), None);
    }

    #[test]
    fn an_auth_that_proves_nothing_is_none() {
        for auth in [json!({}), json!({"initial_device_display_name": "nio"})] {
            let body = json!({"auth": auth, "a": 1});
            assert_eq!(renew(&body), Some(json!({"a": 1})));
        }
    }

    #[test]
    fn anything_else_is_left_alone() {
        for body in [
            json!({}),
            json!({"auth": 1}),
            json!({"auth": {"session": "s"}}),
            json!({"auth": {"type": "m.login.dummy", "user": "ada"}}),
            json!({"auth": {"type": "m.login.password", "user": 1}}),
        ] {
            assert_eq!(renew(&body), None, "{body}");
        }
        assert_eq!(renewed(b""), None);
    }
}
