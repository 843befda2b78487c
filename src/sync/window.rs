//! The newest events of a room that one reader sees, back to a place that they have seen before.
//!
//! It exists so that the timeline of `/sync` is cut in one place: by the limit, by what the reader
//! sees, at gaps in the room's history, and by how much is looked at. It knows nothing of state.

use std::collections::BTreeSet;

use belfry_data::{Direction, Root, Stamp, TimelinePoint};
use belfry_event::EventHash;
use ruma_common::ServerName;
use ruma_events::TimelineEventType;

use crate::{
    error::Fault,
    event::RoomEvent,
    facts::Facts,
    filter::RoomEventFilter,
    ignored::Ignored,
    read::related,
    room_view::RoomView,
    sight::{Eyes, Sight},
};

/// Events looked at for one room's timeline; what lies further back is left to `/messages`.
pub const WINDOW_SCAN_MAX: usize = 1_000;

/// Events read at once when a filter lets few through.
const PAGE_MAX: usize = 100;

/// What is wanted.
pub(crate) struct Query<'a> {
    /// Behind this.
    pub(crate) after: Stamp,
    /// Not behind this.
    pub(crate) until: Stamp,
    /// At most so many.
    pub(crate) limit: usize,
    pub(crate) filter: &'a RoomEventFilter,
    pub(crate) ignored: &'a Ignored,
    /// An event that is shown whatever visibility says: the reader's own departure.
    pub(crate) always: Option<EventHash>,
    /// This server, whose own events refer to nothing that is missing.
    pub(crate) local: &'a ServerName,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Oldest first.
    pub(crate) events: Vec<(RoomEvent, Sight)>,
    /// Whether there are more before them, seen or not.
    pub(crate) limited: bool,
    /// The place behind the newest event, shown or not.
    pub(crate) newest: Option<TimelinePoint>,
    /// Whether nothing was looked at, because nothing is wanted.
    pub(crate) skipped: bool,
    /// What was looked at.
    pub(crate) cut: Cut,
}

impl Window {
    /// A window that shows nothing, since nothing is wanted.
    pub(crate) fn skipped() -> Self {
        Self {
            skipped: true,
            ..Self::default()
        }
    }

    /// The state before the first event shown.
    pub(crate) fn state(&self) -> Option<Root> {
        self.events.first().map(|(event, _)| event.state_before())
    }

    /// The place that the window begins at: further back there is what it does not show.
    pub(crate) fn start(&self) -> Option<TimelinePoint> {
        let first = self.events.first().map(|(event, _)| event.point());
        first.or(self.newest)
    }
}

/// The newest part of a room's graph, cut off where the look back ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    /// Its events.
    pub(crate) events: BTreeSet<EventHash>,
    /// Events before it that its events refer to.
    pub(crate) outside: BTreeSet<EventHash>,
    /// Its oldest event's arrival, and the state before that event.
    pub(crate) oldest: Option<(Stamp, Root)>,
}

impl Cut {
    /// Takes in the event that came before.
    pub(crate) fn note(&mut self, event: &RoomEvent) {
        self.outside.remove(&event.hash());
        let prev = event.pdu.prev_hashes().iter();
        let prev = prev.filter(|hash| !self.events.contains(*hash));
        self.outside.extend(prev);
        self.events.insert(event.hash());
        self.oldest = Some((event.stamp(), event.state_before()));
    }
}

/// A look back through the log.
struct Scan<'q, 'a> {
    query: &'q Query<'a>,
    window: Window,
    /// The next event to look at is at this place or before.
    cursor: Stamp,
}

/// Looks back from `until`, until there are enough events or `after` is reached.
pub(crate) async fn window(
    view: &mut RoomView<'_>,
    facts: &Facts,
    eyes: &Eyes,
    query: &Query<'_>,
) -> Result<Window, Fault> {
    let mut scan = Scan {
        query,
        window: Window::default(),
        cursor: query.until,
    };
    let mut wanted = query.limit.saturating_add(1);
    while scan.page(view, facts, eyes, wanted).await? {
        wanted = PAGE_MAX;
    }
    let mut window = scan.window;
    window.events.reverse();
    Ok(window)
}

