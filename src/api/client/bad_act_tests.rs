//! More requests to rooms that make no sense; see `bad_room_tests`.

use serde_json::json;

use super::bad_room_tests::{ask, refused, room};
use crate::fixture::TestApp;

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
