//! Other servers' files and previews of pages through the router: who may have them fetched, and
//! what is said if they do not come.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use belfry_blob::{Blob, BlobError, BlobId, Blobs, BoxFuture, MemoryBlobs, Stored, Upload};
use belfry_media::{
    Delivery, FromOrigin, Origin, OriginError, Page, Pieces, Ports, PreviewOptions, Web, WebAnswer,
    WebError, WebLimits,
};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;

use crate::fixture::{Files, Person, TestApp, expect};

const PICTURE: &[u8] = include_bytes!("../../../../tests/data/media/halves_400x300.png");
const PEER: &str = "192.0.2.1:9";
const FAR: &str = "/_matrix/client/v1/media/download/far.example/picture";
const LEGACY: &str = "/_matrix/media/v3/download/far.example/picture";
const PREVIEW: &str = "/_matrix/client/v1/media/preview_url";

/// A server that has one picture, one file that is too large, and one that does not come.
#[derive(Default)]
struct Far(Mutex<usize>);

struct Once(Option<Bytes>);

impl Pieces for Once {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        let piece = self.0.take();
        Box::pin(async move { Ok(piece) })
    }
}

impl Origin for Far {
    fn open<'a>(&'a self, wanted: &'a FromOrigin) -> BoxFuture<'a, Result<Delivery, OriginError>> {
        *self.0.lock().unwrap() += 1;
        Box::pin(async move {
            let content = match &*wanted.id {
                "picture" => PICTURE,
                "large" => return Err(OriginError::TooLarge),
                "late" => return Err(OriginError::NotYetUploaded),
                "none" => return Err(OriginError::NotFound),
                _ => return Err(OriginError::Failed("secret".to_owned())),
            };
            Ok(Delivery {
                content_type: Some("image/png".to_owned()),
                filename: Some("far.png".to_owned()),
                bytes: None,
                pieces: Box::new(Once(Some(Bytes::from_static(content)))),
            })
        })
    }
}

/// A web of one page.
struct OnePage;

impl Web for OnePage {
    fn get<'a>(&'a self, url: &'a str, _: WebLimits) -> BoxFuture<'a, Result<WebAnswer, WebError>> {
        Box::pin(async move {
            if url != "https://page.example/" {
                return Err(WebError("10.0.0.1 refused".to_owned()));
            }
            Ok(WebAnswer::Page(Page {
                content_type: Some("text/html".to_owned()),
                content: Bytes::from_static(b"<title>The page</title>"),
                is_whole: true,
            }))
        })
    }
}

fn app(without_token: bool) -> (TestApp, Arc<Far>) {
    let far = Arc::new(Far::default());
    let app = TestApp::with_files(Files {
        ports: Ports {
            origin: Some(Arc::clone(&far) as _),
            web: Some(Arc::new(OnePage)),
        },
        previews: Some(PreviewOptions {
            allowed: Vec::new(),
            denied: vec!["inside.example".to_owned()],
        }),
        without_token,
        ..Files::default()
    });
    (app, far)
}

async fn get(app: &TestApp, path: &str, person: Option<&Person>) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::get(path);
    if let Some(person) = person {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", person.token));
    }
    let response = app.ask(request.body(Body::empty()).unwrap(), PEER).await;
    let (head, body) = response.into_parts();
    (head.status, head.headers, body)
}

/// MEDIA-013
#[tokio::test]
async fn another_servers_file_is_shown_to_who_has_a_token() {
    let (app, far) = app(false);
    let alice = app.person("alice").await;
    for path in [FAR, LEGACY] {
        let refused = get(&app, path, None).await.0;
        assert!(matches!(refused.as_u16(), 401 | 404), "{path}: {refused}");
    }
    assert_eq!(*far.0.lock().unwrap(), 0, "that server is not asked");
    let (status, headers, body) = get(&app, FAR, Some(&alice)).await;
    assert_eq!((status, &*body), (StatusCode::OK, PICTURE));
    assert_eq!(
        headers[header::CONTENT_DISPOSITION],
        "inline; filename=far.png"
    );
    let small = "/_matrix/client/v1/media/thumbnail/far.example/picture?width=9&height=9";
    assert_eq!(get(&app, small, Some(&alice)).await.0, 200);
    assert_eq!(*far.0.lock().unwrap(), 1);
}

#[tokio::test]
async fn old_clients_may_say_that_nobody_else_is_to_be_asked() {
    let (app, far) = app(true);
    let here = format!("{LEGACY}?allow_remote=false");
    assert_eq!(get(&app, &here, None).await.0, 404);
    assert_eq!(*far.0.lock().unwrap(), 0);
    assert_eq!(get(&app, LEGACY, None).await.0, 200);
    assert_eq!(get(&app, &here, None).await.0, 200);
    let odd = format!("{LEGACY}?allow_remote=perhaps");
    assert_eq!(get(&app, &odd, None).await.0, 400);
}

#[tokio::test]
async fn what_does_not_come_is_said_in_the_specs_words() {
    let (app, _) = app(false);
    let alice = app.person("alice").await;
    for (id, expected) in [
        ("large", expect(502, "M_TOO_LARGE")),
        ("late", expect(504, "M_NOT_YET_UPLOADED")),
        ("none", expect(404, "M_NOT_FOUND")),
        ("broken", expect(502, "M_UNKNOWN")),
    ] {
        let path = format!("/_matrix/client/v1/media/download/far.example/{id}");
        let (status, json, _) = app
            .raw_from(PEER, ("GET", &path), Some(&alice.token), "")
            .await;
        let errcode = json["errcode"].as_str().unwrap().to_owned();
        assert_eq!((status.as_u16(), errcode), expected, "{id}");
        assert!(!json.to_string().contains("secret"), "{json}");
    }
}

