//! The two orders in which conflicted events are replayed: reverse topological power ordering and
//! mainline ordering.
//!
//! It exists so that the orders are total and the same on every server, whatever the order of
//! arrival. The mainline is followed only as far down as the events to be ordered reach. It knows
//! nothing of states.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedEventId};
use ruma_events::TimelineEventType;
use ruma_events::room::member::MembershipState;
use ruma_events::room::power_levels::UserPowerLevel;
use ruma_state_res::events::{RoomCreateEvent, RoomMemberEvent, RoomPowerLevelsEvent};

use crate::auth;
use crate::hash::EventHash;
use crate::pdu::Pdu;
use crate::resolve::{ResolveError, Wanted};
use crate::resolve_gathered::Gathered;

/// Whether an event might take a power from someone (room versions, "Definitions").
///
/// `m.room.create` is none by the text, but is treated as one everywhere.
fn is_power_event(event: &Arc<Pdu>) -> bool {
    match event.event_type() {
        TimelineEventType::RoomPowerLevels
        | TimelineEventType::RoomJoinRules
        | TimelineEventType::RoomCreate => event.state_key() == Some(""),
        TimelineEventType::RoomMember => {
            let membership = RoomMemberEvent::new(event).membership();
            let removes = matches!(
                membership,
                Ok(MembershipState::Leave | MembershipState::Ban)
            );
            removes && event.state_key() != Some(event.sender().as_str())
        }
        _ => false,
    }
}

/// The power events of `full` with what they rest on in `full`, in reverse topological power
/// ordering: the earliest first.
///
/// What a power event rests on is followed through members of `full` only, as other servers do;
/// the specification's text would also go round through events outside it.
pub(crate) fn power_ordered(
    full: &BTreeSet<EventHash>,
    gathered: &Gathered,
) -> Result<Vec<EventHash>, ResolveError> {
    let mut graph: BTreeMap<EventHash, Vec<EventHash>> = BTreeMap::new();
    let mut open = Vec::new();
    for hash in full {
        if is_power_event(gathered.event(*hash)?) {
            open.push(*hash);
        }
    }
    while let Some(hash) = open.pop() {
        if graph.contains_key(&hash) {
            continue;
        }
        let cited = gathered.event(hash)?.auth_hashes().iter().copied();
        let cited: Vec<_> = cited
            .filter(|auth_event| full.contains(auth_event))
            .collect();
        open.extend(&cited);
        graph.insert(hash, cited);
    }
    sort_topologically(&graph, gathered)
}

/// Of two events that may both come next, the least comes first.
type Rank = (
    Reverse<UserPowerLevel>,
    MilliSecondsSinceUnixEpoch,
    OwnedEventId,
    EventHash,
);

fn sort_topologically(
    graph: &BTreeMap<EventHash, Vec<EventHash>>,
    gathered: &Gathered,
) -> Result<Vec<EventHash>, ResolveError> {
    let mut levels = SenderLevels {
        gathered,
        parsed: BTreeMap::new(),
    };
    let mut waiting: BTreeMap<EventHash, usize> = BTreeMap::new();
    let mut citers: BTreeMap<EventHash, Vec<EventHash>> = BTreeMap::new();
    let mut ready: BinaryHeap<Reverse<Rank>> = BinaryHeap::new();
    for (hash, cited) in graph {
        // One event may be cited twice over; it is waited for once.
        let cited: BTreeSet<_> = cited.iter().copied().collect();
        if cited.is_empty() {
            ready.push(Reverse(levels.rank(*hash)?));
        }
        waiting.insert(*hash, cited.len());
        for auth_event in cited {
            citers.entry(auth_event).or_default().push(*hash);
        }
    }
    let mut sorted = Vec::with_capacity(graph.len());
    while let Some(Reverse((_, _, _, hash))) = ready.pop() {
        sorted.push(hash);
        for citer in citers.get(&hash).into_iter().flatten() {
            let Some(left) = waiting.get_mut(citer) else {
                continue;
            };
            *left = left.saturating_sub(1);
            if *left == 0 {
                ready.push(Reverse(levels.rank(*citer)?));
            }
        }
    }
    Ok(sorted)
}

