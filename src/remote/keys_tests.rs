//! Fetching keys: from servers, from notaries, within limits, and over a restart.

use std::sync::atomic::{AtomicUsize, Ordering};

use belfry_env::SimulatedWall;
use belfry_event::SigningKey;
use belfry_kv::Memory;
use http::header::CONTENT_TYPE;
use ruma_common::{owned_server_name, server_name};
use serde_json::Value;

use super::*;
use crate::{NetworkError, fixture::START_MS, key_document::OldKey};

type Handler = Box<dyn Fn(&str, &Request<Bytes>) -> Option<String> + Send + Sync>;

/// Answers key requests by a function of server and request; counts them.
struct Servers {
    handler: Handler,
    asked: AtomicUsize,
}

impl Network for Servers {
    fn ask<'a>(
        &'a self,
        server: &'a ServerName,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Response<Bytes>, NetworkError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = (self.handler)(server.as_str(), &request);
        Box::pin(async move {
            match answer {
                None => Err(NetworkError::Unreachable("gone".to_owned())),
                Some(text) if text.len() > limits.bytes_max => {
                    Err(NetworkError::TooLarge("too large".to_owned()))
                }
                Some(text) => Ok(Response::builder()
                    .header(CONTENT_TYPE, "application/json")
                    .body(text.into())
                    .unwrap()),
            }
        })
    }
}

fn own(server: &str, seed: u8) -> OwnKeys {
    OwnKeys {
        server: server.try_into().unwrap(),
        current: SigningKey::from_seed(&[seed; 32], "1").unwrap(),
        old: Vec::new(),
    }
}

/// The document of `b.example`, whose seed is 2.
fn document() -> String {
    own("b.example", 2).document(START_MS).unwrap()
}

struct World {
    env: Env,
    engine: Arc<Memory>,
    servers: Arc<Servers>,
}

impl World {
    fn new(
        handler: impl Fn(&str, &Request<Bytes>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            env: Env::simulated(1, &SimulatedWall::at(START_MS)),
            engine: Arc::new(Memory::default()),
            servers: Arc::new(Servers {
                handler: Box::new(handler),
                asked: AtomicUsize::new(0),
            }),
        }
    }

    fn store(&self) -> KeyStore {
        self.store_with(Vec::new(), Vec::new())
    }

    fn store_with(&self, notaries: Vec<OwnedServerName>, refused: Vec<PublicKey>) -> KeyStore {
        let options = KeyOptions {
            own: own("a.example", 1),
            notaries,
            refused,
        };
        let engine: Arc<dyn Engine> = Arc::clone(&self.engine) as _;
        KeyStore::new(
            engine,
            self.env.clone(),
            Arc::clone(&self.servers) as _,
            options,
        )
    }

    fn asked(&self) -> usize {
        self.servers.asked.load(Ordering::SeqCst)
    }
}

fn wanted(key_id: &str, at_ms: u64) -> [KeyWanted; 1] {
    [KeyWanted {
        server: owned_server_name!("b.example"),
        key_ids: vec![key_id.to_owned()],
        valid_at: Some(MilliSecondsSinceUnixEpoch(UInt::new_saturating(at_ms))),
    }]
}

