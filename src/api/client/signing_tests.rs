//! Cross-signing through the router.

use serde_json::{Value, json};

use super::keys_fixture::{Device, Pair, device};
use crate::fixture::{TestApp, expect};

const UPLOAD: (&str, &str) = ("POST", "/keys/device_signing/upload");
const SIGNATURES: (&str, &str) = ("POST", "/keys/signatures/upload");

/// Somebody's cross-signing keys.
struct Identity {
    user: String,
    master: Pair,
    self_signing: Pair,
    user_signing: Pair,
}

impl Identity {
    fn new(device: &Device, seed: u8) -> Self {
        Self {
            user: device.user.clone(),
            master: Pair::new(seed),
            self_signing: Pair::new(seed + 1),
            user_signing: Pair::new(seed + 2),
        }
    }

    fn key(&self, usage: &str, pair: &Pair) -> Value {
        let id = format!("ed25519:{}", pair.public());
        let key = json!({
            "user_id": self.user,
            "usage": [usage],
            "keys": {id: pair.public()},
        });
        if usage == "master" {
            return key;
        }
        self.by_master(&key)
    }

    fn by_master(&self, key: &Value) -> Value {
        let id = format!("ed25519:{}", self.master.public());
        self.master.sign(key, &self.user, &id)
    }

    fn upload(&self) -> Value {
        json!({
            "master_key": self.key("master", &self.master),
            "self_signing_key": self.key("self_signing", &self.self_signing),
            "user_signing_key": self.key("user_signing", &self.user_signing),
        })
    }

    /// The object signed with one of the keys.
    fn sign(&self, pair: &Pair, object: &Value) -> Value {
        let mut bare = object.clone();
        bare.as_object_mut().unwrap().remove("signatures");
        pair.sign(&bare, &self.user, &format!("ed25519:{}", pair.public()))
    }
}

async fn with_identity(app: &TestApp, name: &str, seed: u8) -> (Device, Identity) {
    let device = device(app, name, seed).await;
    let identity = Identity::new(&device, seed + 10);
    device.done(app, UPLOAD, &identity.upload()).await;
    (device, identity)
}

#[tokio::test(start_paused = true)]
async fn first_keys_and_the_same_again_need_no_proof_but_others_do() {
    let app = TestApp::new();
    let (alice, identity) = with_identity(&app, "alice", 1).await;
    alice.done(&app, UPLOAD, &identity.upload()).await;
    let other = Identity::new(&alice, 50);
    let (status, challenge) = alice.ask(&app, UPLOAD, &other.upload()).await;
    assert_eq!(status, 401);
    let seen = alice.query(&app, &alice.user).await;
    let master = identity.key("master", &identity.master);
    assert_eq!(seen["master_keys"][&alice.user]["keys"], master["keys"]);
    let mut body = other.upload();
    body["auth"] = json!({
        "type": "m.login.password",
        "session": challenge["session"],
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": "wordpass",
    });
    alice.done(&app, UPLOAD, &body).await;
    let seen = alice.query(&app, &alice.user).await;
    let master = other.key("master", &other.master);
    assert_eq!(seen["master_keys"][&alice.user]["keys"], master["keys"]);
}

