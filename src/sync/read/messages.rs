//! `GET /rooms/{roomId}/messages`: history, a page at a time, in either direction.
//!
//! Pages go by the room's timeline (depth, then arrival), so that events which came late stand where
//! they belong. A page ends at a gap: an event before which this server misses others. Whoever can
//! fetch these does so and asks again; whoever cannot goes on behind the gap with the page's `end`.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{GET_MANY_KEYS_MAX, OrderPage, TimelinePoint};
use belfry_event::EventHash;
use ruma_common::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use super::access::{Access, Entered, enter, is_open};
use crate::{
    error::{Fault, ViewError},
    event::RoomEvent,
    filter::RoomEventFilter,
    ignored::Ignored,
    json::{EventList, Object},
    presentation::{self, Style},
    room_view::RoomView,
    sight::{Sight, member_tuple},
    token::Place,
    views::{Shared, Views},
    window::{behind, gaps},
};

/// Most events of a page.
pub const PAGE_EVENTS_MAX: usize = 1_000;
/// Events of a page, if the client does not say.
const PAGE_EVENTS_DEFAULT: u64 = 10;
/// Events looked at for one page; the page's `end` goes on from there.
const SCAN_MAX: usize = 2_000;
/// Events read at once, at least: filters and visibility let some of them through.
const READ_MIN: usize = 20;
/// Events read at once, at most.
const READ_MAX: usize = 500;

/// Which way a page goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Back in time, newest first.
    Backward,
    /// Oldest first.
    Forward,
}

/// A request for a page.
#[derive(Debug, Clone)]
pub struct MessagesRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// On which device: it is told its own transaction IDs.
    pub device_id: Option<OwnedDeviceId>,
    /// Which room.
    pub room_id: OwnedRoomId,
    /// Where the page begins: any token. Without one at the end that the direction leads away from.
    pub from: Option<String>,
    /// Where the page ends at the latest: any token.
    pub to: Option<String>,
    /// Which way it goes.
    pub direction: Direction,
    /// How many events, at most [`PAGE_EVENTS_MAX`]; 10 without.
    pub limit: Option<u64>,
    /// Which events.
    pub filter: RoomEventFilter,
}

/// A page.
#[derive(Debug, Clone)]
pub struct Messages {
    /// The token of the place where it begins.
    pub start: String,
    /// The token to go on with; `None` if there is nothing more.
    pub end: Option<String>,
    /// The events.
    pub chunk: EventList,
    /// The member events of their senders, if the filter loads members lazily.
    pub state: EventList,
    /// If it ends at a gap, its depth: events before the last one are missing on this server.
    pub gap: Option<i64>,
}

impl Messages {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.string("start", &self.start);
        if let Some(end) = &self.end {
            object.string("end", end);
        }
        object.list("chunk", &self.chunk);
        if !self.state.is_empty() {
            object.list("state", &self.state);
        }
        object.end();
        out
    }
}

impl Views {
    /// A page of a room's history, as far as the user may see it.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn messages(&self, request: &MessagesRequest) -> Result<Messages, ViewError> {
        let shared = &*self.0;
        let page = shared.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let mut entered = enter(snapshot, &request.user_id, &request.room_id).await?;
            let ignored = Ignored::of(snapshot, &request.user_id).await?;
            entered.eyes = entered.eyes.ignoring(ignored.clone());
            entered.eyes = entered.eyes.on(request.device_id.as_deref());
            shared.page(entered, ignored, request).await
        });
        page.await
    }
}

impl Shared {
    async fn page(
        &self,
        mut entered: Entered<'_>,
        ignored: Ignored,
        request: &MessagesRequest,
    ) -> Result<Messages, ViewError> {
        let direction = request.direction;
        let from = match &request.from {
            Some(token) => self.point(&entered.view, token).await?,
            None => first_point(&mut entered, direction).await?,
        };
        let to = match &request.to {
            Some(token) => self.point(&entered.view, token).await?,
            None => far_end(direction),
        };
        let limit = request.limit.unwrap_or(PAGE_EVENTS_DEFAULT);
        let limit = usize::try_from(limit).unwrap_or(PAGE_EVENTS_MAX);
        let mut walk = Walk::new(self, &mut entered, &request.filter, &ignored);
        walk.direction = direction;
        walk.at = from;
        walk.limit = limit.min(PAGE_EVENTS_MAX);
        if request.filter.wants_room(&request.room_id) {
            walk.run(to).await?;
        }
        let (events, at, left, at_gap) = (walk.events, walk.at, walk.left, walk.at_gap);
        let state = self.senders(&mut entered, &request.filter, &events).await?;
        let Entered { view, eyes, .. } = &mut entered;
        let style = Style::full(self.now_ms());
        Ok(Messages {
            start: match &request.from {
                Some(token) => token.clone(),
                None => self.tokens.timeline(from),
            },
            end: left.then(|| self.tokens.timeline(at)),
            chunk: presentation::timeline(view, &self.facts, eyes, style, &events).await?,
            state,
            gap: at_gap.then_some(at.depth),
        })
    }

