//! The signature on requests to other servers.
//!
//! Exists so that every request of federation is signed in one way. Signs requests only: events
//! are signed where they are built. (Server-Server API, "Request Authentication".)

use belfry_event::{SignError, SigningKey};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use ruma_common::{OwnedServerName, ServerName};
use serde::Serialize;
use serde_json::value::RawValue;

/// Why a request was not signed.
#[derive(Debug, thiserror::Error)]
pub enum UnsignedError {
    /// Its content is no JSON object.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Its path or content is not what HTTP takes.
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What is signed. The content is text: numbers beyond 2^53 of old rooms must come out as they
/// went in.
#[derive(Serialize)]
struct Signed<'r> {
    method: &'r str,
    uri: &'r str,
    origin: &'r ServerName,
    destination: &'r ServerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'r RawValue>,
}

/// Signs requests as this server.
#[derive(Debug, Clone)]
pub struct Signer {
    /// This server.
    pub server: OwnedServerName,
    /// Its key.
    pub key: SigningKey,
}

impl Signer {
    /// A signed request. `path` has its query, percent-encoded; `content` is the body.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        destination: &ServerName,
        content: Option<&RawValue>,
    ) -> Result<Request<Bytes>, UnsignedError> {
        let header = self.authorization(&method, path, destination, content)?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, header);
        if content.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = content.map_or_else(String::new, |content| content.get().to_owned());
        Ok(request.body(body.into())?)
    }

    fn authorization(
        &self,
        method: &Method,
        path: &str,
        destination: &ServerName,
        content: Option<&RawValue>,
    ) -> Result<HeaderValue, UnsignedError> {
        let signed = serde_json::to_string(&Signed {
            method: method.as_str(),
            uri: path,
            origin: &self.server,
            destination,
            content,
        })?;
        let signature = self.key.json_signature(signed.as_bytes())?;
        let value = format!(
            "X-Matrix origin=\"{}\",destination=\"{destination}\",key=\"{}\",sig=\"{signature}\"",
            self.server,
            self.key.key_id(),
        );
        Ok(HeaderValue::try_from(value).map_err(http::Error::from)?)
    }
}

#[cfg(test)]
mod tests {
    use belfry_event::PublicKey;
    use ruma_common::server_name;

    use super::*;

    fn signer() -> Signer {
        Signer {
            server: server_name!("a.org").to_owned(),
            key: SigningKey::from_seed(&[7; 32], "1").unwrap(),
        }
    }

    /// The signature in the header, checked over what the receiver sees.
    fn verifies(content: Option<&str>) -> bool {
        let signer = signer();
        let raw = content.map(|text| RawValue::from_string(text.to_owned()).unwrap());
        let path = "/_matrix/federation/v1/send/1?a=%2F";
        let request = signer
            .request(Method::PUT, path, server_name!("b.org"), raw.as_deref())
            .unwrap();
        let header = request.headers()[header::AUTHORIZATION].to_str().unwrap();
        let signature = header.split("sig=\"").nth(1).unwrap().trim_end_matches('"');
        let content = content.map_or(String::new(), |text| format!("\"content\":{text},"));
        let text = format!(
            "{{{content}\"destination\":\"b.org\",\"method\":\"PUT\",\"origin\":\"a.org\",\
             \"signatures\":{{\"a.org\":{{\"ed25519:1\":\"{signature}\"}}}},\"uri\":\"{path}\"}}"
        );
        let key: &PublicKey = signer.key.public_key();
        key.verify_json(text.as_bytes(), "a.org", "ed25519:1")
            .is_ok()
    }

    #[test]
    fn requests_are_signed_with_and_without_content() {
        assert!(verifies(None));
        assert!(verifies(Some("{}")));
        assert!(verifies(Some(
            r#"{"pdus":[{"depth":9223372036854775807}]}"#
        )));
    }

    #[test]
    fn a_transaction_that_carries_events_is_signed() {
        assert!(verifies(Some(
            r#"{"pdus":[{"auth_events":[],"prev_events":[]}],"edus":[]}"#
        )));
    }

    #[test]
    fn an_event_that_is_sent_as_the_whole_content_is_signed_as_a_request() {
        assert!(verifies(Some(
            r#"{"auth_events":[],"prev_events":[],"type":"m"}"#
        )));
    }
}
