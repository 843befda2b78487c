//! The first start, `belfry user` and `belfry registration-token`: the same with a running server
//! and with a stopped one.

use std::{
    io::Write,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::{
    http::ask,
    process::{Place, Ran},
};

/// Cheap passwords, tokens needed.
const CHEAP: &str = "[accounts]\npassword_hash_memory_mib = 8\npassword_hash_passes = 1\n";

/// The registration token in what the server printed at its start.
fn printed_token(out: &str) -> Option<&str> {
    let line = out
        .lines()
        .find(|line| line.contains("registration token"))?;
    line.rsplit(' ').next()
}

/// Registers with this token, in the steps of user-interactive authentication; the last status.
fn register(place: &Place, name: &str, token: &str) -> u16 {
    let head = "POST /_matrix/client/v3/register HTTP/1.1\r\n";
    let mut body = json!({ "username": name, "password": "correct horse" });
    let (status, challenge) = ask(place, head, &body);
    assert_eq!(status, 401, "{challenge}");
    body["auth"] = json!({
        "type": "m.login.registration_token",
        "token": token,
        "session": challenge["session"],
    });
    let (_, challenge) = ask(place, head, &body);
    body["auth"] = json!({ "type": "m.login.dummy", "session": challenge["session"] });
    ask(place, head, &body).0
}

fn sign_in(place: &Place, name: &str, password: &str) -> u16 {
    let head = "POST /_matrix/client/v3/login HTTP/1.1\r\n";
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": name },
        "password": password,
    });
    ask(place, head, &body).0
}

fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

/// Name to role and state, as `user list` has them.
fn listed(place: &Place) -> Vec<(String, String, String)> {
    let list = json_of(&place.run(&["user", "list", "--json"]));
    let accounts = list["account"]["accounts"]["accounts"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    accounts
        .iter()
        .map(|one| {
            (
                text(&one["user_id"]),
                text(&one["role"]),
                text(&one["state"]),
            )
        })
        .collect()
}

#[test]
fn a_first_start_prints_where_it_is_and_a_token_for_one_account() {
    let place = Place::with(CHEAP);
    let server = place.start();
    let out = server.out();
    assert!(out.contains("http://127.0.0.1:"), "{out}");
    let token = printed_token(&out).unwrap().to_owned();
    assert!(!server.log().contains(&token), "the log tells no secret");
    server.stop();
    let server = place.start();
    assert_eq!(
        printed_token(&server.out()),
        Some(token.as_str()),
        "the same until it is used"
    );
    assert_eq!(register(&place, "ada", "not-the-token"), 401);
    assert_eq!(register(&place, "ada", &token), 200);
    assert_eq!(register(&place, "eve", &token), 401, "good once");
    server.stop();
    let server = place.start();
    assert_eq!(printed_token(&server.out()), None, "there is an account");
    server.stop();
}

#[test]
fn no_token_is_made_where_none_is_needed() {
    for mode in ["open", "closed"] {
        let place = Place::with(&format!("[accounts]\nregistration = \"{mode}\""));
        let server = place.start();
        assert_eq!(printed_token(&server.out()), None);
        server.stop();
        let tokens = place.run(&["registration-token", "list"]);
        tokens.printed(0, "Token");
        assert_eq!(tokens.out.lines().count(), 1, "{tokens:?}");
    }
}

/// Every command once; `place` has a server that runs, or one that is stopped.
fn administer(place: &Place) {
    let made = json_of(&place.run(&["user", "create", "ada", "--json"]));
    let password = &made["account"]["created"]["password"];
    assert_eq!(password.as_str().unwrap().len(), 20, "{made}");
    place
        .run(&["user", "create", "ada"])
        .refused(2, "an account ada already");
    place
        .run(&["user", "create", "Ada Lovelace"])
        .refused(2, "small letters");
    place
        .run(&["user", "create", "eve", "--role", "queen"])
        .refused(2, "no such role");
    place
        .run(&["user", "create", "bob", "--role", "admin"])
        .printed(0, "@bob:localhost");
    for (command, role, state) in [
        ("suspend", "member", "suspended"),
        ("lock", "member", "locked"),
        ("restore", "member", "active"),
        ("promote", "admin", "active"),
        ("demote", "member", "active"),
        ("logout", "member", "active"),
    ] {
        place
            .run(&["user", command, "ada"])
            .printed(0, "@ada:localhost");
        let ada = (
            "@ada:localhost".to_owned(),
            role.to_owned(),
            state.to_owned(),
        );
        assert!(
            listed(place).contains(&ada),
            "{command}: {:?}",
            listed(place)
        );
    }
    place
        .run(&["user", "deactivate", "@bob:localhost", "--erase"])
        .printed(0, "for ever");
    let bob = listed(place).into_iter().nth(1).unwrap();
    assert_eq!(
        (bob.0.as_str(), bob.2.as_str()),
        ("@bob:localhost", "deactivated")
    );
    place
        .run(&["user", "lock", "bob"])
        .refused(2, "deactivated");
    place
        .run(&["user", "lock", "nobody"])
        .refused(2, "no account nobody");
    place
        .run(&["user", "list", "--lang", "fr"])
        .printed(0, "fermé");
    administer_tokens(place);
}

fn administer_tokens(place: &Place) {
    let made = place.run(&["registration-token", "create", "--uses", "2", "--days", "7"]);
    let token = made.out.trim();
    assert_eq!(token.len(), 24, "{made:?}");
    place
        .run(&["registration-token", "list"])
        .printed(0, &format!("{token}  member   0/2   good"));
    place
        .run(&["registration-token", "revoke", token])
        .printed(0, token);
    let left = place.run(&["registration-token", "list"]);
    assert!(!left.out.contains(token), "{left:?}");
}

#[test]
fn accounts_are_administered_by_the_socket() {
    let place = Place::with(CHEAP);
    let server = place.start();
    administer(&place);
    server.stop();
}

#[test]
fn accounts_are_administered_by_the_file() {
    let place = Place::with(CHEAP);
    place.start().stop();
    administer(&place);
    place.run(&["db", "check"]).printed(0, "No damage found");
}

#[test]
fn nothing_is_made_where_there_is_no_database() {
    let place = Place::new();
    place.run(&["user", "list"]).refused(2, "no database");
    assert!(!place.path("data").exists());
}

/// Runs a command with this on its standard input.
fn with_input(place: &Place, arguments: &[&str], input: &str) -> Ran {
    let mut command = place.command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child: Child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn a_password_comes_from_standard_input() {
    let place = Place::with(CHEAP);
    let server = place.start();
    let create = ["user", "create", "ada", "--password-stdin"];
    with_input(&place, &create, "short\n").refused(2, "at least 8");
    let made = with_input(&place, &create, "correct horse\n");
    made.printed(0, "@ada:localhost");
    assert!(!made.out.contains("correct horse"), "{made:?}");
    assert_eq!(sign_in(&place, "ada", "correct horse"), 200);
    let reset = ["user", "reset-password", "ada", "--password-stdin"];
    with_input(&place, &reset, "battery staple").printed(0, "signed out");
    assert_eq!(sign_in(&place, "ada", "correct horse"), 403);
    assert_eq!(sign_in(&place, "ada", "battery staple"), 200);
    place.run(&["user", "lock", "ada"]).printed(0, "locked");
    server.stop();
}
