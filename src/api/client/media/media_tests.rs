//! Files through the router: what comes back is what was sent, to whom, how it may be shown.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;

use crate::fixture::{Person, TestApp, expect};

const PICTURE: &[u8] = include_bytes!("../../../../tests/data/media/halves_400x300.png");
const BOMB: &[u8] = include_bytes!("../../../../tests/data/media/bomb_30000x30000.png");
const UPLOAD: &str = "/_matrix/media/v3/upload";
const CREATE: &str = "/_matrix/media/v1/create";
const PEER: &str = "192.0.2.1:9";

/// A request with these headers.
async fn ask(
    app: &TestApp,
    (method, path): (&str, &str),
    person: Option<&Person>,
    headers: &[(header::HeaderName, &str)],
    body: impl Into<Body>,
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(person) = person {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", person.token));
    }
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = app.ask(request.body(body.into()).unwrap(), PEER).await;
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body)
}

/// The path of a file behind `/download/` and so on.
async fn upload(app: &TestApp, person: &Person, kind: &str, content: &[u8]) -> String {
    upload_to(app, person, UPLOAD, kind, content).await
}

async fn upload_to(
    app: &TestApp,
    person: &Person,
    path: &str,
    kind: &str,
    content: &[u8],
) -> String {
    let headers = [(header::CONTENT_TYPE, kind)];
    let (method, content) = ("POST", content.to_vec());
    let (status, _, body) = ask(app, (method, path), Some(person), &headers, content).await;
    assert_eq!(status, 200, "{body:?}");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let uri = answer["content_uri"].as_str().unwrap();
    uri.strip_prefix("mxc://").unwrap().to_owned()
}

async fn get(app: &TestApp, person: &Person, path: &str) -> (StatusCode, HeaderMap, Bytes) {
    ask(app, ("GET", path), Some(person), &[], "").await
}

fn download(file: &str) -> String {
    format!("/_matrix/client/v1/media/download/{file}")
}

