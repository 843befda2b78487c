//! What becomes of devices that nobody uses, of what waits for them and of the logs behind their
//! lists, as clients see it while time passes.

use std::{sync::Arc, time::Duration};

use belfry_data::{
    Commit,
    keys::{DEVICE_LIST_ENTRIES_KEPT, note_remote_device_list},
};
use belfry_env::{Env, SimulatedWall};
use belfry_kv::{Direction, Memory, Range};
use ruma_common::OwnedUserId;
use serde_json::{Value, json};

use crate::{
    DEVICES_INTERVAL, Node,
    fixture::{START_MS, Server, options},
};

const DAY: Duration = Duration::from_hours(24);
/// How long messages wait for a device, and what of a stop counts at most.
const WAIT: Duration = Duration::from_hours(90 * 24);
const STOP: Duration = Duration::from_hours(30 * 24);

fn wall() -> SimulatedWall {
    SimulatedWall::at(START_MS)
}

/// A server that signs out devices which nobody used for three days.
async fn forgetful() -> Server {
    let engine = Arc::new(Memory::default());
    let env = Env::simulated(1, &wall());
    let mut options = options("hs1");
    options.users.idle_device_life = Some(3 * DAY);
    options.users.access_token_life = None;
    let own = Arc::clone(&engine) as Arc<_>;
    let node = Node::start(own, env.clone(), options).await.unwrap();
    Server { engine, env, node }
}

/// Another device of somebody who is registered; its token and ID.
async fn sign_in(server: &Server, name: &str) -> (String, String) {
    let body = json!({
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": name},
        "password": "wordpass",
    });
    let (status, answer) = server.ask("POST", "/login", "", &body).await;
    assert_eq!(status, 200, "{answer}");
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (text("access_token"), text("device_id"))
}

