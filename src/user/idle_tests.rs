//! Who is signed out for being away, and who is not.

use std::time::Duration;

use belfry_data::{
    Commit, Engine as _, STAMP_FIRST, STAMP_LAST,
    keys::{DEVICE_LIST_PAGE_MAX, device_list_changes},
    keyspaces,
};
use belfry_kv::{Memory, Range, Write};
use tokio::time::advance;

use crate::{
    IdleStep, NewDevice, Registration, Requester, TokenError,
    fixture::{World, world_with},
};

const LIFE: Duration = Duration::from_hours(24);
const ADDRESS: &str = "192.0.2.1";

fn world_of(life: Option<Duration>) -> World {
    world_with(Memory::default(), Registration::Open, life)
}

/// Alice with two devices; the second is heard of just before the first one's time is up.
async fn two_devices(world: &World) -> (Requester, Requester) {
    let first = world.alice().await;
    let first = world.requester(&first).await;
    let second = world.sign_in(&NewDevice::default()).await;
    let second = world.requester(&second).await;
    advance(LIFE.saturating_sub(Duration::from_secs(1))).await;
    world.wall.jump_ms(86_399_000);
    world.users.note_seen(&second, ADDRESS).await.unwrap();
    (first, second)
}

async fn drop_idle(world: &World) -> usize {
    let step = world.users.drop_idle_devices(None).await.unwrap();
    assert_eq!(step.next, None);
    step.dropped
}

async fn devices(world: &World, requester: &Requester) -> Vec<String> {
    let devices = world.users.devices(requester).await.unwrap();
    devices
        .into_iter()
        .map(|device| device.device_id.to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn silent_device_is_signed_out_and_others_are_told() {
    let world = world_of(Some(LIFE));
    let session = world.alice().await;
    let (first, second) = {
        let first = world.requester(&session).await;
        let second = world.sign_in(&NewDevice::default()).await;
        (first, world.requester(&second).await)
    };
    advance(LIFE.saturating_sub(Duration::from_secs(1))).await;
    world.wall.jump_ms(86_399_000);
    world.users.note_seen(&second, ADDRESS).await.unwrap();
    assert_eq!(drop_idle(&world).await, 0, "a second is left");
    let before = world.engine.snapshot().await.unwrap().position();
    advance(Duration::from_secs(1)).await;
    assert_eq!(drop_idle(&world).await, 1);
    assert_eq!(devices(&world, &second).await, [second.device_id.as_str()]);
    let gone = world.users.identify(session.tokens.access.reveal()).await;
    assert!(matches!(gone, Err(TokenError::Unknown { soft: false })));
    let now = world.engine.snapshot().await.unwrap();
    let after = belfry_data::Stamp {
        position: before,
        ordinal: u16::MAX,
    };
    let page = device_list_changes(&*now, after, STAMP_LAST, DEVICE_LIST_PAGE_MAX);
    let changes = page.await.unwrap().changes;
    let told: Vec<_> = changes
        .iter()
        .map(|(_, row)| (&*row.user, row.device.as_deref()))
        .collect();
    assert_eq!(told, [("@alice:hs1", Some(first.device_id.as_str()))]);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nobody_is_signed_out() {
    let world = world_of(None);
    let (first, _) = two_devices(&world).await;
    advance(LIFE * 20).await;
    let step = world.users.drop_idle_devices(None).await.unwrap();
    assert_eq!(step, IdleStep::default());
    assert_eq!(devices(&world, &first).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn wall_clock_that_jumps_signs_nobody_out() {
    let world = world_of(Some(LIFE));
    two_devices(&world).await;
    world.wall.jump_ms(10 * 365 * 86_400_000);
    assert_eq!(drop_idle(&world).await, 0);
    world.wall.jump_ms(-20 * 365 * 86_400_000);
    assert_eq!(drop_idle(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn device_of_which_nothing_is_noted_counts_as_heard_of_now() {
    let world = world_of(Some(LIFE));
    two_devices(&world).await;
    advance(LIFE * 3).await;
    let mut spaces = keyspaces().iter();
    let noted = spaces.find(|space| space.name == "device_heard").unwrap();
    let mut commit = Commit::synced();
    let all = Write::DeleteRange(Range::table(noted));
    commit.writes.push(all);
    world.engine.commit(commit).await.unwrap();
    assert_eq!(drop_idle(&world).await, 0);
    advance(LIFE.saturating_sub(Duration::from_secs(1))).await;
    assert_eq!(drop_idle(&world).await, 0);
    advance(Duration::from_secs(1)).await;
    assert_eq!(drop_idle(&world).await, 2);
    let now = world.engine.snapshot().await.unwrap();
    let left = belfry_data::keys::devices_heard(&*now, None, 10).await;
    assert_eq!(left.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn device_that_signs_in_anew_begins_anew() {
    let world = world_of(Some(LIFE));
    let (first, _) = two_devices(&world).await;
    let again = NewDevice {
        device_id: Some(first.device_id.clone()),
        ..NewDevice::default()
    };
    world.sign_in(&again).await;
    advance(Duration::from_secs(1)).await;
    assert_eq!(drop_idle(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_leaves_undone_the_next_round_does() {
    let mut world = world_of(Some(LIFE));
    let (_, second) = two_devices(&world).await;
    // What was noted lazily is lost: the second device, too, was heard of when it signed in.
    world = world_with(world.engine.crash(0), Registration::Open, Some(LIFE));
    advance(LIFE).await;
    assert_eq!(drop_idle(&world).await, 2);
    assert_eq!(drop_idle(&world).await, 0);
    assert_eq!(devices(&world, &second).await, Vec::<String>::new());
    let now = world.engine.snapshot().await.unwrap();
    let page = device_list_changes(&*now, STAMP_FIRST, STAMP_LAST, DEVICE_LIST_PAGE_MAX);
    assert_eq!(page.await.unwrap().changes.len(), 4, "two came, two went");
}
