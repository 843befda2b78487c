//! Looking things up at other servers: aliases, profiles, directories, spaces, moments.
//!
//! Exists so that whoever serves clients knows no paths: each call here is one endpoint of the
//! server-server API, a signed request with limits, and an answer read as far as its shape. What is
//! asked for again and again (profiles, spaces) is kept for some minutes. Knows nothing of who may
//! ask.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use belfry_env::{Clock, Moment};
use belfry_policy::Purpose;
use belfry_room::{
    Directory, FoundAlias, FoundMoment, FoundSpace, LOOKUP_SERVERS_MAX, PeerAnswer, PeerError,
    PublicRoomsAsk,
};
use http::Method;
use ruma_common::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId, RoomId, ServerName,
    UserId,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

use crate::{
    client::{Client, Path},
    fetch::Limits,
};

/// What one answer may cost.
const ANSWER: Limits = Limits {
    bytes_max: 1024 * 1024,
    time_max: Duration::from_secs(10),
    redirects_max: 0,
};
/// How long a profile is kept.
pub const PROFILE_AGE: Duration = Duration::from_mins(5);
/// Profiles that are kept; beyond, the oldest goes.
pub const PROFILES_MAX: usize = 10_000;
/// Bytes of a profile that is kept or passed on.
const PROFILE_BYTES_MAX: usize = 64 * 1024;
/// How long a space is kept.
pub const SPACE_AGE: Duration = Duration::from_mins(5);
/// Spaces that are kept; beyond, the oldest goes.
pub const SPACES_MAX: usize = 100;
/// Servers of an alias, and rooms below a space, that are passed on.
const SERVERS_MAX: usize = 50;
const CHILDREN_MAX: usize = 1_000;

const V1: &str = "/_matrix/federation/v1";

/// Looks things up by signed requests.
pub struct SignedDirectory {
    client: Arc<Client>,
    clock: Clock,
    profiles: Mutex<Shelf<OwnedUserId, Map<String, Value>>>,
    spaces: Mutex<Shelf<OwnedRoomId, FoundSpace>>,
}

/// Answers that are kept for a while, each with until when.
struct Shelf<K, V> {
    entries: BTreeMap<K, (Moment, V)>,
    entries_max: usize,
    age: Duration,
}

impl<K: Ord + Clone, V: Clone> Shelf<K, V> {
    fn new(entries_max: usize, age: Duration) -> Self {
        Self {
            entries: BTreeMap::new(),
            entries_max,
            age,
        }
    }

    fn get(&self, key: &K, now: Moment) -> Option<V> {
        let (until, value) = self.entries.get(key)?;
        (now < *until).then(|| value.clone())
    }

    fn put(&mut self, key: K, value: V, now: Moment) {
        if self.entries.len() >= self.entries_max {
            self.entries.retain(|_, (until, _)| now < *until);
        }
        if self.entries.len() >= self.entries_max {
            let oldest = self.entries.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(key, (now + self.age, value));
    }
}

#[derive(Deserialize)]
struct Alias {
    room_id: OwnedRoomId,
    #[serde(default)]
    servers: Vec<String>,
}

#[derive(Deserialize)]
struct Space {
    room: Box<RawValue>,
    #[serde(default)]
    children: Vec<Box<RawValue>>,
    #[serde(default)]
    inaccessible_children: Vec<String>,
}

#[derive(Deserialize)]
struct Closest {
    event_id: OwnedEventId,
    origin_server_ts: u64,
}

impl SignedDirectory {
    /// By this client.
    pub fn new(client: Arc<Client>, clock: Clock) -> Self {
        Self {
            client,
            clock,
            profiles: Mutex::new(Shelf::new(PROFILES_MAX, PROFILE_AGE)),
            spaces: Mutex::new(Shelf::new(SPACES_MAX, SPACE_AGE)),
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        server: &ServerName,
        path: Path,
    ) -> Result<T, PeerError> {
        let asked = self.client.ask(server, Method::GET, path, None, ANSWER);
        // The time to connect counts, too.
        match self.clock.within(ANSWER.time_max, asked).await {
            Ok(answer) => answer,
            Err(late) => Err(PeerError::Unreachable(late.to_string())),
        }
    }

    /// The first answer of these servers; of the reasons why there is none, the one that a server
    /// gave.
    async fn first<T: DeserializeOwned>(
        &self,
        servers: &[OwnedServerName],
        path: &Path,
    ) -> Result<T, PeerError> {
        let mut last = PeerError::Unreachable("no other server is known to ask".to_owned());
        let others = servers.iter().filter(|it| *it != self.client.server());
        for server in others.take(LOOKUP_SERVERS_MAX) {
            match self.get(server, path.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error @ PeerError::Refused { .. }) => last = error,
                Err(error) if !matches!(last, PeerError::Refused { .. }) => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }
}

impl Directory for SignedDirectory {
    fn alias<'a>(&'a self, alias: &'a RoomAliasId) -> PeerAnswer<'a, FoundAlias> {
        Box::pin(async move {
            let path = Path::new(Purpose::Directory, V1)
                .segment("query")
                .segment("directory");
            let path = path.query("room_alias", alias.as_str());
            let answer: Alias = self.get(alias.server_name(), path).await?;
            let servers = answer.servers.into_iter();
            let servers = servers.filter_map(|server| OwnedServerName::try_from(server).ok());
            let mut servers: Vec<_> = servers.take(SERVERS_MAX).collect();
            let own = alias.server_name().to_owned();
            if !servers.contains(&own) {
                servers.push(own);
            }
            Ok(FoundAlias {
                room_id: answer.room_id,
                servers,
            })
        })
    }

    fn profile<'a>(&'a self, user: &'a UserId) -> PeerAnswer<'a, Map<String, Value>> {
        Box::pin(async move {
            let kept = {
                let profiles = self.profiles.lock();
                let profiles = profiles.unwrap_or_else(PoisonError::into_inner);
                profiles.get(&user.to_owned(), self.clock.now())
            };
            if let Some(profile) = kept {
                return Ok(profile);
            }
            let path = Path::new(Purpose::Profile, V1)
                .segment("query")
                .segment("profile");
            let path = path.query("user_id", user.as_str());
            let profile: Box<RawValue> = self.get(user.server_name(), path).await?;
            if profile.get().len() > PROFILE_BYTES_MAX {
                let text = format!("a profile of more than {PROFILE_BYTES_MAX} bytes");
                return Err(PeerError::Malformed(text));
            }
            let profile: Map<String, Value> = serde_json::from_str(profile.get())
                .map_err(|error| PeerError::Malformed(error.to_string()))?;
            let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
            profiles.put(user.to_owned(), profile.clone(), self.clock.now());
            Ok(profile)
        })
    }

    fn public_rooms<'a>(
        &'a self,
        server: &'a ServerName,
        ask: &'a PublicRoomsAsk,
    ) -> PeerAnswer<'a, Box<RawValue>> {
        Box::pin(async move {
            let mut path = Path::new(Purpose::Directory, V1).segment("publicRooms");
            let Some(filter) = &ask.filter else {
                if let Some(limit) = ask.limit {
                    path = path.query("limit", &limit.to_string());
                }
                if let Some(since) = &ask.since {
                    path = path.query("since", since);
                }
                return self.get(server, path).await;
            };
            let mut content = json!({"filter": filter});
            if let Some(limit) = ask.limit {
                content["limit"] = json!(limit);
            }
            if let Some(since) = &ask.since {
                content["since"] = json!(since);
            }
            let content = to_raw_value(&content);
            let content = content.map_err(|error| PeerError::Malformed(error.to_string()))?;
            let content = Some(&*content);
            let asked = self.client.ask(server, Method::POST, path, content, ANSWER);
            match self.clock.within(ANSWER.time_max, asked).await {
                Ok(answer) => answer,
                Err(late) => Err(PeerError::Unreachable(late.to_string())),
            }
        })
    }

