//! Files that other servers fetch: signed, whole, in two parts, and this server's own only.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use ruma_common::owned_server_name;
use serde_json::Value;

use super::{
    Federation,
    federation_tests::{KnownKeys, Sent},
};
use crate::fixture::{Person, TestApp};

const PICTURE: &[u8] = include_bytes!("../../../tests/data/media/halves_400x300.png");
const PEER: &str = "192.0.2.1:9";

fn server() -> TestApp {
    let keys = Arc::new(KnownKeys);
    let federation = Federation::on(owned_server_name!("hs1"), keys.clone(), keys);
    TestApp::federated(federation)
}

/// The media ID of what the person uploads.
async fn upload(app: &TestApp, person: &Person, kind: &str, content: &'static [u8]) -> String {
    let request = Request::post("/_matrix/media/v3/upload?filename=%C3%A9.png")
        .header(header::AUTHORIZATION, format!("Bearer {}", person.token))
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(content))
        .unwrap();
    let response = app.ask(request, PEER).await;
    let answer: Value = serde_json::from_slice(response.body()).unwrap();
    let uri = answer["content_uri"].as_str().unwrap();
    uri.strip_prefix("mxc://hs1/").unwrap().to_owned()
}

async fn get(app: &TestApp, path: &str, header: Option<String>) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::get(path);
    if let Some(header) = header {
        request = request.header(header::AUTHORIZATION, header);
    }
    let response = app.ask(request.body(Body::empty()).unwrap(), PEER).await;
    let (head, body) = response.into_parts();
    (head.status, head.headers, body)
}

async fn signed(app: &TestApp, path: &str) -> (StatusCode, HeaderMap, Bytes) {
    let path = format!("/_matrix/federation/v1/media/{path}");
    get(app, &path, Some(Sent::get(&path).header())).await
}

fn errcode(body: &Bytes) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["errcode"].as_str().unwrap().to_owned()
}

/// The two parts: heads and contents.
fn parts(headers: &HeaderMap, body: &Bytes) -> [(String, Vec<u8>); 2] {
    let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/mixed; boundary=").unwrap();
    let length = headers[header::CONTENT_LENGTH].to_str().unwrap();
    assert_eq!(length, body.len().to_string());
    let find = |text: &[u8], what: &str| {
        let what = what.as_bytes();
        text.windows(what.len())
            .position(|part| part == what)
            .unwrap()
    };
    let (start, middle) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}\r\n"));
    let end = format!("\r\n--{boundary}--\r\n");
    assert!(body.starts_with(start.as_bytes()) && body.ends_with(end.as_bytes()));
    let inner = &body[start.len()..body.len() - end.len()];
    let cut = find(inner, &middle);
    [&inner[..cut], &inner[cut + middle.len()..]].map(|part| {
        let head = find(part, "\r\n\r\n");
        let text = String::from_utf8(part[..head].to_vec()).unwrap();
        (text, part[head + 4..].to_vec())
    })
}

#[tokio::test]
async fn a_file_comes_in_two_parts() {
    let app = server();
    let alice = app.person("alice").await;
    let id = upload(&app, &alice, "image/png", PICTURE).await;
    let (status, headers, body) = signed(&app, &format!("download/{id}")).await;
    assert_eq!(status, 200);
    let [(first, json), (second, content)] = parts(&headers, &body);
    assert_eq!(
        (&*first, &*json),
        ("Content-Type: application/json", &b"{}"[..])
    );
    assert_eq!(
        second,
        "Content-Type: image/png\r\nContent-Disposition: inline; filename*=utf-8''%C3%A9.png"
    );
    assert_eq!(content, PICTURE);
}

#[tokio::test]
async fn what_could_run_as_a_script_says_so_to_other_servers_too() {
    let app = server();
    let alice = app.person("alice").await;
    let id = upload(&app, &alice, "text/html", b"<script>").await;
    let (_, headers, body) = signed(&app, &format!("download/{id}")).await;
    let [_, (head, _)] = parts(&headers, &body);
    assert!(head.contains("Content-Disposition: attachment"), "{head}");
}

#[tokio::test]
async fn a_thumbnail_comes_in_two_parts() {
    let app = server();
    let alice = app.person("alice").await;
    let id = upload(&app, &alice, "image/png", PICTURE).await;
    let path = format!("thumbnail/{id}?width=96&height=96&method=crop&animated=false");
    let (status, headers, body) = signed(&app, &path).await;
    assert_eq!(status, 200);
    let [_, (head, content)] = parts(&headers, &body);
    assert_eq!(
        head,
        "Content-Type: image/jpeg\r\nContent-Disposition: inline; filename=thumbnail.jpeg"
    );
    assert!(content.starts_with(b"\xff\xd8"));
}

/// MEDIA-028
#[tokio::test]
async fn who_does_not_sign_gets_nothing() {
    let app = server();
    let alice = app.person("alice").await;
    let id = upload(&app, &alice, "image/png", PICTURE).await;
    for path in [
        format!("/_matrix/federation/v1/media/download/{id}"),
        format!("/_matrix/federation/v1/media/thumbnail/{id}?width=9&height=9"),
    ] {
        for header in [
            None,
            Some(format!("Bearer {}", alice.token)),
            Some("x".to_owned()),
        ] {
            let (status, _, body) = get(&app, &path, header).await;
            assert_eq!((status.as_u16(), &*errcode(&body)), (401, "M_UNAUTHORIZED"));
        }
        let other = Sent::get("/_matrix/federation/v1/media/download/other").header();
        let (status, _, body) = get(&app, &path, Some(other)).await;
        assert_eq!((status.as_u16(), &*errcode(&body)), (401, "M_UNAUTHORIZED"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_and_what_makes_no_sense_is_told() {
    let app = server();
    let alice = app.person("alice").await;
    let text = upload(&app, &alice, "text/plain", b"no picture").await;
    let small = |query: &str| format!("thumbnail/{text}?{query}");
    for (path, status, code) in [
        ("download/none".to_owned(), 404, "M_NOT_FOUND"),
        ("download/..%2Fx".to_owned(), 404, "M_NOT_FOUND"),
        (
            "download/none?timeout_ms=x".to_owned(),
            400,
            "M_INVALID_PARAM",
        ),
        (small("width=9&height=9"), 400, "M_UNKNOWN"),
        (small("width=9"), 400, "M_INVALID_PARAM"),
        (small("width=-9&height=9"), 400, "M_INVALID_PARAM"),
        (small("width=9&height=9&animated=7"), 400, "M_INVALID_PARAM"),
    ] {
        let (found, _, body) = signed(&app, &path).await;
        assert_eq!((found.as_u16(), &*errcode(&body)), (status, code), "{path}");
    }
    let created = Request::post("/_matrix/media/v1/create")
        .header(header::AUTHORIZATION, format!("Bearer {}", alice.token));
    let response = app.ask(created.body(Body::empty()).unwrap(), PEER).await;
    let answer: Value = serde_json::from_slice(response.body()).unwrap();
    let uri = answer["content_uri"].as_str().unwrap();
    let id = uri.strip_prefix("mxc://hs1/").unwrap();
    let early = signed(&app, &format!("download/{id}?timeout_ms=5")).await;
    assert_eq!(
        (early.0.as_u16(), &*errcode(&early.2)),
        (504, "M_NOT_YET_UPLOADED")
    );
}