impl Scan<'_, '_> {
    /// Whether to go on.
    async fn page(
        &mut self,
        view: &mut RoomView<'_>,
        facts: &Facts,
        eyes: &Eyes,
        wanted: usize,
    ) -> Result<bool, Fault> {
        let page = view
            .reader
            .log(self.query.after, self.cursor, Direction::Backward, wanted)
            .await?;
        let hashes: Vec<_> = page.entries.iter().map(|(_, event)| *event).collect();
        let events = view.events(&hashes).await?;
        let sights = eyes.look(view, facts, &events).await?;
        let gaps = gaps(view, self.query.local, &events).await?;
        let related = related(view, self.query.filter, &events).await?;
        let found = events.into_iter().zip(sights).zip(related);
        for ((event, sight), related) in found {
            if !self.take(event, sight, related, &gaps) {
                return Ok(false);
            }
        }
        let Some((last, _)) = page.entries.last().filter(|_| page.more) else {
            return Ok(false);
        };
        self.cursor = before(*last);
        self.window.limited = self.window.cut.events.len() >= WINDOW_SCAN_MAX;
        Ok(!self.window.limited)
    }

    /// Whether to go on behind this event. What the reader does not see ends the window, as a gap
    /// does: a state event before it, shown behind the state, would undo one that is not shown.
    fn take(
        &mut self,
        event: RoomEvent,
        sight: Sight,
        related: bool,
        gaps: &BTreeSet<EventHash>,
    ) -> bool {
        self.window.newest.get_or_insert_with(|| behind(&event));
        let hidden = !sight.visible && self.query.always != Some(event.hash());
        let always = self.query.always == Some(event.hash());
        let wanted = !hidden && (related || always) && self.wants(&event, sight);
        if hidden || (wanted && self.window.events.len() >= self.query.limit) {
            self.window.limited = true;
            return false;
        }
        self.window.cut.note(&event);
        let at_gap = event
            .pdu
            .prev_hashes()
            .iter()
            .any(|hash| gaps.contains(hash));
        if wanted {
            self.window.events.push((event, sight));
        }
        self.window.limited = at_gap;
        !at_gap
    }

    fn wants(&self, event: &RoomEvent, sight: Sight) -> bool {
        if self.query.always == Some(event.hash()) {
            return true;
        }
        sight.visible
            && !self.query.ignored.hides(&event.pdu)
            && self.query.filter.wants(&event.pdu)
    }
}

/// Which of the events that these refer to are missing. This server's own refer to none, but for
/// those by which it came into the room.
pub(crate) async fn gaps(
    view: &RoomView<'_>,
    local: &ServerName,
    events: &[RoomEvent],
) -> Result<BTreeSet<EventHash>, Fault> {
    let here: BTreeSet<_> = events.iter().map(RoomEvent::hash).collect();
    let foreign = events.iter().filter(|event| {
        let own = event.pdu.sender().server_name() == local;
        !own || *event.pdu.event_type() == TimelineEventType::RoomMember
    });
    let prev = foreign.flat_map(|event| event.pdu.prev_hashes());
    let prev: BTreeSet<_> = prev.filter(|hash| !here.contains(*hash)).copied().collect();
    let prev: Vec<_> = prev.into_iter().collect();
    if prev.is_empty() {
        return Ok(BTreeSet::new());
    }
    let missing = view.reader.are_gaps(&prev).await?;
    let missing = prev.into_iter().zip(missing);
    Ok(missing
        .filter_map(|(hash, missing)| missing.then_some(hash))
        .collect())
}

/// The place right behind an event: nothing of its commit has the same depth.
pub(crate) fn behind(event: &RoomEvent) -> TimelinePoint {
    let mut point = event.point();
    point.stamp.ordinal = u16::MAX;
    point
}

/// The place right before this one.
pub(crate) fn before(stamp: Stamp) -> Stamp {
    match stamp.ordinal.checked_sub(1) {
        Some(ordinal) => Stamp { ordinal, ..stamp },
        None => Stamp {
            position: belfry_data::Position::new(stamp.position.number().saturating_sub(1))
                .unwrap_or_default(),
            ordinal: u16::MAX,
        },
    }
}
