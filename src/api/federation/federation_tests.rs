//! Requests of other servers through the router: who is believed, and what keys are told.

use std::sync::Arc;

use axum::body::Body;
use belfry_event::{KeyRing, PublicKey, SigningKey};
use belfry_room::{KeyWanted, Keys};
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Method, Request, header};
use ruma_common::{
    MilliSecondsSinceUnixEpoch, OwnedServerName, RoomId, ServerName, UserId, owned_server_name,
    server_name,
};
use serde_json::{Value, json};

use super::{Destination, Federation, Gateway, ask::WAITING_MAX};
use crate::fixture::TestApp;

const NOW_MS: u64 = 1_700_000_000_000;
const PROFILE: &str = "/_matrix/federation/v1/query/profile?user_id=%40alice%3Ahs1";
const PEER: &str = "192.0.2.1:9";

/// The keys of `b.example`: one that is good and one that was.
pub(super) struct KnownKeys;

fn key(seed: u8, version: &str) -> SigningKey {
    SigningKey::from_seed(&[seed; 32], version).unwrap()
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::new([*key(4, "leaked").public_key().as_bytes()]);
    let mut insert = |key: &SigningKey, until_ms: u64| {
        let until = MilliSecondsSinceUnixEpoch(js_int::UInt::new_saturating(until_ms));
        let server = owned_server_name!("b.example");
        ring.insert(server, key.key_id(), key.public_key().clone(), until)
    };
    insert(&key(2, "good"), NOW_MS + 1_000).unwrap();
    insert(&key(3, "old"), NOW_MS - 1_000).unwrap();
    insert(&key(4, "leaked"), NOW_MS + 1_000).unwrap_err();
    ring
}

impl Keys for KnownKeys {
    fn held<'a>(&'a self, _: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing> {
        Box::pin(std::future::ready(KeyRing::default()))
    }

    fn fetch<'a>(&'a self, wanted: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing> {
        assert!(
            wanted.iter().all(|one| one.server == "b.example"),
            "nobody else is asked"
        );
        Box::pin(std::future::ready(ring()))
    }
}

impl Gateway for KnownKeys {
    fn heard_of(&self, _: &ServerName) {}

    fn destinations(&self) -> Vec<(OwnedServerName, Destination)> {
        Vec::new()
    }

    fn tell_room(&self, _: &RoomId, _: String, _: String) {}

    fn tell_neighbours(&self, _: &UserId, _: String, _: String) {}

    fn own(&self) -> Option<String> {
        Some(r#"{"server_name":"hs1"}"#.to_owned())
    }

    fn notarise(&self, wanted: Vec<(OwnedServerName, u64)>) -> BoxFuture<'_, Vec<String>> {
        let each = wanted.iter();
        let each = each.map(|(server, ms)| json!({"server_name": server, "ms": ms}).to_string());
        Box::pin(std::future::ready(each.collect()))
    }
}

/// A server that `@alice:hs1` is on.
async fn server() -> TestApp {
    let keys = Arc::new(KnownKeys);
    let federation = Federation::on(owned_server_name!("hs1"), keys.clone(), keys);
    let app = TestApp::federated(federation);
    app.person("alice").await;
    app
}

/// A request as it is signed, and as it is sent.
pub(super) struct Sent {
    method: Method,
    path: String,
    body: Option<Value>,
    origin: String,
    key: SigningKey,
    destination: Option<&'static str>,
}

impl Sent {
    pub(super) fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            body: None,
            origin: "b.example".to_owned(),
            key: key(2, "good"),
            destination: Some("hs1"),
        }
    }

    pub(super) fn header(&self) -> String {
        let mut signed = json!({
            "method": self.method.as_str(), "uri": self.path, "origin": self.origin,
        });
        if let Some(destination) = self.destination {
            signed["destination"] = json!(destination);
        }
        if let Some(body) = &self.body {
            signed["content"] = body.clone();
        }
        let signature = self.key.json_signature(signed.to_string().as_bytes());
        let destination = self
            .destination
            .map(|name| format!(",destination=\"{name}\""));
        format!(
            "X-Matrix origin=\"{}\"{},key=\"{}\",sig=\"{}\"",
            self.origin,
            destination.unwrap_or_default(),
            self.key.key_id(),
            signature.unwrap(),
        )
    }

    async fn send(&self, app: &TestApp) -> (u16, String) {
        self.send_with(app, &[&self.header()]).await
    }

    async fn send_with(&self, app: &TestApp, headers: &[&str]) -> (u16, String) {
        let mut request = Request::builder().method(&self.method).uri(&self.path);
        for value in headers {
            request = request.header(header::AUTHORIZATION, *value);
        }
        let body = self
            .body
            .as_ref()
            .map_or(Body::empty(), |body| body.to_string().into());
        let response = app.ask(request.body(body).unwrap(), PEER).await;
        let json: Value = serde_json::from_slice(response.body()).unwrap();
        let errcode = json["errcode"].as_str().unwrap_or_default();
        (response.status().as_u16(), errcode.to_owned())
    }
}

