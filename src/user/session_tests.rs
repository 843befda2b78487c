//! Signing in and out, and what becomes of tokens.

use std::collections::BTreeSet;

use belfry_policy::Standing;

use crate::{
    DeviceError, NewDevice, Registration, SignInError, TokenError, Tokens,
    fixture::{LIFE, refreshing, wanted, world},
};

fn named(id: &str) -> NewDevice {
    NewDevice {
        device_id: Some(id.into()),
        display_name: Some(format!("{id}'s name")),
        refresh: false,
    }
}

#[tokio::test(start_paused = true)]
async fn token_tells_who_asks_until_it_is_signed_out() {
    let world = world(Registration::Open);
    let session = world.alice().await;
    let requester = world.requester(&session).await;
    assert_eq!(requester.user_id, "@alice:hs1");
    assert_eq!(requester.device_id, session.device_id);
    assert_eq!(
        (&*requester.role, requester.standing),
        ("member", Standing::Active)
    );
    world.users.sign_out(&requester).await.unwrap();
    let gone = world.users.identify(session.tokens.access.reveal()).await;
    assert_eq!(gone, Err(TokenError::Unknown { soft: false }));
}

#[tokio::test(start_paused = true)]
async fn auth_011_and_012_wrong_password_and_unknown_user_look_the_same() {
    let world = world(Registration::Open);
    world.alice().await;
    let device = NewDevice::default();
    for name in ["alice", "nobody", "@alice:hs2", "Ünïcode", "@alice:hs1", ""] {
        let refused = world.users.sign_in(name, "wrong password", &device).await;
        assert_eq!(refused.unwrap_err(), SignInError::Wrong, "{name}");
    }
    for name in ["alice", "@alice:hs1", "Alice"] {
        world
            .users
            .sign_in(name, "wordpass", &device)
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn signing_in_on_a_known_device_takes_its_old_tokens_back() {
    let world = world(Registration::Open);
    world.alice().await;
    let first = world.sign_in(&named("PHONE")).await;
    let second = world.sign_in(&named("PHONE")).await;
    assert!(
        world
            .users
            .identify(first.tokens.access.reveal())
            .await
            .is_err()
    );
    let requester = world.requester(&second).await;
    assert_eq!(world.users.devices(&requester).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn impossible_devices_are_refused() {
    let world = world(Registration::Open);
    world.alice().await;
    for device in [
        named(""),
        named(&"x".repeat(256)),
        NewDevice {
            display_name: Some("x".repeat(257)),
            ..NewDevice::default()
        },
    ] {
        let refused = world.users.sign_in("alice", "wordpass", &device).await;
        assert_eq!(refused.unwrap_err(), SignInError::InvalidDevice);
    }
}

#[tokio::test(start_paused = true)]
async fn auth_003_expired_token_is_a_soft_logout() {
    let world = world(Registration::Open);
    world.alice().await;
    let session = world.sign_in(&refreshing()).await;
    assert_eq!(session.tokens.life, Some(LIFE));
    world.env.clock.sleep(LIFE).await;
    let expired = world.users.identify(session.tokens.access.reveal()).await;
    assert_eq!(expired, Err(TokenError::Unknown { soft: true }));
    let refresh = session.tokens.refresh.unwrap();
    let tokens = world.users.refresh(refresh.reveal()).await.unwrap();
    world.users.identify(tokens.access.reveal()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn client_that_cannot_refresh_has_a_token_for_ever() {
    let world = world(Registration::Open);
    let session = world.alice().await;
    assert!(session.tokens.refresh.is_none());
    world.env.clock.sleep(LIFE * 100_000).await;
    world.requester(&session).await;
}

#[tokio::test(start_paused = true)]
async fn wall_clock_that_jumps_expires_nothing() {
    let world = world(Registration::Open);
    world.alice().await;
    let session = world.sign_in(&refreshing()).await;
    world.wall.jump_ms(10 * 365 * 86_400_000);
    world.requester(&session).await;
    world.wall.jump_ms(-20 * 365 * 86_400_000);
    world.requester(&session).await;
}

#[tokio::test(start_paused = true)]
async fn refresh_can_be_repeated_until_its_tokens_are_used() {
    let world = world(Registration::Open);
    world.alice().await;
    let session = world.sign_in(&refreshing()).await;
    let old = session.tokens.refresh.clone().unwrap();
    let lost = world.users.refresh(old.reveal()).await.unwrap();
    let again = world.users.refresh(old.reveal()).await.unwrap();
    // The answer that got lost is worth nothing once another was given.
    assert!(world.users.identify(lost.access.reveal()).await.is_err());
    world.requester(&session).await;
    world.users.identify(again.access.reveal()).await.unwrap();
    // From the first use on, the old pair is.
    assert!(
        world
            .users
            .identify(session.tokens.access.reveal())
            .await
            .is_err()
    );
    assert!(world.users.refresh(old.reveal()).await.is_err());
    world.users.identify(again.access.reveal()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn refresh_token_counts_as_a_use_of_its_pair() {
    let world = world(Registration::Open);
    world.alice().await;
    let first = world.sign_in(&refreshing()).await.tokens.refresh.unwrap();
    let second = world.users.refresh(first.reveal()).await.unwrap();
    let third = world
        .users
        .refresh(second.refresh.clone().unwrap().reveal())
        .await
        .unwrap();
    assert!(world.users.refresh(first.reveal()).await.is_err());
    world.users.identify(third.access.reveal()).await.unwrap();
    assert!(world.users.identify(second.access.reveal()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn auth_021_fifty_refreshes_at_once_leave_one_pair() {
    let world = world(Registration::Open);
    world.alice().await;
    let refresh = world.sign_in(&refreshing()).await.tokens.refresh.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (users, refresh) = (world.users.clone(), refresh.clone());
            world.env.tasks.spawn(
                "refresh",
                async move { users.refresh(refresh.reveal()).await },
            )
        })
        .collect();
    let mut pairs: Vec<Tokens> = Vec::new();
    for task in tasks {
        pairs.extend(task.await.unwrap());
    }
    assert!(!pairs.is_empty());
    let mut usable = 0;
    for pair in &pairs {
        usable += usize::from(world.users.identify(pair.access.reveal()).await.is_ok());
    }
    assert_eq!(usable, 1);
}

#[tokio::test(start_paused = true)]
async fn access_token_is_no_refresh_token() {
    let world = world(Registration::Open);
    world.alice().await;
    let session = world.sign_in(&refreshing()).await;
    let refresh = session.tokens.refresh.unwrap();
    assert!(
        world
            .users
            .refresh(session.tokens.access.reveal())
            .await
            .is_err()
    );
    assert!(world.users.identify(refresh.reveal()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn signing_out_everywhere_ends_every_session() {
    let world = world(Registration::Open);
    let first = world.alice().await;
    let second = world.sign_in(&refreshing()).await;
    let requester = world.requester(&first).await;
    world.users.sign_out_everywhere(&requester).await.unwrap();
    for token in [&first.tokens.access, &second.tokens.access] {
        assert!(world.users.identify(token.reveal()).await.is_err());
    }
    assert!(
        world
            .users
            .refresh(second.tokens.refresh.unwrap().reveal())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn locked_account_keeps_its_sessions_and_gets_no_new_ones() {
    let world = world(Registration::Open);
    let session = world.alice().await;
    let alice = &session.user_id;
    world
        .users
        .set_standing(alice, Standing::Locked)
        .await
        .unwrap();
    assert_eq!(world.requester(&session).await.standing, Standing::Locked);
    let refused = world
        .users
        .sign_in("alice", "wordpass", &NewDevice::default())
        .await;
    assert!(matches!(refused, Err(SignInError::Denied(_))));
    world
        .users
        .set_standing(alice, Standing::Active)
        .await
        .unwrap();
    assert_eq!(world.requester(&session).await.standing, Standing::Active);
    world.sign_in(&NewDevice::default()).await;
}

#[tokio::test(start_paused = true)]
async fn devices_are_named_and_deleted_by_their_user_only() {
    let world = world(Registration::Open);
    let alice = world.requester(&world.alice().await).await;
    let phone = world.sign_in(&named("PHONE")).await;
    let (_, bob) = world.users.register(wanted("bob")).await.unwrap();
    let bob = world.requester(&bob.unwrap()).await;

    let stranger = world.users.device(&bob, &phone.device_id).await;
    assert_eq!(stranger.unwrap_err(), DeviceError::NotFound);
    let stranger = world
        .users
        .name_device(&bob, &phone.device_id, Some("mine"))
        .await;
    assert_eq!(stranger.unwrap_err(), DeviceError::NotFound);
    world
        .users
        .delete_devices(&bob, std::slice::from_ref(&phone.device_id))
        .await
        .unwrap();
    world.requester(&phone).await;

    world
        .users
        .name_device(&alice, &phone.device_id, Some("my phone"))
        .await
        .unwrap();
    world
        .users
        .note_seen(&world.requester(&phone).await, "192.0.2.1")
        .await
        .unwrap();
    let device = world.users.device(&alice, &phone.device_id).await.unwrap();
    assert_eq!(device.display_name.as_deref(), Some("my phone"));
    assert_eq!(device.last_seen_ip.as_deref(), Some("192.0.2.1"));
    let long = "x".repeat(257);
    let refused = world
        .users
        .name_device(&alice, &phone.device_id, Some(&long))
        .await;
    assert_eq!(refused.unwrap_err(), DeviceError::NameTooLong);

    world
        .users
        .delete_devices(&alice, std::slice::from_ref(&phone.device_id))
        .await
        .unwrap();
    assert!(
        world
            .users
            .identify(phone.tokens.access.reveal())
            .await
            .is_err()
    );
    let left = world.users.devices(&alice).await.unwrap();
    let left: BTreeSet<_> = left.into_iter().map(|device| device.device_id).collect();
    assert_eq!(left, BTreeSet::from([alice.device_id]));
}

#[tokio::test(start_paused = true)]
async fn what_a_device_kept_for_itself_goes_with_it() {
    let world = world(Registration::Open);
    let alice = world.alice().await;
    let requester = world.requester(&alice).await;
    let kept = "org.matrix.msc3890.local_notification_settings.";
    let mut types = Vec::new();
    for _ in 0..3 {
        let session = world.sign_in(&NewDevice::default()).await;
        types.push((format!("{kept}{}", session.device_id), session));
    }
    let users = &world.users;
    let set = async |event_type: &str| {
        let content = r#"{"is_silenced":true}"#;
        users
            .set_account_data(&requester, &requester.user_id, None, event_type, content)
            .await
            .unwrap();
    };
    for (event_type, _) in &types {
        set(event_type).await;
    }
    set("org.test").await;
    let is_there = async |event_type: &str| {
        let found = users.account_data(&requester, &requester.user_id, None, event_type);
        found.await.is_ok()
    };
    let (first, session) = &types[0];
    users
        .sign_out(&world.requester(session).await)
        .await
        .unwrap();
    assert!(!is_there(first).await && is_there(&types[1].0).await);
    users
        .change_password(&requester, "another one", true)
        .await
        .unwrap();
    assert!(!is_there(&types[1].0).await && !is_there(&types[2].0).await);
    assert!(is_there("org.test").await);
}