async fn get(server: &Server, token: &str, path: &str) -> Value {
    let (status, answer) = server.ask("GET", path, token, &json!(null)).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn sync(server: &Server, token: &str, since: Option<&Value>) -> Value {
    let since = since.and_then(Value::as_str);
    let since = since.map(|since| format!("?since={since}"));
    let path = format!("/sync{}", since.unwrap_or_default());
    get(server, token, &path).await
}

/// Sends a message from the token's device to another.
async fn tell(server: &Server, token: &str, device: (&str, &str), number: usize) {
    let (user, device) = device;
    let path = format!("/sendToDevice/m.test/{number}");
    let body = json!({"messages": {user: {device: {"number": number}}}});
    let (status, answer) = server.ask("PUT", &path, token, &body).await;
    assert_eq!(status, 200, "{answer}");
}

fn numbers(sync: &Value) -> Vec<u64> {
    let events = sync["to_device"]["events"].as_array();
    let events = events.into_iter().flatten();
    events
        .map(|event| event["content"]["number"].as_u64().unwrap())
        .collect()
}

/// All rows of a table, however many.
async fn count(server: &Server, table: &str) -> usize {
    let mut spaces = belfry_data::keyspaces().iter();
    let space = spaces.find(|space| space.name == table).unwrap();
    let snapshot = server.node.database().snapshot().await.unwrap();
    let (mut range, mut count) = (Range::table(space), 0);
    loop {
        let page = snapshot.scan(range, Direction::Forward, 1_000).await;
        let page = page.unwrap();
        count += page.rows.len();
        match page.rest {
            Some(rest) => range = rest,
            None => return count,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn device_that_nobody_uses_is_signed_out_in_time_and_its_neighbours_are_told() {
    let server = forgetful().await;
    let phone = server.register("alice").await;
    let (laptop, laptop_id) = sign_in(&server, "alice").await;
    let mut seen = sync(&server, &phone, None).await;
    for _ in 0..5 {
        server.env.clock.sleep(DAY / 2).await;
        seen = sync(&server, &phone, Some(&seen["next_batch"])).await;
    }
    let devices = get(&server, &phone, "/devices").await;
    assert_eq!(devices["devices"].as_array().unwrap().len(), 2);
    server.env.clock.sleep(DAY + DEVICES_INTERVAL * 2).await;
    let (status, answer) = server
        .ask("GET", "/account/whoami", &laptop, &json!(null))
        .await;
    assert_eq!(
        (status.as_u16(), &answer["errcode"]),
        (401, &json!("M_UNKNOWN_TOKEN"))
    );
    let devices = get(&server, &phone, "/devices").await;
    let devices = devices["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "{devices:?} without {laptop_id}");
    let news = sync(&server, &phone, Some(&seen["next_batch"])).await;
    assert_eq!(news["device_lists"]["changed"], json!(["@alice:hs1"]));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn message_that_nobody_fetches_goes_when_its_time_is_up() {
    let mut server = Server::new(&wall()).await;
    let alice = server.register("alice").await;
    server.register("bob").await;
    let (bob, id) = sign_in(&server, "bob").await;
    tell(&server, &alice, ("@bob:hs1", &id), 1).await;
    // Ninety days take long, hour by hour, so most of them pass while it is stopped.
    for stopped in [STOP, STOP, WAIT.saturating_sub(DAY + 2 * STOP)] {
        let stopped_ms = u64::try_from(stopped.as_millis()).unwrap();
        let later = SimulatedWall::at(server.env.clock.wall_ms() + stopped_ms);
        let engine = server.stop().await;
        server = Server::on(engine, &later).await;
    }
    server.env.clock.sleep(DEVICES_INTERVAL * 2).await;
    assert_eq!(count(&server, "to_device").await, 1);
    server.env.clock.sleep(DAY + DEVICES_INTERVAL * 2).await;
    assert_eq!(count(&server, "to_device").await, 0);
    // The device itself is welcome, whenever it comes.
    assert!(numbers(&sync(&server, &bob, None).await).is_empty());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn message_is_told_again_after_a_restart_until_the_client_has_passed_it() {
    let mut server = Server::new(&wall()).await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let devices = get(&server, &bob, "/devices").await;
    let id = devices["devices"][0]["device_id"].as_str().unwrap();
    let start = sync(&server, &bob, None).await["next_batch"].clone();
    for number in 0..3 {
        tell(&server, &alice, ("@bob:hs1", id), number).await;
    }
    let told = sync(&server, &bob, Some(&start)).await;
    assert_eq!(numbers(&told), [0, 1, 2]);
    let engine = server.stop().await;
    server = Server::on(engine, &wall()).await;
    let again = sync(&server, &bob, Some(&start)).await;
    assert_eq!(numbers(&again), [0, 1, 2], "the answer may have been lost");
    let engine = Arc::new(server.engine.crash(0));
    server.node.stop(Duration::ZERO).await;
    server = Server::on(engine, &wall()).await;
    // A transaction that comes again over a crash is the same message.
    tell(&server, &alice, ("@bob:hs1", id), 2).await;
    let again = sync(&server, &bob, Some(&start)).await;
    assert_eq!(numbers(&again), [0, 1, 2]);
    let passed = sync(&server, &bob, Some(&again["next_batch"])).await;
    assert!(numbers(&passed).is_empty());
    assert!(numbers(&sync(&server, &bob, None).await).is_empty());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn log_of_device_lists_is_shortened_and_who_comes_late_looks_at_everybody() {
    let server = Server::new(&wall()).await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let preset = json!({"preset": "public_chat"});
    let created = ("POST", "/createRoom");
    let room = server.get_text(created, &alice, &preset, "room_id").await;
    let join = format!("/join/{room}");
    server
        .get_text(("POST", &join), &bob, &json!({}), "room_id")
        .await;
    let start = sync(&server, &alice, None).await["next_batch"].clone();
    let quiet = sync(&server, &alice, Some(&start)).await;
    assert!(
        quiet["device_lists"]["changed"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    for first in (0..DEVICE_LIST_ENTRIES_KEPT + 500).step_by(500) {
        let mut commit = Commit::synced();
        for number in first..first + 500 {
            let user = OwnedUserId::try_from(format!("@u{number}:hs2")).unwrap();
            note_remote_device_list(&mut commit, &user);
        }
        server
            .node
            .database()
            .engine()
            .commit(commit)
            .await
            .unwrap();
    }
    assert!(count(&server, "device_list_log").await > DEVICE_LIST_ENTRIES_KEPT + 1);
    server.env.clock.sleep(DEVICES_INTERVAL * 2).await;
    assert_eq!(
        count(&server, "device_list_log").await,
        DEVICE_LIST_ENTRIES_KEPT + 1,
        "the newest, and the mark in place of the others"
    );
    let late = sync(&server, &alice, Some(&start)).await;
    let changed = late["device_lists"]["changed"].as_array().unwrap();
    assert!(changed.contains(&json!("@bob:hs1")), "{changed:?}");
    server.stop().await;
}
