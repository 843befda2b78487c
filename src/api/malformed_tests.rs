//! What the list of bad inputs sends to a first server, through the whole router: each gets the
//! specification's answer, and afterwards the room is as it was and its people go on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, Method, Request, header};
use serde_json::{Value, json};

use crate::{
    fixture::{Person, TestApp, expect},
    routes::table,
};

const PEER: &str = "192.0.2.1:9";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const LOGIN: &str = "/_matrix/client/v3/login";
const CREATE_ROOM: &str = "/_matrix/client/v3/createRoom";

/// Alice in a room of hers, and what its newest event is.
struct Place {
    app: TestApp,
    alice: Person,
    room: String,
    newest: String,
}

impl Place {
    async fn new() -> Self {
        let app = TestApp::new();
        let alice = app.person("alice").await;
        let create = ("POST", CREATE_ROOM);
        let (status, answer, _) = app.raw_from(PEER, create, Some(&alice.token), "{}").await;
        assert_eq!(status, 200, "{answer}");
        let room = answer["room_id"].as_str().unwrap().to_owned();
        let mut place = Self {
            app,
            alice,
            room,
            newest: String::new(),
        };
        place.newest = place.newest_event().await;
        place
    }

    fn path(&self, rest: &str) -> String {
        format!("/_matrix/client/v3/rooms/{}/{rest}", self.room)
    }