fn unauthorised() -> (u16, String) {
    (401, "M_UNAUTHORIZED".to_owned())
}

fn fine() -> (u16, String) {
    (200, String::new())
}

#[tokio::test(start_paused = true)]
async fn a_signed_request_is_answered() {
    let app = server().await;
    assert_eq!(Sent::get(PROFILE).send(&app).await, fine());
    let old = Sent {
        destination: None,
        ..Sent::get(PROFILE)
    };
    assert_eq!(old.send(&app).await, fine(), "servers of before v1.3");
}

#[tokio::test(start_paused = true)]
async fn fauth_001_a_request_without_a_signature_is_refused() {
    let app = server().await;
    let request = Sent::get(PROFILE);
    assert_eq!(request.send_with(&app, &[]).await, unauthorised());
    assert_eq!(request.send_with(&app, &["Bearer x"]).await, unauthorised());
}

#[tokio::test(start_paused = true)]
async fn fauth_003_a_signature_is_good_for_one_request_only() {
    let app = server().await;
    let header = Sent::get(PROFILE).header();
    let other = format!("{PROFILE}&field=displayname");
    assert_eq!(
        Sent::get(&other).send_with(&app, &[&header]).await,
        unauthorised()
    );
    let moved = Sent::get("/_matrix/federation/v1/query/directory?room_alias=%23a%3Ahs1");
    assert_eq!(moved.send_with(&app, &[&header]).await, unauthorised());
    let elsewhere = Sent {
        destination: Some("hs2"),
        ..Sent::get(PROFILE)
    };
    assert_eq!(elsewhere.send(&app).await, unauthorised());
}

