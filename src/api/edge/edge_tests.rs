//! The edge through a real router, with a state that knows one token.

use std::time::Duration;

use axum::{Router, body::Body};
use belfry_env::{Clock, Shutdown, SimulatedWall};
use belfry_policy::Standing;
use belfry_user::Requester;
use http::{Request, StatusCode, header};
use ruma_client_api::{
    account::whoami::v3 as whoami, discovery::get_supported_versions as versions,
    message::send_message_event::v3 as send, session::logout::v3 as logout,
    state::get_state_event_for_key::v3 as state_event,
};
use ruma_common::{
    api::error::ErrorKind, api::error::UnknownTokenErrorData, owned_device_id, owned_user_id,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::error::Refusal;

#[derive(Clone)]
struct Toy(Edge);

impl Door for Toy {
    fn edge(&self) -> &Edge {
        &self.0
    }

    async fn identify(&self, _: &Ctx, token: &str) -> Result<Requester, ApiError> {
        if token != "good" && token != "locked" {
            let kind = ErrorKind::UnknownToken(UnknownTokenErrorData::new());
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, kind, "Sign in again").into());
        }
        Ok(Requester {
            user_id: owned_user_id!("@a:hs1"),
            device_id: owned_device_id!("D"),
            role: belfry_policy::MEMBER.to_owned(),
            standing: if token == "locked" {
                Standing::Locked
            } else {
                Standing::Active
            },
        })
    }
}

async fn who(call: Call<whoami::Request>) -> Result<whoami::Response, ApiError> {
    Ok(whoami::Response::new(call.auth.user_id, false))
}

async fn echo(call: Call<send::Request>) -> Result<send::Response, ApiError> {
    let event_id = format!("${}", call.request.body.json().get().len());
    Ok(send::Response::new(
        event_id.try_into().map_err(ApiError::fault)?,
    ))
}

async fn leave(call: Call<logout::Request>) -> Result<logout::Response, ApiError> {
    let _requester: Requester = call.auth;
    Ok(logout::Response::new())
}

async fn hang(_: Call<versions::Request>) -> Result<versions::Response, ApiError> {
    std::future::pending().await
}

#[expect(clippy::panic, reason = "what the test is about")]
async fn stumble(call: Call<state_event::Request>) -> Result<state_event::Response, ApiError> {
    panic!("secret in {}", call.request.room_id);
}

fn router() -> Router {
    let options = EdgeOptions {
        trusted_proxies: TrustedProxies(Vec::new()),
        rates: RateOptions::field_defaults(),
    };
    let clock = Clock::simulated(&SimulatedWall::at(0));
    let toy = Toy(Edge::new(options, clock, Shutdown::default()));
    Routes::default()
        .serve(Rule::NONE, who)
        .serve(Rule::EVENT, echo)
        .serve(Rule::OPTIONAL.even_locked(), leave)
        .serve(Rule::NONE, stumble)
        .serve_within(Duration::from_secs(5), Rule::NONE, hang)
        .into_router(toy)
}

/// Status, `errcode` if there is one, and the whole answer.
async fn ask(request: Request<Body>) -> (u16, String, http::Response<Value>) {
    let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let errcode = value["errcode"].as_str().unwrap_or_default().to_owned();
    (
        parts.status.as_u16(),
        errcode,
        http::Response::from_parts(parts, value),
    )
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, "Bearer good")
        .body(body.into())
        .unwrap()
}

async fn code(request: Request<Body>) -> (u16, String) {
    let (status, errcode, _) = ask(request).await;
    (status, errcode)
}

fn expect(status: u16, errcode: &str) -> (u16, String) {
    (status, errcode.to_owned())
}

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const SEND: &str = "/_matrix/client/v3/rooms/!r:hs1/send/m.room.message/1";
const STATE: &str = "/_matrix/client/v3/rooms/!r:hs1/state/m.room.topic/";

