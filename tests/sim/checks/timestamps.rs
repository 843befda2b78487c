//! Timestamps: an event says the time that the wall clock showed while it was asked for.
//!
//! The wall clock jumps, years ahead or a day back (a dead battery, a wrong time server). Once it
//! is right again, so are new events: people sort by these times, and certificates and keys are
//! judged by them.

use std::collections::BTreeMap;

use ruma_common::RoomId;

use super::{Evidence, Voice};
use crate::history::{History, Op};
use crate::view::Logged;

/// How far an event may be off: events of one moment may be told apart by a millisecond each.
const SLACK_MS: u64 = 100;

pub(crate) fn check(evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    let ops = evidence.history.ops.iter();
    let by_mark: BTreeMap<_, _> = ops.map(|op| (op.mark.as_str(), op)).collect();
    for (id, room) in &evidence.view.rooms {
        // Of those that a room is created with, its name alone has the mark.
        let first = room.log.first().map(|event| event.stamp.position);
        let founding = |event: &&Logged| Some(event.stamp.position) == first;
        let name = room.log.iter().take_while(founding);
        let mut name = name.filter_map(|event| event.mark.as_deref());
        let name = name.next();
        for event in &room.log {
            let founding = name.filter(|_| Some(event.stamp.position) == first);
            let mark = event.mark.as_deref().or(founding);
            if let Some(op) = mark.and_then(|mark| by_mark.get(mark)) {
                right(id, event, op, evidence, voice);
            }
        }
    }
}

fn right(id: &RoomId, event: &Logged, op: &Op, evidence: &Evidence<'_>, voice: &mut Voice<'_>) {
    let (earliest, latest) = shown(evidence.history, op, evidence.wall_ms);
    let said: u64 = event.pdu.origin_server_ts().get().into();
    let received = event.stored.row.received_ts;
    let possible = earliest.saturating_sub(SLACK_MS)..=latest + SLACK_MS;
    voice.expect(
        possible.contains(&said) && possible.contains(&received),
        || {
            format!(
                "{id}: {}: {:?} says {said}, received {received}; the clock showed {earliest} to \
             {latest}",
                op.mark,
                event.pdu.hash()
            )
        },
    );
}

/// The earliest and the latest time that the wall clock showed while the op was asked for.
fn shown(history: &History, op: &Op, now_ms: u64) -> (u64, u64) {
    let began = op.asks.first().map_or(0, |ask| ask.began);
    let times = op.asks.iter().map(|ask| ask.wall_ms);
    let steps = history.steps.iter().filter(|step| step.moment > began);
    let steps = steps.flat_map(|step| [step.before_ms, step.after_ms]);
    let times = times.chain(steps).chain([now_ms]);
    let (mut earliest, mut latest) = (u64::MAX, 0);
    for time in times {
        earliest = earliest.min(time);
        latest = latest.max(time);
    }
    (earliest, latest)
}
