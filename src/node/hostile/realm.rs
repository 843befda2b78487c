//! A room of the hostile server's own making, and answers about it as an honest server gives them:
//! for tests to spoil.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    forge,
    peer::{Heard, Peer},
    scene::{MALLORY, Place},
};
use crate::fixture::START_MS;

/// See the module.
pub(super) struct Realm {
    pub(super) place: Place,
    peer: Arc<Peer>,
    /// All of its events, in order, with their IDs.
    events: Mutex<Vec<(String, Value)>>,
}

impl Realm {
    /// A room with this join rule, with Mallory in it.
    pub(super) fn new(peer: &Arc<Peer>, version: u32, join_rule: &str) -> Self {
        let mut content = json!({"room_version": version.to_string()});
        if version < 11 {
            content["creator"] = json!(MALLORY);
        }
        let mut create = json!({
            "auth_events": [], "prev_events": [], "depth": 1, "content": content,
            "origin_server_ts": START_MS, "sender": MALLORY, "type": "m.room.create",
            "state_key": "",
        });
        let mut id = format!("!realm{version}:evil.example");
        if version < 12 {
            create["room_id"] = json!(id);
        }
        let create_id = peer.sign_event(&mut create, version);
        if version >= 12 {
            id = create_id.replace('$', "!");
        }
        let realm = Self {
            place: Place { id, version },
            peer: Arc::clone(peer),
            events: Mutex::new(vec![(create_id, create)]),
        };
        realm.add(
            "m.room.member",
            Some(MALLORY),
            &json!({"membership": "join"}),
        );
        let users = if version < 12 {
            json!({MALLORY: 100})
        } else {
            json!({})
        };
        realm.add("m.room.power_levels", Some(""), &json!({"users": users}));
        realm.add(
            "m.room.join_rules",
            Some(""),
            &json!({"join_rule": join_rule}),
        );
        realm
    }

    /// Adds an event of Mallory's; its ID.
    pub(super) fn add(&self, kind: &str, state_key: Option<&str>, content: &Value) -> String {
        let mut event = self.draft(kind, state_key, content, MALLORY);
        let id = self.peer.sign_event(&mut event, self.place.version);
        self.events.lock().unwrap().push((id.clone(), event));
        id
    }

    /// An event at the room's end, not signed.
    pub(super) fn draft(
        &self,
        kind: &str,
        state_key: Option<&str>,
        content: &Value,
        sender: &str,
    ) -> Value {
        let events = self.events.lock().unwrap();
        let last = events.last().unwrap();
        let mut keys = vec![("m.room.power_levels", ""), ("m.room.member", sender)];
        if self.place.version < 12 {
            keys.push(("m.room.create", ""));
        }
        if kind == "m.room.member" {
            keys.push(("m.room.join_rules", ""));
            keys.extend(
                state_key
                    .filter(|key| *key != sender)
                    .map(|key| (kind, key)),
            );
        }
        let cited = keys.iter().filter_map(|(kind, key)| {
            let is_it = |it: &&(String, Value)| it.1["type"] == *kind && it.1["state_key"] == *key;
            events.iter().rev().find(is_it).map(|(id, _)| id.clone())
        });
        let mut event = json!({
            "auth_events": cited.collect::<Vec<_>>(),
            "prev_events": [last.0],
            "content": content,
            "depth": events.len() + 1,
            "origin_server_ts": START_MS,
            "room_id": self.place.id,
            "sender": sender,
            "type": kind,
        });
        if let Some(key) = state_key {
            event["state_key"] = key.into();
        }
        event
    }

    /// Its state, with the events.
    pub(super) fn state(&self) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        let state = events
            .iter()
            .filter(|(_, event)| !event["state_key"].is_null());
        state.map(|(_, event)| event.clone()).collect()
    }

    pub(super) fn create(&self) -> Value {
        self.events.lock().unwrap()[0].1.clone()
    }

    /// What `make_join` and its like give for a user.
    pub(super) fn template(&self, user: &str, membership: &str) -> Value {
        let content = json!({"membership": membership});
        let event = self.draft("m.room.member", Some(user), &content, user);
        json!({"room_version": self.place.version.to_string(), "event": event})
    }

    /// The honest answers about this room.
    pub(super) fn tell(&self, heard: &Heard) -> Option<(u16, Value)> {
        let user = || {
            heard
                .path
                .split(['/', '?'])
                .find(|part| part.starts_with('@'))
        };
        let made = |membership: &str| Some((200, self.template(user()?, membership)));
        let state = self.state();
        if heard.path.contains("/make_join/") {
            made("join")
        } else if heard.path.contains("/make_leave/") {
            made("leave")
        } else if heard.path.contains("/make_knock/") {
            made("knock")
        } else if heard.path.contains("/send_join/") {
            let answer = json!({
                "origin": "evil.example", "state": state, "auth_chain": state,
                "members_omitted": false,
            });
            Some((200, answer))
        } else if heard.path.contains("/send_leave/") {
            Some((200, json!({})))
        } else if heard.path.contains("/send_knock/") {
            Some((200, json!({"knock_room_state": [self.create()]})))
        } else {
            None
        }
    }

    /// The event with its honest signature.
    pub(super) fn sign(&self, event: &mut Value) -> String {
        self.peer.sign_event(event, self.place.version)
    }

    /// An invite of a user by Mallory with what `PUT /v2/invite` wants, and its path.
    pub(super) fn invite(&self, user: &str) -> (String, Value) {
        let content = json!({"membership": "invite"});
        let mut event = self.draft("m.room.member", Some(user), &content, MALLORY);
        let id = self.sign(&mut event);
        assert_eq!(id, forge::event_id(&event, self.place.version));
        let path = format!("/_matrix/federation/v2/invite/{}/{id}", self.place.id);
        let body = json!({
            "room_version": self.place.version.to_string(),
            "event": event,
            "invite_room_state": [self.create()],
        });
        (path, body)
    }
}
