//! HTTP on the configured address, with the configured rules.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Place, Server};

const OPEN: &str = "[accounts]\nregistration = \"open\"\npassword_hash_memory_mib = 8\n";

/// The address on which the place's server listens.
fn address(place: &Place) -> String {
    let ran = place.run(&["status", "--json"]);
    let status: Value = serde_json::from_str(&ran.out).unwrap();
    status["status"]["listening"][0]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Status and body of the answer to one request.
pub(crate) fn ask(place: &Place, head: &str, body: &Value) -> (u16, Value) {
    let mut stream = TcpStream::connect(address(place)).unwrap();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let length = body.len();
    write!(
        stream,
        "{head}Host: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// What an address answers to these bytes until it ends the connection.
pub(crate) fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn register(place: &Place) -> (u16, Value) {
    let body = json!({
        "username": "ada",
        "password": "correct horse",
        "auth": { "type": "m.login.dummy" },
    });
    ask(
        place,
        "POST /_matrix/client/v3/register HTTP/1.1\r\n",
        &body,
    )
}

fn whoami(place: &Place, token: &str) -> (u16, Value) {
    let head = format!(
        "GET /_matrix/client/v3/account/whoami HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"
    );
    ask(place, &head, &Value::Null)
}

#[test]
fn what_the_server_speaks_is_answered() {
    let place = Place::new();
    let server = place.start();
    let (status, answer) = ask(
        &place,
        "GET /_matrix/client/versions HTTP/1.1\r\n",
        &Value::Null,
    );
    assert_eq!(status, 200);
    assert!(answer["versions"].is_array(), "{answer}");
    server.stop();
}

#[test]
fn accounts_are_made_only_where_registration_is_open_and_outlive_a_restart() {
    let place = Place::with("[accounts]\nregistration = \"closed\"\n");
    let server = place.start();
    assert_eq!(register(&place).0, 403);
    server.stop();
    place.configure(OPEN);
    let server = place.start();
    let (status, answer) = register(&place);
    assert_eq!(status, 200, "{answer}");
    let token = answer["access_token"].as_str().unwrap().to_owned();
    assert_eq!(whoami(&place, &token).1["user_id"], "@ada:localhost");
    assert!(!server.log().contains(&token));
    assert!(!server.log().contains("correct horse"));
    server.stop();
    let server = place.start();
    assert_eq!(whoami(&place, &token).1["user_id"], "@ada:localhost");
    server.stop();
    place.run(&["db", "check"]).printed(0, "No damage found");
}

#[test]
fn a_request_names_its_host_once() {
    let place = Place::new();
    let server = place.start();
    let address = address(&place);
    let path = "GET /_matrix/client/versions HTTP/1.1\r\nConnection: close\r\n";
    for (hosts, status) in [
        ("", 400),
        ("Host: a.example\r\nHost: a.example\r\n", 400),
        ("Host: a.example\r\nhost: b.example\r\n", 400),
        ("Host: a example\r\n", 400),
        ("Host: user@a.example\r\n", 400),
        ("Host: a.example:8448\r\n", 200),
        ("Host: [::1]:8448\r\n", 200),
    ] {
        let answer = exchange(&address, &format!("{path}{hosts}\r\n"));
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{hosts:?}: {answer}");
        assert_eq!(answer.contains("M_UNKNOWN"), status == 400, "{answer}");
    }
    // Before version 1.1 there was no such header.
    let old = exchange(&address, "GET /_matrix/client/versions HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
    server.stop();
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let place = Place::new();
    let server: Server = place.start();
    let mut idle = TcpStream::connect(address(&place)).unwrap();
    server.stop();
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0);
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    std::fs::write(
        place.path("belfry.toml"),
        format!("listen.addresses = [\"{address}\"]"),
    )
    .unwrap();
    place.run(&["serve"]).refused(2, &address);
    assert!(!place.path("data/control.sock").exists());
}

/// Tries to sign in as nobody, with this for a client's address; the status.
fn guess(place: &Place, forwarded: &str) -> u16 {
    let head =
        format!("POST /_matrix/client/v3/login HTTP/1.1\r\nX-Forwarded-For: {forwarded}\r\n");
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": forwarded },
        "password": "a guess",
    });
    ask(place, &head, &body).0
}

/// What three guesses get, the last by another client, where these proxies are trusted.
fn guesses(proxies: &str) -> [u16; 3] {
    let place = Place::new();
    let config = [
        "listen.addresses = ['127.0.0.1:0']",
        &format!("listen.trusted_proxies = {proxies}"),
        "accounts.password_hash_memory_mib = 8",
        "rate_limits.login_network = { interval_ms = 3600000, burst = 1 }",
    ];
    std::fs::write(place.path("belfry.toml"), config.join("\n")).unwrap();
    let server = place.start();
    let seen = ["203.0.113.7", "203.0.113.7", "198.51.100.8"].map(|client| guess(&place, client));
    server.stop();
    seen
}

#[test]
fn rate_limits_count_clients_of_a_trusted_proxy_each_and_believe_nobody_else() {
    assert_eq!(guesses("['127.0.0.1']"), [403, 429, 403]);
    assert_eq!(guesses("['192.0.2.0/24']"), [403, 429, 429]);
    assert_eq!(guesses("[]"), [403, 429, 429]);
}

/// Tasks of the running server.
fn tasks(place: &Place) -> u64 {
    let ran = place.run(&["status", "--json"]);
    let status: Value = serde_json::from_str(&ran.out).unwrap();
    status["status"]["tasks"].as_u64().unwrap()
}

/// Sends a request without waiting for its answer; returns once its connection is served.
fn begin(place: &Place, request: &str) -> TcpStream {
    const LOOKS_MAX: usize = 1_000;
    let before = tasks(place);
    let mut stream = TcpStream::connect(address(place)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let served = (0..LOOKS_MAX).any(|_| tasks(place) > before);
    assert!(served, "the connection is not served");
    stream
}

#[test]
fn a_long_poll_does_not_hold_up_the_end() {
    let place = Place::with(OPEN);
    let server = place.start();
    let token = register(&place).1["access_token"].clone();
    let token = token.as_str().unwrap();
    let sync = |query: &str| {
        let path = format!("GET /_matrix/client/v3/sync?{query} HTTP/1.1");
        format!("{path}\r\nAuthorization: Bearer {token}\r\n")
    };
    let (_, first) = ask(&place, &sync("timeout=0"), &Value::Null);
    let since = first["next_batch"].as_str().unwrap();
    let poll = sync(&format!("timeout=300000&since={since}"));
    let mut poll = begin(&place, &format!("{poll}Host: localhost\r\n\r\n"));
    server.stop();
    let mut answer = String::new();
    poll.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let log = std::fs::read_to_string(place.path("log")).unwrap();
    assert!(!log.contains("did not end"), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

#[test]
fn a_second_signal_cuts_off_what_is_under_way_and_says_how_much() {
    let place = Place::new();
    let server = place.start();
    let head = "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: localhost\r\n";
    let _half = begin(&place, &format!("{head}Content-Length: 100\r\n\r\n{{"));
    server.signal(Signal::TERM);
    assert_eq!(server.notice(), "STOPPING=1");
    server.stop();
    let log = std::fs::read_to_string(place.path("log")).unwrap();
    assert!(log.contains("under_way=1"), "{log}");
}