#[tokio::test]
async fn a_page_is_previewed_for_who_has_a_token() {
    let (app, _) = app(false);
    let alice = app.person("alice").await;
    for path in [PREVIEW, "/_matrix/media/v3/preview_url"] {
        let path = format!("{path}?url=https%3A%2F%2Fpage.example%2F&ts=1510610716656");
        let (status, headers, body) = get(&app, &path, Some(&alice)).await;
        assert_eq!(status, 200);
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        let shown: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(shown, serde_json::json!({"og:title": "The page"}));
        let refused = app.raw(("GET", &path), None, "").await;
        assert_eq!(refused, expect(401, "M_MISSING_TOKEN"));
    }
}

/// SSRF-006, SSRF-007
#[tokio::test]
async fn what_is_no_page_is_refused() {
    let (app, _) = app(false);
    let alice = app.person("alice").await;
    for (query, expected) in [
        ("", expect(400, "M_INVALID_PARAM")),
        ("url=", expect(400, "M_INVALID_PARAM")),
        ("url=x", expect(400, "M_INVALID_PARAM")),
        (
            "url=file%3A%2F%2F%2Fetc%2Fpasswd",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "url=ftp%3A%2F%2Fpage.example%2F",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "url=gopher%3A%2F%2Fpage.example%2F",
            expect(400, "M_INVALID_PARAM"),
        ),
        ("url=javascript%3Aalert(1)", expect(400, "M_INVALID_PARAM")),
        (
            "url=http%3A%2F%2Fu%3Ap%40page.example%2F",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "url=http%3A%2F%2Fpage.example%3A22%2F",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "url=http%3A%2F%2Fpage.example%3A6379%2F",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "url=https%3A%2F%2Fpage.example%2F&ts=x",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "url=https%3A%2F%2Finside.example%2F",
            expect(403, "M_FORBIDDEN"),
        ),
        (
            "url=https%3A%2F%2Fother.example%2F",
            expect(502, "M_UNKNOWN"),
        ),
    ] {
        let path = format!("{PREVIEW}?{query}");
        let (status, json, _) = app
            .raw_from(PEER, ("GET", &path), Some(&alice.token), "")
            .await;
        let errcode = json["errcode"].as_str().unwrap().to_owned();
        assert_eq!((status.as_u16(), errcode), expected, "{query}");
        assert!(!json.to_string().contains("10.0.0.1"), "{json}");
    }
}

#[tokio::test]
async fn previews_are_off_unless_they_are_on_and_limited() {
    let off = TestApp::new();
    let alice = off.person("alice").await;
    let path = format!("{PREVIEW}?url=https%3A%2F%2Fpage.example%2F");
    let refused = off.raw(("GET", &path), Some(&alice.token), "").await;
    assert_eq!(refused, expect(404, "M_UNRECOGNIZED"));
    let (app, _) = app(false);
    let alice = app.person("alice").await;
    let mut refused = 0;
    for _ in 0..60 {
        let answer = app.raw(("GET", &path), Some(&alice.token), "").await;
        refused += usize::from(answer == expect(429, "M_LIMIT_EXCEEDED"));
    }
    assert_eq!(refused, 10);
}

/// A store on a disk that is full.
#[derive(Debug, Default)]
struct FullDisk(MemoryBlobs);

struct Overflowing(Box<dyn Upload>, usize);

impl Blobs for FullDisk {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Upload>, BlobError>> {
        Box::pin(async {
            let upload = self.0.begin().await?;
            Ok(Box::new(Overflowing(upload, 0)) as Box<dyn Upload>)
        })
    }

    fn open(&self, id: BlobId) -> BoxFuture<'_, Result<Option<Box<dyn Blob>>, BlobError>> {
        self.0.open(id)
    }

    fn delete(&self, id: BlobId) -> BoxFuture<'_, Result<(), BlobError>> {
        self.0.delete(id)
    }

    fn list(&self, after: Option<BlobId>) -> BoxFuture<'_, Result<Vec<BlobId>, BlobError>> {
        self.0.list(after)
    }
}

impl Upload for Overflowing {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        self.1 += piece.len();
        if self.1 > 10 {
            return Box::pin(async { Err(BlobError::Full) });
        }
        self.0.write(piece)
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Stored, BlobError>> {
        self.0.finish()
    }
}

/// MEDIA-026
#[tokio::test]
async fn a_full_disk_takes_no_file_and_loses_none() {
    let blobs = Arc::new(FullDisk::default());
    let app = TestApp::with_files(Files {
        blobs: Arc::clone(&blobs) as _,
        ..Files::default()
    });
    let alice = app.person("alice").await;
    let upload = async |content: &'static str| {
        let endpoint = ("POST", "/_matrix/media/v3/upload");
        let (status, json, _) = app
            .raw_from(PEER, endpoint, Some(&alice.token), content)
            .await;
        (status.as_u16(), json)
    };
    let (status, stored) = upload("small").await;
    assert_eq!(status, 200);
    let (status, refused) = upload("larger than the disk").await;
    assert_eq!(
        (status, refused["errcode"].as_str()),
        (507, Some("M_UNKNOWN"))
    );
    assert_eq!(blobs.list(None).await.unwrap().len(), 1);
    let uri = stored["content_uri"].as_str().unwrap();
    let path = uri.replace("mxc://", "/_matrix/client/v1/media/download/");
    assert_eq!(get(&app, &path, Some(&alice)).await.2, "small");
    assert_eq!(upload("other").await.0, 200);
}
