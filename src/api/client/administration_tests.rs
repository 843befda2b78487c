//! Administrators look at accounts, lock them and suspend them.

use belfry_policy::ADMIN;
use serde_json::{Value, json};

use crate::fixture::{Person, TestApp};

const PEER: &str = "192.0.2.1:9";

struct Office {
    app: TestApp,
    admin: Person,
    bob: Person,
}

impl Office {
    async fn open() -> Self {
        let app = TestApp::new();
        let (admin, bob) = (app.person("admin").await, app.person("bob").await);
        app.users.set_role(&admin.user_id, ADMIN).await.unwrap();
        Self { app, admin, bob }
    }

    async fn ask(&self, who: &Person, method: &str, path: &str, body: Value) -> (u16, Value) {
        let path = format!("/_matrix/client{path}");
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let asked = self
            .app
            .raw_from(PEER, (method, &path), Some(&who.token), text);
        let answer = asked.await;
        (answer.0.as_u16(), answer.1)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(&self.admin, "GET", path, Value::Null).await
    }

    async fn set(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(&self.admin, "PUT", path, body).await
    }
}

#[tokio::test(start_paused = true)]
async fn lock_and_suspension_are_each_by_itself() {
    let office = Office::open().await;
    let lock = format!("/v1/admin/lock/{}", office.bob.user_id);
    let suspend = format!("/v1/admin/suspend/{}", office.bob.user_id);
    assert_eq!(office.get(&lock).await, (200, json!({"locked": false})));
    let yes = json!({"suspended": true});
    assert_eq!(office.set(&suspend, yes.clone()).await, (200, yes.clone()));
    let locked = json!({"locked": true});
    assert_eq!(
        office.set(&lock, locked.clone()).await,
        (200, locked.clone())
    );
    assert_eq!(office.get(&lock).await, (200, locked));
    assert_eq!(office.get(&suspend).await, (200, yes));
    let whoami = "/v3/account/whoami";
    let (status, refused) = office.ask(&office.bob, "GET", whoami, Value::Null).await;
    assert_eq!(
        (status, &refused["errcode"]),
        (401, &json!("M_USER_LOCKED"))
    );
    office.set(&lock, json!({"locked": false})).await;
    let (status, _) = office.ask(&office.bob, "GET", whoami, Value::Null).await;
    assert_eq!(status, 200);
    let create = office
        .ask(&office.bob, "POST", "/v3/createRoom", json!({}))
        .await;
    assert_eq!(
        (create.0, &create.1["errcode"]),
        (403, &json!("M_USER_SUSPENDED"))
    );
    office.set(&suspend, json!({"suspended": false})).await;
    let create = office
        .ask(&office.bob, "POST", "/v3/createRoom", json!({}))
        .await;
    assert_eq!(create.0, 200);
    office.app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_may_not_learns_nothing_of_accounts() {
    let office = Office::open().await;
    let (admin, bob) = (&office.admin.user_id, &office.bob.user_id);
    for kind in ["lock", "suspend", "whois"] {
        let version = if kind == "whois" { "v3" } else { "v1" };
        for whom in [admin.as_str(), "@nobody:hs1"] {
            let path = format!("/{version}/admin/{kind}/{whom}");
            let (status, refused) = office.ask(&office.bob, "GET", &path, Value::Null).await;
            assert_eq!(
                (status, &refused["errcode"]),
                (403, &json!("M_FORBIDDEN")),
                "{path}"
            );
        }
        let path = format!("/{version}/admin/{kind}/@nobody:hs1");
        let (status, refused) = office.get(&path).await;
        assert_eq!(
            (status, &refused["errcode"]),
            (404, &json!("M_NOT_FOUND")),
            "{path}"
        );
    }
    let own = format!("/v1/admin/lock/{admin}");
    assert_eq!(office.set(&own, json!({"locked": true})).await.0, 403);
    let far = office.get("/v1/admin/lock/@bob:hs2").await;
    assert_eq!((far.0, &far.1["errcode"]), (400, &json!("M_INVALID_PARAM")));
    office.app.users.set_role(bob, ADMIN).await.unwrap();
    let other = format!("/v1/admin/suspend/{bob}");
    assert_eq!(office.set(&other, json!({"suspended": true})).await.0, 403);
}

#[tokio::test(start_paused = true)]
async fn deactivated_account_is_not_found() {
    let office = Office::open().await;
    let bob = &office.bob.user_id;
    office.app.users.close_account(bob, false).await.unwrap();
    let path = format!("/v1/admin/lock/{bob}");
    let (status, refused) = office.get(&path).await;
    assert_eq!((status, &refused["errcode"]), (404, &json!("M_NOT_FOUND")));
    let (status, _) = office.set(&path, json!({"locked": true})).await;
    assert_eq!(status, 404);
}

#[tokio::test(start_paused = true)]
async fn devices_are_shown_to_their_user_and_to_administrators() {
    let office = Office::open().await;
    let path = format!("/v3/admin/whois/{}", office.bob.user_id);
    let own = office.ask(&office.bob, "GET", &path, Value::Null).await;
    let seen = office.get(&path).await;
    assert_eq!(own, seen);
    assert_eq!(own.1["user_id"], json!(office.bob.user_id));
    let devices = own.1["devices"].as_object().unwrap();
    let session = devices.values().next().unwrap();
    assert_eq!(session["sessions"][0]["connections"][0]["ip"], "192.0.2.1");
}

#[tokio::test(start_paused = true)]
async fn administrators_are_told_what_they_can_do() {
    let office = Office::open().await;
    let path = "/v3/capabilities";
    let name = "m.account_moderation";
    let told = office.get(path).await.1["capabilities"][name].clone();
    assert_eq!(told, json!({"suspend": true, "lock": true}));
    let (_, told) = office.ask(&office.bob, "GET", path, Value::Null).await;
    assert!(told["capabilities"].get(name).is_none());
}
