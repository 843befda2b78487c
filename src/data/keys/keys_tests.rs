//! What commits about keys and messages do, and that a device leaves nothing behind.

use std::sync::Arc;

use belfry_kv::{Commit, CommitError, Direction, Engine as _, Key, Memory, Range, Snapshot};
use ruma_common::{OwnedUserId, UserId, user_id};

use super::*;
use crate::{
    STAMP_LAST,
    account::{DeviceRow, StandingRow, TokenPair, UserChange, UserRow},
    keyspaces,
};

fn alice() -> &'static UserId {
    user_id!("@alice:hs1")
}

fn user_row() -> UserRow {
    UserRow {
        revision: 0,
        created_ts: 1,
        role: "member".into(),
        standing: StandingRow::Active,
        password: None,
        deactivated: None,
        filters: 0,
    }
}

fn device_row(first: u8) -> DeviceRow {
    DeviceRow {
        display_name: None,
        created_ts: 1,
        current: TokenPair {
            access: [first; 32],
            refresh: None,
        },
        next: None,
    }
}

fn pool() -> KeyPool {
    KeyPool {
        user: alice().to_owned(),
        device: "A".into(),
        algorithm: "signed_curve25519".into(),
    }
}

fn key(id: &'static str) -> NewOneTimeKey<'static> {
    NewOneTimeKey {
        key_id: id,
        identity: id,
        json: "{}",
    }
}

async fn snapshot(engine: &Memory) -> Arc<dyn Snapshot> {
    engine.snapshot().await.unwrap()
}

/// Alice with the devices A and B.
async fn engine() -> Memory {
    let engine = Memory::default();
    let mut change = UserChange::new(alice(), user_row());
    change.put_device("A", &device_row(1));
    change.put_device("B", &device_row(2));
    engine.commit(change.finish()).await.unwrap();
    engine
}

async fn upload(engine: &Memory, ids: &[&'static str]) {
    let now = snapshot(engine).await;
    let mut change = UserChange::of(&*now, alice()).await.unwrap().unwrap();
    for id in ids {
        put_one_time_keys(&mut change, &pool(), std::iter::once(key(id)));
    }
    engine.commit(change.finish()).await.unwrap();
}

async fn oldest(engine: &Memory) -> Option<ClaimedKey> {
    let now = snapshot(engine).await;
    let found = oldest_keys(&*now, &[(&pool(), None)], 1).await.unwrap();
    found[0].0.first().cloned()
}

fn claim_of(key: &ClaimedKey) -> Commit {
    let mut commit = Commit::synced();
    claim(&mut commit, &pool(), key, &key.row.key_id, 10);
    commit
}

#[tokio::test]
async fn key_is_claimed_once_and_its_id_is_remembered() {
    let engine = engine().await;
    upload(&engine, &["b", "a"]).await;
    upload(&engine, &["0"]).await;
    let first = oldest(&engine).await.unwrap();
    assert_eq!(&*first.row.key_id, "b", "the oldest, whatever its ID");
    engine.commit(claim_of(&first)).await.unwrap();
    let again = engine.commit(claim_of(&first)).await;
    assert_eq!(again, Err(CommitError::Conflict));
    let now = snapshot(&engine).await;
    let counts = one_time_key_counts(&*now, alice(), "A").await.unwrap();
    assert_eq!(counts["signed_curve25519"], 2);
    let other = NewOneTimeKey {
        identity: "another",
        ..key("b")
    };
    let asked = [key("b"), other, key("0"), key("new")];
    let pool = pool();
    let asked: Vec<_> = asked.into_iter().map(|key| (&pool, key)).collect();
    let states = known_keys(&*now, &asked).await.unwrap();
    let [same, other, new] = [
        OneTimeKeyState::Same,
        OneTimeKeyState::Other,
        OneTimeKeyState::New,
    ];
    assert_eq!(states, [same, other, same, new]);
}

fn message(content: &str) -> NewMessage<'_> {
    NewMessage {
        sender: alice(),
        event_type: "m.dummy",
        content,
        expires_age_ms: 100,
        id: [1; 16],
    }
}

async fn all_inboxes(engine: &Memory) -> Vec<Inbox> {
    let wanted: (OwnedUserId, _) = (alice().to_owned(), Recipients::All);
    let now = snapshot(engine).await;
    inboxes(&*now, &[wanted]).await.unwrap().remove(0)
}

async fn rows(engine: &Memory, name: &str) -> usize {
    let space = keyspaces().iter().find(|space| space.name == name).unwrap();
    let now = snapshot(engine).await;
    let range = Range::prefix(&Key::new(vec![space.tag]));
    let page = now.scan(range, Direction::Forward, 1_000).await.unwrap();
    page.rows.len()
}

async fn forget(engine: &Memory, device: &str) {
    let now = snapshot(engine).await;
    let page = oldest_in_inbox(&*now, (alice(), device), 10).await.unwrap();
    let mut commit = Commit::lazy();
    forget_messages(&mut commit, alice(), device, &page);
    engine.commit(commit.clone()).await.unwrap();
    let again = engine.commit(commit).await;
    assert_eq!(again, Err(CommitError::Conflict), "counted once");
}

#[tokio::test]
async fn shared_content_is_stored_once_and_goes_with_its_last_inbox() {
    let engine = engine().await;
    let inboxes = all_inboxes(&engine).await;
    let content = format!("{{\"a\":\"{}\"}}", "x".repeat(500));
    let mut writes = ToDeviceWrites::new(Commit::synced());
    writes.store(&message(&content), &inboxes.iter().collect::<Vec<_>>());
    engine.commit(writes.finish()).await.unwrap();
    assert_eq!(rows(&engine, "shared_message").await, 1);
    let now = snapshot(&engine).await;
    for device in ["A", "B"] {
        let inbox = (alice(), device);
        let page = messages_for(&*now, inbox, crate::STAMP_FIRST, STAMP_LAST, 10);
        let page = page.await.unwrap();
        let messages = page.messages(99);
        assert_eq!((&*messages[0].content, messages.len()), (&*content, 1));
        assert!(page.messages(100).is_empty(), "its time is up");
    }
    forget(&engine, "A").await;
    assert_eq!(rows(&engine, "shared_message").await, 1);
    forget(&engine, "B").await;
    assert_eq!(rows(&engine, "shared_message").await, 0);
    assert_eq!(all_inboxes(&engine).await[0].messages, 0);
}

#[tokio::test]
async fn deleted_device_leaves_no_row_and_takes_no_message() {
    let engine = engine().await;
    upload(&engine, &["a"]).await;
    let now = snapshot(&engine).await;
    let mut change = UserChange::of(&*now, alice()).await.unwrap().unwrap();
    change.put_device_keys("A", &DeviceKeysRow { json: "{}".into() });
    let fallback = FallbackKeyRow {
        key_id: "f".into(),
        json: "{}".into(),
        used: false,
    };
    put_fallback_key(&mut change, &pool(), &fallback);
    let signature = StoredSignature {
        signed: "A".into(),
        key_id: "ed25519:S".into(),
        signature: "s".into(),
    };
    put_signature(&mut change, alice(), &signature);
    engine.commit(change.finish()).await.unwrap();
    let inboxes = all_inboxes(&engine).await;
    let mut writes = ToDeviceWrites::new(Commit::synced());
    writes.store(&message("{}"), &[&inboxes[0]]);
    engine.commit(writes.finish()).await.unwrap();

    let now = snapshot(&engine).await;
    let mut change = UserChange::of(&*now, alice()).await.unwrap().unwrap();
    change.delete_device("A", &device_row(1));
    engine.commit(change.finish()).await.unwrap();
    for name in [
        "device_keys",
        "one_time_key",
        "one_time_key_id",
        "one_time_key_count",
        "fallback_key",
        "signature",
        "to_device",
        "to_device_count",
    ] {
        assert_eq!(rows(&engine, name).await, 0, "{name}");
    }
    let mut late = ToDeviceWrites::new(Commit::synced());
    late.store(&message("{}"), &[&inboxes[0]]);
    let late = engine.commit(late.finish()).await;
    assert_eq!(late, Err(CommitError::Conflict));
    let now = snapshot(&engine).await;
    let page = device_list_changes(&*now, crate::STAMP_FIRST, STAMP_LAST, 10);
    let changes = page.await.unwrap().changes;
    assert!(changes.is_sorted_by(|a, b| a.1.stream_id < b.1.stream_id));
    assert_eq!(changes.last().unwrap().1.device.as_deref(), Some("A"));
}
