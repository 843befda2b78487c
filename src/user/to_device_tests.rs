//! How much waits in an inbox, and for how long.

use std::{collections::BTreeMap, time::Duration};

use belfry_data::{
    Commit, Engine as _, STAMP_FIRST, STAMP_LAST,
    keys::{InboxMessage, NewMessage, Recipients, ToDeviceWrites, inboxes, messages_for},
};
use belfry_kv::Memory;
use ruma_common::user_id;
use tokio::time::advance;

use crate::{
    INBOX_MESSAGES_MAX, Messages, NewDevice, Registration, Requester, TO_DEVICE_LIFE,
    fixture::{World, world, world_on},
};

async fn send(world: &World, from: &Requester, txn: &str, device: &str, body: &str) {
    let content = format!("{{\"body\":\"{body}\"}}");
    let devices = BTreeMap::from([(device.to_owned(), content)]);
    let messages = Messages::from([(from.user_id.clone(), devices)]);
    let sent = world.users.send_to_devices(from, "m.test", txn, &messages);
    sent.await.unwrap();
}

async fn waiting(world: &World, of: &Requester) -> Vec<InboxMessage> {
    let now = world.engine.snapshot().await.unwrap();
    let inbox = (&*of.user_id, of.device_id.as_str());
    let page = messages_for(&*now, inbox, STAMP_FIRST, STAMP_LAST, 1_000).await;
    page.unwrap().messages(world.env.clock.age_ms())
}

async fn rows(world: &World, name: &str) -> usize {
    let mut spaces = belfry_data::keyspaces().iter();
    let space = spaces.find(|space| space.name == name).unwrap();
    let now = world.engine.snapshot().await.unwrap();
    let all = belfry_kv::Range::table(space);
    let page = now.scan(all, belfry_data::Direction::Forward, 1_000);
    page.await.unwrap().rows.len()
}

async fn alice(world: &World) -> Requester {
    let session = world.alice().await;
    world.requester(&session).await
}

async fn drop_old(world: &World) -> usize {
    let step = world.users.drop_old_messages(None).await.unwrap();
    assert_eq!(step.next, None);
    step.dropped
}

#[tokio::test(start_paused = true)]
async fn message_waits_for_its_time_and_then_goes() {
    let world = world(Registration::Open);
    let alice = alice(&world).await;
    send(&world, &alice, "1", alice.device_id.as_str(), "old").await;
    advance(Duration::from_secs(1)).await;
    send(&world, &alice, "2", alice.device_id.as_str(), "new").await;
    advance(TO_DEVICE_LIFE.saturating_sub(Duration::from_secs(2))).await;
    assert_eq!(drop_old(&world).await, 0);
    assert_eq!(waiting(&world, &alice).await.len(), 2);
    advance(Duration::from_secs(1)).await;
    let left = waiting(&world, &alice).await;
    assert_eq!(left.len(), 1, "it is not delivered any more");
    assert_eq!(&*left[0].content, r#"{"body":"new"}"#);
    assert_eq!(drop_old(&world).await, 1);
    assert_eq!(rows(&world, "to_device").await, 1, "nor kept");
    assert_eq!(drop_old(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn message_that_several_devices_have_goes_with_the_last_of_them() {
    let world = world(Registration::Open);
    let alice = alice(&world).await;
    let other = world.sign_in(&NewDevice::default()).await;
    let other = world.requester(&other).await;
    send(&world, &alice, "1", "*", &"x".repeat(1_000)).await;
    assert_eq!(rows(&world, "to_device").await, 2);
    assert_eq!(
        rows(&world, "shared_message").await,
        1,
        "its content is kept once"
    );
    for device in [&alice, &other] {
        assert_eq!(waiting(&world, device).await.len(), 1);
    }
    advance(TO_DEVICE_LIFE).await;
    assert_eq!(drop_old(&world).await, 2);
    assert_eq!(rows(&world, "to_device").await, 0);
    assert_eq!(rows(&world, "shared_message").await, 0);
}

#[tokio::test(start_paused = true)]
async fn message_waits_until_the_device_has_passed_it_also_over_a_crash() {
    let mut world = world(Registration::Open);
    let alice = alice(&world).await;
    send(&world, &alice, "1", alice.device_id.as_str(), "kept").await;
    let stamp = waiting(&world, &alice).await[0].stamp;
    world = world_on(world.engine.crash(0), Registration::Open);
    assert_eq!(waiting(&world, &alice).await.len(), 1);
    // The same transaction again, whose answer was lost.
    send(&world, &alice, "1", alice.device_id.as_str(), "kept").await;
    assert_eq!(waiting(&world, &alice).await.len(), 1);
    world.users.forget_messages(&alice, stamp).await.unwrap();
    assert_eq!(waiting(&world, &alice).await, []);
}

/// An inbox with as many messages as it takes.
async fn fill(engine: &Memory, of: &Requester) {
    let wanted = [(of.user_id.clone(), Recipients::All)];
    for first in (0..INBOX_MESSAGES_MAX).step_by(500) {
        let now = engine.snapshot().await.unwrap();
        let found = inboxes(&*now, &wanted).await.unwrap().remove(0);
        let mut writes = ToDeviceWrites::new(Commit::synced());
        for number in first..first + 500 {
            let content = format!("{{\"number\":{number}}}");
            let message = NewMessage {
                sender: user_id!("@bob:hs1"),
                event_type: "m.test",
                content: &content,
                expires_age_ms: u64::MAX,
                id: [0; 16],
            };
            writes.store(&message, &[&found[0]]);
        }
        engine.commit(writes.finish()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn full_inbox_takes_a_new_message_and_drops_the_oldest() {
    let world = world(Registration::Open);
    let alice = alice(&world).await;
    fill(&world.engine, &alice).await;
    for txn in ["1", "2"] {
        send(&world, &alice, txn, alice.device_id.as_str(), txn).await;
    }
    let now = world.engine.snapshot().await.unwrap();
    let wanted = [(alice.user_id.clone(), Recipients::All)];
    let found = inboxes(&*now, &wanted).await.unwrap().remove(0);
    assert_eq!(found[0].messages, INBOX_MESSAGES_MAX);
    let oldest = waiting(&world, &alice).await;
    assert_eq!(&*oldest[0].content, r#"{"number":2}"#);
}
