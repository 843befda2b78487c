//! Acts that meet others, a database that does not say what it did, and a crash.

use std::sync::atomic::{AtomicU32, Ordering};

use belfry_kv::{Durability, Fault as Injected, Memory};
use serde_json::json;

use crate::{
    Fault, NewDevice, Registration, SignInError, TokenError,
    fixture::{refreshing, world, world_on},
};

/// The first `count` commits get this fault.
fn first(engine: &Memory, count: u32, fault: Injected) {
    let seen = AtomicU32::new(0);
    engine.set_faults(move |_| {
        if seen.fetch_add(1, Ordering::SeqCst) < count {
            fault.clone()
        } else {
            Injected::None
        }
    });
}

#[tokio::test(start_paused = true)]
async fn act_that_meets_others_is_decided_anew() {
    let world = world(Registration::Open);
    world.alice().await;
    first(&world.engine, 3, Injected::Conflict);
    let session = world.sign_in(&NewDevice::default()).await;
    world.requester(&session).await;
}

#[tokio::test(start_paused = true)]
async fn act_that_never_gets_its_turn_changes_nothing() {
    let world = world(Registration::Open);
    let requester = world.requester(&world.alice().await).await;
    first(&world.engine, u32::MAX, Injected::Conflict);
    let refused = world
        .users
        .sign_in("alice", "wordpass", &NewDevice::default())
        .await;
    assert_eq!(refused.unwrap_err(), SignInError::Fault(Fault::Busy));
    first(&world.engine, 0, Injected::None);
    assert_eq!(world.users.devices(&requester).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn act_whose_fate_is_unknown_can_be_tried_again() {
    for fault in [Injected::UnknownApplied, Injected::UnknownLost] {
        let world = world(Registration::Open);
        world.alice().await;
        let session = world.sign_in(&refreshing()).await;
        let refresh = session.tokens.refresh.clone().unwrap();
        first(&world.engine, 1, fault.clone());
        let unknown = world.users.refresh(refresh.reveal()).await;
        let unknown = unknown.map(drop).unwrap_err();
        let unsure = matches!(unknown, TokenError::Fault(Fault::Unsure(_)));
        assert!(unsure, "{unknown:?}");
        let tokens = world.users.refresh(refresh.reveal()).await.unwrap();
        let requester = world.users.identify(tokens.access.reveal()).await.unwrap();

        first(&world.engine, 1, fault);
        assert!(world.users.sign_out(&requester).await.is_err());
        world.users.sign_out(&requester).await.unwrap();
        let gone = world.users.identify(tokens.access.reveal()).await;
        assert_eq!(gone, Err(TokenError::Unknown { soft: false }));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_survives_a_crash() {
    let before = world(Registration::Open);
    let first = before.alice().await;
    let session = before.sign_in(&refreshing()).await;
    let requester = before.requester(&session).await;
    let (id, name) = (&requester.user_id, json!("Alice"));
    before
        .users
        .set_profile_field(&requester, id, "displayname", Some(&name))
        .await
        .unwrap();
    before
        .users
        .set_account_data(&requester, id, None, "m.x", r#"{"x":1}"#)
        .await
        .unwrap();
    before
        .users
        .note_seen(&requester, "192.0.2.1")
        .await
        .unwrap();
    let first = before.requester(&first).await;
    before.users.sign_out(&first).await.unwrap();

    let after = world_on(before.engine.crash(0), Registration::Open);
    let again = after.requester(&session).await;
    assert_eq!(again, requester);
    assert_eq!(after.users.devices(&again).await.unwrap().len(), 1);
    assert_eq!(
        after.users.profile_field(id, "displayname").await.unwrap(),
        name
    );
    assert_eq!(
        after
            .users
            .account_data(&again, id, None, "m.x")
            .await
            .unwrap(),
        r#"{"x":1}"#
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_note_of_when_a_device_was_seen_is_lazy() {
    let world = world(Registration::Open);
    world.engine.record();
    let session = world.alice().await;
    let requester = world.requester(&session).await;
    world
        .users
        .note_seen(&requester, "192.0.2.1")
        .await
        .unwrap();
    world
        .users
        .note_seen(&requester, "192.0.2.1")
        .await
        .unwrap();
    world
        .users
        .name_device(&requester, &requester.device_id, Some("phone"))
        .await
        .unwrap();
    let record = world.engine.take_record();
    let durabilities: Vec<_> = record.iter().map(|each| each.commit.durability).collect();
    assert_eq!(
        durabilities,
        [Durability::Synced, Durability::Lazy, Durability::Synced]
    );
}

#[tokio::test(start_paused = true)]
async fn no_password_and_no_token_is_stored_in_clear() {
    let world = world(Registration::Open);
    world.engine.record();
    world.alice().await;
    let session = world.sign_in(&refreshing()).await;
    let stored = format!("{:?}", world.engine.take_record());
    let secrets = [
        Some(&session.tokens.access),
        session.tokens.refresh.as_ref(),
    ];
    for secret in secrets.into_iter().flatten() {
        assert!(!stored.contains(secret.reveal()));
    }
    assert!(!stored.contains("wordpass"));
    assert!(stored.contains("argon2id"));
}
