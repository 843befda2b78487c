//! Every step of finding a server, and what hostile files and records make of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use ruma_common::{OwnedServerName, ServerName};

use super::*;
use crate::{
    Internet, Limits, Network, Service, Unresolved,
    fixture::{Body, World, answer, redirect},
};

const LIMITS: Limits = Limits {
    bytes_max: 1_000,
    time_max: Duration::from_mins(1),
    redirects_max: 0,
};

fn server(name: &str) -> OwnedServerName {
    <&ServerName>::try_from(name).unwrap().to_owned()
}

/// Says what `Host` it was asked as.
#[expect(clippy::needless_pass_by_value, reason = "the shape of a handler")]
fn echo(request: Request<Bytes>) -> Response<Body> {
    let host = request.headers()[header::HOST].to_str().unwrap();
    answer(200, host.to_owned())
}

/// What the server of that name answers, if it is found.
async fn ask(world: &World, name: &str) -> Result<String, String> {
    let fetcher = world.fetcher(&[]);
    let discovery = Discovery::new(fetcher.clone(), world.env.clock.clone());
    let internet = Internet::new(discovery, fetcher);
    let request = Request::get("/").body(Bytes::new()).unwrap();
    let answered = internet.ask(&server(name), request, LIMITS).await;
    let response = answered.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(response.body().to_vec()).unwrap())
}

