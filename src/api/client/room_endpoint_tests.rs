//! Every endpoint about rooms, by one table: what it answers a member, a stranger and nobody.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use super::talk::Talker;
use crate::fixture::TestApp;

/// What the specification has: a table with a head.
const ENDPOINTS: &str = include_str!("../../../tests/data/endpoints.tsv");

/// Method, path, body, and what a member and a stranger are answered. Names in braces are as in the
/// specification; behind `?` stands a query.
type Row = (&'static str, &'static str, Option<&'static str>, u16, u16);

/// In this order: what ends a membership stands last.
const ROWS: &[Row] = &[
    (
        "GET",
        "/_matrix/client/v1/mutual_rooms?user_id=@carol:hs1",
        None,
        200,
        200,
    ),
    (
        "GET",
        "/_matrix/client/v1/room_summary/{roomIdOrAlias}",
        None,
        200,
        404,
    ),
    (
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/hierarchy",
        None,
        200,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}",
        None,
        200,
        404,
    ),
    (
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}",
        None,
        200,
        404,
    ),
    (
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}",
        None,
        200,
        404,
    ),
    (
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/threads",
        None,
        200,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/timestamp_to_event?ts=0&dir=f",
        None,
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/createRoom",
        Some("{}"),
        200,
        200,
    ),
    (
        "GET",
        "/_matrix/client/v3/directory/list/room/{roomId}",
        None,
        200,
        200,
    ),
    (
        "PUT",
        "/_matrix/client/v3/directory/list/room/{roomId}",
        Some(r#"{"visibility": "private"}"#),
        200,
        403,
    ),
    (
        "PUT",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        Some(r#"{"room_id": "{roomId}"}"#),
        409,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        None,
        200,
        200,
    ),
    ("GET", "/_matrix/client/v3/joined_rooms", None, 200, 200),
    (
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/aliases",
        None,
        200,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/context/{eventId}",
        None,
        200,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/event/{eventId}",
        None,
        200,
        404,
    ),
    (
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/joined_members",
        None,
        200,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/members",
        None,
        200,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/messages?dir=b",
        None,
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/read_markers",
        Some("{}"),
        200,
        200,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}",
        Some("{}"),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/report",
        Some(r#"{"reason": "x"}"#),
        200,
        200,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/report/{eventId}",
        Some("{}"),
        200,
        404,
    ),
    (
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
        Some("{}"),
        200,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/state",
        None,
        200,
        403,
    ),
    (
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        Some("{}"),
        200,
        403,
    ),
    (
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        None,
        200,
        403,
    ),
    (
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/typing/{userId}",
        Some(r#"{"typing": false}"#),
        200,
        403,
    ),
    (
        "PUT",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}",
        Some(r#"{"a": 1}"#),
        200,
        200,
    ),
    (
        "GET",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}",
        None,
        200,
        200,
    ),
    (
        "PUT",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}",
        Some("{}"),
        200,
        200,
    ),
    (
        "GET",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags",
        None,
        200,
        200,
    ),
    (
        "DELETE",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}",
        None,
        200,
        200,
    ),
    (
        "POST",
        "/_matrix/client/v3/user_directory/search",
        Some(r#"{"search_term": "bob"}"#),
        200,
        200,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/invite",
        Some(r#"{"user_id": "@carol:hs1"}"#),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/kick",
        Some(r#"{"user_id": "@carol:hs1"}"#),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/ban",
        Some(r#"{"user_id": "@carol:hs1"}"#),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/unban",
        Some(r#"{"user_id": "@carol:hs1"}"#),
        200,
        403,
    ),
    (
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}",
        Some("{}"),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/upgrade",
        Some(r#"{"new_version": "12"}"#),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/join/{roomIdOrAlias}",
        Some("{}"),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/join",
        Some("{}"),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/knock/{roomIdOrAlias}",
        Some("{}"),
        403,
        403,
    ),
    (
        "DELETE",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        None,
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/leave",
        Some("{}"),
        200,
        403,
    ),
    (
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/forget",
        Some("{}"),
        200,
        400,
    ),
];

/// Endpoints of others: listed by the specification with rooms, tested elsewhere or not served.
const ELSEWHERE: [&str; 3] = ["/room_keys/", "/appservice/", "/initialSync"];

fn fill(template: &str, (room, event, user): (&str, &str, &str)) -> String {
    let filled = [
        ("{roomIdOrAlias}", room),
        ("{roomId}", room),
        ("{roomAlias}", "%23table:hs1"),
        ("{eventId}", event),
        ("{relType}", "m.thread"),
        ("{eventType}", "m.room.message"),
        ("{stateKey}", "key"),
        ("{receiptType}", "m.read"),
        ("{txnId}", "t"),
        ("{userId}", user),
        ("{type}", "org.own"),
        ("{tag}", "u.own"),
    ];
    let fill = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
    filled.iter().fold(template.to_owned(), fill)
}

#[test]
fn the_table_holds_every_endpoint_about_rooms() {
    let bare = |path: &str| path.split('?').next().unwrap().to_owned();
    let tested: BTreeSet<_> = ROWS
        .iter()
        .map(|(method, path, ..)| format!("{method} {}", bare(path)))
        .collect();
    let words = ["room", "join", "knock", "directory"];
    let rows = ENDPOINTS
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let about_rooms = rows.filter(|columns| {
        columns[0] == "client-server"
            && words.iter().any(|word| columns[2].contains(word))
            && !ELSEWHERE.iter().any(|other| columns[2].contains(other))
    });
    let wanted = about_rooms.map(|columns| format!("{} {}", columns[1], columns[2]));
    let missing: Vec<_> = wanted
        .filter(|endpoint| !tested.contains(endpoint))
        .collect();
    assert!(missing.is_empty(), "add rows for {missing:#?}");
}

#[tokio::test(start_paused = true)]
async fn every_endpoint_about_rooms_answers_members_strangers_and_nobody() {
    let app = TestApp::new();
    let alice = Talker::new(&app, "alice").await;
    let bob = Talker::new(&app, "bob").await;
    Talker::new(&app, "carol").await;
    let room = alice
        .room("private_chat", json!({"room_alias_name": "table"}))
        .await;
    let event = alice.say(&room, "said").await;
    let mut wrong = Vec::new();
    for (method, template, body, member, stranger) in ROWS {
        app.env.clock.sleep(std::time::Duration::from_mins(6)).await;
        let verb: Method = method.parse().unwrap();
        for (who, expected) in [(&bob, stranger), (&alice, member)] {
            let names = (room.as_str(), event.as_str(), who.id());
            let path = fill(template, names);
            let short = path.strip_prefix("/_matrix/client/").unwrap();
            let body: Value = match body {
                Some(body) => serde_json::from_str(&fill(body, names)).unwrap(),
                None => Value::Null,
            };
            let (status, answer) = who.ask(verb.clone(), short, &body).await;
            let refused = answer["errcode"].is_string() && answer["error"].is_string();
            let (nobody, errcode) = app.raw((method, &path), None, body.to_string()).await;
            let asked = [(200, ""), (401, "M_MISSING_TOKEN"), (404, "M_NOT_FOUND")];
            let asked = asked.contains(&(nobody, &*errcode));
            if status != *expected || refused != (status != 200) || !asked {
                let told = format!("{method} {path} by {}: {status} {answer}", who.id());
                wrong.push(format!("{told}; by nobody: {nobody} {errcode}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    app.stop().await;
}