fn thumbnail(file: &str, query: &str) -> String {
    format!("/_matrix/client/v1/media/thumbnail/{file}?{query}")
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn what_was_uploaded_comes_back_to_who_has_a_token() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let file = upload_to(
        &app,
        &alice,
        &format!("{UPLOAD}?filename=Pr%C3%A4fektur.png"),
        "image/png",
        PICTURE,
    )
    .await;
    let (status, headers, body) = get(&app, &bob, &download(&file)).await;
    assert_eq!((status, &*body), (StatusCode::OK, PICTURE));
    assert_eq!(text(&headers, header::CONTENT_TYPE), "image/png");
    assert_eq!(
        text(&headers, header::CONTENT_DISPOSITION),
        "inline; filename*=utf-8''Pr%C3%A4fektur.png"
    );
    let policy = text(&headers, header::CONTENT_SECURITY_POLICY);
    assert!(policy.starts_with("sandbox; default-src 'none'; script-src 'none'"));
    assert_eq!(text(&headers, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(text(&headers, header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    let (_, headers, _) = get(&app, &bob, &format!("{}/other.png", download(&file))).await;
    let disposition = text(&headers, header::CONTENT_DISPOSITION);
    assert_eq!(disposition, "inline; filename=other.png");
    let without = app.raw(("GET", &download(&file)), None, "").await;
    assert_eq!(without, expect(401, "M_MISSING_TOKEN"));
    let (status, _, _) = ask(&app, ("HEAD", &download(&file)), Some(&bob), &[], "").await;
    assert_eq!(status, 200);
}

/// MEDIA-013 and what the spec calls the freeze.
#[tokio::test]
async fn without_a_token_there_is_nothing() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let file = upload(&app, &alice, "image/png", PICTURE).await;
    for path in [
        format!("/_matrix/media/v3/download/{file}"),
        format!("/_matrix/media/r0/download/{file}/x.png"),
        format!("/_matrix/media/v3/thumbnail/{file}?width=1&height=1"),
        "/_matrix/media/v3/download/elsewhere.example/abc".to_owned(),
    ] {
        let refused = app.raw(("GET", &path), None, "").await;
        assert_eq!(refused, expect(404, "M_NOT_FOUND"), "{path}");
    }
}

/// MEDIA-003, MEDIA-004
#[tokio::test]
async fn what_could_run_as_a_script_is_saved_not_shown() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    for kind in ["image/svg+xml", "text/html; charset=utf-8", "TEXT/HTML", ""] {
        let file = upload(&app, &alice, kind, svg.as_bytes()).await;
        let (_, headers, _) = get(&app, &alice, &download(&file)).await;
        let disposition = text(&headers, header::CONTENT_DISPOSITION);
        assert_eq!(disposition, "attachment", "{kind}");
        let policy = text(&headers, header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("sandbox;"), "{kind}");
        assert_eq!(text(&headers, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    }
}

/// MEDIA-006
#[tokio::test]
async fn names_of_files_break_no_header_and_no_path() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let long = "n".repeat(5_000);
    for (given, kept) in [
        ("a%0d%0aSet-Cookie:x", "\"aSet-Cookie:x\""),
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("x%E2%80%AEgpj.exe", "xgpj.exe"),
        (&long, &"n".repeat(255)),
    ] {
        let path = format!("{UPLOAD}?filename={given}");
        let file = upload_to(&app, &alice, &path, "text/plain", b"x").await;
        let (_, headers, _) = get(&app, &alice, &download(&file)).await;
        let disposition = text(&headers, header::CONTENT_DISPOSITION);
        assert_eq!(disposition, format!("inline; filename={kept}"));
        assert!(!headers.contains_key(header::SET_COOKIE));
    }
}

/// MEDIA-008, MEDIA-009
#[tokio::test]
async fn addresses_that_are_none_of_files_are_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    for (path, expected) in [
        ("hs1/..%2F..%2Fx", expect(404, "M_NOT_FOUND")),
        ("hs1/%2e%2e", expect(404, "M_NOT_FOUND")),
        ("hs1/..%5Cx", expect(404, "M_NOT_FOUND")),
        ("127.0.0.1:6379/x", expect(404, "M_NOT_FOUND")),
        ("%5B::1%5D/x", expect(404, "M_NOT_FOUND")),
        ("169.254.169.254/x", expect(404, "M_NOT_FOUND")),
        ("a%20b/x", expect(400, "M_INVALID_PARAM")),
    ] {
        let token = Some(alice.token.as_str());
        let refused = app.raw(("GET", &download(path)), token, "").await;
        assert_eq!(refused, expected, "{path}");
    }
}

#[tokio::test]
async fn parts_are_served_and_what_is_known_is_not_sent_again() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let file = download(&upload(&app, &alice, "text/plain", b"0123456789").await);
    let part = async |headers: &[(header::HeaderName, &str)]| {
        ask(&app, ("GET", &file), Some(&alice), headers, "").await
    };
    let (status, headers, body) = part(&[(header::RANGE, "bytes=2-4")]).await;
    assert_eq!((status.as_u16(), &*body), (206, &b"234"[..]));
    assert_eq!(text(&headers, header::CONTENT_RANGE), "bytes 2-4/10");
    assert_eq!(text(&headers, header::CONTENT_LENGTH), "3");
    let (status, headers, body) = part(&[(header::RANGE, "bytes=10-")]).await;
    assert_eq!((status.as_u16(), body.len()), (416, 0));
    assert_eq!(text(&headers, header::CONTENT_RANGE), "bytes */10");
    let (_, headers, _) = part(&[]).await;
    let etag = text(&headers, header::ETAG).to_owned();
    let (status, _, body) = part(&[(header::IF_NONE_MATCH, &etag)]).await;
    assert_eq!((status.as_u16(), body.len()), (304, 0));
}

#[tokio::test]
async fn thumbnails_are_made_in_a_few_sizes() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let file = upload(&app, &alice, "image/png", PICTURE).await;
    let small = thumbnail(&file, "width=90&height=90&method=crop");
    let (status, headers, first) = get(&app, &alice, &small).await;
    assert_eq!(status, 200);
    assert_eq!(text(&headers, header::CONTENT_TYPE), "image/jpeg");
    assert!(first.starts_with(b"\xff\xd8"));
    // The same again, and any size that the same picture serves.
    let (_, _, again) = get(&app, &alice, &small).await;
    assert_eq!(again, first);
    let near = thumbnail(&file, "width=70&height=40&method=crop");
    assert_eq!(get(&app, &alice, &near).await.2, first);
    // Nothing is scaled up.
    let large = thumbnail(&file, "width=800&height=600");
    assert_eq!(get(&app, &alice, &large).await.2, PICTURE);
}

