//! What a client asks of sliding sync, and how much it may ask.

use std::{collections::BTreeMap, time::Duration};

use ruma_common::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde::Serialize;

use crate::error::ViewError;

/// Lists of one request (MSC4186).
pub const LISTS_MAX: usize = 100;
/// Ranges of one list.
const RANGES_MAX: usize = 100;
/// Rooms that one request subscribes to in the draft's shape.
pub const SUBSCRIPTIONS_MAX: usize = 1_000;
/// The same in the accepted shape (MSC4186).
pub const SUBSCRIPTIONS_ACCEPTED_MAX: usize = 100;
/// Entries of one `required_state`.
pub const REQUIRED_STATE_MAX: usize = 1_000;
/// Spaces, and tags, of one filter.
pub const FILTER_NAMES_MAX: usize = 100;
/// Fields of profiles of one request.
pub const PROFILE_FIELDS_MAX: usize = 100;
/// Longest name of a connection.
pub const CONNECTION_NAME_BYTES_MAX: usize = 64;

/// What of [`SlidingRequest::digest`] tells which fields of profiles are asked for.
pub(crate) const PROFILES_MASK: u64 = 0xffff_ffff;

/// Which of the two shapes of MSC4186 a client speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// That of the draft, under an unstable path.
    #[default]
    Draft,
    /// That which was accepted.
    Accepted,
}

/// A request.
#[derive(Debug, Clone)]
pub struct SlidingRequest {
    /// How the answer is written, and what is told of rooms that the user was put out of.
    pub shape: Shape,
    /// Who asks.
    pub user_id: OwnedUserId,
    /// On which device.
    pub device_id: OwnedDeviceId,
    /// `conn_id`, or nothing.
    pub connection: String,
    /// The `pos` of the last answer.
    pub pos: Option<String>,
    /// How long to wait if there is nothing new.
    pub timeout: Duration,
    /// To be told with the answer.
    pub txn_id: Option<String>,
    /// By the names that the client gave them.
    pub lists: BTreeMap<String, ListRequest>,
    /// Rooms wanted whatever the lists hold.
    pub subscriptions: BTreeMap<OwnedRoomId, RoomDetails>,
    /// What else is wanted.
    pub extensions: Extensions,
}

/// A list of rooms, newest first.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ListRequest {
    /// First and last place wanted, from 0, both included. None means all.
    pub ranges: Option<Vec<(u64, u64)>>,
    /// What is told of each room.
    pub details: RoomDetails,
    /// Which rooms are in the list.
    pub filters: ListFilters,
}

/// What is told of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RoomDetails {
    /// Of the state: what any of these asks for.
    pub state: Vec<StateSet>,
    /// Newest events at most.
    pub timeline_limit: u32,
}

/// A type and a state key; none stands for any.
pub type StatePattern = (Option<String>, Option<String>);

/// Which state is told of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StateSet {
    /// What is.
    pub include: Vec<StatePattern>,
    /// What is not, even if it is included.
    pub exclude: Vec<StatePattern>,
    /// Whether members are told where their events are; any type does not stand for theirs then.
    pub lazy_members: bool,
}

/// Which rooms are in a list: those that all of these hold for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ListFilters {
    /// Whether `m.direct` names the room.
    pub is_dm: Option<bool>,
    /// Whether it is encrypted.
    pub is_encrypted: Option<bool>,
    /// Whether the user is invited, and not in it.
    pub is_invite: Option<bool>,
    /// Its type is one of these; `None` among them stands for no type.
    pub room_types: Option<Vec<Option<String>>>,
    /// Its type is none of these.
    pub not_room_types: Vec<Option<String>>,
    /// One of these spaces, that the user is in, names it as a child.
    pub spaces: Option<Vec<OwnedRoomId>>,
    /// The user gave it one of these tags.
    pub tags: Option<Vec<String>>,
    /// The user gave it none of these tags.
    pub not_tags: Vec<String>,
}

/// What is wanted besides rooms.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Extensions {
    /// Messages to the device.
    pub to_device: Option<ToDeviceRequest>,
    /// Device lists and counts of keys.
    pub e2ee: bool,
    /// Account data, of rooms in this scope.
    pub account_data: Option<Scope>,
    /// Receipts, of rooms in this scope.
    pub receipts: Option<Scope>,
    /// Who types, of rooms in this scope.
    pub typing: Option<Scope>,
    /// Changed subscriptions of threads, at most so many (MSC4308).
    pub threads: Option<u64>,
    /// Profiles of users, of rooms in this scope (MSC4262).
    pub profiles: Option<ProfilesRequest>,
}

/// Profiles.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProfilesRequest {
    /// Of which rooms all are told at first.
    pub scope: Scope,
    /// Which fields; all if absent.
    pub fields: Option<Vec<String>>,
}

