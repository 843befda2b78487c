//! Order: every order of a room tells the same story, and none contradicts what clients saw.
//!
//! The event graph is what other servers resolve by; the logs are what clients are shown. What was
//! asked for after another thing was acknowledged comes after it, whoever asked. Positions only
//! grow, also over crashes, or a client's token would skip what came in between.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::Stamp;
use belfry_event::EventHash;
use ruma_common::RoomId;

use super::{Evidence, Voice};
use crate::history::Op;
use crate::view::{Logged, RoomView, View};

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    for (id, room) in &evidence.view.rooms {
        graph(id, room, voice);
        timeline(id, room, voice);
    }
    global(evidence.view, voice);
    real_time(evidence, voice);
    positions(evidence, voice);
}

/// That each event follows those that it names, and the head names the last ones.
fn graph(id: &RoomId, room: &RoomView, voice: &mut Voice<'_>) {
    let mut depths: BTreeMap<EventHash, i64> = BTreeMap::new();
    let mut ends: BTreeSet<EventHash> = BTreeSet::new();
    for event in &room.log {
        let (hash, pdu) = (event.pdu.hash(), &event.pdu);
        let prev: Vec<_> = pdu
            .prev_hashes()
            .iter()
            .map(|prev| depths.get(prev))
            .collect();
        let known = prev.iter().all(Option::is_some) && prev.is_empty() == pdu.is_create();
        voice.expect(known, || {
            format!("{id}: {hash:?} follows what is not before it")
        });
        let deepest = prev.into_iter().flatten().max().copied().unwrap_or(0);
        voice.expect(pdu.depth() == deepest + 1, || {
            format!(
                "{id}: {hash:?} has depth {}, not {}",
                pdu.depth(),
                deepest + 1
            )
        });
        // With one server, whose worker plans one event after the other, there are no forks.
        let all: BTreeSet<_> = pdu.prev_hashes().iter().copied().collect();
        voice.expect(all == ends, || format!("{id}: {hash:?} makes a fork"));
        ends.retain(|end| !all.contains(end));
        ends.insert(hash);
        depths.insert(hash, pdu.depth());
    }
    let ends: Vec<_> = ends.into_iter().collect();
    voice.expect(room.head.extremities == ends, || {
        format!(
            "{id}: the head names {:?}, not {ends:?}",
            room.head.extremities
        )
    });
    let deepest = depths.values().max().copied().unwrap_or(0);
    voice.expect(room.head.depth == deepest, || {
        format!("{id}: the head has depth {}", room.head.depth)
    });
}

/// That the timeline has the log's events by depth, and the rows of events their arrival.
fn timeline(id: &RoomId, room: &RoomView, voice: &mut Voice<'_>) {
    let expected = room.log.iter().map(|event| {
        let (position, hash) = (event.stamp.position, event.pdu.hash());
        (event.pdu.depth(), position, hash)
    });
    let mut expected: Vec<_> = expected.collect();
    expected.sort_by_key(|(depth, position, _)| (*depth, *position));
    let found = room.timeline.iter();
    let found: Vec<_> = found
        .map(|(point, hash)| (point.depth, point.stamp.position, *hash))
        .collect();
    voice.expect(found == expected, || {
        format!("{id}: the timeline is not the log by depth")
    });
    let last = room.log.last().map(|event| event.stamp.position);
    let tail = room.tail.map(|stamp| stamp.position);
    voice.expect(tail == last, || format!("{id}: the tail is not the end"));
    for event in &room.log {
        let arrived = event.stored.stamp.position == event.stamp.position;
        voice.expect(arrived, || {
            format!("{id}: {:?} has another arrival", event.pdu.hash())
        });
    }
}

/// That the server's log has all rooms' events, each once.
fn global(view: &View, voice: &mut Voice<'_>) {
    let mut expected: Vec<_> = view
        .events()
        .map(|(room, event)| (event.stamp.position, room.clone(), event.pdu.hash()))
        .collect();
    let found = view.global.iter();
    let mut found: Vec<_> = found
        .map(|(stamp, room, event)| (stamp.position, room.clone(), *event))
        .collect();
    expected.sort();
    found.sort();
    voice.expect(found == expected, || {
        let (found, expected) = (found.len(), expected.len());
        format!("the server's log has {found} entries, rooms {expected}, or others")
    });
}

/// That what was asked for after something was acknowledged stands behind it.
fn real_time(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    let stamps: BTreeMap<_, _> = evidence
        .view
        .events()
        .map(|(room, event)| (event.pdu.event_id().clone(), (room, event)))
        .collect();
    let ops = evidence.history.ops.iter();
    let asked: BTreeMap<_, _> = ops.map(|op| (op.mark.as_str(), begin(op))).collect();
    for (id, room) in &evidence.view.rooms {
        let mut acknowledged: Vec<(u64, Stamp)> = Vec::new();
        for (moment, event) in evidence.history.ops.iter().flat_map(Op::events) {
            if let Some((_, logged)) = stamps.get(event).filter(|(of, _)| *of == id) {
                acknowledged.push((moment, logged.stamp));
            }
        }
        acknowledged.sort_unstable();
        overtaken(id, room, &acknowledged, &asked, voice);
    }
}

fn begin(op: &Op) -> u64 {
    op.asks.first().map_or(u64::MAX, |ask| ask.began)
}

fn overtaken(
    id: &RoomId,
    room: &RoomView,
    acknowledged: &[(u64, Stamp)],
    asked: &BTreeMap<&str, u64>,
    voice: &mut Voice<'_>,
) {
    // The greatest stamp acknowledged up to each entry.
    let mut greatest = Stamp::default();
    let sweep: Vec<_> = acknowledged
        .iter()
        .map(|(moment, stamp)| {
            greatest = greatest.max(*stamp);
            (*moment, greatest)
        })
        .collect();
    for event in &room.log {
        let Some(began) = asked_at(event, asked) else {
            continue;
        };
        let before = sweep.partition_point(|(moment, _)| *moment < began);
        let latest = before.checked_sub(1).map(|index| sweep[index].1);
        let behind = latest.is_none_or(|latest| latest < event.stamp);
        voice.expect(behind, || {
            format!(
                "{id}: {:?} was asked for after another was acknowledged, and stands before it",
                event.pdu.hash()
            )
        });
    }
}

fn asked_at(event: &Logged, asked: &BTreeMap<&str, u64>) -> Option<u64> {
    asked.get(event.mark.as_deref()?).copied()
}

/// That positions are answered in ascending order, and new events stand behind all old ones.
fn positions(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    let mut last = evidence.position;
    for commit in evidence.commits {
        if let Ok(position) = commit.answer {
            voice.expect(last < position, || {
                format!("{position:?} was answered after {last:?}")
            });
            last = last.max(position);
        }
    }
    let before = evidence.checked.global.last().map(|(stamp, ..)| *stamp);
    let known = evidence.checked.global.len();
    let new = evidence.view.global.get(known..).unwrap_or_default();
    let behind = new.iter().all(|(stamp, ..)| Some(*stamp) > before);
    voice.expect(behind, || "an event arrived before an older one".to_owned());
}
