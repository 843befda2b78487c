//! Delayed events over restarts.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{
    Commit, DelayedRow, DelayedStage, Engine as _, RoomReader, STAMP_FIRST, STAMP_LAST,
    delayed_seen, move_delayed,
};
use belfry_kv::{Direction, Memory};
use belfry_policy::Rules;
use ruma_common::{OwnedRoomId, RoomId};
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::fixture::Server;
use crate::{Delay, Flows};

async fn delay(server: &Server, who: &belfry_user::Requester, room: &RoomId, ms: u64) -> String {
    let wanted = Delay {
        user: who.user_id.clone(),
        device: who.device_id.clone(),
        room: room.to_owned(),
        kind: "m.room.message".to_owned(),
        state_key: None,
        content: to_raw_value(&json!({"body": format!("after {ms}")})).unwrap(),
        delay_ms: ms,
        txn: None,
    };
    server.flows.delay(wanted).await.unwrap()
}

/// What was said in the room, oldest first.
async fn said(engine: &Memory, room: &RoomId) -> Vec<String> {
    let snapshot = engine.snapshot().await.unwrap();
    let reader = RoomReader::new(&*snapshot, room);
    let log = reader.log(STAMP_FIRST, STAMP_LAST, Direction::Forward, 1_000);
    let hashes: Vec<_> = log
        .await
        .unwrap()
        .entries
        .into_iter()
        .map(|it| it.1)
        .collect();
    let events = reader.events(&hashes).await.unwrap().into_iter().flatten();
    let bodies = events.filter_map(|event| {
        let event: serde_json::Value = serde_json::from_str(&event.row.json).unwrap();
        event["content"]["body"].as_str().map(str::to_owned)
    });
    bodies.collect()
}

fn begin(flows: &Flows) {
    flows.send_due(Arc::new(Rules::default()));
}

/// A server on which somebody has a room, stopped with these delays waiting.
async fn stopped(
    delays: &[u64],
) -> (
    Arc<Memory>,
    belfry_user::Requester,
    OwnedRoomId,
    Vec<String>,
) {
    let server = Server::new();
    let alice = server.person("alice").await;
    let room = server.room(&alice.user_id).await;
    let mut ids = Vec::new();
    for ms in delays {
        ids.push(delay(&server, &alice, &room, *ms).await);
    }
    (server.stop().await, alice, room, ids)
}

#[tokio::test(start_paused = true)]
async fn what_came_due_while_the_server_was_stopped_is_sent_in_its_order() {
    let (engine, alice, room, ids) = stopped(&[30_000, 10_000, 20_000]).await;
    let server = Server::on(Arc::clone(&engine));
    server.env.clock.sleep(Duration::from_secs(25)).await;
    assert!(said(&engine, &room).await.is_empty(), "nobody sends yet");
    begin(&server.flows);
    server.env.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(said(&engine, &room).await, ["after 10000", "after 20000"]);
    server.env.clock.sleep(Duration::from_secs(5)).await;
    let all = ["after 10000", "after 20000", "after 30000"];
    assert_eq!(said(&engine, &room).await, all);
    for id in &ids {
        let found = server.flows.delayed(&alice.user_id, id).await.unwrap();
        assert!(matches!(found.row.stage, DelayedStage::Sent { .. }));
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_being_sent_when_the_server_stopped_is_sent_once() {
    let (engine, alice, room, ids) = stopped(&[10_000]).await;
    let id = &ids[0];
    let server = Server::on(Arc::clone(&engine));
    server.env.clock.sleep(Duration::from_secs(11)).await;
    begin(&server.flows);
    server.env.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(said(&engine, &room).await.len(), 1);
    // As if the server had stopped before it noted that the event was sent.
    let snapshot = engine.snapshot().await.unwrap();
    let seen = delayed_seen(&*snapshot, id).await.unwrap();
    let sending = DelayedRow {
        stage: DelayedStage::Sending,
        ..seen.row.clone().unwrap()
    };
    let mut commit = Commit::synced();
    let moved = move_delayed(&*snapshot, &mut commit, (id, &seen), &sending, u64::MAX);
    moved.await.unwrap();
    engine.commit(commit).await.unwrap();
    server.stop().await;
    let server = Server::on(Arc::clone(&engine));
    server.env.clock.sleep(Duration::from_secs(12)).await;
    begin(&server.flows);
    server.env.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(said(&engine, &room).await.len(), 1, "the same transaction");
    let found = server.flows.delayed(&alice.user_id, id).await.unwrap();
    assert!(matches!(found.row.stage, DelayedStage::Sent { .. }));
    server.stop().await;
}
