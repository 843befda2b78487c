//! Files that one server has of another.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use serde_json::json;

use super::{
    net::Net,
    person::Person,
    web::{Web, says},
};

const PICTURE: &[u8] = include_bytes!("../../../tests/data/media/halves_400x300.png");
const EVIL: &str = "evil.example";

fn download(file: &str) -> String {
    format!("/_matrix/client/v1/media/download/{file}")
}

fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .body(body.into())
        .unwrap()
}

fn error(status: u16, errcode: &str) -> Response<Bytes> {
    let body = json!({"errcode": errcode, "error": "no"}).to_string();
    answer(status, "application/json", body)
}

fn multipart(second: &str) -> Response<Bytes> {
    let body =
        format!("--b\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--b\r\n{second}\r\n--b--");
    answer(200, "multipart/mixed; boundary=b", body)
}

#[tokio::test(start_paused = true)]
async fn a_file_of_one_server_is_shown_by_the_other() {
    let net = Arc::new(Net::default());
    let one = Person::federated(("hs1", 1), &net).await;
    let two = Person::federated(("hs2", 2), &net).await;
    let file = one.upload(PICTURE).await;
    for _ in 0..2 {
        let (status, headers, body) = two.ask("GET", &download(&file), "").await;
        assert_eq!((status.as_u16(), &*body), (200, PICTURE));
        assert_eq!(headers[header::CONTENT_TYPE], "image/png");
        let disposition = "inline; filename=a.png";
        assert_eq!(headers[header::CONTENT_DISPOSITION], disposition);
    }
    let id = file.strip_prefix("hs1/").unwrap();
    let asked = format!("hs1/_matrix/federation/v1/media/download/{id}");
    assert_eq!(net.asked(), [asked]);
    let small = format!("/_matrix/client/v1/media/thumbnail/{file}?width=96&height=96");
    let (status, headers, _) = two.ask("GET", &small, "").await;
    assert_eq!(status, 200);
    assert_eq!(headers[header::CONTENT_TYPE], "image/jpeg");
    let none = two.refused(&download("hs1/none")).await;
    assert_eq!(none, (404, "M_NOT_FOUND".to_owned()));
    one.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_older_server_is_asked_as_it_knows_it() {
    let net = Arc::new(Net::default());
    let one = Person::federated(("hs1", 1), &net).await;
    net.script("old.example", |request: &Request<Bytes>| {
        if request.uri().path().starts_with("/_matrix/federation/") {
            assert!(request.headers().contains_key(header::AUTHORIZATION));
            return error(404, "M_UNRECOGNIZED");
        }
        let query = request.uri().query().unwrap();
        assert!(query.contains("allow_remote=false"), "{query}");
        assert!(!request.headers().contains_key(header::AUTHORIZATION));
        answer(200, "text/plain", "old")
    });
    let (status, headers, body) = one.ask("GET", &download("old.example/a"), "").await;
    assert_eq!((status.as_u16(), &*body), (200, &b"old"[..]));
    assert_eq!(headers[header::CONTENT_TYPE], "text/plain");
    assert_eq!(
        net.asked(),
        [
            "old.example/_matrix/federation/v1/media/download/a",
            "old.example/_matrix/media/v3/download/old.example/a",
        ]
    );
    // One that knows it and does not have it is not asked twice.
    net.script("new.example", |_| error(404, "M_NOT_FOUND"));
    let none = one.refused(&download("new.example/a")).await;
    assert_eq!((none.0, net.asked().len()), (404, 1));
    one.stop().await;
}

/// MEDIA-027
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_two_parts_is_refused() {
    let net = Arc::new(Net::default());
    let one = Person::federated(("hs1", 1), &net).await;
    let many = "--b\r\n\r\nx\r\n".repeat(10_000) + "--b--";
    for body in [
        answer(200, "multipart/mixed; boundary=b", many),
        answer(
            200,
            "multipart/mixed",
            "--b\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b--",
        ),
        answer(200, "text/html", "<html>"),
        answer(
            200,
            "multipart/mixed; boundary=b",
            "--b\r\n\r\n{}\r\n--b\r\n\r\nit breaks off",
        ),
        answer(200, "multipart/mixed; boundary=b", vec![b'x'; 10 << 20]),
        error(500, "M_UNKNOWN"),
    ] {
        net.script(EVIL, move |_| body.clone());
        let refused = one.refused(&download("evil.example/a")).await;
        assert_eq!(refused, (502, "M_UNKNOWN".to_owned()));
    }
    for (said, expected) in [
        (error(502, "M_TOO_LARGE"), (502, "M_TOO_LARGE")),
        (
            error(504, "M_NOT_YET_UPLOADED"),
            (504, "M_NOT_YET_UPLOADED"),
        ),
    ] {
        net.script(EVIL, move |_| said.clone());
        let refused = one.refused(&download("evil.example/a")).await;
        assert_eq!((refused.0, &*refused.1), expected);
    }
    one.stop().await;
}

/// MEDIA-011
#[tokio::test(start_paused = true)]
async fn a_file_that_is_too_large_is_given_up() {
    let net = Arc::new(Net::default());
    let one = Person::federated(("hs1", 1), &net).await;
    net.script(EVIL, |_| multipart(&format!("\r\n{}", "x".repeat(2 << 20))));
    let refused = one.refused(&download("evil.example/a")).await;
    assert_eq!(refused, (502, "M_TOO_LARGE".to_owned()));
    one.stop().await;
}

/// MEDIA-027
#[tokio::test(start_paused = true)]
async fn a_file_elsewhere_is_fetched_from_public_addresses_only() {
    let net = Arc::new(Net::default());
    let one = Person::federated(("hs1", 1), &net).await;
    let web = Web::new(&one.env);
    net.web(web.fetcher());
    web.name("cdn.example", &["1.2.3.4"]);
    web.name("inside.example", &["10.0.0.1"]);
    web.put(
        "/f",
        says("200 OK", "content-type: image/gif\r\n", b"elsewhere"),
    );
    let inside = "location: http://inside.example/f\r\n";
    web.put("/private", says("302 Found", inside, b""));
    let other = "location: http://cdn.example/f\r\n";
    web.put("/twice", says("307 Temporary Redirect", other, b""));
    let redirect = |to: &'static str| {
        net.script(EVIL, move |_| {
            multipart(&format!(
                "Location: {to}\r\nContent-Type: text/html\r\n\r\n"
            ))
        });
    };
    for (to, id) in [
        ("http://cdn.example/f", "a"),
        ("http://cdn.example/twice", "b"),
    ] {
        redirect(to);
        let path = download(&format!("{EVIL}/{id}"));
        let (status, headers, body) = one.ask("GET", &path, "").await;
        assert_eq!((status.as_u16(), &*body), (200, &b"elsewhere"[..]), "{to}");
        assert_eq!(headers[header::CONTENT_TYPE], "image/gif");
    }
    assert!(web.dialled().iter().all(|address| address == "1.2.3.4:80"));
    for to in [
        "http://inside.example/f",
        "http://cdn.example/private",
        "http://127.0.0.1/f",
        "http://[::1]/f",
        "http://cdn.example:22/f",
        "http://u:p@cdn.example/f",
        "file:///etc/passwd",
        "/f",
    ] {
        redirect(to);
        let refused = one.refused(&download("evil.example/c")).await;
        assert_eq!(refused, (502, "M_UNKNOWN".to_owned()), "{to}");
    }
    assert!(web.dialled().iter().all(|address| address == "1.2.3.4:80"));
    one.stop().await;
}

