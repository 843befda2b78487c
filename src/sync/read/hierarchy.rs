//! `GET /rooms/{roomId}/hierarchy`: a space and the rooms below it, depth first, a page at a time.
//!
//! It exists so that a client shows a space without being in its rooms. A page's token says how many
//! rooms were passed: the walk is done again up to there, so that it outlives a restart and needs no
//! memory; how far it goes has a limit. Rooms that this server is not in are passed over. It knows
//! nothing of what other servers would say of them.

use std::collections::BTreeSet;

use belfry_data::{CURRENT_PAGE_MAX, Snapshot};
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId};
use serde::Deserialize;
use serde_json::Value;

use super::room_summary::{RoomSummary, told};
use crate::{
    error::{Fault, ViewError},
    event::RoomEvent,
    json::{EventList, Object},
    room_view::RoomView,
    token::{List, TokenError},
    views::{Shared, Views},
};

/// Most rooms of a page.
pub const HIERARCHY_ROOMS_MAX: usize = 100;
/// Rooms of a page, if the client does not say.
const ROOMS_DEFAULT: u64 = 50;
/// Steps below the space at most.
pub const HIERARCHY_DEPTH_MAX: u64 = 50;
/// Rooms visited at most, from the first page on; what lies behind them is not shown.
pub const HIERARCHY_VISITS_MAX: usize = 1_000;

const SPACE: &str = "m.space";
const CHILD: &str = "m.space.child";

/// A request for a page of what is below a space.
#[derive(Debug, Clone)]
pub struct HierarchyRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// The space.
    pub room_id: OwnedRoomId,
    /// Only children that are marked as suggested.
    pub suggested_only: bool,
    /// How many rooms, at most [`HIERARCHY_ROOMS_MAX`]; 50 without.
    pub limit: Option<u64>,
    /// How many steps down, at most [`HIERARCHY_DEPTH_MAX`], which it is without.
    pub max_depth: Option<u64>,
    /// A token of the page before.
    pub from: Option<String>,
}

/// A page of what is below a space.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// The rooms, each a JSON object.
    pub rooms: EventList,
    /// The token to go on with; `None` if there is nothing more.
    pub next_batch: Option<String>,
}

impl Hierarchy {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.list("rooms", &self.rooms);
        if let Some(token) = &self.next_batch {
            object.string("next_batch", token);
        }
        object.end();
        out
    }
}

/// What a token says: the flags of the first request, and how many rooms were passed.
type Passed = (bool, u64, usize);

/// A walk down from a space.
struct Walk<'r> {
    request: &'r HierarchyRequest,
    max_depth: u64,
    /// Rooms to visit, the next one last, each with how many steps down it is.
    next: Vec<(OwnedRoomId, u64)>,
    met: BTreeSet<OwnedRoomId>,
}

/// A room that may be told of.
struct Visited {
    summary: RoomSummary,
    children: Vec<Child>,
}

/// A child of a space.
struct Child {
    room_id: OwnedRoomId,
    event: RoomEvent,
    order: Option<String>,
}

impl Views {
    /// A page of a space and the rooms below it, those of which the user may know.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`] for a space that is not there or of which the user may not know;
    /// [`ViewError::Token`] also if the request is not the one that the token began with;
    /// [`ViewError::Fault`].
    pub async fn hierarchy(&self, request: &HierarchyRequest) -> Result<Hierarchy, ViewError> {
        let shared = &*self.0;
        let max_depth = request.max_depth.unwrap_or(HIERARCHY_DEPTH_MAX);
        let max_depth = max_depth.min(HIERARCHY_DEPTH_MAX);
        let passed = shared.passed(request, max_depth)?;
        let page = shared.read(|snapshot| async move {
            let walk = Walk {
                request,
                max_depth,
                next: vec![(request.room_id.clone(), 0)],
                met: BTreeSet::from([request.room_id.clone()]),
            };
            shared.walk_down(&*snapshot, walk, passed).await
        });
        page.await
    }
}

impl Shared {
    fn passed(&self, request: &HierarchyRequest, max_depth: u64) -> Result<usize, TokenError> {
        let Some(token) = &request.from else {
            return Ok(0);
        };
        let (suggested_only, depth, passed): Passed =
            self.tokens.list_place(List::Hierarchy, token)?;
        if (suggested_only, depth) == (request.suggested_only, max_depth) {
            Ok(passed)
        } else {
            Err(TokenError::Malformed)
        }
    }

