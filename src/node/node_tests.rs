//! Start, serve, stop, start again; and time that passes or jumps.

use std::{sync::Arc, time::Duration};

use belfry_data::OpenError;
use belfry_env::{Env, SimulatedWall};
use belfry_kv::Memory;
use serde_json::{Value, json};

use crate::{
    AGE_INTERVAL, EXPIRY_INTERVAL, Node, StartError,
    fixture::{START_MS, Server, options},
};

const DAY_MS: i64 = 24 * 3_600 * 1_000;
const TEN_YEARS_MS: i64 = 3_652 * DAY_MS;

fn wall() -> SimulatedWall {
    SimulatedWall::at(START_MS)
}

async fn create_room(server: &Server, token: &str) -> String {
    let request = ("POST", "/createRoom");
    server.get_text(request, token, &json!({}), "room_id").await
}

async fn say(server: &Server, token: &str, room: &str, txn: &str) -> String {
    let path = format!("/rooms/{room}/send/m.room.message/{txn}");
    let content = json!({"msgtype": "m.text", "body": txn});
    let request = ("PUT", path.as_str());
    server.get_text(request, token, &content, "event_id").await
}

async fn whoami(server: &Server, token: &str) -> Value {
    let (_, answer) = server
        .ask("GET", "/account/whoami", token, &json!(null))
        .await;
    answer["user_id"].clone()
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let server = Server::new(&wall()).await;
    let token = server.register("alice").await;
    let room = create_room(&server, &token).await;
    let event = say(&server, &token, &room, "1").await;
    let engine = server.stop().await;
    let server = Server::on(engine, &wall()).await;
    assert_eq!(whoami(&server, &token).await, "@alice:hs1");
    assert_eq!(say(&server, &token, &room, "1").await, event);
    assert_ne!(say(&server, &token, &room, "2").await, event);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    let server = Server::new(&wall()).await;
    let token = server.register("alice").await;
    let room = create_room(&server, &token).await;
    let event = say(&server, &token, &room, "1").await;
    let engine = Arc::new(server.engine.crash(0));
    server.node.stop(Duration::ZERO).await;
    let server = Server::on(engine, &wall()).await;
    assert_eq!(say(&server, &token, &room, "1").await, event);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_every_task_at_once() {
    let server = Server::new(&wall()).await;
    assert_eq!(
        server.env.tasks.running(),
        [
            "sync notifier",
            "sync projector",
            "note trimming",
            "expiry",
            "age",
            "flow watch",
            "delayed events",
            "directories",
            "media sweep",
            "media copies",
            "devices",
            "room upkeep",
        ]
    );
    let begun = server.env.clock.now();
    let env = server.env.clone();
    server.stop().await;
    assert_eq!(env.clock.now(), begun);
}

#[tokio::test(start_paused = true)]
async fn another_servers_database_is_refused() {
    let engine = Server::new(&wall()).await.stop().await;
    let env = Env::simulated(1, &wall());
    let started = Node::start(engine, env.clone(), options("hs2")).await;
    let error = started.map(|_| ()).unwrap_err();
    assert!(
        matches!(error, StartError::Open(OpenError::OtherServer { .. })),
        "{error}"
    );
    assert!(
        env.tasks.running().is_empty(),
        "nothing runs after a refusal"
    );
}

#[tokio::test(start_paused = true)]
async fn passwords_that_cannot_be_hashed_are_refused_at_start() {
    let mut options = options("hs1");
    options.users.password.memory_kib = 1;
    let env = Env::simulated(1, &wall());
    let started = Node::start(Arc::new(Memory::default()), env, options).await;
    assert!(matches!(started.map(|_| ()), Err(StartError::Users(_))));
}

#[tokio::test(start_paused = true)]
async fn transactions_are_forgotten_when_their_time_is_up_and_not_before() {
    let server = Server::new(&wall()).await;
    let token = server.register("alice").await;
    let room = create_room(&server, &token).await;
    for txn in 0..10 {
        say(&server, &token, &room, &txn.to_string()).await;
    }
    let clock = &server.env.clock;
    clock.sleep(Duration::from_hours(23)).await;
    assert_eq!(server.rows("txn").await, 10);
    clock
        .sleep(Duration::from_hours(1) + EXPIRY_INTERVAL * 2)
        .await;
    assert_eq!(
        (server.rows("txn").await, server.rows("expiry").await),
        (0, 0)
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ops_009_a_wall_clock_that_jumps_while_it_runs_expires_nothing() {
    for jump_ms in [TEN_YEARS_MS, -DAY_MS] {
        let wall = wall();
        let server = Server::new(&wall).await;
        let token = server.register("alice").await;
        let room = create_room(&server, &token).await;
        let event = say(&server, &token, &room, "1").await;
        wall.jump_ms(jump_ms);
        server.env.clock.sleep(EXPIRY_INTERVAL * 3).await;
        assert_eq!(whoami(&server, &token).await, "@alice:hs1");
        assert_eq!(say(&server, &token, &room, "1").await, event);
        assert_ne!(say(&server, &token, &room, "2").await, event);
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ops_009_a_wall_clock_that_jumps_over_a_restart_expires_nothing() {
    for jump_ms in [TEN_YEARS_MS, -DAY_MS] {
        let server = Server::new(&wall()).await;
        let token = server.register("alice").await;
        let room = create_room(&server, &token).await;
        say(&server, &token, &room, "1").await;
        let position = server.node.database().snapshot().await.unwrap().position();
        let engine = server.stop().await;
        let later = SimulatedWall::at(START_MS.saturating_add_signed(jump_ms));
        let server = Server::on(engine, &later).await;
        assert_eq!(whoami(&server, &token).await, "@alice:hs1");
        say(&server, &token, &room, "2").await;
        let after = server.node.database().snapshot().await.unwrap().position();
        assert!(after > position, "positions go on");
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn age_goes_on_after_a_stop_and_after_a_crash() {
    let server = Server::new(&wall()).await;
    server.env.clock.sleep(Duration::from_hours(5)).await;
    let wall_ms = server.env.clock.wall_ms();
    let engine = server.stop().await;
    let server = Server::on(engine, &SimulatedWall::at(wall_ms)).await;
    let hours = |count| Duration::from_hours(count).as_millis();
    assert_eq!(u128::from(server.env.clock.age_ms()), hours(5));
    server
        .env
        .clock
        .sleep(Duration::from_hours(1) + AGE_INTERVAL / 2)
        .await;
    let wall_ms = server.env.clock.wall_ms();
    let engine = Arc::new(server.engine.crash(0));
    server.node.stop(Duration::ZERO).await;
    let server = Server::on(engine, &SimulatedWall::at(wall_ms)).await;
    let crashed = u128::from(server.env.clock.age_ms());
    assert_eq!(crashed, hours(6) + (AGE_INTERVAL / 2).as_millis());
    server.stop().await;
}
