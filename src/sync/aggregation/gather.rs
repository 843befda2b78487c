//! Reading what is to be bundled: counters first, then what they point at, then those events.
//!
//! It knows nothing of how bundles are written.

use std::collections::{BTreeMap, BTreeSet};

use belfry_event::EventHash;

use super::{Aggregations, REFERENCES_MAX, REFERENCES_PER_PAGE_MAX, thread::Threads};
use crate::{
    erasure::cover, error::Fault, event::RoomEvent, facts::Facts, relation::Relation,
    room_view::RoomView, sight::Eyes,
};

const REPLACE: &str = "m.replace";
const REFERENCE: &str = "m.reference";
pub(super) const THREAD: &str = "m.thread";

/// Events asked about at once: three counters each.
const EVENTS_AT_ONCE: usize = 1_000;

/// Events that something relates to, by how.
#[derive(Default)]
struct Wanted<'e> {
    edited: Vec<&'e RoomEvent>,
    referred: Vec<EventHash>,
    threads: Vec<(&'e RoomEvent, i64)>,
}

impl Aggregations {
    /// Adds what relates to these events.
    pub(super) async fn add(
        &mut self,
        view: &mut RoomView<'_>,
        facts: &Facts,
        eyes: &Eyes,
        events: &[&RoomEvent],
        threads: bool,
    ) -> Result<(), Fault> {
        for events in events.chunks(EVENTS_AT_ONCE) {
            let wanted = wanted(view, events, threads).await?;
            let edits = edits(view, &wanted.edited).await?;
            let references = references(view, &wanted.referred).await?;
            let threads = Threads::read(view, eyes, &wanted.threads).await?;
            let named = edits.iter().map(|(_, edit)| *edit);
            let named = named.chain(references.values().flatten().copied());
            let named = named.chain(threads.latest()).collect();
            self.look(view, facts, eyes, &named).await?;
            self.put_edits(edits);
            self.put_references(references);
            self.put_threads(view, facts, eyes, threads).await?;
        }
        Ok(())
    }

    /// Keeps those of these events that may be told.
    pub(super) async fn look(
        &mut self,
        view: &mut RoomView<'_>,
        facts: &Facts,
        eyes: &Eyes,
        named: &BTreeSet<EventHash>,
    ) -> Result<(), Fault> {
        let unknown = named.iter().filter(|hash| !self.events.contains_key(hash));
        let unknown: Vec<_> = unknown.copied().collect();
        let events = view.events(&unknown).await?;
        let sights = eyes.look(view, facts, &events).await?;
        let seen = events.into_iter().zip(sights);
        let seen: Vec<_> = seen.filter(|(_, sight)| sight.visible).collect();
        let covered = cover(view, eyes, &seen).await?;
        let seen = seen.into_iter().enumerate();
        // What is not to be read is no news of an event.
        let seen = seen.filter(|(place, _)| !covered.contains_key(place));
        let seen = seen.map(|(_, (event, _))| event);
        let told = seen.filter(|event| {
            event.redacted_by().is_none() && !eyes.ignored().holds(event.pdu.sender())
        });
        self.events.extend(told.map(|event| (event.hash(), event)));
        Ok(())
    }

    fn put_edits(&mut self, edits: Vec<(EventHash, EventHash)>) {
        for (event, edit) in edits {
            if self.events.contains_key(&edit) {
                self.bundles.entry(event).or_default().edit = Some(edit);
            }
        }
    }

    fn put_references(&mut self, references: BTreeMap<EventHash, Vec<EventHash>>) {
        for (event, mut referring) in references {
            referring.retain(|hash| self.events.contains_key(hash));
            if !referring.is_empty() {
                self.bundles.entry(event).or_default().references = referring;
            }
        }
    }
}

async fn wanted<'e>(
    view: &RoomView<'_>,
    events: &[&'e RoomEvent],
    threads: bool,
) -> Result<Wanted<'e>, Fault> {
    // State events have nothing bundled.
    let messages = events
        .iter()
        .filter(|event| event.pdu.state_key().is_none());
    let messages: Vec<_> = messages.copied().collect();
    let kinds = [REPLACE, REFERENCE, THREAD];
    let asked: Vec<_> = messages
        .iter()
        .flat_map(|event| kinds.map(|kind| (event.hash(), Some(kind), None)))
        .collect();
    let mut wanted = Wanted::default();
    if asked.is_empty() {
        return Ok(wanted);
    }
    let counts = view.reader.relation_counts(&asked).await?;
    for (event, counts) in messages.into_iter().zip(counts.chunks_exact(kinds.len())) {
        if counts[0] > 0 && may_be_edited(event) {
            wanted.edited.push(event);
        }
        if counts[1] > 0 {
            wanted.referred.push(event.hash());
        }
        if threads && counts[2] > 0 {
            wanted.threads.push((event, counts[2]));
        }
    }
    Ok(wanted)
}

/// Neither what was redacted nor an edit has edits (Client-Server API, "Validity of replacement
/// events").
fn may_be_edited(event: &RoomEvent) -> bool {
    let is_edit = Relation::of(&event.pdu).is_some_and(|relation| relation.rel_type == REPLACE);
    event.redacted_by().is_none() && !is_edit
}

/// Each event with its latest edit.
async fn edits(
    view: &RoomView<'_>,
    events: &[&RoomEvent],
) -> Result<Vec<(EventHash, EventHash)>, Fault> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<_> = events
        .iter()
        .map(|event| {
            let event_type = event.pdu.event_type().to_string();
            (event.hash(), event.pdu.sender(), event_type)
        })
        .collect();
    let edits = view.reader.latest_edits(&asked).await?;
    let edits = events.iter().zip(edits);
    Ok(edits
        .filter_map(|(event, edit)| edit.map(|edit| (event.hash(), edit)))
        .collect())
}

async fn references(
    view: &RoomView<'_>,
    events: &[EventHash],
) -> Result<BTreeMap<EventHash, Vec<EventHash>>, Fault> {
    if events.is_empty() {
        return Ok(BTreeMap::new());
    }
    let limit = (REFERENCES_PER_PAGE_MAX / events.len()).clamp(1, REFERENCES_MAX);
    let pages = view
        .reader
        .relations_of_many(events, Some(REFERENCE), limit)
        .await?;
    let pages = events.iter().zip(pages);
    Ok(pages
        .map(|(event, page)| {
            let referring = page.entries.into_iter().map(|(_, row)| row.event);
            (*event, referring.collect())
        })
        .collect())
}
