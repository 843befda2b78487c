//! Notes of events: exact in rooms of any size, whatever breaks off, and for whoever was there.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use belfry_data::{
    Engine, STAMP_LAST,
    note::notes_before,
    presence::{PresenceRow, PresenceState, put_presence},
};
use belfry_kv::Fault;
use belfry_policy::{Account, MEMBER, Rules, Standing};
use belfry_room::{ReadMark, ReceiptKind};
use ruma_common::{OwnedRoomId, UserId};

use crate::{
    COUNTED_MAX, NOTES_KEPT, PRESENCE_LIFE,
    fixture::{Device, START_MS, Server, alice, bob, carol, each, joined, user},
};

/// Enough that the notes of one event take several commits.
const CROWD: usize = 620;

async fn crowd(server: &Server) -> OwnedRoomId {
    let room = server.room().await;
    for number in 0..CROWD {
        server.join(&room, &user(number)).await;
    }
    room
}

/// How often each of the crowd was notified.
async fn notified(server: &Server) -> Vec<usize> {
    // A sync waits until all is counted.
    Device::of(alice()).sync(server).await;
    let snapshot = server.engine.snapshot().await.unwrap();
    let mut found = Vec::new();
    for number in 0..CROWD {
        let notes = notes_before(&*snapshot, &user(number), STAMP_LAST, 100).await;
        found.push(notes.unwrap().len());
    }
    found
}

async fn unread(server: &Server, reader: &UserId, room: &OwnedRoomId) -> u64 {
    let told = Device::of(reader).sync(server).await;
    let counts = &joined(&told, room)["unread_notifications"];
    counts["notification_count"].as_u64().unwrap()
}