    async fn walk_down(
        &self,
        snapshot: &dyn Snapshot,
        mut walk: Walk<'_>,
        passed: usize,
    ) -> Result<Hierarchy, ViewError> {
        let limit = usize::try_from(walk.request.limit.unwrap_or(ROOMS_DEFAULT));
        let limit = limit.unwrap_or(HIERARCHY_ROOMS_MAX);
        let limit = limit.clamp(1, HIERARCHY_ROOMS_MAX);
        let mut rooms = EventList::default();
        let mut visits = 0;
        while let Some((room, depth)) = walk.next.pop() {
            if rooms.len() >= limit {
                let place: Passed = (walk.request.suggested_only, walk.max_depth, visits);
                let next_batch = Some(self.tokens.list(List::Hierarchy, &place));
                return Ok(Hierarchy { rooms, next_batch });
            }
            visits += 1;
            if visits > HIERARCHY_VISITS_MAX {
                break;
            }
            let Some(visited) = walk.visit(snapshot, &room).await? else {
                if depth == 0 {
                    return Err(ViewError::Forbidden);
                }
                continue;
            };
            if visits > passed {
                rooms.push(|out| visited.write(&room, out));
            }
            walk.descend(visited.children, depth);
        }
        let next_batch = None;
        Ok(Hierarchy { rooms, next_batch })
    }
}

impl Walk<'_> {
    /// Reads a room and its children; `None` if it is not here or the reader may not know of it.
    async fn visit(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
    ) -> Result<Option<Visited>, Fault> {
        let Some(mut view) = RoomView::now(snapshot, room).await? else {
            return Ok(None);
        };
        let user = Some(&*self.request.user_id);
        let Some(summary) = told(snapshot, user, room, &mut view).await? else {
            return Ok(None);
        };
        let children = if summary.room_type.as_deref() == Some(SPACE) {
            self.children(&mut view).await?
        } else {
            Vec::new()
        };
        Ok(Some(Visited { summary, children }))
    }

    /// The space's children in the order in which they are shown.
    async fn children(&self, view: &mut RoomView<'_>) -> Result<Vec<Child>, Fault> {
        let current = view.reader.current(&view.head);
        let hashes: Vec<EventHash> =
            if let Some(entries) = current.of_type(CHILD, CURRENT_PAGE_MAX).await? {
                entries.into_iter().map(|entry| entry.event).collect()
            } else {
                let all = view.entries(view.state, false).await?.into_iter();
                let children = all.filter(|(tuple, _)| tuple.event_type() == CHILD);
                children.map(|(_, event)| event).collect()
            };
        let events = view.events(&hashes).await?.into_iter();
        let children = events.filter_map(|event| child(event, self.request.suggested_only));
        let mut children: Vec<_> = children.collect();
        children.sort_by(|a, b| a.place().cmp(&b.place()));
        Ok(children)
    }

    /// Goes on with these children. Whatever was met before is not visited again: spaces may hold
    /// each other.
    fn descend(&mut self, children: Vec<Child>, depth: u64) {
        if depth >= self.max_depth {
            return;
        }
        let first = self.next.len();
        for child in children {
            if self.met.insert(child.room_id.clone()) {
                self.next.push((child.room_id, depth + 1));
            }
        }
        self.next[first..].reverse();
    }
}

impl Visited {
    fn write(&self, room: &RoomId, out: &mut String) {
        let mut object = Object::new(out);
        self.summary.write(room, &mut object);
        let mut list = EventList::default();
        for child in &self.children {
            list.push(|out| {
                child.event.pdu.write_stripped_json(out);
                let mut object = Object::reopen(out);
                object.plain("origin_server_ts", child.event.pdu.origin_server_ts().get());
                object.end();
            });
        }
        object.list("children_state", &list);
        object.end();
    }
}

impl Child {
    /// Those with an order first, by it; then by time; then by room.
    fn place(&self) -> (bool, Option<&str>, u64, &str) {
        let order = self.order.as_deref();
        let sent = u64::from(self.event.pdu.origin_server_ts().get());
        (order.is_none(), order, sent, self.room_id.as_str())
    }
}

/// Longest `order` that counts, in characters.
const ORDER_MAX: usize = 50;

/// What an `m.space.child` event says; `None` if it names no child (any more).
fn child(event: RoomEvent, suggested_only: bool) -> Option<Child> {
    #[derive(Deserialize)]
    struct Content {
        via: Option<Value>,
        #[serde(default)]
        suggested: Value,
        order: Option<Value>,
    }
    let content: Content = serde_json::from_str(event.pdu.content_json()).ok()?;
    if !content.via?.is_array() || (suggested_only && content.suggested != true) {
        return None;
    }
    let valid = |order: &str| {
        order.len() <= ORDER_MAX && order.chars().all(|one| (' '..='~').contains(&one))
    };
    let order = content.order.as_ref().and_then(Value::as_str);
    Some(Child {
        room_id: event.pdu.state_key()?.try_into().ok()?,
        order: order.filter(|order| valid(order)).map(str::to_owned),
        event,
    })
}
