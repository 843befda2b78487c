//! The proof, its nonce, and what becomes of both.

use std::{sync::Arc, time::Duration};

use belfry_env::{Env, SimulatedWall};
use belfry_kv::Memory;
use belfry_policy::{ADMIN, MEMBER, Rules};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ruma_common::{owned_server_name, user_id};
use sha1::Sha1;

use crate::{
    NONCE_LIFE, NONCES_MAX, ProvenAccount, ProvenAccountError as E, RegisterError, Registration,
    SharedSecret, UserOptions, Users,
    fixture::{CHEAP, LIFE},
};

const SECRET: &str = "complement";

fn users(secret: Option<&str>) -> (Users, Env) {
    let env = Env::simulated(1, &SimulatedWall::at(1_700_000_000_000));
    let options = UserOptions {
        presence: true,
        server_name: owned_server_name!("hs1"),
        registration: Registration::Closed,
        access_token_life: Some(LIFE),
        idle_device_life: None,
        password: CHEAP,
        shared_secret: secret.and_then(SharedSecret::new),
    };
    let rules = Arc::new(Rules::default());
    let users = Users::new(Arc::new(Memory::default()), env.clone(), rules, options).unwrap();
    (users, env)
}

/// What the mac is made over, as the protocol has it, spelt out once more.
fn hex_mac(secret: &str, parts: &[&str]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(parts.join("\u{0}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn proven(nonce: &str, username: &str, admin: bool) -> ProvenAccount {
    let kind = if admin { "admin" } else { "notadmin" };
    ProvenAccount {
        nonce: nonce.to_owned(),
        username: username.to_owned(),
        display_name: None,
        password: "wordpass".to_owned(),
        admin,
        kind: None,
        mac: hex_mac(SECRET, &[nonce, username, "wordpass", kind]),
    }
}

#[test]
fn the_mac_is_the_documented_one() {
    // By: printf 'n\0pepper\0salted word\0notadmin' | openssl sha1 -hmac complement
    let parts = ["n", "pepper", "salted word", "notadmin"];
    assert_eq!(
        hex_mac(SECRET, &parts),
        "99ad3d50631a2e2cb645867e3e2eaf43402c3385"
    );
}

#[tokio::test(start_paused = true)]
async fn who_knows_the_secret_gets_an_account_of_the_wanted_role() {
    let (users, _) = users(Some(SECRET));
    for (name, admin, role) in [("ada", true, ADMIN), ("bob", false, MEMBER)] {
        let nonce = users.registration_nonce().unwrap();
        let mut wanted = proven(&nonce, name, admin);
        wanted.display_name = Some(format!("{name} of hs1"));
        wanted.mac.make_ascii_uppercase();
        let (user_id, session) = users.register_proven(&wanted).await.unwrap();
        let token = session.tokens.access.reveal();
        assert_eq!(users.identify(token).await.unwrap().user_id, user_id);
        assert_eq!(users.account(&user_id).await.unwrap().role, role);
        let name = users.profile_field(&user_id, "displayname").await.unwrap();
        assert_eq!(name, format!("{} of hs1", user_id.localpart()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_nonce_is_good_once_whatever_came_of_it() {
    let (users, _) = users(Some(SECRET));
    let nonce = users.registration_nonce().unwrap();
    let mut wanted = proven(&nonce, "ada", false);
    let good = std::mem::replace(&mut wanted.mac, "0".repeat(40));
    let refused = users.register_proven(&wanted).await.unwrap_err();
    assert_eq!(refused, E::WrongMac);
    wanted.mac = good;
    let refused = users.register_proven(&wanted).await.unwrap_err();
    assert_eq!(refused, E::NonceUnknown);
    assert!(users.account(user_id!("@ada:hs1")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_nonce_ends_after_its_life_and_the_oldest_gives_way() {
    let (users, env) = users(Some(SECRET));
    let old = users.registration_nonce().unwrap();
    env.clock.sleep(NONCE_LIFE).await;
    let refused = users.register_proven(&proven(&old, "ada", false)).await;
    assert_eq!(refused.unwrap_err(), E::NonceUnknown);

    let first = users.registration_nonce().unwrap();
    let second = users.registration_nonce().unwrap();
    for _ in 2..=NONCES_MAX {
        users.registration_nonce().unwrap();
    }
    env.clock
        .sleep(NONCE_LIFE.checked_sub(Duration::from_secs(1)).unwrap())
        .await;
    let refused = users.register_proven(&proven(&first, "ada", false)).await;
    assert_eq!(refused.unwrap_err(), E::NonceUnknown);
    assert!(
        users
            .register_proven(&proven(&second, "ada", false))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_proof_of_something_else_is_none() {
    let (users, _) = users(Some(SECRET));
    let changes: [fn(&mut ProvenAccount); 7] = [
        |account| account.username.push('x'),
        |account| account.password.push('x'),
        |account| account.admin = true,
        |account| account.kind = Some("bot".to_owned()),
        |account| account.mac.truncate(38),
        |account| account.mac.clear(),
        |account| account.mac = "é".repeat(40),
    ];
    for change in changes {
        let mut wanted = proven(&users.registration_nonce().unwrap(), "ada", false);
        change(&mut wanted);
        assert_eq!(
            users.register_proven(&wanted).await.unwrap_err(),
            E::WrongMac
        );
    }
    let nonce = users.registration_nonce().unwrap();
    let mut bot = proven(&nonce, "ada", false);
    bot.kind = Some("bot".to_owned());
    bot.mac = hex_mac(SECRET, &[&nonce, "ada", "wordpass", "notadmin", "bot"]);
    assert_eq!(
        users.register_proven(&bot).await.unwrap_err(),
        E::KindUnknown
    );
}

#[tokio::test(start_paused = true)]
async fn what_registration_refuses_is_refused_here_too() {
    let (users, _) = users(Some(SECRET));
    for (name, expected) in [
        ("ada", None),
        ("ada", Some(RegisterError::NameTaken)),
        ("a b", Some(RegisterError::InvalidName)),
    ] {
        let nonce = users.registration_nonce().unwrap();
        let made = users.register_proven(&proven(&nonce, name, false)).await;
        assert_eq!(made.err(), expected.map(E::Refused), "{name}");
    }
}

#[test]
fn without_a_secret_there_is_neither_nonce_nor_account() {
    for secret in [None, Some("")] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (users, _) = users(secret);
            assert!(!users.has_shared_secret());
            assert_eq!(users.registration_nonce(), Err(E::Off));
            let made = users.register_proven(&proven("", "ada", false)).await;
            assert_eq!(made.unwrap_err(), E::Off);
        });
    }
}

#[test]
fn debug_does_not_show_the_secret() {
    let secret = SharedSecret::new(SECRET).unwrap();
    assert!(!format!("{secret:?}").contains(SECRET));
}
