//! Profiles as an extension of sliding sync (MSC4262).

use ruma_client_api::room::create_room::v3 as create;
use ruma_common::OwnedRoomId;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PEER: &str = "192.0.2.1:9";
const NAME: &str = "org.matrix.msc4262.profiles";
/// Of both shapes.
const PATHS: [&str; 2] = [
    "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    "/_matrix/client/v4/sync",
];

async fn call(app: &TestApp, person: &Person, endpoint: (&str, &str), body: &Value) -> Value {
    let asked = app.raw_from(PEER, endpoint, Some(&person.token), body.to_string());
    let (status, answer, _) = asked.await;
    assert_eq!(status, 200, "{endpoint:?}: {answer}");
    answer
}

async fn show(app: &TestApp, person: &Person, field: &str, value: Option<&Value>) {
    let path = format!("/_matrix/client/v3/profile/{}/{field}", person.user_id);
    let (method, body) = match value {
        Some(value) => ("PUT", json!({ field: value })),
        None => ("DELETE", json!({})),
    };
    call(app, person, (method, &path), &body).await;
}

async fn room_of(app: &TestApp, people: &[&Person]) -> OwnedRoomId {
    let mut request = create::Request::new();
    request.preset = Some(create::RoomPreset::PublicChat);
    let room = app.send(Some(&people[0].token), request).await;
    let room = room.unwrap().room_id;
    for person in &people[1..] {
        let path = format!("/_matrix/client/v3/join/{room}");
        call(app, person, ("POST", &path), &json!({})).await;
    }
    room
}

/// A client that asks with the extension.
struct Slider<'a> {
    app: &'a TestApp,
    person: &'a Person,
    path: &'static str,
    body: Value,
}

impl<'a> Slider<'a> {
    fn new(app: &'a TestApp, person: &'a Person, path: &'static str, extension: &Value) -> Self {
        // Each shape says in its own way which state is wanted: none is.
        let list = json!({"ranges": [[0, 9]], "range": [0, 9], "timeline_limit": 0,
            "required_state": if path == PATHS[0] { json!([]) } else { json!({}) }});
        let body = json!({"lists": {"all": list}, "extensions": {NAME: extension}});
        Self {
            app,
            person,
            path,
            body,
        }
    }

