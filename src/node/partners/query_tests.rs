//! What servers look up at each other: aliases, profiles, directories, spaces, moments.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{member::Member, world::World};

#[tokio::test(start_paused = true)]
async fn aliases_profiles_and_directories_of_other_servers_are_found() {
    let world = World::new().await;
    let [one, two, _] = &world.members[..] else {
        panic!("three members");
    };
    let body = json!({
        "preset": "public_chat", "room_alias_name": "hall", "visibility": "public", "name": "Hall",
    });
    let room = one.get("POST", "/createRoom", body).await;
    let room = room["room_id"].as_str().unwrap();
    let alias = "/directory/room/%23hall:hs1";
    let found = two.get("GET", alias, json!(null)).await;
    assert_eq!(found, json!({"room_id": room, "servers": ["hs1"]}));
    let missing = two.ask("GET", "/directory/room/%23none:hs1", json!(null));
    assert_eq!(missing.await.0, StatusCode::NOT_FOUND);
    let search = |term: &str| json!({"filter": {"generic_search_term": term}});
    for (method, body) in [("GET", json!(null)), ("POST", search("hal"))] {
        let page = two.get(method, "/publicRooms?server=hs1", body).await;
        assert_eq!(page["chunk"][0]["room_id"], room, "{page}");
    }
    let page = two
        .get("POST", "/publicRooms?server=hs1", search("nothing"))
        .await;
    assert_eq!(page["chunk"], json!([]));
    let joined = two.get("POST", "/join/%23hall:hs1", json!({})).await;
    assert_eq!(joined["room_id"], room);
    world.settle().await;
    let found = one.get("GET", alias, json!(null)).await;
    assert_eq!(found["servers"], json!(["hs1", "hs2"]));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn profiles_of_other_servers_are_asked_for_once_in_a_while() {
    let world = World::new().await;
    let [one, two, _] = &world.members[..] else {
        panic!("three members");
    };
    let name = |name: &str| json!({"displayname": name});
    let own = "/profile/@user:hs1/displayname";
    one.get("PUT", own, name("One")).await;
    let profile = two.get("GET", "/profile/@user:hs1", json!(null)).await;
    assert_eq!(profile, name("One"));
    one.get("PUT", own, name("Uno")).await;
    assert_eq!(two.get("GET", own, json!(null)).await, name("One"));
    assert_eq!(world.net.asked("/query/profile"), 1);
    world.pass(belfry_remote::PROFILE_AGE).await;
    assert_eq!(two.get("GET", own, json!(null)).await, name("Uno"));
    let (status, _) = two.ask("GET", "/profile/@nobody:hs1", json!(null)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_a_bad_gateway() {
    let world = World::new().await;
    world.isolate(0);
    for path in [
        "/directory/room/%23hall:hs1",
        "/profile/@user:hs1",
        "/publicRooms?server=hs1",
    ] {
        let (status, answer) = world.members[1].ask("GET", path, json!(null)).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{path}: {answer}");
    }
    world.stop().await;
}

async fn create(member: &Member, name: &str, preset: &str, space: bool) -> String {
    let mut body = json!({"preset": preset, "name": name});
    if space {
        body["creation_content"] = json!({"type": "m.space"});
    }
    let room = member.get("POST", "/createRoom", body).await;
    room["room_id"].as_str().unwrap().to_owned()
}

fn names(page: &Value) -> Vec<&str> {
    let rooms = page["rooms"].as_array().unwrap().iter();
    rooms.map(|room| room["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn fetch_015_a_space_is_shown_through_other_servers_as_far_as_it_may_be() {
    let world = World::new().await;
    let [one, two, _] = &world.members[..] else {
        panic!("three members");
    };
    let top = create(one, "top", "public_chat", true).await;
    let below = create(one, "below", "public_chat", true).await;
    let open = create(one, "open", "public_chat", false).await;
    let closed = create(one, "closed", "private_chat", false).await;
    for (parent, child) in [(&top, &below), (&below, &open), (&below, &closed)] {
        let path = format!("/rooms/{parent}/state/m.space.child/{child}");
        one.get("PUT", &path, json!({"via": ["hs1"]})).await;
    }
    two.join(&top, one).await;
    world.settle().await;
    let path = format!("/v1/rooms/{top}/hierarchy");
    let page = two.get("GET", &path, json!(null)).await;
    assert_eq!(names(&page), ["top", "below", "open"], "{page}");
    let first = two
        .get("GET", &format!("{path}?limit=2"), json!(null))
        .await;
    assert_eq!(names(&first), ["top", "below"]);
    let from = first["next_batch"].as_str().unwrap();
    let next = format!("{path}?limit=2&from={from}");
    assert_eq!(names(&two.get("GET", &next, json!(null)).await), ["open"]);
    let summary = format!("/v1/room_summary/{open}?via=hs1");
    let summary = two.get("GET", &summary, json!(null)).await;
    assert_eq!(summary["name"], "open");
    let summary = format!("/v1/room_summary/{closed}?via=hs1");
    let (status, _) = two.ask("GET", &summary, json!(null)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let hierarchy = |room: &str| format!("hierarchy/{room}");
    let (path, way) = (hierarchy(&closed), (1, 0));
    let (status, answer) = world.signed(way, (Method::GET, &path), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    let path = hierarchy(&below);
    let (_, answer) = world.signed(way, (Method::GET, &path), None).await;
    assert_eq!(answer["inaccessible_children"], json!([closed]));
    assert_eq!(answer["children"][0]["room_id"], json!(open));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn moments_of_a_room_are_told_to_servers_in_it() {
    let world = World::new().await;
    let room = world.room_of_two().await;
    let event = world.members[0].say(&room, "hello").await;
    world.settle().await;
    let at = |ts: u64, dir: &str| format!("timestamp_to_event/{room}?ts={ts}&dir={dir}");
    let ask =
        async |from: usize, path: &str| world.signed((from, 0), (Method::GET, path), None).await;
    let (status, answer) = ask(1, &at(9_000_000_000_000, "b")).await;
    assert_eq!(
        (status, &answer["event_id"]),
        (StatusCode::OK, &json!(event))
    );
    assert!(answer["origin_server_ts"].is_u64());
    let (status, _) = ask(1, &at(0, "b")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = ask(1, &at(0, "x")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = ask(2, &at(0, "f")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_query_that_there_is_not_is_told_so() {
    let world = World::new().await;
    let (status, answer) = world
        .signed((1, 0), (Method::GET, "query/horoscope"), None)
        .await;
    let expected = (StatusCode::NOT_FOUND, &json!("M_UNRECOGNIZED"));
    assert_eq!((status, &answer["errcode"]), expected);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_server_is_asked_if_one_is_away() {
    let world = World::new().await;
    let room = create(&world.members[0], "hall", "public_chat", false).await;
    world.members[1].join(&room, &world.members[0]).await;
    world.settle().await;
    world.part(2, 0);
    let third = &world.members[2];
    let path = format!("/v1/room_summary/{room}");
    let by_both = format!("{path}?via=hs1&via=hs2");
    let found = third.get("GET", &by_both, json!(null)).await;
    assert_eq!(found["name"], "hall");
    assert_eq!(world.net.asked("/hierarchy/"), 2);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_state_and_what_it_rests_on_are_told_to_servers_in_the_room() {
    let world = World::new().await;
    let room = world.room_of_two().await;
    let said = world.members[0].say(&room, "hello").await;
    world.settle().await;
    let state = world.members[0].state(&room).await;
    let ids = |answer: &Value, field: &str| {
        let ids = answer[field].as_array().unwrap().iter();
        ids.map(|id| id.as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let path = format!("state_ids/{room}?event_id={said}");
    let (status, told) = world.signed((1, 0), (Method::GET, &path), None).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let expected: BTreeSet<_> = state.into_values().collect();
    assert_eq!(ids(&told, "pdu_ids"), expected);
    let chain = ids(&told, "auth_chain_ids");
    assert!(!chain.is_empty() && chain.is_subset(&expected), "{told}");
    let path = format!("event_auth/{room}/{said}");
    let (status, told) = world.signed((1, 0), (Method::GET, &path), None).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let kinds = told["auth_chain"].as_array().unwrap().iter();
    let kinds: BTreeSet<_> = kinds.map(|event| event["type"].as_str().unwrap()).collect();
    // From version 12 on no event cites that which created the room.
    assert_eq!(kinds, ["m.room.member", "m.room.power_levels"].into());
    // The third server is not in the room.
    for path in [&path, &format!("state_ids/{room}?event_id={said}")] {
        let (status, _) = world.signed((2, 0), (Method::GET, path), None).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    world.stop().await;
}
