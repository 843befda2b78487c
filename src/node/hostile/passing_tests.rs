//! What passes between servers (EDUs), of others' users, without sense, or without end.

use serde_json::{Value, json};

use super::scene::{ALICE, Fate, MALLORY, Scene, TRUDY};

/// Bytes of an EDU that other servers take.
const EDU_BYTES_MAX: usize = 65_536;

async fn sync(scene: &Scene) -> Value {
    scene.act("GET", "/sync", &json!({})).await
}

fn edu(kind: &str, content: &Value) -> Value {
    json!({"edu_type": kind, "content": content})
}

#[tokio::test(start_paused = true)]
async fn edu_003_presence_is_told_of_ones_own_users_and_so_often() {
    let scene = Scene::new().await;
    scene.place(11).await;
    let since = sync(&scene).await["next_batch"].clone();
    let since = since.as_str().unwrap();
    let online = |user: &str, more: Value| {
        let mut update = json!({"user_id": user, "presence": "online", "last_active_ago": 1});
        for (name, value) in more.as_object().unwrap() {
            update[name] = value.clone();
        }
        update
    };
    let odd = [
        online("@carol:accomplice.example", json!({})),
        online("@alice:hs1", json!({"status_msg": "forged"})),
        online(MALLORY, json!({"last_active_ago": -1})),
        online(MALLORY, json!({"last_active_ago": "x"})),
        online(MALLORY, json!({"presence": "xyz"})),
        online("mallory", json!({})),
        json!({}),
        Value::Null,
        json!(5),
    ];
    for one in &odd {
        let push = json!({"push": [one]});
        scene.pass(&[edu("m.presence", &push)]).await;
    }
    let many: Vec<_> = (0..10_000)
        .map(|number| online(&format!("@m{number}:evil.example"), json!({})))
        .collect();
    scene
        .pass(&[edu("m.presence", &json!({"push": many}))])
        .await;
    scene
        .pass(&[
            edu("m.presence", &json!({"push": odd})),
            edu("m.presence", &json!([])),
        ])
        .await;
    let good = json!({"push": [online(MALLORY, json!({}))]});
    scene.pass(&[edu("m.presence", &good)]).await;
    let path = format!("/presence/{MALLORY}/status");
    let seen = scene.act("GET", &path, &json!({})).await;
    assert_eq!(seen["presence"], "online", "{seen}");
    // Nothing is kept of those who share no room: hers, and Alice's own.
    assert!(scene.rows("presence").await <= 2);
    let path = format!("/sync?since={since}");
    let told = scene.act("GET", &path, &json!({})).await["presence"].to_string();
    assert!(!told.contains("forged"), "{told}");
    assert!(!told.contains("accomplice"), "{told}");
    assert!(
        !told.contains("@m9999"),
        "nobody shares a room with them: {told}"
    );
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edu_004_messages_to_devices_come_once_and_from_who_sends_them() {
    let scene = Scene::new().await;
    let device = scene.act("GET", "/account/whoami", &json!({})).await["device_id"].clone();
    let device = device.as_str().unwrap();
    let message = |sender: &str, id: &str, text: &str| {
        let messages = json!({ALICE: {device: {"text": text}}});
        let content = json!({
            "sender": sender, "type": "m.test", "message_id": id, "messages": messages,
        });
        edu("m.direct_to_device", &content)
    };
    let mut many = message(MALLORY, "many", "many");
    for number in 0..10_000 {
        let user = format!("@a{number}:hs1");
        many["content"]["messages"][user] = json!({"*": {"text": "many"}});
    }
    scene
        .pass(&[
            message("@carol:accomplice.example", "1", "forged"),
            message(ALICE, "2", "forged"),
            message("nobody", "3", "forged"),
            many,
            message(MALLORY, "4", "once"),
            message(MALLORY, "4", "once"),
        ])
        .await;
    scene.pass(&[message(MALLORY, "4", "once")]).await;
    let got = sync(&scene).await["to_device"]["events"].clone();
    let expected = json!([{"sender": MALLORY, "type": "m.test", "content": {"text": "once"}}]);
    assert_eq!(got, expected);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edu_005_devices_are_asked_for_once_however_often_they_are_said_to_change() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    let update = |user: &str, id: u64, prev: Value| {
        let content = json!({
            "user_id": user, "device_id": "D", "stream_id": id, "prev_id": prev,
            "keys": {"user_id": user, "device_id": "D", "algorithms": [], "keys": {},
                "signatures": {}},
        });
        edu("m.device_list_update", &content)
    };
    scene.net.heard();
    scene
        .pass(&[
            update("@carol:accomplice.example", 1, json!([])),
            update(ALICE, 1, json!([])),
            update("mallory", 1, json!([])),
            update(MALLORY, 1, json!("x")),
        ])
        .await;
    let asked = |heard: &[super::peer::Heard]| {
        let devices = heard.iter().filter(|it| it.path.contains("/user/devices/"));
        devices.map(|it| it.path.clone()).collect::<Vec<_>>()
    };
    let first = asked(&scene.net.heard());
    let others = first.iter().filter(|path| !path.contains(MALLORY));
    assert_eq!(others.count(), 0, "{first:?}");
    let mut changed = sync(&scene).await["next_batch"].clone();
    // Gaps upon gaps: 10,000 of them in a hundred transactions.
    for round in 0..100_u64 {
        let each = (0..100_u64).map(|number| {
            let id = 10 + 10 * (round * 100 + number);
            update(MALLORY, id, json!([id - 5]))
        });
        let body = super::scene::transaction(&[], &each.collect::<Vec<_>>());
        let (status, answer) = scene.transact(&body).await;
        assert_eq!(status, 200, "{answer}");
    }
    scene.settle().await;
    let heard = asked(&scene.net.heard());
    assert!(heard.len() <= 20, "{}", heard.len());
    // Whoever needs them has them asked for, once.
    let query = json!({"device_keys": {MALLORY: []}});
    scene.act("POST", "/keys/query", &query).await;
    let heard = scene.net.heard();
    let keys = |path: &str| path.contains("/user/devices/") || path.contains("/keys/query");
    let heard = heard.iter().filter(|it| keys(&it.path)).count();
    assert!((1..=2).contains(&heard), "{heard}");
    // What is said of whoever shares no room is nothing to anybody.
    scene
        .pass(&[update("@stranger:evil.example", 1, json!([]))])
        .await;
    let since = changed.take();
    let path = format!("/sync?since={}", since.as_str().unwrap());
    let told = scene.act("GET", &path, &json!({})).await;
    let changed = told["device_lists"]["changed"].to_string();
    assert!(changed.contains(MALLORY), "{told}");
    assert!(
        !told["device_lists"].to_string().contains("stranger"),
        "{told}"
    );
    scene.say(&place, "we go on").await;
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edu_007_what_is_no_edu_keeps_nothing_back() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    let typing = edu(
        "m.typing",
        &json!({"room_id": place.id, "user_id": MALLORY, "typing": true}),
    );
    let odd = [
        Value::Null,
        json!(5),
        json!("x"),
        json!([]),
        json!({}),
        json!({"edu_type": "m.typing"}),
        json!({"edu_type": "m.typing", "content": null}),
        json!({"edu_type": "m.typing", "content": []}),
        json!({"edu_type": 5, "content": {}}),
        json!({"content": {}}),
        edu("org.example.unknown", &json!({"a": 1})),
        edu("", &json!({})),
        edu("m.receipt", &json!({place.id.as_str(): null})),
        edu("m.presence", &json!({"push": null})),
        edu("m.direct_to_device", &json!({"messages": 5})),
        edu("m.device_list_update", &json!({"user_id": 5})),
        edu("m.signing_key_update", &json!({"user_id": null})),
        typing,
    ];
    let mut event = scene.message(&place).await;
    let id = scene.sign(&place, &mut event);
    let body = super::scene::transaction(&[event], &odd);
    let (status, answer) = scene.transact(&body).await;
    assert_eq!((status, &answer["pdus"]), (200, &json!({id.as_str(): {}})));
    let shown = sync(&scene).await["rooms"]["join"][&place.id]["ephemeral"].to_string();
    assert!(shown.contains(MALLORY), "{shown}");
    scene.settle().await;
    assert_eq!(scene.fate(&place, &id).await, Fate::Accepted);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edu_008_receipts_are_taken_so_many_at_a_time_and_of_events() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    scene.join(&place, TRUDY).await;
    let said = scene.say(&place, "read me").await;
    let receipt = |user: &str, receipt: Value| {
        edu(
            "m.receipt",
            &json!({place.id.as_str(): {"m.read": {user: receipt}}}),
        )
    };
    let good = |ts: Value| json!({"event_ids": [said], "data": {"ts": ts}});
    let odd = [
        receipt(ALICE, good(json!(1))),
        receipt("@carol:accomplice.example", good(json!(1))),
        receipt(MALLORY, json!({"event_ids": [5], "data": {"ts": 1}})),
        receipt(MALLORY, json!({"event_ids": "x", "data": {"ts": 1}})),
        receipt(MALLORY, json!({"event_ids": [], "data": {"ts": 1}})),
        receipt(MALLORY, json!({"event_ids": ["$nothing"], "data": {}})),
        receipt(MALLORY, json!({"data": {"ts": 1}})),
    ];
    scene.pass(&odd).await;
    let shown = |sync: &Value| sync["rooms"]["join"][&place.id]["ephemeral"].to_string();
    let told = shown(&sync(&scene).await);
    assert!(!told.contains("example") && !told.contains(ALICE), "{told}");
    let mut many = json!({});
    for number in 0..50_000 {
        many[format!("@m{number}:evil.example")] = good(json!(1));
    }
    many[MALLORY] = good(json!(1_u64 << 60));
    let rows = scene.rows("receipt").await;
    let many = edu("m.receipt", &json!({place.id.as_str(): {"m.read": many}}));
    scene
        .pass(&[many, receipt(TRUDY, good(json!(1_u64 << 60)))])
        .await;
    assert!(scene.rows("receipt").await <= rows + 2);
    let told = shown(&sync(&scene).await);
    assert!(told.contains(TRUDY), "{told}");
    assert!(
        !told.contains(&(1_u64 << 60).to_string()),
        "our own clock is shown: {told}"
    );
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edu_009_what_is_too_long_to_be_told_keeps_no_event_back() {
    let scene = Scene::new().await;
    let place = scene.place(11).await;
    scene.net.heard();
    // One that is too long by itself, and many that are too long together.
    for (txn, devices, bytes) in [("a", 1, 60_000), ("b", 40, 20_000)] {
        let mut messages = json!({});
        for number in 0..devices {
            messages[format!("D{number}")] = json!({"text": "x".repeat(bytes)});
        }
        let body = json!({"messages": {MALLORY: messages}});
        let path = format!("/sendToDevice/m.test/{txn}");
        scene.act("PUT", &path, &body).await;
    }
    let path = "/sendToDevice/m.test/c";
    let long = json!({"messages": {MALLORY: {"D": {"text": "x".repeat(70_000)}}}});
    let (status, _) = scene.ask("PUT", path, &long).await;
    assert!(status == 200 || status == 413, "{status}");
    let said = scene.say(&place, "is heard").await;
    scene.settle().await;
    let heard = scene.net.heard();
    let list = |name: &str| {
        let each = heard.iter().filter_map(|it| it.body[name].as_array());
        each.flatten().cloned().collect::<Vec<Value>>()
    };
    let pdus = list("pdus");
    let told = pdus
        .iter()
        .any(|pdu| super::forge::event_id(pdu, 11) == said);
    assert!(told, "{} transactions", heard.len());
    let edus = list("edus");
    let each = edus
        .iter()
        .filter(|edu| edu["edu_type"] == "m.direct_to_device");
    assert!(each.clone().count() >= 2);
    for edu in each {
        let bytes = edu.to_string().len();
        assert!(bytes <= EDU_BYTES_MAX, "{bytes}");
    }
    scene.stop().await;
}
