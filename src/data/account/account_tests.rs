//! The bytes of every row as released, and what commits about users do.

use std::sync::Arc;

use belfry_kv::{Commit, CommitError, Engine as _, Layout, Memory, Snapshot, Stamp};
use ruma_common::{UserId, user_id};

use super::*;

fn alice() -> &'static UserId {
    user_id!("@alice:example.org")
}

fn user_row() -> UserRow {
    UserRow {
        revision: 3,
        created_ts: 1_700_000_000_000,
        role: "member".into(),
        standing: StandingRow::Suspended,
        password: Some("$argon2id$".into()),
        deactivated: Some(Deactivation { ts: 5, erase: true }),
        filters: 2,
    }
}

fn device_row(first: u8) -> DeviceRow {
    DeviceRow {
        display_name: Some("phone".into()),
        created_ts: 7,
        current: TokenPair {
            access: [first; 32],
            refresh: Some([first + 1; 32]),
        },
        next: None,
    }
}

fn token_row() -> TokenRow {
    TokenRow {
        user: "@a:b".into(),
        device: "D".into(),
        purpose: TokenPurpose::Refresh,
        next: true,
        expires_age_ms: Some(300),
    }
}

/// What a released row must keep for ever.
fn golden<R: Layout + PartialEq + std::fmt::Debug>(row: &R, hex: &str) {
    let bytes = row.to_value();
    assert_eq!(format!("{bytes:02x}").to_lowercase(), hex);
    assert_eq!(R::from_value(&bytes).as_ref(), Ok(row));
}

#[test]
fn rows_keep_their_bytes() {
    golden(
        &user_row(),
        "010380d095ffbc31066d656d62657201010a246172676f6e3269642401050102",
    );
    golden(
        &DeviceSeenRow {
            ip: "::1".into(),
            ts: 300,
        },
        "01033a3a31ac02",
    );
    golden(&token_row(), "010440613a620144010101ac02");
    golden(
        &ProfileRow {
            fields: vec![("a".into(), "1".into())],
        },
        "010101610131",
    );
    golden(
        &AccountDataRow {
            content: "{}".into(),
        },
        "01027b7d",
    );
    golden(
        &AccountDataRef {
            room: "!r".into(),
            event_type: "m.tag".into(),
        },
        "01022172056d2e746167",
    );
    golden(
        &FilterRow {
            definition: "{}".into(),
        },
        "01027b7d",
    );
    golden(
        &RegistrationTokenRow {
            created_ts: 1,
            uses_allowed: Some(2),
            uses: 1,
            expires_age_ms: None,
            role: "admin".into(),
        },
        "0101010201000561646d696e",
    );
    let mut device = device_row(1);
    device.next = Some(TokenPair {
        access: [3; 32],
        refresh: None,
    });
    let (one, two, three) = ("01".repeat(32), "02".repeat(32), "03".repeat(32));
    golden(
        &device,
        &format!("01010570686f6e6507{one}01{two}01{three}00"),
    );
}

async fn store(engine: &Memory, commit: Commit) {
    engine.commit(commit).await.unwrap();
}

async fn snapshot(engine: &Memory) -> Arc<dyn Snapshot> {
    engine.snapshot().await.unwrap()
}

async fn engine_with_alice() -> Memory {
    let engine = Memory::default();
    store(&engine, UserChange::new(alice(), user_row()).finish()).await;
    engine
}

async fn change(engine: &Memory) -> UserChange {
    let snapshot = snapshot(engine).await;
    UserChange::of(&*snapshot, alice()).await.unwrap().unwrap()
}

#[tokio::test]
async fn of_two_changes_at_once_one_wins() {
    let engine = engine_with_alice().await;
    let (one, two) = (change(&engine).await, change(&engine).await);
    store(&engine, one.finish()).await;
    let lost = engine.commit(two.finish()).await;
    assert_eq!(lost, Err(CommitError::Conflict));
    let again = UserChange::new(alice(), user_row()).finish();
    assert_eq!(engine.commit(again).await, Err(CommitError::Conflict));
}

#[tokio::test]
async fn deleted_device_leaves_no_token() {
    let engine = engine_with_alice().await;
    let mut added = change(&engine).await;
    let device = device_row(1);
    added.put_device("D", &device);
    device
        .hashes()
        .for_each(|hash| added.put_token(&hash, &token_row()));
    store(&engine, added.finish()).await;
    store(
        &engine,
        note_seen(
            alice(),
            "D",
            &DeviceSeenRow {
                ip: "::1".into(),
                ts: 9,
            },
        ),
    )
    .await;
    let before = snapshot(&engine).await;
    let listed = devices(&*before, alice()).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].2.as_ref().map(|seen| seen.ts), Some(9));
    assert_eq!(token(&*before, &[2; 32]).await.unwrap(), Some(token_row()));

    let mut deleted = change(&engine).await;
    deleted.delete_device("D", &device);
    store(&engine, deleted.finish()).await;
    let after = snapshot(&engine).await;
    assert!(devices(&*after, alice()).await.unwrap().is_empty());
    assert_eq!(device_seen(&*after, alice(), "D").await.unwrap(), None);
    for hash in device.hashes() {
        assert_eq!(token(&*after, &hash).await.unwrap(), None);
    }
}

