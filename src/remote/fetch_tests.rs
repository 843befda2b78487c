//! The guarded connector against hostile names, addresses, redirects and answers.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Response, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::*;
use crate::fixture::{Body, World, answer, redirect};

const LIMITS: Limits = Limits {
    bytes_max: 1_000,
    time_max: Duration::from_secs(30),
    redirects_max: 5,
};

async fn get(fetcher: &Fetcher, url: &str) -> Result<Bytes, FetchError> {
    let url: Uri = url.parse().map_err(|_| FetchError::Url)?;
    Ok(fetcher.get(&url, LIMITS).await?.into_body())
}

/// A world in which `web.example` is a public web server.
fn world(handler: impl Fn(&str) -> Response<Body> + Send + Sync + 'static) -> World {
    let world = World::new();
    world.internet.name("web.example", &["1.2.3.4"]);
    world.homeserver("web.example", "1.2.3.4:443", move |request| {
        handler(request.uri().path())
    });
    world
}

#[tokio::test(start_paused = true)]
async fn a_page_is_fetched() {
    let world = world(|path| answer(200, path.to_owned()));
    let fetched = get(&world.fetcher(&[]), "https://web.example/a").await;
    assert_eq!(fetched.unwrap(), "/a");
}

#[tokio::test(start_paused = true)]
async fn ssrf_002_private_addresses_are_not_dialled_however_they_are_spelt() {
    let world = World::new();
    let fetcher = world.fetcher(&[]);
    for url in [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
    ] {
        assert!(get(&fetcher, url).await.is_err(), "{url}");
    }
    assert_eq!(world.internet.dialled(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn ssrf_004_the_address_that_was_judged_is_the_one_that_is_dialled() {
    let world = world(|_| answer(200, "x"));
    let fetcher = world.fetcher(&[]);
    get(&fetcher, "https://web.example/").await.unwrap();
    assert_eq!(world.internet.dialled(), ["1.2.3.4:443"]);
    assert_eq!(*world.internet.asked.lock().unwrap(), ["web.example"]);
    world
        .internet
        .name("other.example", &["127.0.0.1", "10.1.1.1"]);
    let error = get(&fetcher, "https://other.example/").await.unwrap_err();
    assert!(error.is_refusal(), "{error}");
    assert_eq!(world.internet.dialled(), ["1.2.3.4:443"]);
}

#[tokio::test(start_paused = true)]
async fn a_private_address_among_public_ones_is_left_out() {
    let world = world(|_| answer(200, "x"));
    world
        .internet
        .name("web.example", &["127.0.0.1", "1.2.3.4"]);
    let fetcher = world.fetcher(&[]);
    get(&fetcher, "https://web.example/").await.unwrap();
    assert_eq!(world.internet.dialled(), ["1.2.3.4:443"]);
}

#[tokio::test(start_paused = true)]
async fn ssrf_006_other_schemes_are_refused() {
    let world = World::new();
    let fetcher = world.fetcher(&[]);
    for url in [
        "file:///etc/passwd",
        "ftp://a.example/",
        "gopher://a.example/",
        "/path",
    ] {
        let error = get(&fetcher, url).await.unwrap_err();
        assert!(matches!(error, FetchError::Url), "{url}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn ssrf_007_users_and_ports_of_other_services_are_refused() {
    let world = world(|_| answer(200, "x"));
    let fetcher = world.fetcher(&[]);
    for url in [
        "https://user:pw@web.example/",
        "https://web.example:22/",
        "https://web.example:25/",
        "https://web.example:6379/",
    ] {
        let error = get(&fetcher, url).await.unwrap_err();
        assert!(error.is_refusal(), "{url}: {error}");
    }
    assert_eq!(world.internet.dialled(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_judged_like_the_first_address() {
    let world = world(|path| match path {
        "/loop" => redirect("/loop"),
        "/private" => redirect("https://127.0.0.1/"),
        "/plain" => redirect("http://web.example/a"),
        "/relative" => redirect("/end"),
        "/odd" => redirect("javascript:alert(1)"),
        "/protocol" => redirect("//evil.example/"),
        _ => answer(200, "end"),
    });
    let fetcher = world.fetcher(&[]);
    let end = get(&fetcher, "https://web.example/relative").await;
    assert_eq!(end.unwrap(), "end");
    for path in ["loop", "private", "plain", "odd", "protocol"] {
        let url = format!("https://web.example/{path}");
        let error = get(&fetcher, &url).await.unwrap_err();
        let expected = matches!(error, FetchError::Redirect) || error.is_refusal();
        assert!(expected, "{path}: {error}");
    }
    let elsewhere: Vec<_> = world.internet.dialled();
    assert!(elsewhere.iter().all(|address| address == "1.2.3.4:443"));
}

/// A body without end.
fn endless() -> Response<Body> {
    let chunk = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 100])));
    let body = StreamBody::new(stream::repeat_with(chunk));
    Response::new(body.boxed())
}

#[tokio::test(start_paused = true)]
async fn ssrf_009_a_body_without_end_is_cut_off() {
    let world = world(|path| match path {
        "/announced" => answer(200, vec![b'x'; 2_000]),
        _ => endless(),
    });
    let fetcher = world.fetcher(&[]);
    for path in ["announced", "endless"] {
        let url = format!("https://web.example/{path}");
        let error = get(&fetcher, &url).await.unwrap_err();
        assert!(
            matches!(error, FetchError::TooLarge(1_000)),
            "{path}: {error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_says_nothing_is_given_up() {
    let world = World::new();
    world.internet.name("web.example", &["1.2.3.4"]);
    world.internet.silence("1.2.3.4:443");
    let fetcher = world.fetcher(&[]);
    let begun = world.env.clock.now();
    let error = get(&fetcher, "https://web.example/").await.unwrap_err();
    assert!(matches!(error, FetchError::Dial(_)), "{error}");
    let took = world.env.clock.now().since(begun);
    assert!(took <= LIMITS.time_max, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_014_a_certificate_must_be_of_that_name_in_time_and_by_a_known_authority() {
    let world = World::new();
    let stranger = crate::fixture::Authority::new();
    let certificates = [
        ("self-signed", stranger.certify("web.example")),
        ("other name", world.authority.certify("other.example")),
        (
            "expired",
            world.authority.certify_until("web.example", Some(2_020)),
        ),
    ];
    world.internet.name("web.example", &["1.2.3.4"]);
    for (what, tls) in certificates {
        let handler = |_| answer(200, "x");
        world.internet.serve("1.2.3.4:443", Some(tls), handler);
        let fetched = get(&world.fetcher(&[]), "https://web.example/").await;
        assert!(matches!(fetched, Err(FetchError::Dial(_))), "{what}");
    }
    let handler = |_| answer(200, "x");
    let tls = world.authority.certify_until("web.example", Some(2_030));
    world.internet.serve("1.2.3.4:443", Some(tls), handler);
    get(&world.fetcher(&[]), "https://web.example/")
        .await
        .unwrap();
}