/// Messages to the device.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ToDeviceRequest {
    /// The `next_batch` of the last messages: those are forgotten.
    pub since: Option<String>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// Of which rooms an extension tells.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Scope {
    /// Of those in these lists; of all lists if absent.
    pub lists: Option<Vec<String>>,
    /// Of these that are subscribed to (`*` is all); of all if absent.
    pub rooms: Option<Vec<String>>,
}

impl SlidingRequest {
    /// A request that asks for nothing yet.
    pub fn new(user_id: OwnedUserId, device_id: OwnedDeviceId) -> Self {
        Self {
            shape: Shape::default(),
            user_id,
            device_id,
            connection: String::new(),
            pos: None,
            timeout: Duration::ZERO,
            txn_id: None,
            lists: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            extensions: Extensions::default(),
        }
    }

    /// What the connection is known by: each shape has names of its own.
    pub(crate) fn connection_name(&self) -> String {
        match self.shape {
            Shape::Draft => self.connection.clone(),
            Shape::Accepted => format!("v4/{}", self.connection),
        }
    }

    /// Whether it asks for no more than it may.
    pub(crate) fn check(&self) -> Result<(), ViewError> {
        let refuse = |text: String| Err(ViewError::Invalid(text));
        if self.lists.len() > LISTS_MAX {
            return refuse(format!("ask for at most {LISTS_MAX} lists"));
        }
        let subscriptions_max = match self.shape {
            Shape::Draft => SUBSCRIPTIONS_MAX,
            Shape::Accepted => SUBSCRIPTIONS_ACCEPTED_MAX,
        };
        if self.subscriptions.len() > subscriptions_max {
            return refuse(format!("subscribe to at most {subscriptions_max} rooms"));
        }
        if self.connection.len() > CONNECTION_NAME_BYTES_MAX {
            return refuse(format!(
                "conn_id is longer than {CONNECTION_NAME_BYTES_MAX} bytes"
            ));
        }
        let fields = self.extensions.profiles.as_ref();
        let fields = fields.and_then(|wanted| wanted.fields.as_ref());
        if fields.is_some_and(|fields| fields.len() > PROFILE_FIELDS_MAX) {
            return refuse(format!(
                "ask for at most {PROFILE_FIELDS_MAX} fields of profiles"
            ));
        }
        let lists = self.lists.values().map(|list| &list.details);
        for details in lists.chain(self.subscriptions.values()) {
            if details.entries() > REQUIRED_STATE_MAX {
                let text =
                    format!("ask for at most {REQUIRED_STATE_MAX} entries of required_state");
                return refuse(text);
            }
        }
        if self
            .lists
            .values()
            .any(|list| list.filters.names() > FILTER_NAMES_MAX)
        {
            let text = format!("name at most {FILTER_NAMES_MAX} spaces and tags in a filter");
            return refuse(text);
        }
        for ranges in self.lists.values().filter_map(|list| list.ranges.as_ref()) {
            if ranges.len() > RANGES_MAX || ranges.iter().any(|(first, last)| first > last) {
                return refuse(format!(
                    "a list has at most {RANGES_MAX} ranges, [first, last]"
                ));
            }
        }
        Ok(())
    }

    /// A number that changes if what is asked does; its [`PROFILES_MASK`] if other profiles are.
    pub(crate) fn digest(&self) -> u64 {
        let all = digest(&(&self.lists, &self.subscriptions, &self.extensions));
        let profiles = self.extensions.profiles.as_ref();
        let profiles = digest(&profiles.map(|profiles| &profiles.fields));
        (all & !PROFILES_MASK) | (profiles & PROFILES_MASK)
    }
}

impl ListFilters {
    fn names(&self) -> usize {
        let spaces = self.spaces.as_ref().map_or(0, Vec::len);
        let tags = self.tags.as_ref().map_or(0, Vec::len);
        spaces + tags + self.not_tags.len()
    }
}

impl RoomDetails {
    fn entries(&self) -> usize {
        let sets = self.state.iter();
        sets.map(|set| set.include.len() + set.exclude.len()).sum()
    }

    /// A number that changes if the state asked for does, or whether it is a direct chat.
    pub(crate) fn digest(&self, is_dm: bool) -> u64 {
        digest(&(&self.state, is_dm))
    }

    /// All that either asks for.
    pub(crate) fn add(&mut self, other: &Self) {
        self.timeline_limit = self.timeline_limit.max(other.timeline_limit);
        for set in &other.state {
            if !self.state.contains(set) {
                self.state.push(set.clone());
            }
        }
        self.state.sort_unstable();
    }
}

/// FNV-1a of the JSON: the same in every build.
fn digest(value: &impl Serialize) -> u64 {
    let json = serde_json::to_vec(value).unwrap_or_default();
    json.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