#[tokio::test]
async fn token_becomes_a_requester_on_every_version_of_the_path() {
    for path in [WHOAMI, "/_matrix/client/r0/account/whoami"] {
        let (status, _, answer) = ask(request("GET", path, "")).await;
        assert_eq!(
            (status, answer.body()["user_id"].as_str()),
            (200, Some("@a:hs1"))
        );
    }
}

#[tokio::test]
async fn missing_and_unknown_tokens_are_401() {
    let bare = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
    assert_eq!(code(bare(WHOAMI)).await, expect(401, "M_MISSING_TOKEN"));
    let garbage = format!("{WHOAMI}?access_token=garbage");
    assert_eq!(code(bare(&garbage)).await, expect(401, "M_UNKNOWN_TOKEN"));
    let query = format!("{WHOAMI}?access_token=good");
    assert_eq!(code(bare(&query)).await, expect(200, ""));
}

#[tokio::test]
async fn locked_account_may_only_sign_out() {
    let locked = |method: &str, path: &str| {
        let mut request = request(method, path, "");
        let token = "Bearer locked".parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, token);
        request
    };
    let (status, errcode, answer) = ask(locked("GET", WHOAMI)).await;
    assert_eq!((status, errcode.as_str()), (401, "M_USER_LOCKED"));
    assert_eq!(answer.body()["soft_logout"], true);
    let logout = locked("POST", "/_matrix/client/v3/logout");
    assert_eq!(code(logout).await, expect(200, ""));
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let mut two = request("GET", WHOAMI, "");
    two.headers_mut()
        .append(header::AUTHORIZATION, "Bearer other".parse().unwrap());
    assert_eq!(code(two).await, expect(400, "M_INVALID_PARAM"));
}