/// MEDIA-019, and sizes that are none.
#[tokio::test]
async fn thumbnails_of_no_known_kind_are_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let file = upload(&app, &alice, "image/png", PICTURE).await;
    for query in [
        "width=9&height=9&method=x",
        "width=0&height=9",
        "width=9",
        "width=-1&height=9",
        "width=99999999999&height=9",
        "width=9&height=9&timeout_ms=x",
    ] {
        let token = Some(alice.token.as_str());
        let refused = app.raw(("GET", &thumbnail(&file, query)), token, "").await;
        assert_eq!(refused, expect(400, "M_INVALID_PARAM"), "{query}");
    }
}

/// MEDIA-015, MEDIA-017
#[tokio::test]
async fn hostile_pictures_have_no_thumbnails_and_can_be_downloaded() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let svg: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg'/>";
    for (content, expected) in [
        (BOMB, expect(413, "M_TOO_LARGE")),
        (svg, expect(400, "M_UNKNOWN")),
    ] {
        let file = upload(&app, &alice, "image/png", content).await;
        let token = Some(alice.token.as_str());
        let path = thumbnail(&file, "width=9&height=9");
        assert_eq!(app.raw(("GET", &path), token, "").await, expected);
        assert_eq!(get(&app, &alice, &download(&file)).await.2, content);
    }
}

/// A reserved URI without `mxc://`.
async fn reserve(app: &TestApp, person: &Person) -> String {
    let endpoint = ("POST", CREATE);
    let (status, json, _) = app.raw_from(PEER, endpoint, Some(&person.token), "").await;
    assert_eq!(status, 200, "{json}");
    assert!(json["unused_expires_at"].as_u64().unwrap() > 1_700_000_000_000);
    let uri = json["content_uri"].as_str().unwrap();
    uri.strip_prefix("mxc://").unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_reserved_file_is_uploaded_once_by_who_reserved_it() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let file = reserve(&app, &alice).await;
    let put = format!("{UPLOAD}/{file}");
    let status = async |person: &Person, body: &'static str| {
        let token = Some(person.token.as_str());
        app.raw(("PUT", &put), token, body).await
    };
    assert_eq!(status(&bob, "x").await, expect(403, "M_FORBIDDEN"));
    let early = format!("{}?timeout_ms=5", download(&file));
    let token = Some(bob.token.as_str());
    let early = app.raw(("GET", &early), token, "").await;
    assert_eq!(early, expect(504, "M_NOT_YET_UPLOADED"));
    assert_eq!(status(&alice, "x").await, expect(200, ""));
    let twice = status(&alice, "y").await;
    assert_eq!(twice, expect(409, "M_CANNOT_OVERWRITE_MEDIA"));
    assert_eq!(get(&app, &bob, &download(&file)).await.2, "x");
    let other = format!("{UPLOAD}/hs2/abc");
    let other = app.raw(("PUT", &other), Some(&alice.token), "x").await;
    assert_eq!(other, expect(403, "M_FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn who_asks_early_is_answered_when_the_file_comes() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let file = reserve(&app, &alice).await;
    let early = async { get(&app, &bob, &download(&file)).await.2 };
    let late = async {
        app.env.clock.sleep(Duration::from_secs(10)).await;
        let put = format!("{UPLOAD}/{file}");
        let token = Some(alice.token.as_str());
        app.raw(("PUT", &put), token, "at last").await
    };
    let (early, late) = futures_util::future::join(early, late).await;
    assert_eq!((&*early, late), (&b"at last"[..], expect(200, "")));
}

/// MEDIA-020
#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_minute() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let file = reserve(&app, &alice).await;
    let begun = app.env.clock.now();
    let path = format!("{}?timeout_ms=1000000000000", download(&file));
    let token = Some(alice.token.as_str());
    let late = app.raw(("GET", &path), token, "").await;
    assert_eq!(late, expect(504, "M_NOT_YET_UPLOADED"));
    let waited = app.env.clock.now().since(begun);
    assert_eq!(waited.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_ends_after_a_day() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let file = reserve(&app, &alice).await;
    app.env.clock.sleep(Duration::from_hours(24)).await;
    let bob = app.person("bob").await;
    let read = app
        .raw(("GET", &download(&file)), Some(&bob.token), "")
        .await;
    assert_eq!(read, expect(404, "M_NOT_FOUND"));
    let put = format!("{UPLOAD}/{file}");
    let late = app.raw(("PUT", &put), Some(&bob.token), "x").await;
    assert_eq!(late, expect(403, "M_FORBIDDEN"));
}

/// MEDIA-023
#[tokio::test]
async fn reservations_are_limited() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let mut refused = 0;
    for _ in 0..200 {
        let token = Some(alice.token.as_str());
        let answer = app.raw(("POST", CREATE), token, "").await;
        if answer == expect(429, "M_LIMIT_EXCEEDED") {
            refused += 1;
        } else {
            assert_eq!(answer, expect(200, ""));
        }
    }
    assert_eq!(refused, 150);
}

