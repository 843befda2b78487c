//! Rooms as the configuration wants them.

use serde_json::{Value, json};

use crate::{http::ask, process::Place};

const OPEN: &str = "[accounts]\nregistration = \"open\"\npassword_hash_memory_mib = 8\n";

#[test]
fn rooms_whose_creator_asks_for_no_version_have_the_configured_one() {
    for (config, version) in [
        (String::new(), "12"),
        ("[rooms]\ndefault_version = \"9\"\n".to_owned(), "9"),
    ] {
        let place = Place::with(&format!("{OPEN}{config}"));
        let server = place.start();
        let ada = json!({"username": "ada", "password": "correct horse",
            "auth": {"type": "m.login.dummy"}});
        let head = "POST /_matrix/client/v3/register HTTP/1.1\r\n";
        let (_, made) = ask(&place, head, &ada);
        let token = made["access_token"].as_str().unwrap();
        let client = |endpoint: &str, body: &Value| {
            let (method, path) = endpoint.split_once(' ').unwrap();
            let token = format!("Authorization: Bearer {token}\r\n");
            let head = format!("{method} /_matrix/client/v3/{path} HTTP/1.1\r\n{token}");
            let (status, answer) = ask(&place, &head, body);
            assert_eq!(status, 200, "{endpoint}: {answer}");
            answer
        };
        for (wanted, expected) in [(json!({}), version), (json!({"room_version": "7"}), "7")] {
            let made = client("POST createRoom", &wanted);
            let room = made["room_id"].as_str().unwrap();
            let create = format!("GET rooms/{room}/state/m.room.create/");
            let create = client(&create, &Value::Null);
            assert_eq!(create["room_version"], expected, "{config}");
        }
        let told = client("GET capabilities", &Value::Null);
        let told = &told["capabilities"]["m.room_versions"]["default"];
        assert_eq!(told, version, "{config}");
        server.stop();
    }
}