    fn space<'a>(
        &'a self,
        servers: &'a [OwnedServerName],
        room_id: &'a RoomId,
    ) -> PeerAnswer<'a, FoundSpace> {
        Box::pin(async move {
            let kept = {
                let spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
                spaces.get(&room_id.to_owned(), self.clock.now())
            };
            if let Some(space) = kept {
                return Ok(space);
            }
            let path = Path::new(Purpose::Directory, V1)
                .segment("hierarchy")
                .segment(room_id.as_str());
            let path = path.query("suggested_only", "false");
            let mut answer: Space = self.first(servers, &path).await?;
            answer.children.truncate(CHILDREN_MAX);
            let closed = answer.inaccessible_children.into_iter();
            let closed = closed.filter_map(|room| OwnedRoomId::try_from(room).ok());
            let space = FoundSpace {
                room: answer.room,
                children: answer.children,
                inaccessible_children: closed.take(CHILDREN_MAX).collect(),
            };
            let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            spaces.put(room_id.to_owned(), space.clone(), self.clock.now());
            Ok(space)
        })
    }

    fn moment<'a>(
        &'a self,
        servers: &'a [OwnedServerName],
        room_id: &'a RoomId,
        at_ms: u64,
        forward: bool,
    ) -> PeerAnswer<'a, FoundMoment> {
        Box::pin(async move {
            let path = Path::new(Purpose::Exchange, V1).segment("timestamp_to_event");
            let path = path.segment(room_id.as_str());
            let path = path.query("ts", &at_ms.to_string());
            let path = path.query("dir", if forward { "f" } else { "b" });
            let answer: Closest = self.first(servers, &path).await?;
            let ts = answer.origin_server_ts;
            if (forward && ts < at_ms) || (!forward && ts > at_ms) {
                let text = "an event on the wrong side of the moment".to_owned();
                return Err(PeerError::Malformed(text));
            }
            Ok(FoundMoment {
                event_id: answer.event_id,
                origin_server_ts: ts,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_ends_with_its_time_and_makes_room_for_more() {
        let start = Moment::default();
        let mut shelf = Shelf::new(2, Duration::from_secs(10));
        shelf.put("a", 1, start);
        shelf.put("b", 2, start + Duration::from_secs(1));
        assert_eq!(shelf.get(&"a", start + Duration::from_secs(9)), Some(1));
        assert_eq!(shelf.get(&"a", start + Duration::from_secs(10)), None);
        shelf.put("c", 3, start + Duration::from_secs(2));
        assert_eq!(shelf.get(&"a", start), None, "the oldest went");
        let now = start + Duration::from_secs(5);
        assert_eq!(
            (shelf.get(&"b", now), shelf.get(&"c", now)),
            (Some(2), Some(3))
        );
    }
}
