//! Accounts, invitations, profiles, account data, filters, user-interactive authentication.

use std::{collections::BTreeSet, time::Duration};

use belfry_policy::{ADMIN, Standing};
use ruma_common::{owned_user_id, room_id, user_id};
use serde_json::json;

use crate::{
    AccountDataError, AdminError, Attempt, FilterError, Invitation, InvitationError, NewDevice,
    Objection, Operation, Outcome, ProfileError, Proof, RegisterError, Registration, SignInError,
    UiaError, Unfit,
    fixture::{wanted, world},
};

#[tokio::test(start_paused = true)]
async fn auth_033_name_is_taken_once() {
    let world = world(Registration::Open);
    world.alice().await;
    let again = world.users.register(wanted("Alice")).await;
    assert_eq!(again.unwrap_err(), RegisterError::NameTaken);
    let free = world.users.check_name("bob").await;
    assert_eq!(free.unwrap(), "@bob:hs1");
}

#[tokio::test(start_paused = true)]
async fn two_who_want_one_name_do_not_both_get_it() {
    let world = world(Registration::Open);
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let users = world.users.clone();
            world.env.tasks.spawn(
                "register",
                async move { users.register(wanted("alice")).await },
            )
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error, RegisterError::NameTaken),
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test(start_paused = true)]
async fn auth_036_closed_server_makes_no_accounts_but_by_its_administrator() {
    let world = world(Registration::Closed);
    let refused = world.users.register(wanted("alice")).await;
    assert_eq!(refused.unwrap_err(), RegisterError::Closed);
    let alice = world
        .users
        .create_account("alice", Some("wordpass"), ADMIN)
        .await
        .unwrap();
    assert_eq!(world.users.account(&alice).await.unwrap().role, ADMIN);
    world.sign_in(&NewDevice::default()).await;
    let again = world.users.create_account("alice", None, ADMIN).await;
    assert_eq!(again.unwrap_err(), AdminError::NameTaken);
    let unknown = world.users.create_account("bob", None, "king").await;
    assert_eq!(unknown.unwrap_err(), AdminError::RoleUnknown);
}

#[tokio::test(start_paused = true)]
async fn name_and_password_are_judged_before_anything_is_proven() {
    let world = world(Registration::Token);
    let mut account = wanted("a b");
    let refused = world.users.check_new(&account).await;
    assert_eq!(refused.unwrap_err(), RegisterError::InvalidName);
    account = wanted("alice");
    account.password = Some("short".to_owned());
    let refused = world.users.check_new(&account).await;
    assert_eq!(
        refused.unwrap_err(),
        RegisterError::Password(Unfit::TooShort(8))
    );
}

#[tokio::test(start_paused = true)]
async fn account_without_a_name_gets_one() {
    let world = world(Registration::Open);
    let mut account = wanted("x");
    account.username = None;
    let (user_id, session) = world.users.register(account).await.unwrap();
    assert_eq!(user_id.localpart().len(), 12);
    assert_eq!(session.unwrap().user_id, user_id);
}

#[tokio::test(start_paused = true)]
async fn auth_037_invitation_makes_as_many_accounts_as_it_says() {
    let world = world(Registration::Token);
    let invitation = Invitation {
        uses_allowed: Some(1),
        role: Some(ADMIN.to_owned()),
        ..Invitation::default()
    };
    let token = world.users.create_invitation(&invitation).await.unwrap();
    let with_token = |name: &str| {
        let mut account = wanted(name);
        account.token = Some(token.clone());
        account
    };
    assert!(world.users.is_invitation_good(&token).await.unwrap());
    let (alice, _) = world.users.register(with_token("alice")).await.unwrap();
    assert_eq!(world.users.account(&alice).await.unwrap().role, ADMIN);
    assert!(!world.users.is_invitation_good(&token).await.unwrap());
    let refused = world.users.register(with_token("bob")).await;
    assert_eq!(refused.unwrap_err(), RegisterError::TokenNotGood);
    let bob = world.users.account(user_id!("@bob:hs1")).await;
    assert_eq!(bob.unwrap_err(), AdminError::NotFound);
    let listed = world.users.invitations(None, 10).await.unwrap();
    assert_eq!(
        (listed.len(), listed[0].uses, listed[0].good),
        (1, 1, false)
    );
}

