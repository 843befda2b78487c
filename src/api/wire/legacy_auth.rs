//! User-interactive authentication as clients of the first years send it: `user` beside
//! `password`, where the specification has had an `identifier` since r0.4. Many still do.

use http::Method;
use ruma_common::api::{IncomingRequest, Metadata, error::DeserializationError};
use serde_json::{Value, json};

/// A request whose `auth` may name the user the old way.
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

/// The body with an identifier made of `user`; `None` if it is fine as it is, or not for us to
/// judge.
fn renewed(body: &[u8]) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let auth = body.get_mut("auth")?.as_object_mut()?;
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
    fn anything_else_is_left_alone() {
        for body in [
            json!({}),
            json!({"auth": 1}),
            json!({"auth": {"user": "ada"}}),
            json!({"auth": {"type": "m.login.dummy", "user": "ada"}}),
            json!({"auth": {"type": "m.login.password", "user": 1}}),
        ] {
            assert_eq!(renew(&body), None, "{body}");
        }
        assert_eq!(renewed(b""), None);
    }
}