    async fn get(&self, path: &str) -> Value {
        let get = ("GET", path);
        let (status, answer, _) = self
            .app
            .raw_from(PEER, get, Some(&self.alice.token), "")
            .await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn newest_event(&self) -> String {
        let page = self.get(&self.path("messages?dir=b&limit=1")).await;
        page["chunk"][0]["event_id"].as_str().unwrap().to_owned()
    }

    /// Sends a message's content; status and `errcode`.
    async fn say(&self, txn: &str, content: impl Into<Body>) -> (u16, String) {
        let path = self.path(&format!("send/m.room.message/{txn}"));
        let put = ("PUT", &*path);
        self.app.raw(put, Some(&self.alice.token), content).await
    }

    /// The room is as it was; who is in it can read, write and sync.
    async fn expect_unchanged(self) {
        assert_eq!(self.newest_event().await, self.newest);
        self.expect_alive().await;
    }

    async fn expect_alive(self) {
        self.get(WHOAMI).await;
        let said = self.say("probe", json!({"body": "x"}).to_string()).await;
        assert_eq!(said, expect(200, ""));
        let sync = self.get("/_matrix/client/v3/sync").await;
        assert!(sync["rooms"]["join"][&self.room].is_object(), "{sync}");
        self.app.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn http_001_002_003_008_009_contents_that_are_no_json_object_change_nothing() {
    let place = Place::new().await;
    let cases: [(&[u8], &str); 9] = [
        (b"{\"body\":\"\xff\xfe\"}", "M_NOT_JSON"),
        (b"{\"body\":\"a", "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b"{\"body\":NaN}", "M_NOT_JSON"),
        (b"{\"body\":Infinity}", "M_NOT_JSON"),
        (b"{\"body\":-Infinity}", "M_NOT_JSON"),
        (b"{\"body\":\"\\ud800\"}", "M_NOT_JSON"),
        (b"{\"\\udfff\":1}", "M_NOT_JSON"),
        (b"", "M_NOT_JSON"),
    ];
    for (number, (content, errcode)) in cases.into_iter().enumerate() {
        let answer = place.say(&number.to_string(), content).await;
        assert_eq!(answer, expect(400, errcode), "{content:?}");
    }
    place.expect_unchanged().await;
}

#[tokio::test(start_paused = true)]
async fn http_006_content_nested_beyond_the_parsers_limit_is_refused() {
    let place = Place::new().await;
    let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(place.say("a", nested(200)).await, expect(400, "M_NOT_JSON"));
    assert_eq!(
        place.say("b", nested(100_000)).await,
        expect(400, "M_NOT_JSON")
    );
    place.expect_unchanged().await;
}

/// The last of two equal names counts, for the rules as for all who read; where the rules look at
/// the name, the event is refused.
#[tokio::test(start_paused = true)]
async fn http_007_names_given_twice_have_one_reading() {
    let place = Place::new().await;
    let twice = r#"{"membership":"join","a":[{"b":1,"\u0062":2}],"membership":"leave"}"#;
    let once = json!({"membership": "leave", "a": [{"b": 2}]});
    assert_eq!(place.say("1", twice).await, expect(200, ""));
    let page = place.get(&place.path("messages?dir=b&limit=1")).await;
    let event = &page["chunk"][0];
    assert_eq!(event["content"], once);
    let path = place.path(&format!("event/{}", event["event_id"].as_str().unwrap()));
    assert_eq!(place.get(&path).await["content"], once);

    let state = place.path("state/org.example.state/");
    let put = async |path: &str| {
        let put = ("PUT", path);
        place.app.raw(put, Some(&place.alice.token), twice).await
    };
    assert_eq!(put(&state).await, expect(200, ""));
    assert_eq!(place.get(&state).await, once);
    let member = place.path("state/m.room.member/@bob:hs1");
    assert_eq!(put(&member).await, expect(400, "M_BAD_JSON"));
    place.expect_alive().await;
}

/// A body of `chunks` pieces of 64 KiB, and how many of them were taken.
fn counted(chunks: usize) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let pieces = (0..chunks).map(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(Bytes::from(vec![b' '; 64 * 1024]))
    });
    (Body::from_stream(stream::iter(pieces)), taken)
}

/// Status of a POST with this header and a body of so many pieces, and how many were taken.
async fn post(
    place: &Place,
    path: &str,
    (name, value): (HeaderName, &str),
    chunks: usize,
) -> (u16, usize) {
    let (body, taken) = counted(chunks);
    let request = Request::post(path)
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", place.alice.token),
        )
        .header(name, value)
        .body(body);
    let answer = place.app.ask(request.unwrap(), PEER).await;
    (answer.status().as_u16(), taken.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn http_016_017_018_bodies_that_are_too_large_or_coded_are_refused_unread() {
    let place = Place::new().await;
    let length = (20_u64 << 20).to_string();
    let announced = (header::CONTENT_LENGTH, &*length);
    assert_eq!(post(&place, CREATE_ROOM, announced, 320).await, (413, 0));
    let plain = (header::CONTENT_TYPE, "application/json");
    let (status, taken) = post(&place, CREATE_ROOM, plain, 320).await;
    assert!(
        status == 413 && taken < 100,
        "{status} after {taken} pieces"
    );
    let gzip = (header::CONTENT_ENCODING, "gzip");
    assert_eq!(post(&place, LOGIN, gzip, 16).await, (415, 0));
    let form = (header::CONTENT_TYPE, "multipart/form-data; boundary=x");
    assert_eq!(post(&place, CREATE_ROOM, form, 3_200).await, (415, 0));
    place.expect_unchanged().await;
}

#[tokio::test(start_paused = true)]
async fn http_019_020_021_endpoints_and_methods_that_there_are_not() {
    let place = Place::new().await;
    for (method, path, status) in [
        ("GET", "/_matrix/client/v3/doesnotexist", 404),
        ("GET", "/_matrix/federation/v1/doesnotexist", 404),
        ("PATCH", LOGIN, 405),
    ] {
        let answer = place
            .app
            .raw((method, path), Some(&place.alice.token), "")
            .await;
        assert_eq!(answer, expect(status, "M_UNRECOGNIZED"), "{method} {path}");
    }
    place.expect_unchanged().await;
}

#[tokio::test(start_paused = true)]
async fn http_023_024_identifiers_that_cannot_be() {
    let place = Place::new().await;
    let long = format!(
        "/_matrix/client/v3/directory/room/%23{}:hs1",
        "a".repeat(10_000)
    );
    for path in [
        "/_matrix/client/v3/rooms/!a%00b:hs1/state",
        "/_matrix/client/v3/rooms/!a%00b:hs1/state/m.room.create/",
        &long,
    ] {
        let answer = place
            .app
            .raw(("GET", path), Some(&place.alice.token), "")
            .await;
        assert_eq!(answer, expect(400, "M_INVALID_PARAM"), "{path:.60}");
    }
    place.expect_unchanged().await;
}

#[tokio::test(start_paused = true)]
async fn http_028_every_client_endpoint_has_a_preflight_without_a_token() {
    let place = Place::new().await;
    let table = table();
    let served = table.served().iter();
    let paths = served.filter(|(_, path)| path.starts_with("/_matrix/client/"));
    let mut asked = 0;
    for (_, path) in paths {
        let path = path.replace(['{', '}'], "");
        let request = Request::builder().method(Method::OPTIONS).uri(&path);
        let answer = place
            .app
            .ask(request.body(Body::empty()).unwrap(), PEER)
            .await;
        let headers = answer.headers();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        asked += 1;
    }
    assert!(asked > 50, "only {asked} paths");
    place.expect_unchanged().await;
}

#[tokio::test(start_paused = true)]
async fn auth_004_two_tokens_are_nobodys() {
    let place = Place::new().await;
    let bob = place.app.person("bob").await;
    let bearer = |token: &str| format!("Bearer {token}");
    let both = Request::get(WHOAMI)
        .header(header::AUTHORIZATION, bearer(&place.alice.token))
        .header(header::AUTHORIZATION, bearer(&bob.token));
    let mixed = Request::get(format!("{WHOAMI}?access_token={}", bob.token))
        .header(header::AUTHORIZATION, bearer(&place.alice.token));
    for request in [both, mixed] {
        let answer = place
            .app
            .ask(request.body(Body::empty()).unwrap(), PEER)
            .await;
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert!([400, 401].contains(&answer.status().as_u16()), "{body}");
        assert!(body["user_id"].is_null(), "{body}");
    }
    place.expect_unchanged().await;
}

#[tokio::test(start_paused = true)]
async fn auth_023_a_password_is_not_changed_without_a_stage() {
    let place = Place::new().await;
    let path = "/_matrix/client/v3/account/password";
    let body = json!({"new_password": "another one"}).to_string();
    let (status, answer, _) = place
        .app
        .raw_from(PEER, ("POST", path), Some(&place.alice.token), body)
        .await;
    assert_eq!(status, 401);
    assert_eq!(answer["flows"][0]["stages"], json!(["m.login.password"]));
    assert!(answer["session"].is_string(), "{answer}");
    let old = json!({
        "type": "m.login.password", "password": "wordpass",
        "identifier": {"type": "m.id.user", "user": "alice"},
    });
    let sign_in = place.app.raw(("POST", LOGIN), None, old.to_string()).await;
    assert_eq!(sign_in, expect(200, ""));
    place.expect_unchanged().await;
}