async fn read(server: &Server, reader: &UserId, room: &OwnedRoomId, event: &ruma_common::EventId) {
    let account = Account {
        id: reader,
        role: MEMBER,
        standing: Standing::Active,
    };
    let mark = ReadMark {
        kind: ReceiptKind::Read,
        event_id: event,
        thread: None,
    };
    let rules = Rules::default();
    let marked = server.rooms.read_as(&rules, account, room, mark);
    marked.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn event_in_a_crowd_notifies_each_once_over_several_commits() {
    let server = Server::new();
    let room = crowd(&server).await;
    server.engine.record();
    server.say(&room, alice(), "hello").await;
    assert_eq!(notified(&server).await, [1; CROWD]);
    let commits = server.engine.take_record();
    let largest = commits.iter().map(|one| one.commit.writes.len()).max();
    assert!(largest.is_some_and(|writes| writes < 1_500), "{largest:?}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn counting_that_breaks_off_in_a_crowd_goes_on_where_it_was() {
    let server = Server::new();
    let room = crowd(&server).await;
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    server.engine.set_faults(move |commit| {
        // One commit of many writes is lost, and the answer to another.
        let large = commit.writes.len() > 35;
        match large.then(|| counted.fetch_add(1, Ordering::SeqCst)) {
            Some(0) => Fault::UnknownLost,
            Some(2) => Fault::UnknownApplied,
            _ => Fault::None,
        }
    });
    server.say(&room, alice(), "hello").await;
    server
        .env
        .clock
        .sleep(std::time::Duration::from_secs(30))
        .await;
    assert!(commits.load(Ordering::SeqCst) > 2);
    assert_eq!(notified(&server).await, [1; CROWD]);
    let server = server.restart().await;
    assert_eq!(notified(&server).await, [1; CROWD]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_before_an_event_is_counted_is_not_notified_of_it() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    // Nothing is counted while no commit of the projector succeeds.
    server.engine.set_faults(|commit| match commit.durability {
        belfry_kv::Durability::Lazy => Fault::UnknownLost,
        belfry_kv::Durability::Synced => Fault::None,
    });
    server.say(&room, alice(), "hello").await;
    server.join(&room, carol()).await;
    server.say(&room, alice(), "welcome").await;
    server.engine.set_faults(|_| Fault::None);
    server
        .env
        .clock
        .sleep(std::time::Duration::from_secs(5))
        .await;
    assert_eq!(unread(&server, bob(), &room).await, 2);
    assert_eq!(unread(&server, carol(), &room).await, 1);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn trimming_forgets_what_was_read_and_changes_no_count() {
    let server = Server::new();
    let (read_room, unread_room) = (server.room().await, server.room().await);
    for room in [&read_room, &unread_room] {
        server.join(room, bob()).await;
    }
    for number in 0..3 {
        server.say(&unread_room, alice(), &number.to_string()).await;
    }
    let mut last = server.say(&read_room, alice(), "0").await;
    for number in 0..NOTES_KEPT + 50 {
        last = server.say(&read_room, alice(), &number.to_string()).await;
    }
    read(&server, bob(), &read_room, &last).await;
    let before = unread(&server, bob(), &unread_room).await;
    // Those that are not among the newest, and not the three that are unread.
    assert_eq!(server.views.trim_notes(true).await.unwrap(), 51);
    assert_eq!(server.views.trim_notes(true).await.unwrap(), 0);
    assert_eq!(unread(&server, bob(), &unread_room).await, before);
    assert_eq!(unread(&server, bob(), &read_room).await, 0);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn trimming_keeps_as_much_unread_as_is_counted() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    for number in 0..COUNTED_MAX + 30 {
        server.say(&room, alice(), &number.to_string()).await;
    }
    let counted = COUNTED_MAX as u64;
    assert_eq!(unread(&server, bob(), &room).await, counted);
    assert_eq!(server.views.trim_notes(false).await.unwrap(), 30);
    assert_eq!(unread(&server, bob(), &room).await, counted);
    server.stop().await;
}

/// Alice says that she is there.
async fn appear(server: &Server) {
    let row = PresenceRow {
        state: PresenceState::Online,
        status: Some("at work".into()),
        active_ts: server.env.clock.wall_ms(),
    };
    let said = server.engine.commit(put_presence(alice(), &row));
    said.await.unwrap();
    server.views.nudge();
}

/// What a device is told of presence, until there is something.
async fn next_presence(server: &Server, device: &mut Device) -> Vec<String> {
    for _ in 0..60 {
        let told = device.poll(server).await;
        let events = &told["presence"]["events"];
        if !events.is_null() {
            let contents = events.as_array().unwrap().iter();
            let contents = contents.map(|event| event["content"].clone()).collect();
            return each(&serde_json::Value::Array(contents), "presence");
        }
    }
    Vec::new()
}

#[tokio::test(start_paused = true)]
async fn somebody_of_whom_nothing_is_heard_goes_offline_once() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    appear(&server).await;
    assert_eq!(next_presence(&server, &mut device).await, ["online"]);
    let begun = server.env.clock.now();
    assert_eq!(next_presence(&server, &mut device).await, ["offline"]);
    let took = server.env.clock.now().since(begun);
    assert!(
        took <= PRESENCE_LIFE + std::time::Duration::from_secs(1),
        "{took:?}"
    );
    assert_eq!(
        next_presence(&server, &mut device).await,
        [""; 0],
        "told once"
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn presence_is_told_of_whom_and_if_the_filter_wants_it() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    for (filter, told) in [
        (serde_json::json!({"not_types": ["m.*"]}), false),
        (serde_json::json!({"not_senders": [alice()]}), false),
        (serde_json::json!({"senders": [bob()]}), false),
        (
            serde_json::json!({"senders": [alice()], "types": ["m.presence"]}),
            true,
        ),
    ] {
        let wanted = serde_json::json!({ "presence": filter });
        let mut device = Device::with_filter(bob(), &wanted);
        device.sync(&server).await;
        appear(&server).await;
        server
            .env
            .clock
            .sleep(std::time::Duration::from_secs(1))
            .await;
        let answer = device.sync(&server).await;
        assert_eq!(answer["presence"].is_object(), told, "{filter}");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn presence_ends_after_a_restart_too() {
    let server = Server::new();
    let room = server.room().await;
    server.join(&room, bob()).await;
    appear(&server).await;
    let server = server.restart().await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    assert_eq!(next_presence(&server, &mut device).await, ["offline"]);
    let seen = server.views.presence(bob(), alice()).await.unwrap();
    assert_eq!(seen.state, PresenceState::Offline);
    assert_eq!(seen.status.as_deref(), Some("at work"));
    let passed = (server.env.clock.wall_ms() - START_MS) / 1_000;
    assert_eq!(passed, PRESENCE_LIFE.as_secs());
    server.stop().await;
}