    /// The place in the room's timeline that a token names.
    pub(crate) async fn point(
        &self,
        view: &RoomView<'_>,
        token: &str,
    ) -> Result<TimelinePoint, ViewError> {
        let stamp = match self.tokens.place(token)? {
            Place::Timeline(point) => return Ok(point),
            Place::Sync(stamp) => stamp,
        };
        let direction = belfry_data::Direction::Backward;
        let page = view
            .reader
            .log(belfry_data::STAMP_FIRST, stamp, direction, 1)
            .await?;
        let last: Vec<_> = page.entries.into_iter().map(|(_, event)| event).collect();
        let events = view.events(&last).await?;
        Ok(events.first().map_or(TimelinePoint::FIRST, behind))
    }

    /// The senders' member events, each as of the first event of theirs on the page.
    pub(crate) async fn senders(
        &self,
        entered: &mut Entered<'_>,
        filter: &RoomEventFilter,
        events: &[(RoomEvent, Sight)],
    ) -> Result<EventList, Fault> {
        if !filter.lazy_load_members {
            return Ok(EventList::default());
        }
        let mut asked = BTreeMap::new();
        for (event, _) in events {
            let sender = event.pdu.sender();
            let key = (event.state_before(), member_tuple(sender)?);
            asked.entry(sender.to_owned()).or_insert(key);
        }
        let asked: Vec<_> = asked.into_values().collect();
        let Entered { view, eyes, .. } = entered;
        let found = view.lookup(&asked).await?;
        let found: BTreeSet<EventHash> = found.into_iter().flatten().collect();
        let found: Vec<_> = found.into_iter().collect();
        let style = Style::full(self.now_ms());
        presentation::state(view, &self.facts, eyes, style, &found, |_| true).await
    }
}

/// Where a page begins without a token: for a former member at the end of their stay, as long as the
/// room is not open to the world.
async fn first_point(
    entered: &mut Entered<'_>,
    direction: Direction,
) -> Result<TimelinePoint, Fault> {
    if direction == Direction::Forward {
        return Ok(TimelinePoint::FIRST);
    }
    let departure = match entered.access {
        Access::Former(departure) => departure,
        Access::Member | Access::Passer => return Ok(TimelinePoint::LAST),
    };
    if is_open(&mut entered.view).await? {
        return Ok(TimelinePoint::LAST);
    }
    Ok(departure)
}

/// Where a walk begins, if nobody says.
pub(super) fn near_end(direction: Direction) -> TimelinePoint {
    match direction {
        Direction::Backward => TimelinePoint::LAST,
        Direction::Forward => TimelinePoint::FIRST,
    }
}

/// Where it ends.
pub(super) fn far_end(direction: Direction) -> TimelinePoint {
    match direction {
        Direction::Backward => TimelinePoint::FIRST,
        Direction::Forward => TimelinePoint::LAST,
    }
}

/// What a walk found.
pub(super) struct Stretch {
    pub(super) events: Vec<(RoomEvent, Sight)>,
    /// How far it goes.
    pub(super) end: TimelinePoint,
    /// If it ends at a gap, its depth.
    pub(super) gap: Option<i64>,
}

/// A walk along the timeline.
pub(super) struct Walk<'w, 's> {
    shared: &'w Shared,
    entered: &'w mut Entered<'s>,
    filter: &'w RoomEventFilter,
    ignored: &'w Ignored,
    direction: Direction,
    limit: usize,
    /// Those to be shown.
    events: Vec<(RoomEvent, Sight)>,
    /// How far the walk came.
    at: TimelinePoint,
    /// Whether there may be more.
    left: bool,
    at_gap: bool,
}

/// What becomes of the walk after an event.
enum Step {
    On,
    /// It ends behind this event.
    Stop,
    /// It ends before this event, which the next page begins with.
    Refuse,
}

impl<'w, 's> Walk<'w, 's> {
    pub(super) fn new(
        shared: &'w Shared,
        entered: &'w mut Entered<'s>,
        filter: &'w RoomEventFilter,
        ignored: &'w Ignored,
    ) -> Self {
        Self {
            shared,
            entered,
            filter,
            ignored,
            direction: Direction::Backward,
            limit: 0,
            events: Vec::new(),
            at: TimelinePoint::LAST,
            left: true,
            at_gap: false,
        }
    }

