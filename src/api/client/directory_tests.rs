//! Aliases, the directory and the list of one's rooms through the router.

use ruma_client_api::{
    alias::{create_alias::v3 as create_alias, delete_alias::v3 as delete, get_alias::v3 as get},
    directory::{get_room_visibility::v3 as get_listed, set_room_visibility::v3 as set_listed},
    membership::{
        join_room_by_id_or_alias::v3 as join_any, joined_rooms::v3 as joined_rooms,
        leave_room::v3 as leave,
    },
    room::{
        Visibility,
        aliases::v3 as aliases,
        create_room::v3::{self as create, RoomPreset},
    },
};
use ruma_common::{OwnedRoomAliasId, OwnedRoomId, room_alias_id};
use serde_json::json;

use crate::fixture::{Person, TestApp, code, expect};

async fn room(app: &TestApp, creator: &Person) -> OwnedRoomId {
    let mut request = create::Request::new();
    request.preset = Some(RoomPreset::PublicChat);
    let answer = app.send(Some(&creator.token), request).await;
    answer.unwrap().room_id
}

fn hall() -> OwnedRoomAliasId {
    room_alias_id!("#hall:hs1").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_room_gets_an_alias_is_joined_by_it_and_loses_it() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice).await;
    let (alice, bob) = (Some(&*alice.token), Some(&*bob.token));
    let unknown = app.send(None, get::Request::new(hall())).await.unwrap_err();
    assert_eq!(code(&unknown), expect(404, "M_NOT_FOUND"));
    let unknown = app.send(bob, join_any::Request::new(hall().into())).await;
    assert_eq!(code(&unknown.unwrap_err()), expect(404, "M_NOT_FOUND"));
    let claim = || create_alias::Request::new(hall(), room.clone());
    let stranger = app.send(bob, claim()).await.unwrap_err();
    assert_eq!(code(&stranger), expect(403, "M_FORBIDDEN"));
    app.send(alice, claim()).await.unwrap();
    let taken = app.send(alice, claim()).await.unwrap_err();
    assert_eq!(code(&taken), expect(409, "M_UNKNOWN"));
    let found = app.send(None, get::Request::new(hall())).await.unwrap();
    assert_eq!((found.room_id, found.servers.len()), (room.clone(), 1));
    let list = || aliases::Request::new(room.clone());
    let stranger = app.send(bob, list()).await.unwrap_err();
    assert_eq!(code(&stranger), expect(403, "M_FORBIDDEN"));
    let joined = app.send(bob, join_any::Request::new(hall().into())).await;
    assert_eq!(joined.unwrap().room_id, room);
    assert_eq!(app.send(bob, list()).await.unwrap().aliases, [hall()]);
    let powerless = app.send(bob, delete::Request::new(hall())).await;
    assert_eq!(code(&powerless.unwrap_err()), expect(403, "M_FORBIDDEN"));
    app.send(alice, delete::Request::new(hall())).await.unwrap();
    assert!(app.send(bob, list()).await.unwrap().aliases.is_empty());
    let gone = app.send(alice, delete::Request::new(hall())).await;
    assert_eq!(code(&gone.unwrap_err()), expect(404, "M_NOT_FOUND"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_is_created_under_an_alias_and_in_the_directory() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let token = Some(&*alice.token);
    let wanted = || {
        let mut request = create::Request::new();
        request.room_alias_name = Some("hall".to_owned());
        request.visibility = Visibility::Public;
        request
    };
    let room = app.send(token, wanted()).await.unwrap().room_id;
    let found = app.send(None, get::Request::new(hall())).await.unwrap();
    assert_eq!(found.room_id, room);
    let listed = app.send(None, get_listed::Request::new(room)).await;
    assert_eq!(listed.unwrap().visibility, Visibility::Public);
    let refused = app.send(token, wanted()).await.unwrap_err();
    assert_eq!(code(&refused), expect(400, "M_ROOM_IN_USE"));
    let rooms = app.send(token, joined_rooms::Request::new()).await.unwrap();
    assert_eq!(rooms.joined_rooms.len(), 1);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn names_that_make_no_alias_are_refused() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let long = "x".repeat(255);
    for name in ["", "a b", "a:b", "a\0b", "#a:hs1", "a\tb", &*long] {
        let body = json!({"room_alias_name": name}).to_string();
        let endpoint = ("POST", "/_matrix/client/v3/createRoom");
        let answer = app.raw(endpoint, Some(&alice.token), body).await;
        assert_eq!(answer, expect(400, "M_INVALID_PARAM"), "{name:?}");
    }
    for alias in ["%23hall:other", "hall", "%23a%20b:hs1"] {
        let path = format!("/_matrix/client/v3/directory/room/{alias}");
        let answer = app.raw(("GET", &path), None, "").await;
        assert_eq!(answer, expect(400, "M_INVALID_PARAM"), "{alias}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_directory_shows_what_those_with_power_want_it_to() {
    let app = TestApp::new();
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let room = room(&app, &alice).await;
    let (alice, bob) = (Some(&*alice.token), Some(&*bob.token));
    let set = |visibility| set_listed::Request::new(room.clone(), visibility);
    for visibility in [Visibility::Public, Visibility::Private] {
        app.send(alice, set(visibility.clone())).await.unwrap();
        let listed = app.send(None, get_listed::Request::new(room.clone()));
        assert_eq!(listed.await.unwrap().visibility, visibility);
    }
    let refused = app.send(bob, set(Visibility::Public)).await.unwrap_err();
    assert_eq!(code(&refused), expect(403, "M_FORBIDDEN"));
    let path = format!("/_matrix/client/v3/directory/list/room/{room}");
    let odd = json!({"visibility": "secret"}).to_string();
    let refused = app.raw(("PUT", &path), alice, odd).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    let nowhere = "/_matrix/client/v3/directory/list/room/!nowhere:hs1";
    let unknown = app.raw(("GET", nowhere), None, "").await;
    assert_eq!(unknown, expect(404, "M_NOT_FOUND"));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rooms_that_were_left_are_not_among_the_joined() {
    let app = TestApp::new();
    let alice = app.person("alice").await;
    let (left, kept) = (room(&app, &alice).await, room(&app, &alice).await);
    let token = Some(&*alice.token);
    app.send(token, leave::Request::new(left)).await.unwrap();
    let rooms = app.send(token, joined_rooms::Request::new()).await.unwrap();
    assert_eq!(rooms.joined_rooms, [kept]);
    app.stop().await;
}