/// MEDIA-025, and the limit of one file. The fixture sets 1 MiB for it, 4 MiB for a user and 6 MiB
/// for all.
#[tokio::test]
async fn uploads_end_at_the_limits() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let endless = futures_util::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4_096]))
    });
    let token = Some(alice.token.as_str());
    let body = Body::from_stream(endless);
    let refused = app.raw(("POST", UPLOAD), token, body).await;
    assert_eq!(refused, expect(413, "M_TOO_LARGE"));
    for number in 0..4_u8 {
        upload(&app, &alice, "", &vec![number; 1 << 20]).await;
    }
    let more = async |person: &Person| {
        let token = Some(person.token.as_str());
        let (status, json, _) = app
            .raw_from(PEER, ("POST", UPLOAD), token, "one more")
            .await;
        (status.as_u16(), json)
    };
    let (status, refused) = more(&alice).await;
    assert_eq!(
        (status, &refused["errcode"]),
        (403, &"M_USER_LIMIT_EXCEEDED".into())
    );
    assert_eq!(refused["info_uri"], "https://hs1/help");
    for number in 4..6_u8 {
        upload(&app, &bob, "", &vec![number; 1 << 20]).await;
    }
    let (status, refused) = more(&bob).await;
    let expected = (403, &"M_RESOURCE_LIMIT_EXCEEDED".into());
    assert_eq!((status, &refused["errcode"]), expected);
    assert_eq!(refused["admin_contact"], "mailto:help@hs1");
}

/// Both find room when they begin; the limit is kept where their files become visible.
#[tokio::test]
async fn who_uploads_at_once_does_not_pass_the_limits() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let status = async |person: &Person, number: u8| {
        let token = Some(person.token.as_str());
        // No length is announced.
        let piece = Bytes::from(vec![number; 1 << 20]);
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(piece)]);
        let body = Body::from_stream(pieces);
        app.raw(("POST", UPLOAD), token, body).await.0
    };
    let all = (0..12).map(|number| {
        let person = if number % 2 == 0 { &alice } else { &bob };
        status(person, number)
    });
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.iter().filter(|status| **status == 200).count(), 6);
    assert_eq!(all.iter().filter(|status| **status == 403).count(), 6);
}

#[tokio::test(start_paused = true)]
async fn uploads_are_limited_in_their_number() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let token = Some(alice.token.as_str());
    let mut refused = 0;
    for _ in 0..120 {
        let answer = app.raw(("POST", UPLOAD), token, "x").await;
        refused += usize::from(answer == expect(429, "M_LIMIT_EXCEEDED"));
    }
    assert_eq!(refused, 20);
}

/// MEDIA-002. What broke off would fill the quota if it counted.
#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    for _ in 0..10 {
        let pieces = [
            Ok(Bytes::from(vec![b'x'; 900_000])),
            Err(std::io::Error::other("the connection is cut")),
        ];
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let token = Some(alice.token.as_str());
        let refused = app.raw(("POST", UPLOAD), token, body).await;
        assert_eq!(refused, expect(400, "M_UNKNOWN"));
    }
    for number in 0..4_u8 {
        upload(&app, &alice, "", &vec![number; 1 << 20]).await;
    }
}

#[tokio::test]
async fn the_limit_is_told_before() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    for path in [
        "/_matrix/client/v1/media/config",
        "/_matrix/media/v3/config",
    ] {
        let (_, _, body) = get(&app, &alice, path).await;
        assert_eq!(body, "{\"m.upload.size\":1048576}");
        let refused = app.raw(("GET", path), None, "").await;
        assert_eq!(refused, expect(401, "M_MISSING_TOKEN"));
    }
}
