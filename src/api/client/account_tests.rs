//! Accounts, devices, profiles, account data and filters through the router.

use belfry_policy::Standing;
use ruma_client_api::{
    account::{change_password::v3 as change_password, deactivate::v3 as deactivate},
    device::{
        delete_device::v3 as delete, delete_devices::v3 as delete_many, get_device::v3 as get,
        get_devices::v3 as list, update_device::v3 as rename,
    },
    discovery::get_capabilities::v3 as capabilities,
    filter::{FilterDefinition, create_filter::v3 as create_filter, get_filter::v3 as get_filter},
    profile::{
        delete_profile_field::v3 as delete_field, get_profile::v3 as get_profile,
        get_profile_field::v3 as get_field, set_profile_field::v3 as set_field,
    },
    uiaa::AuthType,
};
use ruma_common::{RoomVersionId, profile::ProfileFieldValue};
use serde_json::{Value, json};

use crate::fixture::{TestApp, challenge, code, expect, password, refusal};

const WHOAMI: (&str, &str) = ("GET", "/_matrix/client/v3/account/whoami");

#[tokio::test(start_paused = true)]
async fn auth_023_and_028_password_is_changed_with_the_old_one() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let session = challenge(
        app.send(
            Some(&alice.token),
            change_password::Request::new("another one".into()),
        )
        .await,
    );
    assert_eq!(session.flows[0].stages, [AuthType::Password]);
    let wrong = {
        let mut request = change_password::Request::new("another one".into());
        request.auth = Some(password("alice", "wrong one", session.session.clone()));
        challenge(app.send(Some(&alice.token), request).await)
    };
    assert!(wrong.auth_error.is_some() && wrong.completed.is_empty());
    let mut request = change_password::Request::new("another one".into());
    request.auth = Some(password("alice", "wordpass", session.session));
    app.send(Some(&alice.token), request).await.unwrap();
    assert_eq!(app.raw(WHOAMI, Some(&alice.token), "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_user_without_an_identifier_proves_as_well() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let path = "/_matrix/client/v3/account/password";
    for (given, status) in [("wrong one", 401), ("wordpass", 200)] {
        let auth = json!({"type": "m.login.password", "user": "@alice:hs1", "password": given});
        let body = json!({"auth": auth, "new_password": "another one"}).to_string();
        let (answered, answer, _) = app
            .raw_from("192.0.2.1:1", ("POST", path), Some(&alice.token), body)
            .await;
        assert_eq!(answered, status, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn password_needs_a_token() {
    let app = TestApp::new();
    let answer = app
        .send(None, change_password::Request::new("another one".into()))
        .await;
    assert_eq!(refusal(answer), expect(401, "M_MISSING_TOKEN"));
}

#[tokio::test(start_paused = true)]
async fn auth_024_session_for_a_device_changes_no_password() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let device_id = alice.device_id.clone();
    let info = challenge(
        app.send(Some(&alice.token), delete::Request::new(device_id.into()))
            .await,
    );
    let mut request = change_password::Request::new("another one".into());
    request.auth = Some(password("alice", "wordpass", info.session));
    let answer = app.send(Some(&alice.token), request).await;
    assert_eq!(refusal(answer), expect(403, "M_FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn auth_029_stage_that_is_not_offered_proves_nothing() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let path = format!("/_matrix/client/v3/devices/{}", alice.device_id);
    for kind in ["m.login.dummy", "m.login.doesnotexist", "m.login.recaptcha"] {
        let body = json!({"auth": {"type": kind, "response": "x"}}).to_string();
        let (status, json, _) = app
            .raw_from("192.0.2.1:1", ("DELETE", &path), Some(&alice.token), body)
            .await;
        assert_eq!(
            (status.as_u16(), json["completed"].as_array()),
            (401, None),
            "{kind}"
        );
    }
    assert_eq!(app.raw(WHOAMI, Some(&alice.token), "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn guesses_in_a_stage_are_limited_as_sign_ins_are() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    for _ in 0..3 {
        let mut request = deactivate::Request::new();
        request.auth = Some(password("alice", "wrong one", None));
        challenge(app.send(Some(&alice.token), request).await);
    }
    let mut request = deactivate::Request::new();
    request.auth = Some(password("alice", "wordpass", None));
    let answer = app.send(Some(&alice.token), request).await;
    assert_eq!(refusal(answer), expect(429, "M_LIMIT_EXCEEDED"));
}

#[tokio::test(start_paused = true)]
async fn deactivated_account_is_gone() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let mut request = deactivate::Request::new();
    request.auth = Some(password("@alice:hs1", "wordpass", None));
    app.send(Some(&alice.token), request).await.unwrap();
    assert_eq!(
        app.raw(WHOAMI, Some(&alice.token), "").await,
        expect(401, "M_UNKNOWN_TOKEN")
    );
    let login = json!({"type": "m.login.password", "user": "alice", "password": "wordpass"});
    let answer = app
        .raw(
            ("POST", "/_matrix/client/v3/login"),
            None,
            login.to_string(),
        )
        .await;
    assert_eq!(answer, expect(403, "M_USER_DEACTIVATED"));
    let error = app
        .send(None, get_profile::Request::new(alice.user_id))
        .await
        .unwrap_err();
    assert_eq!(code(&error), expect(404, "M_NOT_FOUND"));
}

#[tokio::test(start_paused = true)]
async fn locked_and_suspended_accounts() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    app.users
        .set_standing(&alice.user_id, Standing::Locked)
        .await
        .unwrap();
    let (status, json, _) = app
        .raw_from("192.0.2.1:1", WHOAMI, Some(&alice.token), "")
        .await;
    assert_eq!(
        (status.as_u16(), json["errcode"].as_str()),
        (401, Some("M_USER_LOCKED"))
    );
    assert_eq!(json["soft_logout"], true);
    app.users
        .set_standing(&alice.user_id, Standing::Suspended)
        .await
        .unwrap();
    assert_eq!(app.raw(WHOAMI, Some(&alice.token), "").await.0, 200);
    let name = ProfileFieldValue::DisplayName("Alice".to_owned());
    let error = app
        .send(
            Some(&alice.token),
            set_field::Request::new(alice.user_id.clone(), name),
        )
        .await;
    assert_eq!(code(&error.unwrap_err()), expect(403, "M_USER_SUSPENDED"));
    app.users
        .set_standing(&alice.user_id, Standing::Locked)
        .await
        .unwrap();
    let logout = ("POST", "/_matrix/client/v3/logout");
    assert_eq!(app.raw(logout, Some(&alice.token), "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn devices_are_listed_named_and_deleted() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let id = alice.device_id.clone();
    let mut request = rename::Request::new(id.clone().into());
    request.display_name = Some("my phone".to_owned());
    app.send(Some(&alice.token), request).await.unwrap();
    let devices = app
        .send(Some(&alice.token), list::Request::new())
        .await
        .unwrap()
        .devices;
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0].last_seen_ip.as_deref(), Some("192.0.2.1"));
    let device = app
        .send(Some(&alice.token), get::Request::new(id.clone().into()))
        .await
        .unwrap()
        .device;
    assert_eq!(device.display_name.as_deref(), Some("my phone"));

    let mut request = delete_many::Request::new(vec![id.into()]);
    let info = challenge(app.send(Some(&alice.token), request.clone()).await);
    request.auth = Some(password("alice", "wordpass", info.session));
    app.send(Some(&alice.token), request).await.unwrap();
    assert_eq!(app.raw(WHOAMI, Some(&alice.token), "").await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn auth_040_devices_of_others_are_out_of_reach() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let error = app
        .send(
            Some(&bob.token),
            get::Request::new(alice.device_id.clone().into()),
        )
        .await;
    assert_eq!(code(&error.unwrap_err()), expect(404, "M_NOT_FOUND"));
    let mut request = delete::Request::new(alice.device_id.clone().into());
    request.auth = Some(password("bob", "wordpass", None));
    app.send(Some(&bob.token), request).await.unwrap();
    assert_eq!(app.raw(WHOAMI, Some(&alice.token), "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn profile_fields_through_the_router() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let id = alice.user_id.clone();
    let custom = ProfileFieldValue::new("org.example.room", json!({"floor": 2})).unwrap();
    let name = ProfileFieldValue::DisplayName("Alice".to_owned());
    for value in [name, custom] {
        app.send(
            Some(&alice.token),
            set_field::Request::new(id.clone(), value),
        )
        .await
        .unwrap();
    }
    let all = app
        .send(None, get_profile::Request::new(id.clone()))
        .await
        .unwrap();
    assert_eq!(all.get("displayname"), Some(&json!("Alice")));
    let request = get_field::Request::new(id.clone(), "org.example.room".into());
    let field = app
        .send(None, request.clone())
        .await
        .unwrap()
        .value
        .unwrap();
    assert_eq!(*field.value(), json!({"floor": 2}));
    let deletion = delete_field::Request::new(id.clone(), "org.example.room".into());
    app.send(Some(&alice.token), deletion).await.unwrap();
    assert_eq!(
        code(&app.send(None, request).await.unwrap_err()),
        expect(404, "M_NOT_FOUND")
    );

    let name = ProfileFieldValue::DisplayName("Mallory".to_owned());
    let error = app
        .send(Some(&bob.token), set_field::Request::new(id, name))
        .await
        .unwrap_err();
    assert_eq!(code(&error), expect(403, "M_FORBIDDEN"));
}

#[tokio::test(start_paused = true)]
async fn profile_fields_that_do_not_fit() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let long = "a".repeat(256);
    for (field, value, errcode) in [
        (&*long, json!(1), "M_KEY_TOO_LARGE"),
        ("Ünï", json!(1), "M_INVALID_PARAM"),
        ("m.big", json!("x".repeat(70_000)), "M_PROFILE_TOO_LARGE"),
        ("displayname", json!(1), "M_BAD_JSON"),
    ] {
        let path = format!(
            "/_matrix/client/v3/profile/@alice:hs1/{}",
            field.replace("Ünï", "%C3%9Cn")
        );
        let field = field.replace("Ünï", "Ün");
        let body = json!({field: value}).to_string();
        let answer = app.raw(("PUT", &path), Some(&alice.token), body).await;
        assert_eq!(answer, expect(400, errcode), "{path:.60}");
    }
    let path = "/_matrix/client/v3/profile/@alice:hs1/m.tz";
    let answer = app
        .raw(("PUT", path), Some(&alice.token), "{\"other\":1}")
        .await;
    assert_eq!(answer, expect(400, "M_BAD_JSON"));
}

#[tokio::test(start_paused = true)]
async fn auth_041_account_data_through_the_router() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let global = "/_matrix/client/v3/user/@alice:hs1/account_data/org.example";
    let in_room = "/_matrix/client/v3/user/@alice:hs1/rooms/!r:hs1/account_data/org.example";
    for (path, content) in [(global, "{\"a\": [1]}"), (in_room, "{\"b\":{}}")] {
        assert_eq!(
            app.raw(("GET", path), Some(&alice.token), "").await,
            expect(404, "M_NOT_FOUND")
        );
        assert_eq!(
            app.raw(("PUT", path), Some(&alice.token), content).await,
            expect(200, "")
        );
        let (_, json, _) = app
            .raw_from("192.0.2.1:1", ("GET", path), Some(&alice.token), "")
            .await;
        assert_eq!(json, serde_json::from_str::<Value>(content).unwrap());
        for method in ["GET", "PUT"] {
            let answer = app.raw((method, path), Some(&bob.token), "{}").await;
            assert_eq!(answer, expect(403, "M_FORBIDDEN"));
        }
    }
    let managed = "/_matrix/client/v3/user/@alice:hs1/account_data/m.push_rules";
    let answer = app.raw(("PUT", managed), Some(&alice.token), "{}").await;
    assert_eq!(answer, expect(405, "M_BAD_JSON"));
    let answer = app.raw(("PUT", global), Some(&alice.token), "[]").await;
    assert_eq!(answer, expect(400, "M_BAD_JSON"));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let answer = app.raw(("PUT", global), Some(&alice.token), large).await;
    assert_eq!(answer, expect(413, "M_TOO_LARGE"));
}

#[tokio::test(start_paused = true)]
async fn filters_are_stored_and_found() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let id = alice.user_id.clone();
    let mut filter = FilterDefinition::default();
    filter.room.timeline.limit = Some(7_u32.into());
    let request = create_filter::Request::new(id.clone(), filter);
    let filter_id = app
        .send(Some(&alice.token), request.clone())
        .await
        .unwrap()
        .filter_id;
    assert!(!filter_id.starts_with('{'));
    let lookup = get_filter::Request::new(id, filter_id);
    let found = app
        .send(Some(&alice.token), lookup.clone())
        .await
        .unwrap()
        .filter;
    assert_eq!(found.room.timeline.limit, Some(7_u32.into()));
    for error in [
        app.send(Some(&bob.token), lookup)
            .await
            .map(drop)
            .unwrap_err(),
        app.send(Some(&bob.token), request)
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert_eq!(code(&error), expect(403, "M_FORBIDDEN"));
    }
    let unknown = ("GET", "/_matrix/client/v3/user/@alice:hs1/filter/0");
    assert_eq!(
        app.raw(unknown, Some(&alice.token), "").await,
        expect(404, "M_NOT_FOUND")
    );
}

#[tokio::test(start_paused = true)]
async fn versions_and_capabilities_say_what_there_is() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let versions = ("GET", "/_matrix/client/versions");
    let (status, json, _) = app.raw_from("192.0.2.1:1", versions, None, "").await;
    assert_eq!(status, 200);
    assert_eq!(json["versions"], json!(crate::VERSIONS));
    assert_eq!(json["unstable_features"]["uk.tcpip.msc4133"], true);
    let answer = app
        .send(Some(&alice.token), capabilities::Request::new())
        .await
        .unwrap();
    let rooms = answer.capabilities.room_versions;
    assert_eq!(rooms.default, RoomVersionId::V12);
    assert!(rooms.available.contains_key(&RoomVersionId::V10));
    assert!(
        answer
            .capabilities
            .profile_fields
            .is_some_and(|fields| fields.enabled)
    );
}