/// Power levels of senders by their events' own auth events, each power levels event parsed once.
struct SenderLevels<'a> {
    gathered: &'a Gathered,
    parsed: BTreeMap<EventHash, RoomPowerLevelsEvent<Arc<Pdu>>>,
}

impl SenderLevels<'_> {
    fn rank(&mut self, hash: EventHash) -> Result<Rank, ResolveError> {
        let event = self.gathered.event(hash)?;
        let level = self.level(event)?;
        Ok((
            Reverse(level),
            event.origin_server_ts(),
            event.event_id().clone(),
            hash,
        ))
    }

    fn level(&mut self, event: &Arc<Pdu>) -> Result<UserPowerLevel, ResolveError> {
        let unreadable = |reason| ResolveError::Unreadable {
            event: event.hash(),
            reason,
        };
        let levels = self
            .gathered
            .cited(event, &TimelineEventType::RoomPowerLevels)?
            .map(|event| {
                let parsed = self.parsed.entry(event.hash());
                &*parsed.or_insert_with(|| RoomPowerLevelsEvent::new(Arc::clone(event)))
            });
        let create = match auth::create_by_room_id(event) {
            Some(create) => Some(self.gathered.event(create)?),
            None => self.gathered.cited(event, &TimelineEventType::RoomCreate)?,
        };
        let Some(create) = create else {
            // Only the create event cites none, and nothing competes with it.
            return Ok(UserPowerLevel::Int(0.into()));
        };
        let create = RoomCreateEvent::new(Arc::clone(create));
        auth::sender_power(event, &create, levels).map_err(unreadable)
    }
}

/// The mainline ordering of events, in the making.
#[derive(Debug)]
pub(crate) struct Mainline {
    remaining: Vec<EventHash>,
    /// Where each event of the mainline stands, 0 being the most recent.
    positions: BTreeMap<EventHash, usize>,
    /// The event that the mainline goes on with; `None` after its last.
    tail: Option<EventHash>,
    /// The auth depth of the last of the mainline so far.
    lowest: Option<u64>,
    /// Power levels events that the chains of events have come to, deepest last.
    heads: BTreeSet<(u64, EventHash)>,
    /// Power levels events and the ones they cite in turn.
    previous: BTreeMap<EventHash, Option<EventHash>>,
    started: bool,
}

impl Mainline {
    /// To order `remaining` by the mainline of `power_levels`.
    pub(crate) fn new(remaining: Vec<EventHash>, power_levels: Option<EventHash>) -> Self {
        Self {
            remaining,
            positions: BTreeMap::new(),
            tail: power_levels,
            lowest: None,
            heads: BTreeSet::new(),
            previous: BTreeMap::new(),
            started: false,
        }
    }

    /// Follows the chains as far as what is loaded allows; answers with what is missing, nothing
    /// once every position is known.
    pub(crate) fn advance(&mut self, gathered: &Gathered) -> Result<Wanted, ResolveError> {
        if !self.started {
            let starts = self.starts(gathered)?;
            let wanted = missing(starts.iter().chain(&self.tail), gathered)?;
            if !wanted.is_empty() {
                return Ok(wanted);
            }
            self.heads = starts
                .iter()
                .filter_map(|hash| Some((gathered.depth(*hash)?, *hash)))
                .collect();
            self.started = true;
        }
        while let Some((depth, head)) = self.heads.last().copied() {
            // The mainline down to here decides whether the chain has met it.
            let reached = |tail: &EventHash| gathered.depth(*tail).is_none_or(|tail| tail >= depth);
            let tail = self.tail.filter(reached);
            if tail.is_none() && (self.positions.contains_key(&head) || self.is_over(depth)) {
                self.heads.remove(&(depth, head));
                continue;
            }
            let followed = tail.unwrap_or(head);
            let wanted = missing([&followed], gathered)?;
            if !wanted.is_empty() {
                return Ok(wanted);
            }
            let previous = previous(followed, gathered)?;
            let wanted = missing(&previous, gathered)?;
            if !wanted.is_empty() {
                return Ok(wanted);
            }
            self.follow(followed, previous, tail.is_some(), gathered)?;
        }
        Ok(Wanted::default())
    }

