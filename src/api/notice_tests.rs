//! Server notices, as administrators' tools send them.

use belfry_policy::ADMIN;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp, expect};

const PATH: &str = "/_synapse/admin/v1/send_server_notice";
const PEER: &str = "192.0.2.1:9";

async fn ask(app: &TestApp, who: &Person, endpoint: (&str, &str), body: Value) -> (u16, Value) {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = app.raw_from(PEER, endpoint, Some(&who.token), text).await;
    (answer.0.as_u16(), answer.1)
}

fn notice(user: &Person, body: &str) -> Value {
    json!({"user_id": user.user_id, "content": {"msgtype": "m.text", "body": body}})
}

#[tokio::test(start_paused = true)]
async fn a_user_has_one_room_of_notices_in_which_they_read() {
    let app = TestApp::new();
    let (admin, bob) = (app.person("admin").await, app.person("bob").await);
    app.users.set_role(&admin.user_id, ADMIN).await.unwrap();
    let (status, sent) = ask(&app, &admin, ("POST", PATH), notice(&bob, "hello")).await;
    assert_eq!(status, 200, "{sent}");
    let once = format!("{PATH}/t1");
    let (_, first) = ask(&app, &admin, ("PUT", &once), notice(&bob, "twice")).await;
    let (_, again) = ask(&app, &admin, ("PUT", &once), notice(&bob, "twice")).await;
    assert_eq!(first["event_id"], again["event_id"]);
    let client = "/_matrix/client/v3";
    let (_, synced) = ask(&app, &bob, ("GET", &format!("{client}/sync")), Value::Null).await;
    let invites = synced["rooms"]["invite"].as_object().unwrap();
    assert_eq!(invites.len(), 1);
    let room = invites.keys().next().unwrap();
    let join = format!("{client}/join/{room}");
    assert_eq!(ask(&app, &bob, ("POST", &join), json!({})).await.0, 200);
    let tags = format!("{client}/user/{}/rooms/{room}/tags", bob.user_id);
    let (_, tags) = ask(&app, &bob, ("GET", &tags), Value::Null).await;
    assert!(tags["tags"]["m.server_notice"].is_object(), "{tags}");
    let page = format!("{client}/rooms/{room}/messages?dir=b");
    let (_, page) = ask(&app, &bob, ("GET", &page), Value::Null).await;
    let said = page["chunk"].as_array().unwrap().iter();
    let said: Vec<_> = said
        .filter_map(|event| event["content"]["body"].as_str())
        .collect();
    assert_eq!(said, ["twice", "hello"]);
    let answer_path = format!("{client}/rooms/{room}/send/m.room.message/1");
    assert_eq!(
        ask(&app, &bob, ("PUT", &answer_path), json!({})).await.0,
        403
    );
    let leave = format!("{client}/rooms/{room}/leave");
    assert_eq!(ask(&app, &bob, ("POST", &leave), json!({})).await.0, 200);
    assert_eq!(
        ask(&app, &admin, ("POST", PATH), notice(&bob, "again"))
            .await
            .0,
        200
    );
    let (_, synced) = ask(&app, &bob, ("GET", &format!("{client}/sync")), Value::Null).await;
    assert!(
        synced["rooms"]["invite"][room].is_object(),
        "invited anew: {synced}"
    );
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn notices_are_for_administrators_and_to_users_of_this_server() {
    let app = TestApp::new();
    let (admin, bob) = (app.person("admin").await, app.person("bob").await);
    app.users.set_role(&admin.user_id, ADMIN).await.unwrap();
    let body = notice(&bob, "x").to_string();
    let as_member = app
        .raw(("POST", PATH), Some(&bob.token), body.clone())
        .await;
    assert_eq!(as_member, expect(403, "M_FORBIDDEN"));
    let as_nobody = app.raw(("POST", PATH), None, body).await;
    assert_eq!(as_nobody, expect(401, "M_MISSING_TOKEN"));
    for (body, refusal) in [
        (
            json!({"user_id": "@none:hs1", "content": {}}),
            expect(404, "M_NOT_FOUND"),
        ),
        (
            json!({"user_id": "@a:elsewhere", "content": {}}),
            expect(404, "M_NOT_FOUND"),
        ),
        (
            json!({"user_id": bob.user_id, "content": []}),
            expect(400, "M_BAD_JSON"),
        ),
        (json!({"content": {}}), expect(400, "M_BAD_JSON")),
    ] {
        let told = app
            .raw(("POST", PATH), Some(&admin.token), body.to_string())
            .await;
        assert_eq!(told, refusal, "{body}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_registers_or_signs_in_as_the_server() {
    let app = TestApp::new();
    assert!(app.users.check_name("_notices").await.is_err());
    let system = app.users.system_user().await.unwrap();
    assert_eq!(system.as_str(), "@_notices:hs1");
    assert_eq!(app.users.system_user().await.unwrap(), system);
    let login = json!({"type": "m.login.password", "password": "wordpass",
        "identifier": {"type": "m.id.user", "user": "_notices"}});
    let path = "/_matrix/client/v3/login";
    let told = app.raw(("POST", path), None, login.to_string()).await;
    assert_eq!(told, expect(403, "M_FORBIDDEN"));
    app.stop().await;
}