#[tokio::test(start_paused = true)]
async fn invitations_expire_and_are_revoked() {
    let world = world(Registration::Token);
    let invitation = Invitation {
        token: Some("week".to_owned()),
        life: Some(Duration::from_hours(24 * 7)),
        ..Invitation::default()
    };
    world.users.create_invitation(&invitation).await.unwrap();
    let again = world.users.create_invitation(&invitation).await;
    assert_eq!(again.unwrap_err(), InvitationError::Exists);
    assert!(world.users.is_invitation_good("week").await.unwrap());
    world.env.clock.sleep(Duration::from_hours(24 * 7)).await;
    assert!(!world.users.is_invitation_good("week").await.unwrap());
    world.users.revoke_invitation("week").await.unwrap();
    world.users.create_invitation(&invitation).await.unwrap();
    for token in ["", "é", "a b", &"x".repeat(65)] {
        assert!(!world.users.is_invitation_good(token).await.unwrap());
        let invalid = Invitation {
            token: Some(token.to_owned()),
            ..Invitation::default()
        };
        let refused = world.users.create_invitation(&invalid).await;
        assert_eq!(refused.unwrap_err(), InvitationError::Invalid);
    }
}

#[tokio::test(start_paused = true)]
async fn auth_028_other_password_signs_the_other_devices_out() {
    let world = world(Registration::Open);
    let kept = world.alice().await;
    let other = world.sign_in(&NewDevice::default()).await;
    let requester = world.requester(&kept).await;
    world
        .users
        .change_password(&requester, "another one", true)
        .await
        .unwrap();
    world.requester(&kept).await;
    assert!(
        world
            .users
            .identify(other.tokens.access.reveal())
            .await
            .is_err()
    );
    let device = NewDevice::default();
    let old = world.users.sign_in("alice", "wordpass", &device).await;
    assert_eq!(old.unwrap_err(), SignInError::Wrong);
    let third = world
        .users
        .sign_in("alice", "another one", &device)
        .await
        .unwrap();
    world
        .users
        .change_password(&requester, "a third one", false)
        .await
        .unwrap();
    world.requester(&third).await;
    world
        .users
        .reset_password(&kept.user_id, "a fourth one")
        .await
        .unwrap();
    assert!(
        world
            .users
            .identify(kept.tokens.access.reveal())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn deactivated_account_is_closed_for_ever() {
    let world = world(Registration::Open);
    let session = world.alice().await;
    let requester = world.requester(&session).await;
    let alice = &session.user_id;
    let name = json!("Alice");
    world
        .users
        .set_profile_field(&requester, alice, "displayname", Some(&name))
        .await
        .unwrap();
    world.users.deactivate(&requester, true).await.unwrap();
    assert!(
        world
            .users
            .identify(session.tokens.access.reveal())
            .await
            .is_err()
    );
    let device = NewDevice::default();
    let refused = world.users.sign_in("alice", "wordpass", &device).await;
    assert_eq!(refused.unwrap_err(), SignInError::Deactivated);
    let again = world.users.register(wanted("alice")).await;
    assert_eq!(again.unwrap_err(), RegisterError::NameTaken);
    assert_eq!(
        world.users.profile(alice).await,
        Err(ProfileError::NotFound)
    );
    assert!(world.users.account(alice).await.unwrap().deactivated);
    let unlocked = world.users.set_standing(alice, Standing::Active).await;
    assert_eq!(unlocked.unwrap_err(), AdminError::Deactivated);
    assert!(
        world
            .users
            .reset_password(alice, "another one")
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn profile_fields_are_set_read_and_removed() {
    let world = world(Registration::Open);
    let alice = world.requester(&world.alice().await).await;
    let id = &alice.user_id;
    assert_eq!(world.users.profile(id).await.unwrap(), []);
    for (field, value) in [
        ("displayname", json!("Alice")),
        ("m.example", json!({"a": [1]})),
    ] {
        world
            .users
            .set_profile_field(&alice, id, field, Some(&value))
            .await
            .unwrap();
        assert_eq!(world.users.profile_field(id, field).await.unwrap(), value);
    }
    let none = json!("");
    world
        .users
        .set_profile_field(&alice, id, "displayname", Some(&none))
        .await
        .unwrap();
    world
        .users
        .set_profile_field(&alice, id, "m.example", None)
        .await
        .unwrap();
    assert_eq!(world.users.profile(id).await.unwrap(), []);
    let gone = world.users.profile_field(id, "m.example").await;
    assert_eq!(gone, Err(ProfileError::NotFound));
    let nobody = world.users.profile(user_id!("@nobody:hs1")).await;
    assert_eq!(nobody, Err(ProfileError::NotFound));
}

#[tokio::test(start_paused = true)]
async fn suspended_account_keeps_its_profile_as_it_is() {
    let world = world(Registration::Open);
    let session = world.alice().await;
    world
        .users
        .set_standing(&session.user_id, Standing::Suspended)
        .await
        .unwrap();
    let alice = world.requester(&session).await;
    let name = json!("Alice");
    let refused = world
        .users
        .set_profile_field(&alice, &alice.user_id, "a", Some(&name))
        .await;
    assert!(matches!(refused, Err(ProfileError::Denied(_))));
}

#[tokio::test(start_paused = true)]
async fn auth_041_account_data_is_its_users_own() {
    let world = world(Registration::Open);
    let alice = world.requester(&world.alice().await).await;
    let bob = owned_user_id!("@bob:hs1");
    let refused = world
        .users
        .set_account_data(&alice, &bob, None, "m.x", "{}")
        .await;
    assert_eq!(refused.unwrap_err(), AccountDataError::NotYours);
    let refused = world.users.account_data(&alice, &bob, None, "m.x").await;
    assert_eq!(refused.unwrap_err(), AccountDataError::NotYours);
    let id = &alice.user_id;
    let room = Some(room_id!("!r:hs1"));
    world
        .users
        .set_account_data(&alice, id, None, "m.x", "{\"a\":1}")
        .await
        .unwrap();
    world
        .users
        .set_account_data(&alice, id, room, "m.x", "{\"a\":2}")
        .await
        .unwrap();
    assert_eq!(
        world
            .users
            .account_data(&alice, id, None, "m.x")
            .await
            .unwrap(),
        "{\"a\":1}"
    );
    assert_eq!(
        world
            .users
            .account_data(&alice, id, room, "m.x")
            .await
            .unwrap(),
        "{\"a\":2}"
    );
    let none = world.users.account_data(&alice, id, None, "m.y").await;
    assert_eq!(none.unwrap_err(), AccountDataError::NotFound);
    for managed in ["m.push_rules", "m.fully_read"] {
        let refused = world
            .users
            .set_account_data(&alice, id, None, managed, "{}")
            .await;
        assert_eq!(refused.unwrap_err(), AccountDataError::Managed);
    }
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(90 * 1024));
    let refused = world
        .users
        .set_account_data(&alice, id, None, "m.x", &large)
        .await;
    assert_eq!(refused.unwrap_err(), AccountDataError::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn same_filter_has_one_id() {
    let world = world(Registration::Open);
    let alice = world.requester(&world.alice().await).await;
    let id = &alice.user_id;
    let filter = world
        .users
        .store_filter(&alice, id, "{\"a\":1}")
        .await
        .unwrap();
    assert_eq!(
        world
            .users
            .store_filter(&alice, id, "{\"a\":1}")
            .await
            .unwrap(),
        filter
    );
    assert_ne!(
        world
            .users
            .store_filter(&alice, id, "{\"a\":2}")
            .await
            .unwrap(),
        filter
    );
    assert_eq!(
        world.users.filter(&alice, id, &filter).await.unwrap(),
        "{\"a\":1}"
    );
    let none = world.users.filter(&alice, id, "0").await;
    assert_eq!(none.unwrap_err(), FilterError::NotFound);
    let bob = user_id!("@bob:hs1");
    let refused = world.users.store_filter(&alice, bob, "{}").await;
    assert_eq!(refused.unwrap_err(), FilterError::NotYours);
}

fn attempt(session: Option<&str>, proof: Option<Proof>) -> Attempt {
    Attempt {
        session: session.map(ToOwned::to_owned),
        proof,
    }
}

fn challenged(outcome: Outcome) -> (String, Option<Objection>) {
    match outcome {
        Outcome::Challenge(challenge) => (challenge.session, challenge.objection),
        Outcome::Proven { .. } => panic!("nothing was proven"),
    }
}

#[tokio::test(start_paused = true)]
async fn password_proves_that_a_device_may_be_deleted() {
    let world = world(Registration::Open);
    let session = world.alice().await;
    world.users.register(wanted("bob")).await.unwrap();
    let alice = session.user_id.clone();
    let operation = Operation::DeleteDevices(alice.clone(), BTreeSet::from([session.device_id]));
    let password = |name: &str, word: &str| Some(Proof::Password(name.into(), word.into()));
    let prove = async |attempt: Attempt| world.users.prove(&operation, &attempt).await.unwrap();

    let (id, objection) = challenged(prove(attempt(None, None)).await);
    assert_eq!(objection, None);
    for (proof, objection) in [
        (
            password("alice", "wrong password"),
            Objection::WrongPassword,
        ),
        (password("bob", "wordpass"), Objection::WrongPassword),
        (Some(Proof::Dummy), Objection::NotOffered),
        (Some(Proof::Unknown), Objection::NotOffered),
    ] {
        let found = challenged(prove(attempt(Some(&id), proof)).await);
        assert_eq!(found, (id.clone(), Some(objection)));
    }
    let other = Operation::ChangePassword(alice);
    let proof = attempt(Some(&id), password("alice", "wordpass"));
    assert_eq!(
        world.users.prove(&other, &proof).await,
        Err(UiaError::OtherOperation)
    );
    let proven = prove(proof.clone()).await;
    assert_eq!(
        proven,
        Outcome::Proven {
            session: id.clone(),
            token: None
        }
    );
    world.users.finish_proof(&id);
    let (another, objection) = challenged(prove(proof).await);
    assert_ne!(another, id);
    assert_eq!(objection, Some(Objection::UnknownSession));
}

#[tokio::test(start_paused = true)]
async fn registration_token_proves_that_an_account_may_be_made() {
    let world = world(Registration::Token);
    let token = world
        .users
        .create_invitation(&Invitation::default())
        .await
        .unwrap();
    let prove = async |session: Option<&str>, proof: Proof| {
        let attempt = attempt(session, Some(proof));
        let proven = world.users.prove(&Operation::Register, &attempt);
        proven.await.unwrap()
    };
    let (session, objection) = challenged(prove(None, Proof::Dummy).await);
    assert_eq!(objection, None, "nothing is wrong, and nothing is proven");
    let wrong = Proof::RegistrationToken("wrong".into());
    let (session, objection) = challenged(prove(Some(&session), wrong).await);
    assert_eq!(objection, Some(Objection::WrongToken));
    let right = Proof::RegistrationToken(token.clone());
    match prove(Some(&session), right).await {
        Outcome::Proven { token: shown, .. } => assert_eq!(shown, Some(token)),
        Outcome::Challenge(challenge) => panic!("{challenge:?}"),
    }
}
