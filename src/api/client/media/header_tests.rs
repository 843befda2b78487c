//! Every endpoint that shows files, with every header that it must have.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use serde_json::Value;

use crate::fixture::{Files, Person, TestApp};

const PICTURE: &[u8] = include_bytes!("../../../../tests/data/media/halves_400x300.png");
const PEER: &str = "192.0.2.1:9";

/// What every answer with a file says.
const ALWAYS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
         style-src 'unsafe-inline'; object-src 'self';",
    ),
    ("cross-origin-resource-policy", "cross-origin"),
    ("x-content-type-options", "nosniff"),
    ("accept-ranges", "bytes"),
    ("cache-control", "private, max-age=86400, immutable"),
    ("access-control-allow-origin", "*"),
];

/// Every path that shows the picture, and whether it shows it smaller.
const PATHS: [(&str, bool); 8] = [
    ("/_matrix/client/v1/media/download/FILE", false),
    ("/_matrix/client/v1/media/download/FILE/name.png", false),
    (
        "/_matrix/client/v1/media/thumbnail/FILE?width=96&height=96",
        true,
    ),
    (
        "/_matrix/client/v1/media/thumbnail/FILE?width=96&height=96&method=crop&animated=true",
        true,
    ),
    ("/_matrix/media/v3/download/FILE", false),
    ("/_matrix/media/v3/download/FILE/name.png", false),
    ("/_matrix/media/r0/download/FILE", false),
    ("/_matrix/media/v3/thumbnail/FILE?width=96&height=96", true),
];

