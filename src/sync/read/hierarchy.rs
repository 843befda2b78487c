//! `GET /rooms/{roomId}/hierarchy`: a space and the rooms below it, depth first, a page at a time.
//!
//! It exists so that a client shows a space without being in its rooms. A page's token says how many
//! rooms were passed: the walk is done again up to there, so that it outlives a restart and needs no
//! memory; how far it goes has a limit. Rooms that this server is not in are as other servers told of
//! them, whom the caller asks. It knows nothing of how they are asked.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::Snapshot;
use ruma_common::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId};

use super::{
    room_summary::{RoomSummary, told, told_of},
    space::{Child, FarRoom, SPACE, children, write_room},
};
use crate::{
    error::{Fault, ViewError},
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
    /// What other servers told of rooms that are not here; `None` of those of which nobody did.
    pub far: BTreeMap<OwnedRoomId, Option<FarRoom>>,
}

/// A room that is not here and of which [`HierarchyRequest::far`] says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRoom {
    /// Which room.
    pub room_id: OwnedRoomId,
    /// Servers to ask, by the space that names it; none for the first room.
    pub via: Vec<OwnedServerName>,
}

/// A page of what is below a space.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// The rooms, each a JSON object.
    pub rooms: EventList,
    /// The token to go on with; `None` if there is nothing more.
    pub next_batch: Option<String>,
    /// Rooms that were passed over; ask for them, and then for the page again.
    pub missing: Vec<MissingRoom>,
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
    next: Vec<Next>,
    met: BTreeSet<OwnedRoomId>,
    missing: Vec<MissingRoom>,
}

/// A room to visit.
struct Next {
    room: OwnedRoomId,
    depth: u64,
    via: Vec<OwnedServerName>,
}

/// A room that may be told of.
struct Visited {
    summary: RoomSummary,
    children: Vec<Child>,
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
                next: vec![Next {
                    room: request.room_id.clone(),
                    depth: 0,
                    via: Vec::new(),
                }],
                missing: Vec::new(),
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
        while let Some(Next { room, depth, via }) = walk.next.pop() {
            if rooms.len() >= limit {
                let place: Passed = (walk.request.suggested_only, walk.max_depth, visits);
                let next_batch = Some(self.tokens.list(List::Hierarchy, &place));
                let missing = walk.missing;
                return Ok(Hierarchy {
                    rooms,
                    next_batch,
                    missing,
                });
            }
            visits += 1;
            if visits > HIERARCHY_VISITS_MAX {
                break;
            }
            let Some(visited) = walk.visit(snapshot, &room, via).await? else {
                if depth == 0 && walk.missing.is_empty() {
                    return Err(ViewError::Forbidden);
                }
                continue;
            };
            if visits > passed {
                let Visited { summary, children } = &visited;
                rooms.push(|out| write_room(&room, summary, children, out));
            }
            walk.descend(visited.children, depth);
        }
        Ok(Hierarchy {
            rooms,
            next_batch: None,
            missing: walk.missing,
        })
    }
}

impl Walk<'_> {
    /// Reads a room and its children; `None` if it is not known or the reader may not know of it.
    async fn visit(
        &mut self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        via: Vec<OwnedServerName>,
    ) -> Result<Option<Visited>, Fault> {
        let user = Some(&*self.request.user_id);
        let Some(mut view) = RoomView::now(snapshot, room).await? else {
            return match self.request.far.get(room) {
                Some(Some(far)) => {
                    let summary = far.summary.clone();
                    let summary = told_of(snapshot, user, room, summary).await?;
                    let children = || self.wanted(far.children.clone());
                    Ok(summary.map(|summary| Visited {
                        summary,
                        children: children(),
                    }))
                }
                Some(None) => Ok(None),
                None => {
                    let room_id = room.to_owned();
                    self.missing.push(MissingRoom { room_id, via });
                    Ok(None)
                }
            };
        };
        let Some(summary) = told(snapshot, user, room, &mut view).await? else {
            return Ok(None);
        };
        let children = if summary.room_type.as_deref() == Some(SPACE) {
            self.wanted(children(&mut view).await?)
        } else {
            Vec::new()
        };
        Ok(Some(Visited { summary, children }))
    }

    fn wanted(&self, mut children: Vec<Child>) -> Vec<Child> {
        children.retain(|child| child.suggested || !self.request.suggested_only);
        children
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
                self.next.push(Next {
                    room: child.room_id,
                    depth: depth + 1,
                    via: child.via,
                });
            }
        }
        self.next[first..].reverse();
    }
}
