//! HTTP on the configured address, with the configured rules.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

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