type Asked<'a> = &'a [(HeaderName, &'a str)];

async fn ask(
    app: &TestApp,
    (method, path): (Method, &str),
    person: &Person,
    headers: Asked<'_>,
    body: impl Into<Body>,
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header(header::AUTHORIZATION, format!("Bearer {}", person.token));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = app.ask(request.body(body.into()).unwrap(), PEER).await;
    let (head, body) = response.into_parts();
    (head.status, head.headers, body)
}

async fn upload(app: &TestApp, person: &Person, kind: &str, content: &[u8]) -> String {
    let path = (Method::POST, "/_matrix/media/v3/upload");
    let headers = [(header::CONTENT_TYPE, kind)];
    let (_, _, body) = ask(app, path, person, &headers, content.to_vec()).await;
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let uri = answer["content_uri"].as_str().unwrap();
    uri.strip_prefix("mxc://").unwrap().to_owned()
}

fn check_always(headers: &HeaderMap, what: &str) {
    for (name, value) in ALWAYS {
        assert_eq!(headers[name], value, "{name} of {what}");
    }
    assert!(!headers.contains_key(header::SET_COOKIE), "{what}");
}

async fn server() -> (TestApp, Person, String) {
    let app = TestApp::with_files(Files {
        without_token: true,
        ..Files::default()
    });
    let alice = app.person("alice").await;
    let file = upload(&app, &alice, "image/png", PICTURE).await;
    (app, alice, file)
}

#[tokio::test]
async fn every_path_shows_the_file_safely() {
    let (app, alice, file) = server().await;
    for (path, is_small) in PATHS {
        let path = path.replace("FILE", &file);
        let (status, headers, body) = ask(&app, (Method::GET, &path), &alice, &[], "").await;
        assert_eq!(status, 200, "{path}");
        check_always(&headers, &path);
        let (kind, shown) = if is_small {
            ("image/jpeg", "inline; filename=thumbnail.jpeg")
        } else if path.ends_with("name.png") {
            ("image/png", "inline; filename=name.png")
        } else {
            ("image/png", "inline")
        };
        assert_eq!(headers[header::CONTENT_TYPE], kind, "{path}");
        assert_eq!(headers[header::CONTENT_DISPOSITION], shown, "{path}");
        let length = body.len().to_string();
        assert_eq!(headers[header::CONTENT_LENGTH], length.as_str(), "{path}");
        assert_eq!(is_small, body != PICTURE, "{path}");
    }
}

#[tokio::test]
async fn the_head_alone_says_the_same() {
    let (app, alice, file) = server().await;
    for (path, _) in PATHS {
        let path = path.replace("FILE", &file);
        let (_, whole, _) = ask(&app, (Method::GET, &path), &alice, &[], "").await;
        let (status, headers, body) = ask(&app, (Method::HEAD, &path), &alice, &[], "").await;
        assert_eq!((status.as_u16(), body.len()), (200, 0), "{path}");
        check_always(&headers, &path);
        for name in [header::ETAG, header::CONTENT_LENGTH, header::CONTENT_TYPE] {
            assert_eq!(headers[&name], whole[&name], "{name} of {path}");
        }
    }
}

#[tokio::test]
async fn every_path_serves_parts_and_knows_what_the_client_has() {
    let (app, alice, file) = server().await;
    for (path, _) in PATHS {
        let path = path.replace("FILE", &file);
        let get =
            async |headers: Asked<'_>| ask(&app, (Method::GET, &path), &alice, headers, "").await;
        let (_, whole, content) = get(&[]).await;
        let etag = whole[header::ETAG].to_str().unwrap();
        let (bytes, last) = (content.len(), content.len() - 1);
        for (range, status, part, said) in [
            (
                "bytes=0-",
                206,
                &content[..],
                format!("bytes 0-{last}/{bytes}"),
            ),
            (
                "bytes=2-4",
                206,
                &content[2..5],
                format!("bytes 2-4/{bytes}"),
            ),
            (
                "bytes=-3",
                206,
                &content[bytes - 3..],
                format!("bytes {}-{last}/{bytes}", bytes - 3),
            ),
            ("bytes=0-0,5-6", 200, &content[..], String::new()),
            ("bytes=9999999-", 416, &[][..], format!("bytes */{bytes}")),
        ] {
            let (found, headers, body) = get(&[(header::RANGE, range)]).await;
            assert_eq!(
                (found.as_u16(), &body[..]),
                (status, part),
                "{range} of {path}"
            );
            let range_said = headers.get(header::CONTENT_RANGE);
            let range_said = range_said.map_or("", |value| value.to_str().unwrap());
            assert_eq!(range_said, said, "{range} of {path}");
            check_always(&headers, &path);
        }
        let stale = [
            (header::RANGE, "bytes=2-4"),
            (header::IF_RANGE, "\"other\""),
        ];
        assert_eq!(get(&stale).await.0, 200, "{path}");
        let fresh = [(header::RANGE, "bytes=2-4"), (header::IF_RANGE, etag)];
        assert_eq!(get(&fresh).await.0, 206, "{path}");
        let (status, headers, body) = get(&[(header::IF_NONE_MATCH, etag)]).await;
        assert_eq!((status.as_u16(), body.len()), (304, 0), "{path}");
        assert_eq!(headers[header::ETAG], etag);
        check_always(&headers, &path);
    }
}

#[tokio::test]
async fn only_types_that_no_browser_runs_are_shown() {
    let (app, alice, _) = server().await;
    for (kind, shown) in [
        ("image/jpeg", "inline"),
        ("IMAGE/PNG; x=y", "inline"),
        ("video/mp4", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        ("application/json", "inline"),
        ("text/html", "attachment"),
        ("application/xhtml+xml", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/xml", "attachment"),
        ("application/pdf", "attachment"),
        ("application/javascript", "attachment"),
        ("multipart/x-mixed-replace", "attachment"),
        ("image/png, text/html", "attachment"),
        ("nonsense", "attachment"),
    ] {
        let file = upload(&app, &alice, kind, b"<script>").await;
        let path = format!("/_matrix/client/v1/media/download/{file}");
        let (_, headers, _) = ask(&app, (Method::GET, &path), &alice, &[], "").await;
        assert_eq!(headers[header::CONTENT_DISPOSITION], shown, "{kind}");
        assert_eq!(headers[header::CONTENT_TYPE], kind);
        check_always(&headers, kind);
    }
}

#[tokio::test]
async fn a_picture_is_told_by_its_bytes_where_it_is_shown_as_one() {
    let (app, alice, _) = server().await;
    let file = upload(&app, &alice, "text/html", PICTURE).await;
    // No smaller than asked for, and larger than anything that is made.
    for size in ["width=800&height=600", "width=9999&height=9999"] {
        let path = format!("/_matrix/client/v1/media/thumbnail/{file}?{size}");
        let (status, headers, body) = ask(&app, (Method::GET, &path), &alice, &[], "").await;
        assert_eq!((status.as_u16(), &*body), (200, PICTURE), "{size}");
        assert_eq!(headers[header::CONTENT_TYPE], "image/png");
        assert_eq!(headers[header::CONTENT_DISPOSITION], "inline");
    }
    let page = upload(&app, &alice, "image/png", b"<html>").await;
    let path = format!("/_matrix/client/v1/media/thumbnail/{page}?width=9999&height=9999");
    let (status, _, _) = ask(&app, (Method::GET, &path), &alice, &[], "").await;
    assert_eq!(status, 400);
}