fn well_known(world: &World, body: &'static str) {
    world.internet.name("a.example", &["1.0.0.1"]);
    world.homeserver("a.example", "1.0.0.1:443", move |request| {
        assert_eq!(request.uri().path(), "/.well-known/matrix/server");
        answer(200, body)
    });
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a resolver's answer")]
fn service(target: &str, port: u16) -> Result<Vec<Service>, Unresolved> {
    Ok(vec![Service {
        priority: 10,
        weight: 0,
        port,
        target: target.to_owned(),
    }])
}

#[tokio::test(start_paused = true)]
async fn step_1_an_ip_literal_is_dialled_as_it_is() {
    let world = World::new();
    world.homeserver("1.0.0.1", "1.0.0.1:8448", echo);
    world.homeserver("1.0.0.1", "1.0.0.1:99", echo);
    world.homeserver("2a00::1", "[2a00::1]:8448", echo);
    assert_eq!(ask(&world, "1.0.0.1").await.unwrap(), "1.0.0.1");
    assert_eq!(ask(&world, "1.0.0.1:99").await.unwrap(), "1.0.0.1:99");
    assert_eq!(ask(&world, "[2a00::1]").await.unwrap(), "[2a00::1]");
}

#[tokio::test(start_paused = true)]
async fn step_2_a_port_leaves_nothing_to_find_out() {
    let world = World::new();
    world.internet.name("a.example", &["1.0.0.1"]);
    world.homeserver("a.example", "1.0.0.1:99", echo);
    assert_eq!(ask(&world, "a.example:99").await.unwrap(), "a.example:99");
    assert_eq!(*world.internet.asked.lock().unwrap(), ["a.example"]);
}

#[tokio::test(start_paused = true)]
async fn step_3_1_delegation_to_an_ip_literal() {
    let world = World::new();
    well_known(&world, r#"{"m.server": "1.0.0.9"}"#);
    world.homeserver("1.0.0.9", "1.0.0.9:8448", echo);
    assert_eq!(ask(&world, "a.example").await.unwrap(), "1.0.0.9");
}

#[tokio::test(start_paused = true)]
async fn step_3_2_delegation_to_a_name_with_a_port() {
    let world = World::new();
    well_known(&world, r#"{"m.server": "b.example:99", "more": 1}"#);
    world.internet.name("b.example", &["1.0.0.9"]);
    world.homeserver("b.example", "1.0.0.9:99", echo);
    assert_eq!(ask(&world, "a.example").await.unwrap(), "b.example:99");
}

#[tokio::test(start_paused = true)]
async fn steps_3_3_to_3_5_delegation_to_a_name() {
    let world = World::new();
    well_known(&world, r#"{"m.server": "b.example"}"#);
    world.internet.name("b.example", &["1.0.0.8"]);
    world.internet.name("c.example", &["1.0.0.9"]);
    world.homeserver("b.example", "1.0.0.8:8448", echo);
    world.homeserver("b.example", "1.0.0.9:55", |_| answer(200, "registered"));
    world.homeserver("b.example", "1.0.0.9:44", |_| answer(200, "old"));
    assert_eq!(ask(&world, "a.example").await.unwrap(), "b.example");
    let old = "_matrix._tcp.b.example";
    world.internet.service(old, service("c.example", 44));
    assert_eq!(ask(&world, "a.example").await.unwrap(), "old");
    let registered = "_matrix-fed._tcp.b.example";
    world.internet.service(registered, service("c.example", 55));
    assert_eq!(ask(&world, "a.example").await.unwrap(), "registered");
}

#[tokio::test(start_paused = true)]
async fn steps_4_to_6_without_delegation() {
    let world = World::new();
    world.internet.name("a.example", &["1.0.0.1"]);
    world.homeserver("a.example", "1.0.0.1:8448", echo);
    assert_eq!(ask(&world, "a.example").await.unwrap(), "a.example");
    world.internet.name("c.example", &["1.0.0.9"]);
    world.homeserver("a.example", "1.0.0.9:44", |_| answer(200, "old"));
    let old = "_matrix._tcp.a.example";
    world.internet.service(old, service("c.example", 44));
    assert_eq!(ask(&world, "a.example").await.unwrap(), "old");
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_fail_are_not_an_absent_record() {
    let world = World::new();
    world.internet.name("a.example", &["1.0.0.1"]);
    world.homeserver("a.example", "1.0.0.1:8448", echo);
    let failed = Err(Unresolved::Failed("timeout".to_owned()));
    world.internet.service("_matrix-fed._tcp.a.example", failed);
    assert!(ask(&world, "a.example").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn keys_009_a_file_that_is_too_long_is_no_file() {
    let world = World::new();
    world.internet.name("a.example", &["1.0.0.1"]);
    world.homeserver("a.example", "1.0.0.1:443", |_| {
        let padding = " ".repeat(WELL_KNOWN.bytes_max);
        answer(200, format!(r#"{{"m.server": "evil.example"}}{padding}"#))
    });
    world.homeserver("a.example", "1.0.0.1:8448", echo);
    assert_eq!(ask(&world, "a.example").await.unwrap(), "a.example");
}

#[tokio::test(start_paused = true)]
async fn keys_010_redirects_of_the_file_are_counted_and_judged() {
    for (target, hops_max) in [
        ("https://a.example/.well-known/matrix/server", 6),
        ("http://127.0.0.1/", 1),
    ] {
        let world = World::new();
        world.internet.name("a.example", &["1.0.0.1"]);
        let hops = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hops);
        world.homeserver("a.example", "1.0.0.1:443", move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            redirect(target)
        });
        world.homeserver("a.example", "1.0.0.1:8448", echo);
        assert_eq!(ask(&world, "a.example").await.unwrap(), "a.example");
        assert_eq!(hops.load(Ordering::SeqCst), hops_max, "{target}");
        assert!(
            world
                .internet
                .dialled()
                .iter()
                .all(|to| to.starts_with("1.0.0.1:"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn keys_011_delegation_to_nonsense_is_no_delegation() {
    for body in [
        r#"{"m.server": "x:0"}"#,
        r#"{"m.server": "x:70000"}"#,
        r#"{"m.server": 42}"#,
        r#"{"m.server": null}"#,
        r#"{"m.server": "https://b.example"}"#,
        r#"{"m.server": ""}"#,
        "{}",
        "[]",
        "<html>",
    ] {
        let world = World::new();
        well_known(&world, body);
        world.homeserver("a.example", "1.0.0.1:8448", echo);
        assert_eq!(
            ask(&world, "a.example").await.unwrap(),
            "a.example",
            "{body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn keys_011_delegation_to_a_private_address_is_blocked() {
    for body in [
        r#"{"m.server": "127.0.0.1:22"}"#,
        r#"{"m.server": "10.0.0.1"}"#,
    ] {
        let world = World::new();
        well_known(&world, body);
        ask(&world, "a.example").await.unwrap_err();
        assert_eq!(world.internet.dialled(), ["1.0.0.1:443"], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_013_services_on_private_addresses_are_blocked_and_many_are_bounded() {
    let world = World::new();
    world.internet.name("in.example", &["10.0.0.1"]);
    let name = "_matrix-fed._tcp.a.example";
    world.internet.service(name, service("in.example", 8448));
    ask(&world, "a.example").await.unwrap_err();
    assert_eq!(world.internet.dialled(), Vec::<String>::new());
    world.internet.name("out.example", &["1.1.1.1"; 100]);
    let one = service("out.example", 1).unwrap().remove(0);
    world.internet.service(name, Ok(vec![one; 1_000]));
    ask(&world, "a.example").await.unwrap_err();
    assert!(world.internet.dialled().len() <= crate::TARGETS_MAX * crate::ADDRESSES_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_says_it_is_not_there_is_not() {
    let world = World::new();
    world.internet.name("a.example", &["1.0.0.1"]);
    world.homeserver("a.example", "1.0.0.1:8448", echo);
    let name = "_matrix-fed._tcp.a.example";
    world.internet.service(name, service("", 0));
    ask(&world, "a.example").await.unwrap_err();
}

/// How often the file was asked for until then, with this header.
async fn asked_after(control: Option<&'static str>, wait: Duration) -> usize {
    let world = World::new();
    world.internet.name("a.example", &["1.0.0.1"]);
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    world.homeserver("a.example", "1.0.0.1:443", move |_| {
        *counted.lock().unwrap() += 1;
        let mut response = answer(200, r#"{"m.server": "b.example:1"}"#);
        if let Some(control) = control {
            let value = HeaderValue::from_static(control);
            response.headers_mut().insert(header::CACHE_CONTROL, value);
        }
        response
    });
    let discovery = Discovery::new(world.fetcher(&[]), world.env.clock.clone());
    for _ in 0..2 {
        assert_eq!(
            discovery.delegated(&server("a.example")).await,
            "b.example:1"
        );
    }
    world.env.clock.sleep(wait).await;
    discovery.delegated(&server("a.example")).await;

    *asked.lock().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_file_is_kept_as_long_as_it_says_within_limits() {
    let hours = Duration::from_hours;
    let minute = Duration::from_mins(1);
    assert_eq!(
        asked_after(None, hours(24).checked_sub(minute).unwrap()).await,
        1
    );
    assert_eq!(asked_after(None, hours(24) + minute).await, 2);
    assert_eq!(
        asked_after(Some("max-age=3600"), hours(1).checked_sub(minute).unwrap()).await,
        1
    );
    assert_eq!(
        asked_after(Some("public, max-age=3600"), hours(1) + minute).await,
        2
    );
    assert_eq!(
        asked_after(
            Some("max-age=0"),
            DELEGATION_TIME_MIN.checked_sub(minute).unwrap()
        )
        .await,
        1
    );
    assert_eq!(
        asked_after(Some("no-store"), DELEGATION_TIME_MIN + minute).await,
        2
    );
    assert_eq!(
        asked_after(
            Some("max-age=99999999"),
            hours(48).checked_sub(minute).unwrap()
        )
        .await,
        1
    );
    assert_eq!(
        asked_after(Some("max-age=99999999"), hours(48) + minute).await,
        2
    );
}

#[tokio::test(start_paused = true)]
async fn failures_are_remembered_longer_and_longer() {
    let world = World::new();
    let discovery = Discovery::new(world.fetcher(&[]), world.env.clock.clone());
    let asked = || world.internet.asked.lock().unwrap().len();
    for (wait, count) in [(0, 1), (59, 1), (2, 2), (61, 2), (60, 3)] {
        world.env.clock.sleep(Duration::from_secs(wait)).await;
        assert_eq!(discovery.delegated(&server("a.example")).await, "a.example");
        assert_eq!(asked(), count, "after {wait} s more");
    }
}