fn has(ring: &KeyRing, at_ms: u64) -> bool {
    let at = MilliSecondsSinceUnixEpoch(UInt::new_saturating(at_ms));
    ring.get(server_name!("b.example"), "ed25519:1", Some(at))
        .is_some()
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_once_and_survive_a_restart() {
    let world = World::new(|server, _| (server == "b.example").then(document));
    let store = world.store();
    let wanted = wanted("ed25519:1", START_MS);
    assert!(!has(&store.held(&wanted).await, START_MS));
    for _ in 0..3 {
        assert!(has(&store.fetch(&wanted).await, START_MS));
    }
    assert!(has(&store.held(&wanted).await, START_MS));
    assert!(has(&world.store().held(&wanted).await, START_MS));
    assert_eq!(world.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_good_for_as_long_as_its_document_said_and_is_fetched_again_then() {
    let world = World::new(|_, _| Some(document()));
    let store = world.store();
    let later_ms = START_MS + OWN_VALIDITY_MS + 1;
    let ring = store.fetch(&wanted("ed25519:1", START_MS)).await;
    assert!(has(&ring, START_MS) && !has(&ring, later_ms));
    store.fetch(&wanted("ed25519:1", later_ms)).await;
    assert_eq!(world.asked(), 2);
}

use crate::key_document::OWN_VALIDITY_MS;

#[tokio::test(start_paused = true)]
async fn keys_001_and_004_documents_that_are_not_believed_are_not_kept() {
    for answer in [
        own("evil.example", 2).document(START_MS).unwrap(),
        document().replace("verify_keys", "other_keys"),
        " ".repeat(100 * 1024 * 1024),
        String::new(),
    ] {
        let world = World::new(move |_, _| Some(answer.clone()));
        let ring = world.store().fetch(&wanted("ed25519:1", START_MS)).await;
        assert!(!has(&ring, START_MS));
    }
}

#[tokio::test(start_paused = true)]
async fn fauth_011_a_key_that_is_known_to_have_leaked_never_counts() {
    let world = World::new(|_, _| Some(document()));
    let leaked = SigningKey::from_seed(&[2; 32], "1").unwrap();
    let store = world.store_with(Vec::new(), vec![leaked.public_key().clone()]);
    assert!(!has(
        &store.fetch(&wanted("ed25519:1", START_MS)).await,
        START_MS
    ));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_left_alone_longer_and_longer() {
    let world = World::new(|_, _| None);
    let store = world.store();
    for (wait_s, asked) in [(0, 1), (5, 1), (6, 2), (15, 2), (6, 3)] {
        world.env.clock.sleep(Duration::from_secs(wait_s)).await;
        store.fetch(&wanted("ed25519:1", START_MS)).await;
        assert_eq!(world.asked(), asked, "after {wait_s} s more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_document_lacks_does_not_make_us_ask_each_time() {
    let world = World::new(|_, _| Some(document()));
    let store = world.store();
    for number in 0..100 {
        let other = wanted(&format!("ed25519:other{number}"), START_MS);
        store.fetch(&other).await;
    }
    assert_eq!(world.asked(), 1);
    world.env.clock.sleep(REFRESH_INTERVAL).await;
    store.fetch(&wanted("ed25519:other", START_MS)).await;
    assert_eq!(world.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn fauth_005_nobody_is_asked_for_a_key_id_that_is_none() {
    let world = World::new(|_, _| Some(document()));
    let store = world.store();
    let long = format!("ed25519:{}", "a".repeat(10_000));
    for key_id in ["rsa:1", "ed25519:", "ed25519", "ed25519:a b", "", &long] {
        store.fetch(&wanted(key_id, START_MS)).await;
    }
    assert_eq!(world.asked(), 0);
}

/// What a notary answers.
fn notarised(document: &str) -> String {
    format!(r#"{{"server_keys": [{document}]}}"#)
}

#[tokio::test(start_paused = true)]
async fn a_notary_is_asked_if_the_server_does_not_answer() {
    let world = World::new(|server, request| {
        assert!(server != "n.example" || request.method() == Method::POST);
        (server == "n.example").then(|| notarised(&document()))
    });
    let store = world.store_with(vec![owned_server_name!("n.example")], Vec::new());
    assert!(has(
        &store.fetch(&wanted("ed25519:1", START_MS)).await,
        START_MS
    ));
}

#[tokio::test(start_paused = true)]
async fn keys_008_what_only_the_notary_signed_is_refused() {
    let world = World::new(|server, _| {
        let mut document: Value = serde_json::from_str(&document()).unwrap();
        document.as_object_mut().unwrap().remove("signatures");
        let notary = SigningKey::from_seed(&[9; 32], "n").unwrap();
        let text = document.to_string();
        let signed = notary.sign_json("n.example", text.as_bytes()).unwrap();
        (server == "n.example").then(|| notarised(&signed))
    });
    let store = world.store_with(vec![owned_server_name!("n.example")], Vec::new());
    assert!(!has(
        &store.fetch(&wanted("ed25519:1", START_MS)).await,
        START_MS
    ));
}

#[tokio::test(start_paused = true)]
async fn we_are_a_notary_for_others_and_for_ourselves() {
    let world = World::new(|server, _| (server == "b.example").then(document));
    let store = world.store();
    let servers = ["a.example", "b.example", "gone.example"];
    let asked = servers.map(|server| (server.try_into().unwrap(), START_MS));
    let documents = store.notarise(asked.to_vec()).await;
    assert_eq!(documents.len(), 2);
    let own = SigningKey::from_seed(&[1; 32], "1").unwrap();
    for document in &documents {
        own.public_key()
            .verify_json(document.as_bytes(), "a.example", "ed25519:1")
            .unwrap();
    }
    assert!(
        KeyDocument::read(server_name!("b.example"), documents[1].as_bytes(), START_MS).is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn keys_006_and_007_questions_to_us_as_a_notary_are_bounded() {
    let world = World::new(|_, _| None);
    let store = world.store();
    let name = |number: usize| format!("s{number}.example").try_into().unwrap();
    let many = (0..100_000)
        .map(|number| (name(number), START_MS))
        .collect();
    assert!(store.notarise(many).await.is_empty());
    assert_eq!(world.asked(), NOTARY_SERVERS_MAX);
    let world = World::new(|_, _| Some(document()));
    let store = world.store();
    let far = 1_000_000_000_000_000_000;
    for _ in 0..3 {
        let asked = vec![(owned_server_name!("b.example"), far)];
        assert_eq!(
            store.notarise(asked).await.len(),
            1,
            "what there is, is given"
        );
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_old_key_vouches_for_old_events_only() {
    let world = World::new(|_, _| {
        let mut own = own("b.example", 3);
        own.current = SigningKey::from_seed(&[3; 32], "new").unwrap();
        own.old = vec![OldKey {
            key_id: "ed25519:1".to_owned(),
            key: SigningKey::from_seed(&[2; 32], "1")
                .unwrap()
                .public_key()
                .clone(),
            expired_ms: START_MS - 1_000,
        }];
        Some(own.document(START_MS).unwrap())
    });
    let ring = world
        .store()
        .fetch(&wanted("ed25519:1", START_MS - 2_000))
        .await;
    assert!(has(&ring, START_MS - 1_000));
    assert!(!has(&ring, START_MS), "fauth_010: not for requests of now");
}

/// `b.example` answers for itself at first, then is gone; two days later `w.example` hands on this
/// document. Whether the key of `b.example` counts then, by itself and by the witness.
async fn two_days_later(handed_on: impl Fn(u64) -> String + Send + Sync + 'static) -> (bool, bool) {
    later_than(document(), handed_on).await
}

/// The same, with what `b.example` answers at first.
async fn later_than(
    at_first: String,
    handed_on: impl Fn(u64) -> String + Send + Sync + 'static,
) -> (bool, bool) {
    let later_ms = START_MS + 2 * 24 * 60 * 60 * 1_000;
    let first = AtomicUsize::new(0);
    let world = World::new(move |server, _| match server {
        "b.example" if first.fetch_add(1, Ordering::SeqCst) == 0 => Some(at_first.clone()),
        "w.example" => Some(notarised(&handed_on(later_ms))),
        _ => None,
    });
    let store = world.store();
    let before_ms = START_MS - 2_000;
    let ring = store.fetch(&wanted("ed25519:1", before_ms)).await;
    assert!(has(&ring, before_ms));
    let span = Duration::from_millis(later_ms - START_MS);
    world.env.clock.sleep(span).await;
    let wanted = wanted("ed25519:1", later_ms);
    let itself = store.fetch(&wanted).await;
    let witness = server_name!("w.example");
    let by_witness = store.fetch_by(&wanted, witness).await;
    (has(&itself, later_ms), has(&by_witness, later_ms))
}

#[tokio::test(start_paused = true)]
async fn a_witness_hands_on_what_a_known_key_signed() {
    let told = two_days_later(|now_ms| own("b.example", 2).document(now_ms).unwrap()).await;
    assert_eq!(told, (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_witness_vouches_for_nothing_itself() {
    // Another key by the same name.
    let told = two_days_later(|now_ms| own("b.example", 5).document(now_ms).unwrap()).await;
    assert_eq!(told, (false, false));
    // The known key is named as an old one, by a key that nobody knows.
    let told = two_days_later(|now_ms| {
        let mut forged = own("b.example", 5);
        forged.current = SigningKey::from_seed(&[5; 32], "new").unwrap();
        let known = SigningKey::from_seed(&[2; 32], "1").unwrap();
        forged.old = vec![OldKey {
            key_id: "ed25519:1".to_owned(),
            key: known.public_key().clone(),
            expired_ms: now_ms,
        }];
        forged.document(now_ms).unwrap()
    })
    .await;
    assert_eq!(told, (false, false));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_its_server_gave_up_is_not_renewed() {
    let mut rotated = own("b.example", 3);
    rotated.current = SigningKey::from_seed(&[3; 32], "new").unwrap();
    let stolen = SigningKey::from_seed(&[2; 32], "1").unwrap();
    rotated.old = vec![OldKey {
        key_id: "ed25519:1".to_owned(),
        key: stolen.public_key().clone(),
        expired_ms: START_MS - 1_000,
    }];
    let at_first = rotated.document(START_MS).unwrap();
    let forged = |now_ms| own("b.example", 2).document(now_ms).unwrap();
    assert_eq!(later_than(at_first, forged).await, (false, false));
}

#[tokio::test(start_paused = true)]
async fn a_witness_is_not_asked_for_keys_that_were_never_known() {
    let world = World::new(|server, _| (server == "w.example").then(|| notarised(&document())));
    let wanted = wanted("ed25519:1", START_MS);
    let store = world.store();
    let ring = store.fetch_by(&wanted, server_name!("w.example")).await;
    assert!(!has(&ring, START_MS));
    assert_eq!(world.asked(), 1, "the server itself");
}
