//! `GET /rooms/{roomId}/relations/{eventId}` and below: what relates to an event, a page at a time.
//!
//! It exists so that clients rebuild reactions, edits, polls and threads from the server's index
//! instead of from all of the history. It knows nothing of what relations mean.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{RelationRow, TimelinePoint};
use belfry_event::EventHash;
use ruma_common::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId};

use super::{
    access::{Entered, enter},
    event::{find, not_found},
    messages::{Direction, far_end, near_end},
};
use crate::{
    error::{Fault, ViewError},
    event::RoomEvent,
    ignored::Ignored,
    json::{EventList, Object},
    presentation::{self, Style},
    sight::Sight,
    views::{Shared, Views},
    window::before,
};

/// Most events of a page.
pub const RELATIONS_MAX: usize = 200;
/// Events of a page, if the client does not say.
const RELATIONS_DEFAULT: u64 = 20;
/// Relations looked at for one page; the page's token goes on from there.
const SCAN_MAX: usize = 2_000;
/// Relations read at once.
const READ_MAX: usize = 200;
/// How far relations of relations are followed (the spec asks for three steps at least).
pub const RECURSION_DEPTH: usize = 3;
/// Relations gathered at most where they are followed; those of the first steps come first.
pub const RECURSED_MAX: usize = 3_000;
/// Events whose relations are read at once.
const PARENTS_AT_ONCE: usize = 500;

/// A request for what relates to an event.
#[derive(Debug, Clone)]
pub struct RelationsRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// On which device: it is told its own transaction IDs.
    pub device_id: Option<OwnedDeviceId>,
    /// Which room.
    pub room_id: OwnedRoomId,
    /// Which event.
    pub event_id: OwnedEventId,
    /// Only relations of this type.
    pub rel_type: Option<String>,
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Where the page begins: any token.
    pub from: Option<String>,
    /// Where it ends at the latest: any token.
    pub to: Option<String>,
    /// How many events, at most [`RELATIONS_MAX`]; 20 without.
    pub limit: Option<u64>,
    /// Which way it goes.
    pub direction: Direction,
    /// Whether what relates to these events, and so on, is wanted too, [`RECURSION_DEPTH`] steps
    /// far.
    pub recurse: bool,
}

/// A page of what relates to an event.
#[derive(Debug, Clone)]
pub struct Relations {
    /// The events.
    pub chunk: EventList,
    /// The token to go on with; `None` if there is nothing more.
    pub next_batch: Option<String>,
    /// Where the page began, if the client said so.
    pub prev_batch: Option<String>,
    /// How far relations were followed, if they were.
    pub recursion_depth: Option<usize>,
}

impl Relations {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.list("chunk", &self.chunk);
        if let Some(token) = &self.next_batch {
            object.string("next_batch", token);
        }
        if let Some(token) = &self.prev_batch {
            object.string("prev_batch", token);
        }
        if let Some(depth) = self.recursion_depth {
            object.plain("recursion_depth", depth);
        }
        object.end();
        out
    }
}

impl Views {
    /// A page of what relates to an event, as far as the user may see it.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] for an event that is not there or not to be seen, also in rooms that
    /// the user may not read; [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn relations(&self, request: &RelationsRequest) -> Result<Relations, ViewError> {
        let shared = &*self.0;
        let page = shared.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let entered = enter(snapshot, &request.user_id, &request.room_id).await;
            let mut entered = entered.map_err(not_found)?;
            let ignored = Ignored::of(snapshot, &request.user_id).await?;
            entered.eyes = entered.eyes.ignoring(ignored);
            entered.eyes = entered.eyes.on(request.device_id.as_deref());
            shared.relations_page(entered, request).await
        });
        page.await
    }
}

/// A page in the making.
struct Page {
    limit: usize,
    events: Vec<(RoomEvent, Sight)>,
    /// How far it goes.
    at: TimelinePoint,
    /// Whether there may be more behind that.
    left: bool,
}

/// A place and the event there.
type Entry = (TimelinePoint, RelationRow);

impl Shared {
    async fn relations_page(
        &self,
        mut entered: Entered<'_>,
        request: &RelationsRequest,
    ) -> Result<Relations, ViewError> {
        let (parent, _) = find(&mut entered, &self.facts, &request.event_id).await?;
        let from = match &request.from {
            Some(token) => self.point(&entered.view, token).await?,
            None => near_end(request.direction),
        };
        let to = match &request.to {
            Some(token) => self.point(&entered.view, token).await?,
            None => far_end(request.direction),
        };
        let limit = usize::try_from(request.limit.unwrap_or(RELATIONS_DEFAULT));
        let mut page = Page {
            limit: limit.unwrap_or(RELATIONS_MAX).clamp(1, RELATIONS_MAX),
            events: Vec::new(),
            at: from,
            left: true,
        };
        if request.recurse {
            let all = descendants(&entered, request, parent.hash()).await?;
            let entries = between(all, request.direction, from, to);
            page.left = self.take(&mut entered, request, &mut page, entries).await?;
        } else {
            self.walk(&mut entered, request, &mut page, (parent.hash(), to))
                .await?;
        }
        let style = Style::full(self.now_ms());
        let Entered { view, eyes, .. } = &mut entered;
        Ok(Relations {
            chunk: presentation::timeline(view, &self.facts, eyes, style, &page.events).await?,
            next_batch: page.left.then(|| self.tokens.timeline(page.at)),
            prev_batch: request.from.clone(),
            recursion_depth: request.recurse.then_some(RECURSION_DEPTH),
        })
    }