    async fn ask(&mut self) -> Value {
        // The draft has the position in the query.
        let path = match self.body["pos"].as_str() {
            Some(pos) => format!("{}?pos={pos}", self.path),
            None => self.path.to_owned(),
        };
        let told = call(self.app, self.person, ("POST", &path), &self.body).await;
        self.body["pos"] = told["pos"].clone();
        told["extensions"][NAME]["users"].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn profiles_are_told_with_a_room_and_then_what_changes() {
    for path in PATHS {
        let app = TestApp::new();
        let (alice, bob) = (app.person("alice").await, app.person("bob").await);
        let carol = app.person("carol").await;
        show(&app, &bob, "displayname", Some(&json!("Bob"))).await;
        show(&app, &bob, "m.tz", Some(&json!("Europe/Paris"))).await;
        show(&app, &carol, "displayname", Some(&json!("Carol"))).await;
        room_of(&app, &[&alice, &bob]).await;
        let mut slider = Slider::new(&app, &alice, path, &json!({"enabled": true}));
        let told = slider.ask().await;
        let of_bob = json!({"displayname": "Bob", "m.tz": "Europe/Paris"});
        assert_eq!(told[bob.user_id.as_str()]["updated"], of_bob, "{path}");
        assert!(told[carol.user_id.as_str()].is_null(), "{told}");
        assert_eq!(slider.ask().await, Value::Null, "nothing new");
        // Who shares no room is not told of.
        show(&app, &carol, "m.tz", Some(&json!("Europe/Rome"))).await;
        show(&app, &bob, "m.tz", None).await;
        show(&app, &bob, "org.example.desk", Some(&json!(["A", 7]))).await;
        show(&app, &alice, "m.tz", Some(&json!("Europe/Berlin"))).await;
        let told = slider.ask().await;
        let of_bob = json!({"updated": {"org.example.desk": ["A", 7]}, "removed": ["m.tz"]});
        let of_alice = json!({"updated": {"m.tz": "Europe/Berlin"}});
        let (bob_id, alice_id) = (bob.user_id.as_str(), alice.user_id.as_str());
        assert_eq!(told, json!({alice_id: of_alice, bob_id: of_bob}), "{path}");
        assert!(slider.ask().await.is_null(), "nothing new");
        app.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_told_again() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    room_of(&app, &[&alice, &bob]).await;
    let mut slider = Slider::new(&app, &alice, PATHS[0], &json!({"enabled": true}));
    slider.ask().await;
    show(&app, &bob, "m.tz", Some(&json!("Europe/Paris"))).await;
    let before = slider.body.clone();
    let told = slider.ask().await;
    assert_eq!(
        told[bob.user_id.as_str()]["updated"]["m.tz"],
        "Europe/Paris"
    );
    slider.body = before;
    let again = slider.ask().await;
    assert_eq!(
        again[bob.user_id.as_str()]["updated"]["m.tz"],
        "Europe/Paris"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_fields_asked_for_are_told_and_more_of_them_at_once() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    show(&app, &bob, "displayname", Some(&json!("Bob"))).await;
    show(&app, &bob, "m.tz", Some(&json!("Europe/Paris"))).await;
    room_of(&app, &[&alice, &bob]).await;
    let fields = json!({"enabled": true, "fields": ["displayname"]});
    let mut slider = Slider::new(&app, &alice, PATHS[1], &fields);
    let bob_id = bob.user_id.as_str();
    let told = slider.ask().await;
    let of_bob = json!({"updated": {"displayname": "Bob"}});
    assert_eq!(told, json!({ bob_id: of_bob }));
    show(&app, &bob, "m.tz", Some(&json!("Europe/Rome"))).await;
    assert!(slider.ask().await.is_null(), "not asked for");
    slider.body["extensions"][NAME]["fields"] = json!(["displayname", "m.tz"]);
    let told = slider.ask().await;
    assert_eq!(told[bob_id]["updated"]["m.tz"], "Europe/Rome", "{told}");
    slider.body["extensions"][NAME]["fields"] = json!(vec!["f"; 101]);
    let body = slider.body.to_string();
    let refused = app.raw(("POST", PATHS[1]), Some(&alice.token), body).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lazily_loaded_members_come_with_their_profiles() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    show(&app, &bob, "m.tz", Some(&json!("Europe/Paris"))).await;
    let room = room_of(&app, &[&alice, &bob]).await;
    let topic = format!("/_matrix/client/v3/rooms/{room}/state/m.room.name");
    call(
        &app,
        &alice,
        ("PUT", &topic),
        &json!({"name": "A room with a name"}),
    )
    .await;
    let fields = json!({"enabled": true, "fields": ["m.tz"]});
    let mut slider = Slider::new(&app, &alice, PATHS[0], &fields);
    slider.body["lists"]["all"]["required_state"] = json!([["m.room.member", "$LAZY"]]);
    slider.body["lists"]["all"]["timeline_limit"] = json!(1);
    slider.ask().await;
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/1");
    let said = json!({"msgtype": "m.text", "body": "hello"});
    call(&app, &bob, ("PUT", &path), &said).await;
    let told = slider.ask().await;
    assert_eq!(
        told[bob.user_id.as_str()]["updated"]["m.tz"],
        "Europe/Paris",
        "{told}"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_left_all_shared_rooms_is_told_as_gone() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let rooms = [
        room_of(&app, &[&alice, &bob]).await,
        room_of(&app, &[&alice, &bob]).await,
    ];
    let mut slider = Slider::new(&app, &alice, PATHS[0], &json!({"enabled": true}));
    slider.ask().await;
    let bob_id = bob.user_id.as_str();
    for (number, room) in rooms.iter().enumerate() {
        let path = format!("/_matrix/client/v3/rooms/{room}/leave");
        call(&app, &bob, ("POST", &path), &json!({})).await;
        let told = slider.ask().await;
        let gone = told.get(bob_id).is_some_and(Value::is_null);
        assert_eq!(gone, number == 1, "{told}");
    }
    // What he shows from now on is no concern of hers.
    show(&app, &bob, "m.tz", Some(&json!("Europe/Paris"))).await;
    assert!(slider.ask().await.is_null());
    app.stop().await;
}
