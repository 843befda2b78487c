//! More requests to rooms that make no sense; see `bad_room_tests`.

use serde_json::json;

use super::bad_room_tests::{ask, refused, room};
use crate::fixture::{TestApp, expect};

#[tokio::test(start_paused = true)]
async fn room_037_a_join_through_thousands_of_servers_ends_soon() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let via: Vec<_> = (0..5_000).map(|number| format!("via=s{number}")).collect();
    let path = format!("join/!none:elsewhere.example?{}", via.join("&"));
    let before = app.env.clock.now();
    let (status, _) = ask(&app, &alice, ("POST", &path), "{}").await;
    // No server of them is to be had: the client is told so.
    assert!(matches!(status, 403 | 404 | 502), "{status}");
    let took = app.env.clock.now().since(before);
    assert!(took < std::time::Duration::from_mins(1), "{took:?}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_044_users_do_not_choose_the_time() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({})).await;
    let path = format!("rooms/{room}/send/m.room.message/1?ts=0");
    let (status, sent) = ask(&app, &alice, ("PUT", &path), "{}").await;
    assert_eq!(status, 200);
    let event = sent["event_id"].as_str().unwrap();
    let (_, event) = ask(
        &app,
        &alice,
        ("GET", &format!("rooms/{room}/event/{event}")),
        "",
    )
    .await;
    assert_ne!(event["origin_server_ts"], 0);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_051_names_that_cannot_be_shown_are_refused_and_null_is_none() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let path = format!("profile/{}/displayname", alice.user_id);
    let put = ("PUT", &*path);
    for body in [
        json!({"displayname": "x".repeat(2_000)}),
        json!({"displayname": 5}),
    ] {
        let (status, errcode) = refused(&app, &alice, put, &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(
            ["M_INVALID_PARAM", "M_BAD_JSON"].contains(&&*errcode),
            "{errcode}"
        );
    }
    assert_eq!(
        refused(&app, &alice, put, &json!({"displayname": "A"}))
            .await
            .0,
        200
    );
    let (status, _) = refused(&app, &alice, put, &json!({"displayname": null})).await;
    assert!([200, 400].contains(&status), "{status}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_022_the_same_reaction_twice_is_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({})).await;
    let send = |kind: &str, txn: u32| format!("rooms/{room}/send/{kind}/{txn}");
    let (_, said) = ask(&app, &alice, ("PUT", &send("m.room.message", 1)), "{}").await;
    let relation = json!({"rel_type": "m.annotation", "event_id": said["event_id"], "key": "+"});
    let reaction = json!({"m.relates_to": relation});
    let path = send("m.reaction", 2);
    for _ in 0..2 {
        let told = refused(&app, &alice, ("PUT", &path), &reaction).await;
        assert_eq!(told.0, 200, "the same request is the same event");
    }
    let told = refused(&app, &alice, ("PUT", &send("m.reaction", 3)), &reaction).await;
    assert_eq!(told, expect(400, "M_DUPLICATE_ANNOTATION"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_047_receipts_of_no_kind_and_for_no_event_are_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let room = room(&app, &alice, &json!({})).await;
    for rest in ["x/$event", "m.read/nope"] {
        let path = format!("rooms/{room}/receipt/{rest}");
        let told = refused(&app, &alice, ("POST", &path), &json!({})).await;
        assert_eq!(told, expect(400, "M_INVALID_PARAM"), "{rest}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_048_049_050_presence_and_typing_are_ones_own_and_have_a_pace() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice, &json!({})).await;
    let typing = format!("rooms/{room}/typing/{}", bob.user_id);
    let told = refused(&app, &alice, ("PUT", &typing), &json!({"typing": true})).await;
    assert_eq!(told, expect(403, "M_FORBIDDEN"));
    let online = json!({"presence": "online"});
    let theirs = format!("presence/{}/status", bob.user_id);
    let told = refused(&app, &alice, ("PUT", &theirs), &online).await;
    assert_eq!(told, expect(403, "M_FORBIDDEN"));
    let own = format!("presence/{}/status", alice.user_id);
    let mut last = (0, String::new());
    for _ in 0..100 {
        last = refused(&app, &alice, ("PUT", &own), &online).await;
        app.env
            .clock
            .sleep(std::time::Duration::from_millis(10))
            .await;
    }
    assert_eq!(last, expect(429, "M_LIMIT_EXCEEDED"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn room_053_account_data_has_limits_of_size_and_number() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let path = |kind: &str| format!("user/{}/account_data/{kind}", alice.user_id);
    for letters in [10 << 20, 91 << 10] {
        let value = json!({"a": "x".repeat(letters)});
        let told = refused(&app, &alice, ("PUT", &path("org.own")), &value).await;
        assert_eq!(told, expect(413, "M_TOO_LARGE"), "{letters}");
    }
    let requester = app.users.identify(&alice.token).await.unwrap();
    let mut refused_at = None;
    for number in 0..=10_000 {
        let kind = format!("org.own.{number}");
        let user = &alice.user_id;
        let set = app
            .users
            .set_account_data(&requester, user, None, &kind, "{\"a\":1}");
        if set.await.is_err() {
            refused_at = Some(number);
            break;
        }
    }
    // The push rules of the account are one piece too.
    assert_eq!(refused_at, Some(9_999));
    let told = refused(
        &app,
        &alice,
        ("PUT", &path("org.own.more")),
        &json!({"a": 1}),
    )
    .await;
    assert_eq!(told, expect(413, "M_TOO_LARGE"));
    let told = refused(&app, &alice, ("PUT", &path("org.own.1")), &json!({"a": 2})).await;
    assert_eq!(told.0, 200, "what is there is written again");
    app.stop().await;
}