/// MEDIA-009
#[tokio::test(start_paused = true)]
async fn a_server_in_our_own_network_is_not_dialled() {
    let net = Arc::new(Net::default());
    let one = Person::federated(("hs1", 1), &net).await;
    let web = Web::new(&one.env);
    let fetcher = web.fetcher();
    let network = belfry_remote::Internet::new(
        belfry_remote::Discovery::new(fetcher.clone(), one.env.clock.clone()),
        fetcher,
    );
    let env =
        belfry_env::Env::simulated(7, &belfry_env::SimulatedWall::at(crate::fixture::START_MS));
    let two = Person::start(("hs2", 2), env, |options| {
        options.federation = Some(belfry_remote::RemoteOptions {
            network,
            old_keys: Vec::new(),
            notaries: Vec::new(),
            refused_keys: Vec::new(),
            senders: belfry_remote::SenderOptions {
                retry_max: std::time::Duration::from_mins(10),
            },
        });
    });
    let two = two.await;
    for server in [
        "127.0.0.1:6379",
        "%5B::1%5D",
        "169.254.169.254",
        "10.0.0.1:8448",
    ] {
        let refused = two.refused(&download(&format!("{server}/x"))).await;
        assert_eq!(refused, (502, "M_UNKNOWN".to_owned()), "{server}");
    }
    assert_eq!(web.dialled(), Vec::<String>::new());
    one.stop().await;
    two.stop().await;
}