#[tokio::test]
async fn http_001_to_009_bodies_that_are_not_what_they_should_be() {
    let cases: [(&[u8], &str); 7] = [
        (b"{\"body\":\"\xff\xfe\"}", "M_NOT_JSON"),
        (b"{\"body\":\"a", "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b"", "M_NOT_JSON"),
        (b"{\"a\":NaN}", "M_NOT_JSON"),
        (b"{\"a\":-Infinity}", "M_NOT_JSON"),
        (b"{\"body\":\"\\ud800\"}", "M_NOT_JSON"),
    ];
    for (body, errcode) in cases {
        assert_eq!(
            code(request("PUT", SEND, body)).await,
            expect(400, errcode),
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn optional_body_may_be_left_out_but_not_be_an_array() {
    let path = "/_matrix/client/v3/logout";
    assert_eq!(code(request("POST", path, "")).await, expect(200, ""));
    assert_eq!(code(request("POST", path, "{}")).await, expect(200, ""));
    assert_eq!(
        code(request("POST", path, "[]")).await,
        expect(400, "M_BAD_JSON")
    );
    assert_eq!(
        code(request("POST", path, "{")).await,
        expect(400, "M_NOT_JSON")
    );
}

#[tokio::test]
async fn nobody_without_a_token_makes_us_read_a_body() {
    let request = Request::put(SEND).body(Body::from("{")).unwrap();
    assert_eq!(code(request).await, expect(401, "M_MISSING_TOKEN"));
}

#[tokio::test]
async fn http_016_too_large_a_body_is_413() {
    let body = format!("{{\"body\":\"{}\"}}", "x".repeat(600 * 1024));
    assert_eq!(
        code(request("PUT", SEND, body)).await,
        expect(413, "M_TOO_LARGE")
    );
}

#[tokio::test]
async fn http_017_and_018_codings_are_415() {
    let mut gzip = request("PUT", SEND, "{}");
    gzip.headers_mut()
        .insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    assert_eq!(code(gzip).await.0, 415);
    let mut form = request("PUT", SEND, "{}");
    form.headers_mut()
        .insert(header::CONTENT_TYPE, "multipart/form-data".parse().unwrap());
    assert_eq!(code(form).await.0, 415);
}

#[tokio::test]
async fn http_019_to_021_unknown_endpoints() {
    for path in [
        "/_matrix/client/v3/doesnotexist",
        "/_matrix/federation/v1/doesnotexist",
        "/",
    ] {
        assert_eq!(
            code(request("GET", path, "")).await,
            expect(404, "M_UNRECOGNIZED")
        );
    }
    let patch = request("PATCH", WHOAMI, "");
    assert_eq!(code(patch).await, expect(405, "M_UNRECOGNIZED"));
}

#[tokio::test]
async fn http_023_and_024_impossible_identifiers() {
    let long = format!(
        "/_matrix/client/v3/rooms/!{}:hs1/send/m/1",
        "a".repeat(10_000)
    );
    for path in [
        "/_matrix/client/v3/rooms/!a%00b:hs1/send/m.room.message/1",
        "/_matrix/client/v3/rooms/nonsense/send/m.room.message/1",
        "/_matrix/client/v3/rooms/!a%FF:hs1/send/m.room.message/1",
        &long,
    ] {
        assert_eq!(
            code(request("PUT", path, "{}")).await,
            expect(400, "M_INVALID_PARAM")
        );
    }
}

#[tokio::test]
async fn http_028_preflight_needs_no_token_and_every_answer_may_be_read() {
    for path in [WHOAMI, SEND, "/_matrix/client/v3/doesnotexist"] {
        let preflight = Request::builder()
            .method("OPTIONS")
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let (status, _, answer) = ask(preflight).await;
        assert_eq!(status, 204);
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(
            !answer
                .headers()
                .contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS)
        );
    }
    for refused in [
        request("GET", "/x", ""),
        request("PUT", SEND, "["),
        request("GET", STATE, ""),
    ] {
        let (_, _, answer) = ask(refused).await;
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    let (_, _, answer) = ask(request("GET", "/_matrix/federation/v1/version", "")).await;
    assert!(
        !answer
            .headers()
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    );
}

#[tokio::test]
async fn panic_is_a_500_without_its_text() {
    let (status, errcode, answer) = ask(request("GET", STATE, "")).await;
    assert_eq!((status, errcode.as_str()), (500, "M_UNKNOWN"));
    assert!(!answer.body().to_string().contains("secret"));
    assert!(answer.headers().contains_key(REQUEST_ID));
}

#[tokio::test(start_paused = true)]
async fn handler_that_hangs_is_cut_off() {
    let versions = request("GET", "/_matrix/client/versions", "");
    assert_eq!(code(versions).await, expect(503, "M_UNKNOWN"));
}

#[test]
fn retry_after_is_rounded_up() {
    use axum::response::IntoResponse as _;
    let response = ApiError::from(crate::rate::Wait(Duration::from_millis(1_001))).into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "2");
}

#[tokio::test]
async fn http_030_header_of_an_untrusted_peer_is_no_address() {
    let edge = Toy(Edge::new(
        EdgeOptions {
            trusted_proxies: TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]),
            rates: RateOptions::field_defaults(),
        },
        Clock::simulated(&SimulatedWall::at(0)),
        Shutdown::default(),
    ));
    let seen = async |peer: &str| {
        let answer = async |call: Call<versions::Request>| {
            Ok(versions::Response::new(vec![call.ctx.client.to_string()]))
        };
        let mut request = request("GET", "/_matrix/client/versions", "");
        let peer = Peer::Address(peer.parse().unwrap());
        request.extensions_mut().insert(peer);
        request
            .headers_mut()
            .insert("x-forwarded-for", "1.2.3.4".parse().unwrap());
        let router = Routes::default()
            .serve(Rule::NONE, answer)
            .into_router(edge.clone());
        let body = router.oneshot(request).await.unwrap().into_body();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    assert_eq!(
        seen("192.0.2.1:9").await,
        json!({"versions": ["192.0.2.1"]})
    );
    assert_eq!(seen("10.0.0.1:9").await, json!({"versions": ["1.2.3.4"]}));
}
