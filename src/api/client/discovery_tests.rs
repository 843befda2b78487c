//! Finding rooms and users through the router: who may be found by whom, in which order.

use serde_json::{Value, json};

use super::talk::{Talker, each};
use crate::fixture::{TestApp, expect};

const CHAT: &str = "public_chat";

async fn three(app: &TestApp) -> [Talker<'_>; 3] {
    [
        Talker::new(app, "alice").await,
        Talker::new(app, "bob").await,
        Talker::new(app, "carol").await,
    ]
}

/// A published room.
async fn shown(by: &Talker<'_>, name: &str, more: Value) -> String {
    let mut body = json!({"visibility": "public", "name": name});
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    by.room(CHAT, body).await
}

#[tokio::test(start_paused = true)]
async fn published_rooms_are_shown_largest_first() {
    let app = TestApp::new();
    let [alice, bob, carol] = three(&app).await;
    let small = shown(&alice, "Small", json!({"topic": "few"})).await;
    let large = shown(&alice, "Large", json!({"room_alias_name": "large"})).await;
    alice.room(CHAT, json!({"name": "Hidden"})).await;
    let closed = json!({
        "type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "invite"},
    });
    shown(&alice, "Closed", json!({"initial_state": [closed]})).await;
    bob.join(&large).await;
    let listed = bob.get("v3/publicRooms").await;
    assert_eq!(each(&listed["chunk"], "room_id"), [&*large, &*small]);
    assert_eq!(listed["total_room_count_estimate"], 2);
    assert!(listed["next_batch"].is_null() && listed["prev_batch"].is_null());
    let first = &listed["chunk"][0];
    assert_eq!(first["name"], "Large");
    assert_eq!(first["num_joined_members"], 2);
    assert_eq!(first["join_rule"], "public");
    assert_eq!(first["world_readable"], false);
    assert_eq!(first["guest_can_join"], false);
    assert_eq!(first["canonical_alias"], "#large:hs1");
    bob.join(&small).await;
    carol.join(&small).await;
    let listed = bob.get("v3/publicRooms").await;
    assert_eq!(each(&listed["chunk"], "room_id"), [&*small, &*large]);
    assert_eq!(listed["chunk"][0]["topic"], "few");
    let path = format!("v3/directory/list/room/{small}");
    alice.put(&path, json!({"visibility": "private"})).await;
    let listed = bob.get("v3/publicRooms").await;
    assert_eq!(each(&listed["chunk"], "room_id"), [&*large]);
    for person in [&alice, &bob] {
        person.leave(&large).await;
    }
    assert_eq!(bob.get("v3/publicRooms").await["chunk"], json!([]));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn published_rooms_are_searched_by_text_and_type() {
    let app = TestApp::new();
    let [alice, ..] = three(&app).await;
    let space = json!({"creation_content": {"type": "m.space"}});
    let space = shown(&alice, "Ämter", space).await;
    let room = shown(&alice, "Kantine", json!({"topic": "Straße 5"})).await;
    let search = async |filter: Value| {
        let found = alice
            .post("v3/publicRooms", json!({"filter": filter}))
            .await;
        each(&found["chunk"], "room_id")
    };
    for (filter, expected) in [
        (json!({"generic_search_term": "AMTER"}), vec![&space]),
        (json!({"generic_search_term": "strasse"}), vec![&room]),
        (json!({"generic_search_term": "nothing"}), vec![]),
        (json!({"room_types": ["m.space"]}), vec![&space]),
        (json!({"room_types": [null]}), vec![&room]),
        (json!({"room_types": ["m.other"]}), vec![]),
    ] {
        let found = search(filter.clone()).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter}");
    }
    let both = search(json!({"room_types": [null, "m.space"]})).await;
    assert_eq!(both.len(), 2);
    assert_eq!(search(json!({"generic_search_term": " "})).await.len(), 2);
    let long = json!({"filter": {"generic_search_term": "x".repeat(1_001)}}).to_string();
    let token = Some(alice.person.token.as_str());
    let refused = app.raw(("POST", "/_matrix/client/v3/publicRooms"), token, long);
    assert_eq!(refused.await, expect(400, "M_INVALID_PARAM"));
    let third = json!({"third_party_instance_id": "irc"});
    let third = alice.post("v3/publicRooms", third).await;
    assert_eq!(third["chunk"], json!([]));
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pages_of_published_rooms_go_on_and_back() {
    let app = TestApp::new();
    let [alice, bob, _] = three(&app).await;
    let mut rooms = Vec::new();
    for name in ["1", "2", "3", "4", "5"] {
        rooms.push(shown(&alice, name, json!({})).await);
    }
    rooms.sort_unstable();
    let read = async |query: &str| bob.get(&format!("v3/publicRooms?limit=2{query}")).await;
    let (mut pages, mut query) = (Vec::new(), String::new());
    loop {
        let page = read(&query).await;
        pages.push(page.clone());
        let Some(token) = page["next_batch"].as_str() else {
            break;
        };
        query = format!("&since={token}");
    }
    let listed = pages
        .iter()
        .flat_map(|page| each(&page["chunk"], "room_id"));
    assert_eq!(listed.collect::<Vec<_>>(), rooms);
    assert_eq!(pages.len(), 3);
    let back = pages[2]["prev_batch"].as_str().unwrap();
    let back = read(&format!("&since={back}")).await;
    assert_eq!(back["chunk"], pages[1]["chunk"]);
    let first = back["prev_batch"].as_str().unwrap();
    let first = read(&format!("&since={first}")).await;
    assert_eq!(first["chunk"], pages[0]["chunk"]);
    assert!(first["prev_batch"].is_null());
    let on = first["next_batch"].as_str().unwrap();
    let on = read(&format!("&since={on}")).await;
    assert_eq!(on["chunk"], pages[1]["chunk"]);
    for query in ["since=banana", "limit=x", "limit=-1", "server=%20"] {
        let refused = bob.refused(&format!("v3/publicRooms?{query}")).await;
        assert_eq!(refused, expect(400, "M_INVALID_PARAM"), "{query}");
    }
    let elsewhere = bob.refused("v3/publicRooms?server=other.example").await;
    assert_eq!(elsewhere, expect(404, "M_NOT_FOUND"));
    assert_eq!(read("&server=hs1").await["chunk"], pages[0]["chunk"]);
    let anybody = app.raw(("GET", "/_matrix/client/v3/publicRooms"), None, "");
    assert_eq!(anybody.await.0, 200);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_021_summaries_and_spaces_tell_strangers_nothing_of_closed_rooms() {
    let app = TestApp::new();
    let [alice, bob, eve] = three(&app).await;
    let closed = alice
        .room("private_chat", json!({"name": "Secret", "topic": "hush"}))
        .await;
    let path = format!("v1/room_summary/{closed}");
    assert_eq!(eve.refused(&path).await, expect(404, "M_NOT_FOUND"));
    let hierarchy = format!("v1/rooms/{closed}/hierarchy");
    assert_eq!(eve.refused(&hierarchy).await, expect(403, "M_FORBIDDEN"));
    let whole = format!("/_matrix/client/{path}");
    let anybody = app.raw(("GET", &whole), None, "").await;
    assert_eq!(anybody, expect(404, "M_NOT_FOUND"));
    alice.invite(&closed, &bob).await;
    let told = bob.get(&path).await;
    assert_eq!(told["name"], "Secret");
    assert_eq!(told["membership"], "invite");
    assert_eq!(told["join_rule"], "invite");
    let hall = json!({"name": "Hall", "room_alias_name": "hall"});
    let hall = alice.room(CHAT, hall).await;
    for name in [&*hall, "%23hall:hs1"] {
        let told = eve.get(&format!("v1/room_summary/{name}")).await;
        assert_eq!(told["room_id"], hall.as_str());
        assert_eq!(told["name"], "Hall");
        assert_eq!(told["num_joined_members"], 1);
        assert_eq!(told["room_version"], "12");
        assert!(told["membership"].is_null());
    }
    for name in ["!nowhere:hs1", "%23nothing:hs1", "%23hall:elsewhere"] {
        let refused = eve.refused(&format!("v1/room_summary/{name}")).await;
        assert_eq!(refused, expect(404, "M_NOT_FOUND"), "{name}");
    }
    let refused = eve.refused("v1/room_summary/hall").await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    app.stop().await;
}

async fn space(by: &Talker<'_>, name: &str) -> String {
    let more = json!({"name": name, "creation_content": {"type": "m.space"}});
    by.room(CHAT, more).await
}

async fn put_child(by: &Talker<'_>, space: &str, child: &str, content: Value) {
    let mut all = json!({"via": ["hs1"]});
    for (field, value) in content.as_object().into_iter().flatten() {
        all[field] = value.clone();
    }
    by.set(space, "m.space.child", child, all).await;
}

#[tokio::test(start_paused = true)]
async fn spaces_are_walked_depth_first_in_their_order() {
    let app = TestApp::new();
    let [alice, bob, _] = three(&app).await;
    let root = space(&alice, "Root").await;
    let inner = space(&alice, "Inner").await;
    let mut rooms = Vec::new();
    for name in ["late", "early", "ordered", "nested"] {
        rooms.push(alice.room(CHAT, json!({"name": name})).await);
    }
    let hidden = alice.room("private_chat", json!({"name": "hidden"})).await;
    app.env.clock.sleep(std::time::Duration::from_mins(1)).await;
    put_child(&alice, &root, &rooms[1], json!({})).await;
    app.env.clock.sleep(std::time::Duration::from_secs(1)).await;
    put_child(
        &alice,
        &root,
        &rooms[0],
        json!({"order": "\u{7f}", "suggested": true}),
    )
    .await;
    put_child(&alice, &root, &rooms[2], json!({"order": "b"})).await;
    put_child(
        &alice,
        &root,
        &inner,
        json!({"order": "a", "suggested": true}),
    )
    .await;
    put_child(&alice, &root, &hidden, json!({"order": "c"})).await;
    put_child(&alice, &root, "!elsewhere:other", json!({"order": "d"})).await;
    let gone = json!({"suggested": true});
    alice.set(&root, "m.space.child", "!gone:hs1", gone).await;
    put_child(&alice, &inner, &rooms[3], json!({})).await;
    put_child(&alice, &inner, &root, json!({})).await;
    let path = format!("v1/rooms/{root}/hierarchy");
    let all = bob.get(&path).await;
    let expected = ["Root", "Inner", "nested", "ordered", "early", "late"];
    assert_eq!(each(&all["rooms"], "name"), expected);
    assert!(all["next_batch"].is_null());
    let children = &all["rooms"][0]["children_state"];
    assert_eq!(children.as_array().unwrap().len(), 6);
    assert_eq!(children[0]["state_key"], inner.as_str());
    assert_eq!(children[0]["type"], "m.space.child");
    assert_eq!(children[0]["sender"], alice.id());
    assert!(children[0]["origin_server_ts"].is_u64());
    assert_eq!(all["rooms"][2]["children_state"], json!([]));
    assert_eq!(all["rooms"][1]["room_type"], "m.space");
    let hers = alice.get(&path).await;
    assert!(each(&hers["rooms"], "name").contains(&"hidden".to_owned()));
    let shallow = bob.get(&format!("{path}?max_depth=1")).await;
    let expected = ["Root", "Inner", "ordered", "early", "late"];
    assert_eq!(each(&shallow["rooms"], "name"), expected);
    let only = bob.get(&format!("{path}?max_depth=0")).await;
    assert_eq!(each(&only["rooms"], "name"), ["Root"]);
    let suggested = bob.get(&format!("{path}?suggested_only=true")).await;
    assert_eq!(each(&suggested["rooms"], "name"), ["Root", "Inner", "late"]);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn spaces_are_read_in_pages() {
    let app = TestApp::new();
    let [alice, bob, _] = three(&app).await;
    let root = space(&alice, "Root").await;
    for name in ["a", "b", "c", "d"] {
        let child = alice.room(CHAT, json!({"name": name})).await;
        put_child(&alice, &root, &child, json!({"order": name})).await;
    }
    let path = format!("v1/rooms/{root}/hierarchy?limit=2");
    let (mut names, mut from) = (Vec::new(), String::new());
    loop {
        let page = bob.get(&format!("{path}{from}")).await;
        names.push(each(&page["rooms"], "name"));
        let Some(token) = page["next_batch"].as_str() else {
            break;
        };
        from = format!("&from={token}");
    }
    assert_eq!(names, [vec!["Root", "a"], vec!["b", "c"], vec!["d"]]);
    let token = bob.get(&path).await["next_batch"].clone();
    let token = token.as_str().unwrap();
    for query in [
        format!("&from={token}&max_depth=1"),
        format!("&from={token}&suggested_only=true"),
        "&from=banana".to_owned(),
        "&max_depth=-1".to_owned(),
    ] {
        let refused = bob.refused(&format!("{path}{query}")).await;
        assert_eq!(refused, expect(400, "M_INVALID_PARAM"), "{query}");
    }
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rooms_of_a_space_are_told_to_those_who_could_join() {
    let app = TestApp::new();
    let [alice, bob, eve] = three(&app).await;
    let root = space(&alice, "Root").await;
    bob.join(&root).await;
    let allow = json!([{"type": "m.room_membership", "room_id": root}]);
    for (name, rule) in [
        (
            "restricted",
            json!({"join_rule": "restricted", "allow": allow}),
        ),
        ("knock", json!({"join_rule": "knock"})),
    ] {
        let rule = json!({"type": "m.room.join_rules", "state_key": "", "content": rule});
        let more = json!({"name": name, "initial_state": [rule]});
        let child = alice.room(CHAT, more).await;
        put_child(&alice, &root, &child, json!({"order": name})).await;
    }
    let path = format!("v1/rooms/{root}/hierarchy");
    let his = each(&bob.get(&path).await["rooms"], "name");
    assert_eq!(his, ["Root", "knock", "restricted"]);
    let hers = each(&eve.get(&path).await["rooms"], "name");
    assert_eq!(hers, ["Root", "knock"]);
    app.stop().await;
}

async fn found(by: &Talker<'_>, term: &str) -> Vec<String> {
    let body = json!({"search_term": term});
    let found = by.post("v3/user_directory/search", body).await;
    each(&found["results"], "user_id")
}

async fn call(person: &Talker<'_>, name: &str) {
    let path = format!("v3/profile/{}/displayname", person.id());
    person.put(&path, json!({"displayname": name})).await;
}

#[tokio::test(start_paused = true)]
async fn users_are_found_by_those_who_share_a_room_or_in_open_rooms() {
    let app = TestApp::new();
    let [alice, bob, carol] = three(&app).await;
    call(&bob, "Božena Müller").await;
    assert!(
        found(&alice, "muller").await.is_empty(),
        "they share nothing"
    );
    let closed = alice.room("private_chat", json!({})).await;
    alice.invite(&closed, &bob).await;
    assert!(found(&alice, "muller").await.is_empty(), "he is not in it");
    bob.join(&closed).await;
    for term in [
        "muller",
        "MÜLLER",
        "boz",
        "müller božena",
        "bob",
        "@bob:hs1",
        "Bob hs",
    ] {
        assert_eq!(found(&alice, term).await, [bob.id()], "{term}");
    }
    for term in ["", " ", "@", "ller", "muller x", "bob:other", "alice"] {
        assert!(found(&alice, term).await.is_empty(), "{term}");
    }
    assert!(found(&carol, "bob").await.is_empty());
    let open = alice.room(CHAT, json!({})).await;
    assert!(found(&carol, "bob").await.is_empty());
    bob.join(&open).await;
    assert_eq!(found(&carol, "bob").await, [bob.id()], "the room is open");
    call(&bob, "Robert").await;
    assert!(found(&alice, "muller").await.is_empty());
    let body = json!({"search_term": "rob"});
    let answer = alice.post("v3/user_directory/search", body).await;
    let result = json!({"user_id": bob.id(), "display_name": "Robert"});
    assert_eq!(answer, json!({"results": [result], "limited": false}));
    let rule = json!({"join_rule": "invite"});
    alice.set(&open, "m.room.join_rules", "", rule).await;
    assert!(found(&carol, "rob").await.is_empty(), "it was closed");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vis_024_searches_for_users_have_limits() {
    let app = TestApp::new();
    let [alice, ..] = three(&app).await;
    let open = alice.room(CHAT, json!({})).await;
    for number in 0..5 {
        let person = Talker::new(&app, &format!("same{number}")).await;
        // Joins are limited.
        app.env.clock.sleep(std::time::Duration::from_secs(2)).await;
        person.join(&open).await;
    }
    let body = json!({"search_term": "same", "limit": 3});
    let answer = alice.post("v3/user_directory/search", body).await;
    assert_eq!(answer["results"].as_array().unwrap().len(), 3);
    assert_eq!(answer["limited"], true);
    let exact = found(&alice, "same3").await;
    assert_eq!(exact, ["@same3:hs1"]);
    assert!(found(&alice, "").await.is_empty());
    let endpoint = ("POST", "/_matrix/client/v3/user_directory/search");
    let token = Some(alice.person.token.as_str());
    let long = json!({"search_term": "x".repeat(10_000)}).to_string();
    let refused = app.raw(endpoint, token, long).await;
    assert_eq!(refused, expect(400, "M_INVALID_PARAM"));
    let body = json!({"search_term": "x"}).to_string();
    let mut refused = 0;
    for _ in 0..300 {
        let (status, _) = app.raw(endpoint, token, body.clone()).await;
        refused += usize::from(status == 429);
    }
    assert!(refused > 50, "{refused}");
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rooms_in_common_are_told() {
    let app = TestApp::new();
    let [alice, bob, carol] = three(&app).await;
    let mut rooms = Vec::new();
    for _ in 0..3 {
        let room = alice.room(CHAT, json!({})).await;
        bob.join(&room).await;
        rooms.push(room);
    }
    bob.leave(&rooms[2]).await;
    rooms.truncate(2);
    rooms.sort_unstable();
    carol.room(CHAT, json!({})).await;
    for path in [
        "v1/mutual_rooms",
        "unstable/uk.half-shot.msc2666/user/mutual_rooms",
    ] {
        let common = alice.get(&format!("{path}?user_id={}", bob.id())).await;
        assert_eq!(common, json!({"joined": rooms, "count": 2}));
        let none = alice.get(&format!("{path}?user_id={}", carol.id())).await;
        assert_eq!(none, json!({"joined": [], "count": 0}));
        let unknown = alice.get(&format!("{path}?user_id=@nobody:other")).await;
        assert_eq!(unknown["count"], 0);
        for query in [
            format!("?user_id={}", alice.id()),
            "?user_id=banana".to_owned(),
            String::new(),
            format!("?user_id={}&from=banana", bob.id()),
        ] {
            let refused = alice.refused(&format!("{path}{query}")).await;
            assert_eq!(refused, expect(400, "M_INVALID_PARAM"), "{query}");
        }
    }
    app.stop().await;
}