async fn set(engine: &Memory, room: &str, event_type: &str, content: &str) {
    let snapshot = snapshot(engine).await;
    let mut change = UserChange::of(&*snapshot, alice()).await.unwrap().unwrap();
    let at = AccountDataRef {
        room: room.into(),
        event_type: event_type.into(),
    };
    let row = AccountDataRow {
        content: content.into(),
    };
    change.put_account_data(&*snapshot, at, &row).await.unwrap();
    store(engine, change.finish()).await;
}

#[tokio::test]
async fn log_holds_the_last_change_of_each_piece_once() {
    let engine = engine_with_alice().await;
    set(&engine, "", "m.direct", "{\"a\":1}").await;
    set(&engine, "!r", "m.tag", "{}").await;
    set(&engine, "", "m.direct", "{\"a\":2}").await;
    let now = snapshot(&engine).await;
    let page = account_data_changes(&*now, alice(), Stamp::default())
        .await
        .unwrap();
    let types: Vec<_> = page.rows.iter().map(|(_, at)| &*at.event_type).collect();
    assert_eq!(types, ["m.tag", "m.direct"]);
    let later = account_data_changes(&*now, alice(), page.rows[0].0)
        .await
        .unwrap();
    assert_eq!(later.rows.len(), 1);

    let row = account_data(&*now, alice(), "", "m.direct").await.unwrap();
    assert_eq!(&*row.unwrap().content, "{\"a\":2}");
    let in_room = account_data_of(&*now, alice(), "!r").await.unwrap();
    assert_eq!(in_room.len(), 1);
    assert_eq!(account_data_of(&*now, alice(), "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn token_is_used_once_by_two_at_once() {
    let engine = Memory::default();
    let row = RegistrationTokenRow {
        created_ts: 1,
        uses_allowed: Some(1),
        uses: 0,
        expires_age_ms: None,
        role: "member".into(),
    };
    store(&engine, create_registration_token("t", &row)).await;
    let now = snapshot(&engine).await;
    let seen = registration_token(&*now, "t").await.unwrap();
    let mut one = UserChange::new(alice(), user_row());
    one.use_registration_token("t", &seen);
    let mut two = UserChange::new(user_id!("@bob:example.org"), user_row());
    two.use_registration_token("t", &seen);
    store(&engine, one.finish()).await;
    assert_eq!(
        engine.commit(two.finish()).await,
        Err(CommitError::Conflict)
    );
    let after = registration_tokens(&*snapshot(&engine).await, None, 10)
        .await
        .unwrap();
    assert_eq!(after[0].1.uses, 1);
}

#[tokio::test]
async fn users_are_listed_in_pages() {
    let engine = engine_with_alice().await;
    let bob = user_id!("@bob:example.org");
    store(&engine, UserChange::new(bob, user_row()).finish()).await;
    let now = snapshot(&engine).await;
    let first = users(&*now, None, 1).await.unwrap();
    assert_eq!(first[0].0, alice());
    let rest = users(&*now, Some(&first[0].0), 10).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].0, bob);
}

fn showing(fields: &[(&str, &str)]) -> ProfileRow {
    let fields = fields
        .iter()
        .map(|(field, json)| ((*field).into(), (*json).into()));
    ProfileRow {
        fields: fields.collect(),
    }
}

#[tokio::test]
async fn the_log_of_profiles_says_which_fields_differ_and_is_cut_with_a_mark() {
    let engine = Memory::default();
    let mut change = UserChange::new(alice(), user_row());
    let mut shown = showing(&[("a", "1"), ("b", "2")]);
    change.put_profile(&ProfileRow::default(), &shown);
    engine.commit(change.finish()).await.unwrap();
    let rounds = [
        showing(&[("a", "1"), ("b", "3"), ("c", "4")]),
        showing(&[("a", "1"), ("b", "3"), ("c", "4")]),
        showing(&[("c", "4")]),
    ];
    for next in rounds {
        let snapshot = engine.snapshot().await.unwrap();
        let change = UserChange::of(&*snapshot, alice()).await.unwrap();
        let mut change = change.unwrap();
        change.put_profile(&shown, &next);
        engine.commit(change.finish()).await.unwrap();
        shown = next;
    }
    let (first, last) = (Stamp::default(), crate::STAMP_LAST);
    let snapshot = engine.snapshot().await.unwrap();
    let changes = profile_changes(&*snapshot, first, last).await.unwrap();
    let fields: Vec<String> = changes
        .unwrap()
        .iter()
        .map(|row| row.fields.join(" "))
        .collect();
    assert_eq!(
        fields,
        ["a b", "b c", "a b"],
        "what stayed the same is not told"
    );
    assert_eq!(profile_log_cut(&*snapshot, 3).await.unwrap(), None);
    let cut = profile_log_cut(&*snapshot, 1).await.unwrap().unwrap();
    let mut commit = Commit::lazy();
    let gone = trim_profile_log(&*snapshot, &mut commit, cut)
        .await
        .unwrap();
    assert_eq!(gone, 2);
    engine.commit(commit).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    let changes = profile_changes(&*snapshot, first, last).await.unwrap();
    assert_eq!(changes, None, "it may be anybody");
    let changes = profile_changes(&*snapshot, cut, last).await.unwrap();
    assert_eq!(
        changes.unwrap().len(),
        1,
        "nothing is missing behind the cut"
    );
}