    async fn walk(
        &self,
        entered: &mut Entered<'_>,
        request: &RelationsRequest,
        page: &mut Page,
        (parent, to): (EventHash, TimelinePoint),
    ) -> Result<(), Fault> {
        let mut looked_at = 0;
        while looked_at < SCAN_MAX {
            let (range, direction) = match request.direction {
                Direction::Backward => ((to, page.at), belfry_data::Direction::Backward),
                Direction::Forward => ((page.at, to), belfry_data::Direction::Forward),
            };
            let rel_type = request.rel_type.as_deref();
            // One more than fits tells whether there is more.
            let count = (page.limit - page.events.len() + 1).min(READ_MAX);
            let read = entered
                .view
                .reader
                .relations(parent, rel_type, range, direction, count)
                .await?;
            looked_at += read.entries.len();
            let left = self.take(entered, request, page, read.entries).await?;
            if left || !read.more {
                page.left = left;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes entries until the page is full; whether some were left.
    async fn take(
        &self,
        entered: &mut Entered<'_>,
        request: &RelationsRequest,
        page: &mut Page,
        entries: Vec<Entry>,
    ) -> Result<bool, Fault> {
        let wanted = |row: &RelationRow| {
            let wanted = request.event_type.as_deref();
            wanted.is_none_or(|wanted| *row.event_type == *wanted)
        };
        let hashes = entries.iter().filter(|(_, row)| wanted(row));
        let hashes: Vec<_> = hashes.map(|(_, row)| row.event).collect();
        let Entered { view, eyes, .. } = entered;
        let events = view.events(&hashes).await?;
        let sights = eyes.look(view, &self.facts, &events).await?;
        let told = events.into_iter().zip(sights).filter(|(event, sight)| {
            // A redacted event relates to nothing any more.
            let related = event.redacted_by().is_none();
            sight.visible && related && !eyes.ignored().hides(&event.pdu)
        });
        let mut told: BTreeMap<_, _> = told.map(|one| (one.0.hash(), one)).collect();
        for (place, row) in entries {
            let event = told.remove(&row.event);
            if event.is_some() && page.events.len() >= page.limit {
                return Ok(true);
            }
            page.events.extend(event);
            page.at = match request.direction {
                Direction::Forward => place,
                Direction::Backward => TimelinePoint {
                    stamp: before(place.stamp),
                    ..place
                },
            };
        }
        Ok(false)
    }
}

/// What relates to an event, and to what relates to it, and so on.
async fn descendants(
    entered: &Entered<'_>,
    request: &RelationsRequest,
    parent: EventHash,
) -> Result<BTreeMap<TimelinePoint, RelationRow>, Fault> {
    let mut all = BTreeMap::new();
    let mut known = BTreeSet::from([parent]);
    let mut parents = vec![parent];
    for _ in 0..RECURSION_DEPTH {
        let mut children = Vec::new();
        for parents in parents.chunks(PARENTS_AT_ONCE) {
            let left = RECURSED_MAX.saturating_sub(all.len());
            if left == 0 {
                return Ok(all);
            }
            let reader = &entered.view.reader;
            let rel_type = request.rel_type.as_deref();
            let limit = (left / parents.len()).max(1);
            let pages = reader.relations_of_many(parents, rel_type, limit).await?;
            let rows = pages.into_iter().flat_map(|page| page.entries);
            let wanted = request.event_type.as_deref();
            let rows = rows.filter(|(_, row)| wanted.is_none_or(|it| *row.event_type == *it));
            for (place, row) in rows.take(left) {
                if known.insert(row.event) {
                    children.push(row.event);
                    all.insert(place, row);
                }
            }
        }
        parents = children;
        if parents.is_empty() {
            break;
        }
    }
    Ok(all)
}

/// The entries between two places, in the direction asked.
fn between(
    all: BTreeMap<TimelinePoint, RelationRow>,
    direction: Direction,
    from: TimelinePoint,
    to: TimelinePoint,
) -> Vec<Entry> {
    let (after, until) = match direction {
        Direction::Forward => (from, to),
        Direction::Backward => (to, from),
    };
    let entries = all.into_iter();
    let mut entries: Vec<_> = entries
        .filter(|(place, _)| *place > after && *place <= until)
        .collect();
    if direction == Direction::Backward {
        entries.reverse();
    }
    entries
}