    /// Up to `limit` events from a place on, and how far that goes.
    pub(super) async fn around(
        mut self,
        direction: Direction,
        from: TimelinePoint,
        limit: usize,
    ) -> Result<Stretch, Fault> {
        self.direction = direction;
        self.at = from;
        self.limit = limit;
        self.run(far_end(direction)).await?;
        Ok(Stretch {
            gap: self.at_gap.then_some(self.at.depth),
            events: self.events,
            end: self.at,
        })
    }

    /// Walks towards `to` until the page is full, the history ends, or a gap is met.
    async fn run(&mut self, to: TimelinePoint) -> Result<(), Fault> {
        if self.limit == 0 {
            return Ok(());
        }
        let mut looked_at = 0;
        while looked_at < SCAN_MAX {
            let missing = self.limit.saturating_sub(self.events.len());
            let page = self.read(to, missing.clamp(READ_MIN, READ_MAX)).await?;
            let hashes: Vec<_> = page.entries.iter().map(|(_, event)| *event).collect();
            let Entered { view, eyes, .. } = &mut *self.entered;
            let events = view.events(&hashes).await?;
            let sights = eyes.look(view, &self.shared.facts, &events).await?;
            let gaps = gaps(view, &self.shared.server_name, &events).await?;
            let related = related(view, self.filter, &events).await?;
            looked_at += events.len();
            let last = page.entries.last().map(|(place, _)| *place);
            let places = page.entries.iter().map(|(place, _)| *place);
            let told = sights
                .into_iter()
                .zip(related)
                .map(|(sight, related)| Sight {
                    visible: sight.visible && related,
                    ..sight
                });
            for (place, (event, sight)) in places.zip(events.into_iter().zip(told)) {
                let passed = self.past(place, event.point());
                let step = self.step(event, sight, &gaps);
                if matches!(step, Step::Refuse) {
                    return Ok(());
                }
                self.at = passed;
                if matches!(step, Step::Stop) {
                    let ended = Some(place) == last && !page.more;
                    self.left = !ended || self.at_gap || self.goes_on();
                    return Ok(());
                }
            }
            if !page.more {
                self.left = self.goes_on();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether there may be something behind the end of the room: only what is yet to happen.
    fn goes_on(&self) -> bool {
        self.direction == Direction::Forward && !self.events.is_empty()
    }

    async fn read(
        &self,
        to: TimelinePoint,
        count: usize,
    ) -> Result<OrderPage<TimelinePoint>, Fault> {
        let reader = &self.entered.view.reader;
        Ok(match self.direction {
            Direction::Backward => {
                let direction = belfry_data::Direction::Backward;
                reader.timeline(to, self.at, direction, count).await?
            }
            Direction::Forward => {
                let direction = belfry_data::Direction::Forward;
                reader.timeline(self.at, to, direction, count).await?
            }
        })
    }

    fn step(&mut self, event: RoomEvent, sight: Sight, gaps: &BTreeSet<EventHash>) -> Step {
        let prev = event.pdu.prev_hashes();
        let below_gap = prev.iter().any(|hash| gaps.contains(hash));
        let forward = self.direction == Direction::Forward;
        if below_gap && forward && !self.events.is_empty() {
            self.at_gap = true;
            return Step::Refuse;
        }
        if sight.visible && !self.ignored.hides(&event.pdu) && self.filter.wants(&event.pdu) {
            self.events.push((event, sight));
        }
        self.at_gap = below_gap && !forward;
        if self.at_gap || self.events.len() >= self.limit {
            Step::Stop
        } else {
            Step::On
        }
    }

    /// The place that has been passed once this event was looked at: backward the event's own,
    /// before all that was written of it.
    fn past(&self, place: TimelinePoint, event: TimelinePoint) -> TimelinePoint {
        match self.direction {
            Direction::Forward => place,
            Direction::Backward => event,
        }
    }
}

/// Which of these events have the relations that the filter asks for.
pub(crate) async fn related(
    view: &RoomView<'_>,
    filter: &RoomEventFilter,
    events: &[RoomEvent],
) -> Result<Vec<bool>, Fault> {
    let Some(kinds) = filter.related_by() else {
        return Ok(vec![true; events.len()]);
    };
    let mut related = Vec::new();
    if kinds.is_empty() {
        related.resize(events.len(), false);
        return Ok(related);
    }
    for events in events.chunks(GET_MANY_KEYS_MAX / kinds.len()) {
        let asked = events.iter().flat_map(|event| {
            let kinds = kinds.iter();
            kinds.map(|(rel_type, sender)| (event.hash(), *rel_type, *sender))
        });
        let counts = view
            .reader
            .relation_counts(&asked.collect::<Vec<_>>())
            .await?;
        let counts = counts.chunks_exact(kinds.len());
        related.extend(counts.map(|counts| counts.iter().any(|count| *count > 0)));
    }
    Ok(related)
}
