//! Push rules through the router.

use ruma_client_api::push::{
    delete_pushrule::v3 as delete, get_pushrule::v3 as get,
    get_pushrule_actions::v3 as get_actions, get_pushrule_enabled::v3 as get_enabled,
    get_pushrules_all::v3 as all, set_pushrule::v3 as set, set_pushrule_actions::v3 as set_actions,
    set_pushrule_enabled::v3 as set_enabled,
};
use ruma_common::push::{Action, NewPatternedPushRule, NewPushRule, RuleKind, Ruleset};

use serde_json::Value;

use crate::fixture::{TestApp, code, expect};

const MASTER: &str = ".m.rule.master";

fn keyword(id: &str) -> set::Request {
    let (pattern, actions) = (id.to_owned(), vec![Action::Notify]);
    let rule = NewPatternedPushRule::new(id.to_owned(), pattern, actions);
    set::Request::new(NewPushRule::Content(rule))
}

#[tokio::test(start_paused = true)]
async fn new_account_has_the_servers_rules_also_as_account_data() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let rules = app
        .send(Some(&alice.token), all::Request::new())
        .await
        .unwrap()
        .global;
    let rules = serde_json::to_value(&rules).unwrap();
    assert_eq!(
        without_polls(&rules),
        serde_json::to_value(Ruleset::server_default(&alice.user_id)).unwrap()
    );
    let path = "/_matrix/client/v3/user/@alice:hs1/account_data/m.push_rules";
    let (status, json, _) = app
        .raw_from("192.0.2.1:1", ("GET", path), Some(&alice.token), "")
        .await;
    assert_eq!(status, 200);
    assert_eq!(json["global"], rules);
}

/// Without the rules that ruma does not know.
fn without_polls(rules: &Value) -> Value {
    let mut rules = rules.clone();
    for kind in rules.as_object_mut().unwrap().values_mut() {
        kind.as_array_mut().unwrap().retain(|rule| {
            let id = rule["rule_id"].as_str().unwrap();
            !id.starts_with(".org.matrix.msc3930.")
        });
    }
    rules
}

#[tokio::test(start_paused = true)]
async fn rule_is_made_changed_and_deleted() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let token = Some(&*alice.token);
    let (kind, id) = (RuleKind::Content, "tomato".to_owned());
    app.send(token, keyword("tomato")).await.unwrap();
    let lookup = get::Request::new(kind.clone(), id.clone());
    let rule = app.send(token, lookup.clone()).await.unwrap().rule;
    assert_eq!(
        (rule.pattern.as_deref(), rule.enabled),
        (Some("tomato"), true)
    );

    let disable = set_enabled::Request::disable(kind.clone(), id.clone());
    app.send(token, disable).await.unwrap();
    let enabled = get_enabled::Request::new(kind.clone(), id.clone());
    assert!(!app.send(token, enabled).await.unwrap().enabled);
    let silence = set_actions::Request::new(kind.clone(), id.clone(), Vec::new());
    app.send(token, silence).await.unwrap();
    let actions = get_actions::Request::new(kind.clone(), id.clone());
    assert!(app.send(token, actions).await.unwrap().actions.is_empty());

    app.send(token, delete::Request::new(kind.clone(), id.clone()))
        .await
        .unwrap();
    for error in [
        app.send(token, lookup).await.map(drop).unwrap_err(),
        app.send(token, delete::Request::new(kind, id))
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert_eq!(code(&error), expect(404, "M_NOT_FOUND"));
    }
}

#[tokio::test(start_paused = true)]
async fn servers_rules_are_switched_off_and_not_deleted() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let token = Some(&*alice.token);
    let master = || (RuleKind::Override, MASTER.to_owned());
    let (kind, id) = master();
    app.send(token, set_enabled::Request::enable(kind, id))
        .await
        .unwrap();
    let (kind, id) = master();
    assert!(
        app.send(token, get_enabled::Request::new(kind, id))
            .await
            .unwrap()
            .enabled
    );
    let (kind, id) = master();
    let error = app
        .send(token, delete::Request::new(kind, id))
        .await
        .unwrap_err();
    assert_eq!(code(&error), expect(400, "M_INVALID_PARAM"));
}

#[tokio::test(start_paused = true)]
async fn rules_that_cannot_be() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let token = Some(&*alice.token);
    for (path, body, answer) in [
        (
            "content/.m.mine",
            "{\"actions\":[],\"pattern\":\"a\"}",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "content/a?before=none",
            "{\"actions\":[],\"pattern\":\"a\"}",
            expect(404, "M_NOT_FOUND"),
        ),
        ("content/a", "{\"actions\":[]}", expect(400, "M_BAD_JSON")),
        (
            "content/a?after=a",
            "{\"actions\":[],\"pattern\":\"a\"}",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "room/nonsense",
            "{\"actions\":[]}",
            expect(400, "M_INVALID_PARAM"),
        ),
        (
            "override/none/enabled",
            "{\"enabled\":true}",
            expect(404, "M_NOT_FOUND"),
        ),
        (
            "override/none/enabled",
            "{\"enabled\":1}",
            expect(400, "M_BAD_JSON"),
        ),
    ] {
        let path = format!("/_matrix/client/v3/pushrules/global/{path}");
        assert_eq!(app.raw(("PUT", &path), token, body).await, answer, "{path}");
    }
    let unknown = ("GET", "/_matrix/client/v3/pushrules/global/nonsense/a");
    assert_eq!(
        app.raw(unknown, token, "").await,
        expect(404, "M_NOT_FOUND")
    );
}
