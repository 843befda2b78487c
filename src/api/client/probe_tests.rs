//! What clients probe before they use a feature: every flag stands for something that answers.

use std::collections::BTreeMap;

use serde_json::json;

use crate::fixture::TestApp;

const PEER: &str = "192.0.2.1:9";

/// Every flag of `/versions`, and a request by which the feature shows: one that is not known is
/// answered `M_UNRECOGNIZED`. Who looks for it, where that is known.
const FLAGS: &[(&str, &str, &str)] = &[
    // Element Web: cross-signing without a label.
    (
        "org.matrix.e2e_cross_signing",
        "POST",
        "/v3/keys/device_signing/upload",
    ),
    // Element Web: private receipts.
    (
        "org.matrix.msc2285.stable",
        "POST",
        "/v3/rooms/!r:hs1/receipt/m.read.private/$e",
    ),
    (
        "org.matrix.msc3391",
        "DELETE",
        "/unstable/org.matrix.msc3391/user/@alice:hs1/account_data/x",
    ),
    // Element Web: threads in the client's own timeline, their receipts and counts.
    (
        "org.matrix.msc3440.stable",
        "GET",
        "/v1/rooms/!r:hs1/threads",
    ),
    (
        "org.matrix.msc3771",
        "POST",
        "/v3/rooms/!r:hs1/receipt/m.read/$e",
    ),
    (
        "org.matrix.msc3773",
        "GET",
        "/v3/sync?filter={\"room\":{\"timeline\":{\"unread_thread_notifications\":true}}}",
    ),
    // Element Web and Element X: dehydrated devices.
    (
        "org.matrix.msc3814",
        "GET",
        "/unstable/org.matrix.msc3814.v1/dehydrated_device",
    ),
    // Element Web: spaces among published rooms.
    ("org.matrix.msc3827.stable", "POST", "/v3/publicRooms"),
    (
        "org.matrix.msc3874",
        "GET",
        "/v3/rooms/!r:hs1/messages?dir=b&filter={\"rel_types\":[]}",
    ),
    // Cinny and FluffyChat: files with a token.
    ("org.matrix.msc3916.stable", "GET", "/v1/media/config"),
    // Element Web and Element X: delayed events, for calls.
    (
        "org.matrix.msc4140",
        "GET",
        "/unstable/org.matrix.msc4140/delayed_events",
    ),
    ("org.matrix.msc4140.stable", "GET", "/v1/delayed_events"),
    // Element Web: profiles in sliding sync.
    (
        "org.matrix.msc4262",
        "POST",
        "/unstable/org.matrix.simplified_msc3575/sync",
    ),
    // Element X: subscriptions of threads.
    (
        "org.matrix.msc4306",
        "GET",
        "/unstable/io.element.msc4306/rooms/!r:hs1/thread/$e/subscription",
    ),
    // Element X, Element Web, Cinny: sliding sync.
    (
        "org.matrix.simplified_msc3575",
        "POST",
        "/unstable/org.matrix.simplified_msc3575/sync",
    ),
    (
        "uk.half-shot.msc2666.query_mutual_rooms",
        "GET",
        "/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id=@bob:hs1",
    ),
    (
        "uk.half-shot.msc2666.query_mutual_rooms.stable",
        "GET",
        "/v1/mutual_rooms?user_id=@bob:hs1",
    ),
    // Element Web, FluffyChat, Cinny: fields of profiles.
    (
        "uk.tcpip.msc4133",
        "GET",
        "/unstable/uk.tcpip.msc4133/profile/@alice:hs1/m.tz",
    ),
    (
        "uk.tcpip.msc4133.stable",
        "GET",
        "/v3/profile/@alice:hs1/m.tz",
    ),
];

#[tokio::test(start_paused = true)]
async fn every_flag_is_in_the_list_and_works() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    app.person("bob").await;
    let versions = ("GET", "/_matrix/client/versions");
    let (_, answer, _) = app.raw_from(PEER, versions, None, "").await;
    let told: BTreeMap<String, bool> =
        serde_json::from_value(answer["unstable_features"].clone()).unwrap();
    assert!(told.values().all(|on| *on), "what is off is left out");
    let told: Vec<_> = told.into_keys().collect();
    let listed: Vec<_> = FLAGS.iter().map(|(flag, ..)| (*flag).to_owned()).collect();
    assert_eq!(told, listed);
    for (flag, method, path) in FLAGS {
        let path = path.replace('{', "%7B").replace('}', "%7D");
        let path = format!("/_matrix/client{}", path.replace('"', "%22"));
        let asked = app.raw_from(PEER, (method, &path), Some(&alice.token), "{}");
        let (status, answer, _) = asked.await;
        let known = answer["errcode"] != "M_UNRECOGNIZED" && status != 405;
        assert!(known, "{flag}: {status} {answer}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn capabilities_say_what_clients_show_settings_by() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let path = ("GET", "/_matrix/client/v3/capabilities");
    let (_, answer, _) = app.raw_from(PEER, path, Some(&alice.token), "").await;
    let told = &answer["capabilities"];
    assert_eq!(told["m.change_password"], json!({"enabled": true}));
    assert_eq!(told["m.room_versions"]["default"], "12");
    assert_eq!(told["m.room_versions"]["available"]["12"], "stable");
    assert_eq!(told["m.profile_fields"]["enabled"], true);
    assert_eq!(told["m.3pid_changes"]["enabled"], false);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pages_of_any_origin_may_ask_and_read() {
    let app = TestApp::new();
    for path in [
        "/_matrix/client/versions",
        "/_matrix/client/v3/sync",
        "/_matrix/client/v4/sync",
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        "/_matrix/client/v1/media/download/hs1/x",
        "/.well-known/matrix/client",
    ] {
        let (status, _, headers) = app.raw_from(PEER, ("OPTIONS", path), None, "").await;
        assert_eq!(status, 204, "{path}");
        let says = |name: &str, value: &str| {
            let told = headers[name].to_str().unwrap();
            assert!(told.contains(value), "{path}: {name}: {told}");
        };
        says("access-control-allow-origin", "*");
        says("access-control-allow-headers", "Authorization");
        says("access-control-allow-headers", "Content-Type");
        for method in ["GET", "POST", "PUT", "DELETE"] {
            says("access-control-allow-methods", method);
        }
    }
    let unknown = ("GET", "/_matrix/client/v3/nothing");
    let (status, answer, headers) = app.raw_from(PEER, unknown, None, "").await;
    assert_eq!(status, 404);
    assert_eq!(answer["errcode"], json!("M_UNRECOGNIZED"));
    assert_eq!(
        headers["access-control-allow-origin"], "*",
        "errors are read too"
    );
    app.stop().await;
}
