//! Runs that no seed comes upon often enough: large rooms and full mailboxes.
//!
//! It exists to hold the limits that only show when many do the same at once. It knows nothing of
//! faults.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{Commit, Engine};
use belfry_env::{Env, SimulatedWall};
use belfry_event::SigningKey;
use belfry_kv::Memory;
use belfry_room::{
    Append, Appended, Change, Identity, MAILBOX_JOBS_MAX, MemberAct, Membership, Preset, RoomError,
    Rooms,
};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, server_name};
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::act::Creation;
use crate::front::rooms::request;
use crate::view::View;

struct Small {
    memory: Arc<Memory>,
    env: Env,
    rooms: Rooms,
}

impl Small {
    fn new() -> Self {
        let memory = Arc::new(Memory::default());
        let env = Env::simulated(1, &SimulatedWall::at(1_700_000_000_000));
        let identity = Identity {
            server_name: server_name!("x.example").to_owned(),
            key: SigningKey::from_seed(&[7; 32], "sim").expect("a key"),
        };
        let engine = Arc::clone(&memory) as Arc<dyn Engine>;
        let rooms = Rooms::new(engine, env.clone(), identity);
        Self { memory, env, rooms }
    }

    async fn room(&self) -> OwnedRoomId {
        let creation = Creation {
            version: RoomVersionId::V11,
            preset: Preset::PublicChat,
            name: "Large".to_owned(),
            topic: None,
            alias: None,
            invite: Vec::new(),
            is_direct: false,
        };
        self.rooms
            .create(request(&creation, &user(0)))
            .await
            .expect("a room")
    }

    async fn join(&self, room: &RoomId, members: impl Iterator<Item = usize>) {
        for number in members {
            let join = Change::Member(Membership::new(user(number), MemberAct::Join));
            self.append(room, number, join).await.expect("a member");
        }
    }

    async fn append(
        &self,
        room: &RoomId,
        sender: usize,
        change: Change,
    ) -> Result<Appended, RoomError> {
        let append = Append {
            sender: user(sender),
            change,
            txn: None,
            timestamp_ms: None,
        };
        self.rooms.append(room, append).await
    }

    /// The commits of one message and of one state event.
    async fn cost(&self, room: &RoomId, topic: &str) -> [Commit; 2] {
        self.memory.record();
        drop(self.memory.take_record());
        self.append(room, 0, message("a")).await.expect("sent");
        let topic = Change::State {
            kind: "m.room.topic".into(),
            state_key: String::new(),
            content: to_raw_value(&json!({"topic": topic})).expect("JSON"),
        };
        self.append(room, 0, topic).await.expect("sent");
        let record = self.memory.take_record();
        let commits: Vec<_> = record.into_iter().map(|one| one.commit).collect();
        commits.try_into().expect("one commit each")
    }

    async fn stop(self) {
        drop(self.rooms);
        assert!(self.env.stop(Duration::from_mins(1)).await.is_clean());
    }
}

fn user(number: usize) -> OwnedUserId {
    format!("@member{number:04}:x.example")
        .try_into()
        .expect("a user ID")
}

fn message(body: &str) -> Change {
    Change::Message {
        kind: "m.room.message".into(),
        content: to_raw_value(&json!({"msgtype": "m.text", "body": body})).expect("JSON"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_event_costs_does_not_grow_with_the_room() {
    let server = Small::new();
    let room = server.room().await;
    server.join(&room, 1..10).await;
    let [small_message, small_state] = server.cost(&room, "small").await;
    server.join(&room, 10..400).await;
    let [large_message, large_state] = server.cost(&room, "large").await;
    assert_eq!(large_message.writes.len(), small_message.writes.len());
    // A counter in the head may have grown by a byte.
    assert!(large_message.bytes() <= small_message.bytes() + 16);
    let (small, large) = (small_state.bytes(), large_state.bytes());
    assert!(large_state.writes.len() <= small_state.writes.len() + 2);
    assert!(large <= small * 3 / 2, "{small} bytes became {large}");
    assert!(large <= 16 * 1024, "{large} bytes");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_says_so_and_loses_nothing() {
    const SENDS: usize = 900;
    let server = Small::new();
    let room = server.room().await;
    server.memory.hold(true);
    let sends = (0..SENDS).map(|number| {
        let (rooms, room) = (server.rooms.clone(), room.clone());
        let append = Append {
            sender: user(0),
            change: message(&number.to_string()),
            txn: None,
            timestamp_ms: None,
        };
        let send = async move { rooms.append(&room, append).await };
        server.env.tasks.spawn("send", send)
    });
    let sends: Vec<_> = sends.collect();
    server.env.clock.sleep(Duration::from_secs(1)).await;
    while server.memory.sync() > 0 {
        server.env.clock.sleep(Duration::from_millis(1)).await;
    }
    let (mut sent, mut busy) = (0, 0);
    for send in sends {
        match send.await.unwrap() {
            Ok(_) => sent += 1,
            Err(RoomError::Busy) => busy += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(sent >= MAILBOX_JOBS_MAX, "{sent} were sent");
    assert!(busy > 0, "all {SENDS} were taken");
    let view = View::read(&server.memory, &[]).await;
    let logged = view
        .events()
        .filter(|(_, event)| event.pdu.state_key().is_none());
    assert_eq!(logged.count(), sent);
    server.stop().await;
}