#[tokio::test(start_paused = true)]
async fn e2ee_010_signing_keys_need_a_master_and_its_signature() {
    let app = TestApp::new();
    let alice = device(&app, "alice", 1).await;
    let identity = Identity::new(&alice, 10);
    let mut alone = identity.upload();
    alone.as_object_mut().unwrap().remove("master_key");
    let refused = alice.refused(&app, UPLOAD, &alone).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    let mut forged = identity.upload();
    forged["self_signing_key"] = identity.key("self_signing", &Pair::new(77));
    forged["self_signing_key"]["usage"] = json!(["self_signing", "more"]);
    let refused = alice.refused(&app, UPLOAD, &forged).await;
    assert_eq!(refused, expect(400, "M_INVALID_SIGNATURE"));
    let mut of_another = identity.upload();
    of_another["master_key"]["user_id"] = "@bob:hs1".into();
    let refused = alice.refused(&app, UPLOAD, &of_another).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    let seen = alice.query(&app, &alice.user).await;
    assert_eq!(seen["master_keys"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn self_signature_on_a_device_is_seen_by_all() {
    let app = TestApp::new();
    let (alice, identity) = with_identity(&app, "alice", 1).await;
    let bob = device(&app, "bob", 5).await;
    let signed = identity.sign(&identity.self_signing, &alice.keys());
    let body = json!({&alice.user: {&alice.id: signed}});
    let answer = alice.done(&app, SIGNATURES, &body).await;
    assert_eq!(answer["failures"], json!({}));
    let seen = bob.query(&app, &alice.user).await;
    let key_id = format!("ed25519:{}", identity.self_signing.public());
    let found = &seen["device_keys"][&alice.user][&alice.id]["signatures"][&alice.user];
    assert_eq!(found[&key_id], signed["signatures"][&alice.user][&key_id]);
    assert!(found[alice.key_id()].is_string(), "its own is still there");
    assert_eq!(seen["user_signing_keys"], json!({}), "only for its user");
}

#[tokio::test(start_paused = true)]
async fn e2ee_011_wrong_signature_is_not_taken() {
    let app = TestApp::new();
    let (alice, identity) = with_identity(&app, "alice", 1).await;
    let mut forged = identity.sign(&identity.self_signing, &alice.keys());
    let key_id = format!("ed25519:{}", identity.self_signing.public());
    let other = identity.sign(&identity.self_signing, &json!({"other": 1}));
    forged["signatures"] = other["signatures"].clone();
    let mut different = alice.keys();
    different["algorithms"] = json!([]);
    let different = identity.sign(&identity.self_signing, &different);
    let body = json!({&alice.user: {&alice.id: forged, "NOTHERE": alice.keys()}});
    let answer = alice.done(&app, SIGNATURES, &body).await;
    let failures = &answer["failures"][&alice.user];
    assert_eq!(failures[&alice.id]["errcode"], "M_INVALID_SIGNATURE");
    assert_eq!(failures["NOTHERE"]["errcode"], "M_NOT_FOUND");
    let body = json!({&alice.user: {&alice.id: different}});
    let answer = alice.done(&app, SIGNATURES, &body).await;
    let failure = &answer["failures"][&alice.user][&alice.id];
    assert_eq!(failure["errcode"], "M_INVALID_PARAM");
    let seen = alice.query(&app, &alice.user).await;
    let found = &seen["device_keys"][&alice.user][&alice.id]["signatures"];
    assert!(found[&alice.user][&key_id].is_null());
}

#[tokio::test(start_paused = true)]
async fn e2ee_012_only_a_user_signing_key_signs_others() {
    let app = TestApp::new();
    let (alice, identity) = with_identity(&app, "alice", 1).await;
    let (bob, of_bob) = with_identity(&app, "bob", 5).await;
    let carol = device(&app, "carol", 9).await;
    let master = of_bob.key("master", &of_bob.master);
    let on_device = identity.sign(&identity.user_signing, &bob.keys());
    let by_another = identity.sign(&identity.self_signing, &master);
    let body = json!({&bob.user: {&bob.id: on_device, of_bob.master.public(): by_another}});
    let answer = alice.done(&app, SIGNATURES, &body).await;
    let failures = &answer["failures"][&bob.user];
    assert_eq!(failures[&bob.id]["errcode"], "M_NOT_FOUND");
    let failure = &failures[of_bob.master.public()];
    assert_eq!(failure["errcode"], "M_INVALID_SIGNATURE");

    let signed = identity.sign(&identity.user_signing, &master);
    let body = json!({&bob.user: {of_bob.master.public(): signed}});
    let answer = alice.done(&app, SIGNATURES, &body).await;
    assert_eq!(answer["failures"], json!({}));
    for (viewer, sees) in [(&alice, true), (&carol, false), (&bob, false)] {
        let seen = viewer.query(&app, &bob.user).await;
        let found = &seen["master_keys"][&bob.user]["signatures"][&alice.user];
        assert_eq!(found.is_object(), sees, "{}", viewer.user);
        assert!(seen["device_keys"][&bob.user][&bob.id]["signatures"][&alice.user].is_null());
    }
}

#[tokio::test(start_paused = true)]
async fn user_signing_key_is_seen_by_its_user_only() {
    let app = TestApp::new();
    let (alice, identity) = with_identity(&app, "alice", 1).await;
    let bob = device(&app, "bob", 5).await;
    let own = alice.query(&app, &alice.user).await;
    let key = identity.key("user_signing", &identity.user_signing);
    assert_eq!(own["user_signing_keys"][&alice.user]["keys"], key["keys"]);
    let seen = bob.query(&app, &alice.user).await;
    assert_eq!(seen["user_signing_keys"], json!({}));
    assert!(seen["master_keys"][&alice.user].is_object());
    assert!(seen["self_signing_keys"][&alice.user].is_object());
}

#[tokio::test(start_paused = true)]
async fn reset_identity_loses_what_the_former_one_signed_and_is_told() {
    let app = TestApp::new();
    let (alice, identity) = with_identity(&app, "alice", 1).await;
    let (bob, of_bob) = with_identity(&app, "bob", 5).await;
    let room = json!({"preset": "public_chat"});
    let room = alice.done(&app, ("POST", "/createRoom"), &room).await;
    let join = format!("/join/{}", room["room_id"].as_str().unwrap());
    bob.done(&app, ("POST", &join), &json!({})).await;
    let signed = identity.sign(&identity.self_signing, &alice.keys());
    let master = identity.key("master", &identity.master);
    let by_device = alice.sign(&master);
    let body = json!({&alice.user: {&alice.id: signed, identity.master.public(): by_device}});
    let answer = alice.done(&app, SIGNATURES, &body).await;
    assert_eq!(answer["failures"], json!({}));
    let by_bob = of_bob.sign(&of_bob.user_signing, &master);
    let body = json!({&alice.user: {identity.master.public(): by_bob}});
    let answer = bob.done(&app, SIGNATURES, &body).await;
    assert_eq!(answer["failures"], json!({}));
    let start = bob.sync(&app, None).await;

    let reset = Identity::new(&alice, 50);
    let mut body = reset.upload();
    let (status, challenge) = alice.ask(&app, UPLOAD, &body).await;
    assert_eq!(status, 401);
    body["auth"] = json!({
        "type": "m.login.password",
        "session": challenge["session"],
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": "wordpass",
    });
    alice.done(&app, UPLOAD, &body).await;
    let told = bob
        .sync(&app, Some(super::keys_fixture::next(&start)))
        .await;
    assert_eq!(told["device_lists"]["changed"], json!([alice.user]));
    let seen = bob.query(&app, &alice.user).await;
    let device = &seen["device_keys"][&alice.user][&alice.id]["signatures"][&alice.user];
    let left: Vec<_> = device.as_object().unwrap().keys().collect();
    assert_eq!(left, [&alice.key_id()], "only its own is left");
    let seen = &seen["master_keys"][&alice.user];
    assert_eq!(seen["keys"], reset.key("master", &reset.master)["keys"]);
    let nobody = seen["signatures"].as_object().is_none_or(|all| {
        all.values()
            .all(|of_one| of_one.as_object().is_none_or(serde_json::Map::is_empty))
    });
    assert!(nobody, "{seen}");
    app.stop().await;
}