    /// Whether the mainline has nothing at this depth or below, so that no chain from there meets
    /// it.
    fn is_over(&self, depth: u64) -> bool {
        self.tail.is_none() && self.lowest.is_none_or(|lowest| depth < lowest)
    }

    fn follow(
        &mut self,
        followed: EventHash,
        previous: Option<EventHash>,
        is_mainline: bool,
        gathered: &Gathered,
    ) -> Result<(), ResolveError> {
        let depth = gathered.depth(followed);
        if let Some(previous) = previous
            && gathered.depth(previous) >= depth
        {
            return Err(ResolveError::DepthWrong(followed));
        }
        if is_mainline {
            self.positions.insert(followed, self.positions.len());
            self.lowest = depth;
            self.tail = previous;
            return Ok(());
        }
        self.heads.remove(&(depth.unwrap_or(0), followed));
        self.previous.insert(followed, previous);
        if let Some(previous) = previous {
            self.heads
                .insert((gathered.depth(previous).unwrap_or(0), previous));
        }
        Ok(())
    }

    fn starts(&self, gathered: &Gathered) -> Result<BTreeSet<EventHash>, ResolveError> {
        let mut starts = BTreeSet::new();
        for hash in &self.remaining {
            starts.extend(previous(*hash, gathered)?);
        }
        Ok(starts)
    }

    /// The events in mainline ordering, once [`Self::advance`] wants nothing more.
    pub(crate) fn finish(self, gathered: &Gathered) -> Result<Vec<EventHash>, ResolveError> {
        let mut ranked = Vec::with_capacity(self.remaining.len());
        for hash in &self.remaining {
            let event = gathered.event(*hash)?;
            let position = self.position(previous(*hash, gathered)?);
            ranked.push((
                Reverse(position),
                event.origin_server_ts(),
                event.event_id(),
                *hash,
            ));
        }
        ranked.sort_unstable();
        Ok(ranked.into_iter().map(|(_, _, _, hash)| hash).collect())
    }

    /// The mainline position of an event that cites the power levels `start`; the greatest number
    /// for one whose chain never meets the mainline.
    fn position(&self, start: Option<EventHash>) -> usize {
        let mut at = start;
        while let Some(hash) = at {
            if let Some(position) = self.positions.get(&hash) {
                return *position;
            }
            at = self.previous.get(&hash).copied().flatten();
        }
        usize::MAX
    }
}

/// The power levels event that an event cites.
fn previous(hash: EventHash, gathered: &Gathered) -> Result<Option<EventHash>, ResolveError> {
    let event = gathered.event(hash)?;
    Ok(gathered
        .cited(event, &TimelineEventType::RoomPowerLevels)?
        .map(|event| event.hash()))
}

/// What is missing to follow power levels events one further: each, its depth, what it cites.
fn missing<'a>(
    hashes: impl IntoIterator<Item = &'a EventHash>,
    gathered: &Gathered,
) -> Result<Wanted, ResolveError> {
    let mut wanted = Wanted::default();
    for hash in hashes {
        if gathered.depth(*hash).is_none() {
            wanted.edges.push(*hash);
        }
        if !gathered.has_event(*hash) {
            wanted.events.push(*hash);
            continue;
        }
        let cited = gathered.event(*hash)?.auth_hashes().iter();
        wanted
            .events
            .extend(cited.filter(|auth_event| !gathered.has_event(**auth_event)));
    }
    wanted.events.sort_unstable();
    wanted.events.dedup();
    wanted.edges.sort_unstable();
    wanted.edges.dedup();
    Ok(wanted)
}
