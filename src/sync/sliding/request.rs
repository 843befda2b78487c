//! What a client asks of sliding sync, and how much it may ask.

use std::{collections::BTreeMap, time::Duration};

use ruma_common::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde::Serialize;

use crate::error::ViewError;

/// Lists of one request (MSC4186).
pub const LISTS_MAX: usize = 100;
/// Ranges of one list.
const RANGES_MAX: usize = 100;
/// Rooms that one request subscribes to.
pub const SUBSCRIPTIONS_MAX: usize = 1_000;
/// Entries of one `required_state`.
pub const REQUIRED_STATE_MAX: usize = 1_000;
/// Longest name of a connection.
pub const CONNECTION_NAME_BYTES_MAX: usize = 64;

/// A request.
#[derive(Debug, Clone)]
pub struct SlidingRequest {
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
    /// Types and state keys, with `*`, `$ME` and `$LAZY`.
    pub required_state: Vec<(String, String)>,
    /// Newest events at most.
    pub timeline_limit: u32,
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

    /// Whether it asks for no more than it may.
    pub(crate) fn check(&self) -> Result<(), ViewError> {
        let refuse = |text: String| Err(ViewError::Invalid(text));
        if self.lists.len() > LISTS_MAX {
            return refuse(format!("ask for at most {LISTS_MAX} lists"));
        }
        if self.subscriptions.len() > SUBSCRIPTIONS_MAX {
            return refuse(format!("subscribe to at most {SUBSCRIPTIONS_MAX} rooms"));
        }
        if self.connection.len() > CONNECTION_NAME_BYTES_MAX {
            return refuse(format!(
                "conn_id is longer than {CONNECTION_NAME_BYTES_MAX} bytes"
            ));
        }
        let lists = self.lists.values().map(|list| &list.details);
        for details in lists.chain(self.subscriptions.values()) {
            if details.required_state.len() > REQUIRED_STATE_MAX {
                let text =
                    format!("ask for at most {REQUIRED_STATE_MAX} entries of required_state");
                return refuse(text);
            }
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

    /// A number that changes if what is asked does.
    pub(crate) fn digest(&self) -> u64 {
        digest(&(&self.lists, &self.subscriptions, &self.extensions))
    }
}

impl RoomDetails {
    /// A number that changes if the state asked for does.
    pub(crate) fn state_digest(&self) -> u64 {
        digest(&self.required_state)
    }

    /// All that either asks for.
    pub(crate) fn add(&mut self, other: &Self) {
        self.timeline_limit = self.timeline_limit.max(other.timeline_limit);
        for entry in &other.required_state {
            if !self.required_state.contains(entry) {
                self.required_state.push(entry.clone());
            }
        }
        self.required_state.sort_unstable();
    }
}

/// FNV-1a of the JSON: the same in every build.
fn digest(value: &impl Serialize) -> u64 {
    let json = serde_json::to_vec(value).unwrap_or_default();
    json.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
