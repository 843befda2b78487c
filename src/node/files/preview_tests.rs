//! Previews of links from the client's request to the last address that is dialled.

use std::{sync::Arc, time::Duration};

use belfry_env::{Env, SimulatedWall};
use belfry_media::PreviewOptions;
use belfry_remote::{PushGateways, web_by};
use serde_json::{Value, json};

use super::{
    person::Person,
    web::{Says, Web, page},
};
use crate::fixture::START_MS;

async fn server() -> (Person, Arc<Web>) {
    let env = Env::simulated(1, &SimulatedWall::at(START_MS));
    let web = Web::new(&env);
    let by = web_by(web.fetcher());
    let person = Person::start(("hs1", 1), env, |options| {
        options.web = Some(by);
        options.media.previews = Some(PreviewOptions {
            allowed: Vec::new(),
            denied: vec!["denied.example".to_owned()],
        });
    });
    let person = person.await;
    web.name("a.example", &["1.2.3.4"]);
    (person, web)
}

async fn preview(person: &Person, url: &str) -> (u16, Value) {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("url", url)
        .finish();
    let path = format!("/_matrix/client/v1/media/preview_url?{query}");
    person.json("GET", &path, &Value::Null).await
}

#[tokio::test(start_paused = true)]
async fn a_page_is_shown() {
    let (person, web) = server().await;
    web.put("/x", page("<title>Hello</title>"));
    let shown = preview(&person, "http://a.example/x").await;
    assert_eq!(shown, (200, json!({"og:title": "Hello"})));
    assert_eq!(web.dialled(), ["1.2.3.4:80"]);
    person.stop().await;
}

/// SSRF-002
#[tokio::test(start_paused = true)]
async fn private_addresses_are_not_dialled_however_they_are_spelt() {
    let (person, web) = server().await;
    web.name("inside.example", &["192.168.0.1"]);
    for url in [
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://inside.example/",
        "http://inside.example./",
        "http://localhost/",
    ] {
        let (status, answer) = preview(&person, url).await;
        assert_eq!(
            (status, &answer["errcode"]),
            (502, &json!("M_UNKNOWN")),
            "{url}"
        );
    }
    assert_eq!(web.dialled(), Vec::<String>::new());
    person.stop().await;
}

/// SSRF-004
#[tokio::test(start_paused = true)]
async fn a_name_that_moves_inside_is_judged_each_time() {
    let (person, web) = server().await;
    web.name("moving.example", &["1.2.3.5", "127.0.0.1"]);
    web.put(
        "/x",
        page("<title>t</title><meta property=og:image content=/p.png>"),
    );
    web.put("/p.png", page("inside"));
    let shown = preview(&person, "http://moving.example/x").await;
    assert_eq!(shown, (200, json!({"og:title": "t"})));
    assert_eq!(preview(&person, "http://moving.example/y").await.0, 502);
    assert_eq!(web.dialled(), ["1.2.3.5:80"]);
    person.stop().await;
}

/// SSRF-006, SSRF-007
#[tokio::test(start_paused = true)]
async fn what_is_no_page_of_the_web_is_refused() {
    let (person, web) = server().await;
    for url in [
        "file:///etc/passwd",
        "ftp://a.example/",
        "gopher://a.example/",
        "javascript:alert(1)",
        "http://user:pw@a.example/",
        "http://a.example:22/",
        "http://a.example:25/",
        "http://a.example:6379/",
    ] {
        let (status, answer) = preview(&person, url).await;
        assert_eq!(
            (status, &answer["errcode"]),
            (400, &json!("M_INVALID_PARAM")),
            "{url}"
        );
    }
    assert_eq!(preview(&person, "http://denied.example/").await.0, 403);
    assert_eq!(web.dialled(), Vec::<String>::new());
    person.stop().await;
}

fn endless(content_type: &str, piece: Vec<u8>, pause: Duration) -> Says {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n\r\n<title>radio</title>");
    Says {
        head: head.into_bytes(),
        then: Some((piece, pause)),
    }
}

