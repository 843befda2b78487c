//! `belfry notice`: what the server says to its users.

use serde_json::{Value, json};

use crate::{http::ask, process::Place};

const OPEN: &str = "[accounts]\nregistration = \"open\"\npassword_hash_memory_mib = 8\n";

/// What a client is answered that asks with this token.
fn client(place: &Place, token: &str, (method, path): (&str, &str), body: &Value) -> Value {
    let head =
        format!("{method} /_matrix/client/v3/{path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n");
    let (status, answer) = ask(place, &head, body);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

#[test]
fn a_notice_from_the_command_line_reaches_its_user() {
    let place = Place::with(OPEN);
    let server = place.start();
    let ada = json!({"username": "ada", "password": "correct horse",
        "auth": {"type": "m.login.dummy"}});
    let (_, made) = ask(
        &place,
        "POST /_matrix/client/v3/register HTTP/1.1\r\n",
        &ada,
    );
    let token = made["access_token"].as_str().unwrap();
    let text = "The server rests tonight.\nBack at six.";
    place
        .run(&["notice", "send", "ada", text])
        .printed(0, "@ada:localhost has been told");
    let synced = client(&place, token, ("GET", "sync"), &Value::Null);
    let invites = synced["rooms"]["invite"].as_object().unwrap();
    let room = invites.keys().next().unwrap();
    client(&place, token, ("POST", &format!("join/{room}")), &json!({}));
    let sent = place.run(&["notice", "send", "@ada:localhost", "Encore", "--json"]);
    let sent: Value = serde_json::from_str(&sent.out).unwrap();
    let page = format!("rooms/{room}/messages?dir=b&limit=5");
    let page = client(&place, token, ("GET", &page), &Value::Null);
    let last = &page["chunk"][0];
    assert_eq!(last["event_id"], sent["notice"]["event_id"], "{page}");
    let said: Vec<_> = page["chunk"].as_array().unwrap().iter().collect();
    let bodies = said.iter().filter_map(|it| it["content"]["body"].as_str());
    assert_eq!(bodies.collect::<Vec<_>>(), ["Encore", text]);
    place
        .run(&["notice", "send", "nobody", "hello"])
        .refused(2, "no account nobody");
    place
        .run(&["notice", "send", "ada", " "])
        .refused(2, "nothing to say");
    place
        .run(&["notice", "send", "ada", "salut", "--lang", "fr"])
        .printed(0, "L’avis a été envoyé à @ada:localhost");
    server.stop();
    place
        .run(&["notice", "send", "ada", "hello"])
        .refused(2, "No server runs");
}
