//! `belfry federation`, and what monitoring is told of other servers.

use serde_json::{Value, json};

use crate::{http::exchange, process::Place};

const SHARED: &str = "[federation]\nmode = \"on\"\n[metrics]\nlisten = [\"127.0.0.1:0\"]\n";

#[test]
fn operators_see_how_it_stands_with_other_servers_and_have_them_tried_again() {
    let place = Place::with(SHARED);
    let list = ["federation", "destinations"];
    let reset = ["federation", "reset", "other.example"];
    place.run(&list).refused(2, "No server runs");
    let server = place.start();
    place.run(&list).printed(0, "No other server");
    let listed = place.run(&["federation", "destinations", "--json"]);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed, json!({"destinations": []}));
    place.run(&reset).printed(0, "other.example is tried again");
    let wrong = ["federation", "reset", "no name"];
    place
        .run(&wrong)
        .refused(2, "cannot be the name of a server");
    place.run(&["federation", "reset"]).refused(2, "missing");
    server.stop();
    place.configure("");
    let server = place.start();
    for command in [&list[..], &reset] {
        place.run(command).refused(2, "federation.mode");
    }
    server.stop();
}

#[test]
fn monitoring_is_answered_on_its_own_address_and_on_no_other() {
    let place = Place::with(SHARED);
    let server = place.start();
    let status = place.run(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    let metrics = status["status"]["metrics"][0].as_str().unwrap();
    place.run(&["status"]).printed(0, metrics);
    let get = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let told = exchange(metrics, get);
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    assert!(told.contains("text/plain; version=0.0.4"), "{told}");
    assert!(
        told.contains("\nbelfry_federation_destinations 0\n"),
        "{told}"
    );
    let other = exchange(
        metrics,
        &get.replace("/metrics", "/_matrix/client/versions"),
    );
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    let public = status["status"]["listening"][0].as_str().unwrap();
    let told = exchange(public, get);
    assert!(told.starts_with("HTTP/1.1 404"), "{told}");
    server.stop();
}