#[tokio::test(start_paused = true)]
async fn fauth_004_a_signature_that_is_none_is_refused() {
    let app = server().await;
    let request = Sent::get(PROFILE);
    let header = request.header();
    let (start, signature) = header.split_once("sig=\"").unwrap();
    let signature = signature.trim_end_matches('"');
    let short = signature.split_at(signature.len() - 4).0;
    for wrong in [
        short.to_owned(),
        format!("{signature}AAAA"),
        "%%%".to_owned(),
        String::new(),
        signature.replace(['+', '/'], "-"),
        "-".repeat(86),
    ] {
        let header = format!("{start}sig=\"{wrong}\"");
        let sent = request.send_with(&app, &[&header]).await;
        let same = wrong == signature;
        assert!(same || sent == unauthorised(), "{wrong}: {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fauth_005_a_key_id_that_is_none_is_refused() {
    let app = server().await;
    let request = Sent::get(PROFILE);
    let long = format!("ed25519:{}", "a".repeat(10_000));
    for id in ["rsa:1", "ed25519:", "ed25519", "", &long] {
        let header = request.header().replace("ed25519:good", id);
        let sent = request.send_with(&app, &[&header]).await;
        assert_eq!(sent, unauthorised(), "{id:.20}");
    }
}

#[tokio::test(start_paused = true)]
async fn fauth_006_an_origin_that_is_no_server_name_is_refused_and_not_looked_up() {
    let app = server().await;
    for origin in ["b.example:0", "b.example:99999", "a/../b", "", "hs1"] {
        let request = Sent {
            origin: origin.to_owned(),
            ..Sent::get(PROFILE)
        };
        assert_eq!(request.send(&app).await, unauthorised(), "{origin}");
    }
}

#[tokio::test(start_paused = true)]
async fn fauth_007_of_two_signatures_both_must_be_right() {
    let app = server().await;
    let request = Sent::get(PROFILE);
    let good = request.header();
    let bad = Sent::get("/other").header();
    for headers in [[&*good, &*bad], [&*bad, &*good]] {
        let sent = request.send_with(&app, &headers).await;
        assert_eq!(sent, unauthorised());
    }
    let other = good.replace("b.example", "c.example");
    assert_eq!(
        request.send_with(&app, &[&good, &other]).await,
        unauthorised()
    );
}

#[tokio::test(start_paused = true)]
async fn fauth_008_other_spellings_of_the_header_are_read() {
    let app = server().await;
    let request = Sent::get(PROFILE);
    let header = request.header();
    let unquoted = header.replace("origin=\"b.example\"", "origin=b.example");
    let unquoted = unquoted.replace("key=\"ed25519:good\"", "KEY=ed25519:good");
    assert_eq!(request.send_with(&app, &[&unquoted]).await, fine());
    let escaped = header.replace("b.example", "b\\.exa\\mple");
    assert_eq!(request.send_with(&app, &[&escaped]).await, fine());
}

#[tokio::test(start_paused = true)]
async fn fauth_010_a_key_that_has_expired_signs_no_requests() {
    let app = server().await;
    let request = Sent {
        key: key(3, "old"),
        ..Sent::get(PROFILE)
    };
    assert_eq!(request.send(&app).await, unauthorised());
}

#[tokio::test(start_paused = true)]
async fn fauth_011_a_key_that_is_known_to_have_leaked_signs_nothing() {
    let app = server().await;
    let request = Sent {
        key: key(4, "leaked"),
        ..Sent::get(PROFILE)
    };
    assert_eq!(request.send(&app).await, unauthorised());
}

#[tokio::test(start_paused = true)]
async fn fauth_012_a_key_of_small_order_is_no_key() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    PublicKey::from_bytes(&neutral).unwrap_err();
    let app = server().await;
    let request = Sent::get(PROFILE);
    let header = request.header();
    let (start, _) = header.split_once("sig=\"").unwrap();
    // What verifies under such a key if it is not looked at: R the neutral element, S zero.
    let crafted = format!("{start}sig=\"AQ{}\"", "A".repeat(84));
    assert_eq!(request.send_with(&app, &[&crafted]).await, unauthorised());
}

#[tokio::test(start_paused = true)]
async fn txn_012_one_server_does_not_take_all_turns() {
    let app = server().await;
    let turns = super::ask::Turns::default();
    let (greedy, other) = (server_name!("b.example"), server_name!("c.example"));
    let mut running = Vec::new();
    for _ in 0..super::ask::RUNNING_MAX {
        running.push(turns.take(greedy).await.unwrap());
    }
    let waiting: Vec<_> = (super::ask::RUNNING_MAX..WAITING_MAX)
        .map(|_| Box::pin(turns.take(greedy)))
        .collect();
    let mut all = futures_util::future::join_all(waiting);
    assert!((&mut all).now_or_never().is_none(), "they wait");
    turns.take(greedy).await.unwrap_err();
    turns.take(other).await.unwrap();
    drop(running);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fetch_011_profiles_of_others_users_are_not_ours_to_tell() {
    let app = server().await;
    let path = "/_matrix/federation/v1/query/profile?user_id=%40x%3Athird.example";
    let sent = Sent::get(path).send(&app).await;
    assert_eq!(sent, (400, "M_INVALID_PARAM".to_owned()));
    let path = "/_matrix/federation/v1/query/profile?user_id=%40nobody%3Ahs1";
    let sent = Sent::get(path).send(&app).await;
    assert_eq!(sent, (404, "M_NOT_FOUND".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn fetch_013_a_query_of_an_unknown_kind_is_unrecognized() {
    let app = server().await;
    let sent = Sent::get("/_matrix/federation/v1/query/anything")
        .send(&app)
        .await;
    assert_eq!(sent, (404, "M_UNRECOGNIZED".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn keys_are_given_to_whoever_asks() {
    let app = server().await;
    let get = |path: &'static str| async {
        let app = &app;
        let (status, json, _) = app.raw_from(PEER, ("GET", path), None, "").await;
        (status.as_u16(), json)
    };
    let (status, json) = get("/_matrix/key/v2/server").await;
    assert_eq!((status, &json["server_name"]), (200, &json!("hs1")));
    let (_, json) = get("/_matrix/key/v2/query/b.example?minimum_valid_until_ts=7").await;
    assert_eq!(
        json["server_keys"],
        json!([{"server_name": "b.example", "ms": 7}])
    );
    assert_eq!(get("/_matrix/key/v2/query/b.example:0").await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn the_version_is_told_to_whoever_asks() {
    let path = "/_matrix/federation/v1/version";
    let (status, told, _) = server().await.raw_from(PEER, ("GET", path), None, "").await;
    assert_eq!(status, 200);
    let expected = json!({"name": "Belfry", "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(told, json!({"server": expected}));
}

#[tokio::test(start_paused = true)]
async fn keys_006_a_question_about_many_servers_is_refused() {
    let app = server().await;
    let many: serde_json::Map<_, _> = (0..10_000)
        .map(|number| (format!("s{number}.example"), json!({})))
        .collect();
    let endpoint = ("POST", "/_matrix/key/v2/query");
    let body = json!({"server_keys": many}).to_string();
    assert_eq!(
        app.raw(endpoint, None, body).await,
        (413, "M_TOO_LARGE".to_owned())
    );
    let body = json!({"server_keys": {"b.example": {"ed25519:a": {"minimum_valid_until_ts": 5}}}});
    let (status, json, _) = app.raw_from(PEER, endpoint, None, body.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(json["server_keys"][0]["ms"], 5);
}

#[tokio::test(start_paused = true)]
async fn where_federation_is_off_there_are_no_such_endpoints() {
    let app = TestApp::new();
    let sent = Sent::get(PROFILE).send(&app).await;
    assert_eq!(sent, (404, "M_UNRECOGNIZED".to_owned()));
    let sent = app.raw(("GET", "/_matrix/key/v2/server"), None, "").await;
    assert_eq!(sent, (404, "M_UNRECOGNIZED".to_owned()));
}