/// SSRF-009
#[tokio::test(start_paused = true)]
async fn a_stream_without_end_is_closed() {
    let (person, web) = server().await;
    let fast = |kind| endless(kind, vec![b' '; 32 << 10], Duration::ZERO);
    web.put("/radio", fast("audio/mpeg"));
    web.put("/page", fast("text/html"));
    web.put("/picture", fast("image/png"));
    let slow = endless("text/html", b" ".to_vec(), Duration::from_secs(1));
    web.put("/slow", slow);
    let begun = person.env.clock.now();
    let took = || person.env.clock.now().since(begun);
    let radio = preview(&person, "http://a.example/radio").await;
    assert_eq!(radio, (200, json!({})));
    let shown = preview(&person, "http://a.example/page").await;
    assert_eq!(shown, (200, json!({"og:title": "radio"})));
    let picture = preview(&person, "http://a.example/picture").await;
    assert_eq!(picture, (200, json!({})));
    assert!(took() < Duration::from_secs(1), "{:?}", took());
    assert_eq!(preview(&person, "http://a.example/slow").await.0, 502);
    assert!(took() <= Duration::from_secs(31), "{:?}", took());
    person.stop().await;
}

/// SSRF-011
#[tokio::test(start_paused = true)]
async fn what_a_page_names_is_judged_like_the_page() {
    let (person, web) = server().await;
    web.name("inside.example", &["10.0.0.1"]);
    web.name("denied.example", &["1.2.3.9"]);
    for (number, image) in [
        "http://inside.example/p.png",
        "http://denied.example/p.png",
        "http://127.0.0.1/p.png",
        "http://a.example:6379/p.png",
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("<title>t</title><meta property=og:image content='{image}'>");
        web.put(&format!("/{number}"), page(&text));
        let shown = preview(&person, &format!("http://a.example/{number}")).await;
        assert_eq!(shown, (200, json!({"og:title": "t"})), "{image}");
    }
    assert!(web.dialled().iter().all(|address| address == "1.2.3.4:80"));
    person.stop().await;
}

/// SSRF-014
#[tokio::test(start_paused = true)]
async fn no_push_gateway_inside_is_dialled() {
    let (person, web) = server().await;
    let set = "/_matrix/client/v3/pushers/set";
    for (url, expected) in [
        ("http://169.254.169.254/_matrix/push/v1/notify", 400),
        ("https://a.example/other/path", 400),
        ("https://169.254.169.254/_matrix/push/v1/notify", 200),
    ] {
        let body = json!({
            "kind": "http", "app_id": "app", "pushkey": "key", "app_display_name": "app",
            "device_display_name": "device", "lang": "en", "data": {"url": url},
        });
        let (status, answer) = person.json("POST", set, &body).await;
        assert_eq!(status, expected, "{url}: {answer}");
        // Whatever was stored: this is the way by which it is told.
        let gateways = PushGateways::new(web.fetcher());
        let refused = gateways.notify(url, "{}".to_owned()).await;
        assert!(refused.is_err(), "{url}");
    }
    let inside: Vec<_> = web.dialled();
    assert!(
        inside.iter().all(|address| address == "1.2.3.4:443"),
        "{inside:?}"
    );
    person.stop().await;
}

/// SSRF-015
#[tokio::test(start_paused = true)]
async fn no_identity_server_is_dialled_that_a_client_names() {
    let (person, web) = server().await;
    let create = "/_matrix/client/v3/createRoom";
    let (_, room) = person.json("POST", create, &json!({})).await;
    let invite = format!(
        "/_matrix/client/v3/rooms/{}/invite",
        room["room_id"].as_str().unwrap()
    );
    for id_server in ["10.0.0.1", "evil.example", "127.0.0.1:8090"] {
        let body = json!({
            "id_server": id_server, "id_access_token": "x", "medium": "email",
            "address": "bob@a.example",
        });
        let (status, answer) = person.json("POST", &invite, &body).await;
        assert!((400..500).contains(&status), "{id_server}: {answer}");
        let bind = "/_matrix/client/v3/account/3pid/bind";
        let body = json!({
            "id_server": id_server, "id_access_token": "x", "sid": "s", "client_secret": "c",
        });
        let (status, answer) = person.json("POST", bind, &body).await;
        assert!((400..500).contains(&status), "{id_server}: {answer}");
    }
    assert_eq!(web.dialled(), Vec::<String>::new());
    person.stop().await;
}

/// SSRF-017
#[tokio::test(start_paused = true)]
async fn nobody_but_the_operator_has_an_application_service_pinged() {
    let (person, web) = server().await;
    let ping = "/_matrix/client/v1/appservice/irc/ping";
    let (status, answer) = person.json("POST", ping, &json!({})).await;
    assert!((400..500).contains(&status), "{answer}");
    assert_eq!(web.dialled(), Vec::<String>::new());
    person.stop().await;
}
