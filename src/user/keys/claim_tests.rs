//! A key is given away once, whoever asks at the same time and wherever the server stops.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering},
};

use belfry_kv::{Fault as Injected, Memory};
use serde_json::json;

use super::*;
use crate::{
    Registration, Requester, Users,
    fixture::{World, world, world_on},
};

const TASKS: usize = 50;
const CLAIMS: usize = 1_000;

async fn upload(users: &Users, requester: &Requester, ids: std::ops::Range<usize>) {
    let keys = ids.map(|id| {
        (
            format!("curve25519:{id:04}"),
            json!(format!("key{id}")).to_string(),
        )
    });
    let upload = KeyUpload {
        one_time_keys: keys.collect(),
        ..KeyUpload::default()
    };
    users.upload_keys(requester, &upload).await.unwrap();
}

fn wanted(requester: &Requester) -> WantedKeys {
    let device = requester.device_id.to_string();
    let devices = BTreeMap::from([(device, "curve25519".to_owned())]);
    WantedKeys::from([(requester.user_id.clone(), devices)])
}

async fn claim(users: &Users, requester: &Requester) -> Result<Option<String>, KeyError> {
    let given = users.claim_local_keys(&wanted(requester)).await?;
    let given = given.into_values().flat_map(BTreeMap::into_values);
    let names: Vec<_> = given.flat_map(BTreeMap::into_keys).collect();
    assert!(names.len() <= 1);
    Ok(names.into_iter().next())
}

async fn alice(world: &World) -> Requester {
    let session = world.alice().await;
    world.requester(&session).await
}

#[tokio::test]
async fn thousand_claims_from_fifty_tasks_give_no_key_twice() {
    let world = world(Registration::Open);
    let alice = alice(&world).await;
    upload(&world.users, &alice, 0..900).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (users, alice) = (world.users.clone(), alice.clone());
            world.env.tasks.spawn("claims", async move {
                let mut given = Vec::new();
                for _ in 0..CLAIMS / TASKS {
                    given.push(claim(&users, &alice).await.unwrap());
                }
                given
            })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        given.extend(task.await.unwrap());
    }
    assert_eq!(given.len(), CLAIMS);
    let keys: Vec<_> = given.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = keys.iter().collect();
    assert_eq!((keys.len(), distinct.len()), (900, 900));
}

#[tokio::test]
async fn keys_are_given_oldest_first() {
    let world = world(Registration::Open);
    let alice = alice(&world).await;
    upload(&world.users, &alice, 5..6).await;
    upload(&world.users, &alice, 0..2).await;
    for expected in ["curve25519:0005", "curve25519:0000", "curve25519:0001"] {
        let given = claim(&world.users, &alice).await.unwrap();
        assert_eq!(given.as_deref(), Some(expected));
    }
    assert_eq!(claim(&world.users, &alice).await, Ok(None));
}

#[tokio::test]
async fn upload_repeated_after_a_claim_brings_no_key_back() {
    let world = world(Registration::Open);
    let alice = alice(&world).await;
    upload(&world.users, &alice, 0..2).await;
    claim(&world.users, &alice).await.unwrap();
    upload(&world.users, &alice, 0..2).await;
    let given = claim(&world.users, &alice).await.unwrap();
    assert_eq!(given.as_deref(), Some("curve25519:0001"));
    assert_eq!(claim(&world.users, &alice).await, Ok(None));
}

/// Every commit of this engine from the given one on is lost or applied, and nobody is told which.
fn stop_at(engine: &Memory, commit: u32) {
    let seen = AtomicU32::new(0);
    engine.set_faults(move |_| match seen.fetch_add(1, Ordering::SeqCst) {
        number if number < commit => Injected::None,
        number if number % 2 == 0 => Injected::UnknownApplied,
        _ => Injected::UnknownLost,
    });
}

#[tokio::test]
async fn no_key_is_given_twice_over_crashes() {
    let mut world = world(Registration::Open);
    let alice = alice(&world).await;
    upload(&world.users, &alice, 0..900).await;
    let mut given = BTreeSet::new();
    let mut asked = 0;
    for round in 0.. {
        stop_at(&world.engine, round % 4);
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (users, alice) = (world.users.clone(), alice.clone());
                world.env.tasks.spawn("claims", async move {
                    let mut given = Vec::new();
                    for _ in 0..4 {
                        given.push(claim(&users, &alice).await);
                    }
                    given
                })
            })
            .collect();
        for task in tasks {
            for answer in task.await.unwrap() {
                asked += 1;
                if let Ok(Some(key)) = answer {
                    assert!(given.insert(key.clone()), "{key} was given twice");
                }
            }
        }
        world = world_on(world.engine.crash(0), Registration::Open);
        stop_at(&world.engine, u32::MAX);
        // A client that is not sure uploads again.
        upload(&world.users, &alice, 0..900).await;
        if asked >= CLAIMS {
            break;
        }
    }
    assert!(!given.is_empty());
    // What is left is given once, too.
    while let Some(key) = claim(&world.users, &alice).await.unwrap() {
        assert!(given.insert(key.clone()), "{key} was given twice");
    }
}
