//! What relates to the events of an answer, told with them (Client-Server API, "Aggregations of
//! child events"): latest edits, references, threads.
//!
//! It exists so that every answer that shows a timeline bundles the same, for a whole page in a few
//! round trips: counters tell first which events have anything to bundle, and most have not. What
//! the reader does not see, and whom they ignore, is left out. It knows nothing of how the events
//! came to be shown.

mod gather;
mod thread;

use std::collections::BTreeMap;

use belfry_event::EventHash;

use crate::{
    error::Fault,
    event::RoomEvent,
    facts::Facts,
    json::{EventList, Object, write_string},
    presentation::{Style, Unsigned},
    room_view::RoomView,
    sight::Eyes,
};

/// References of one event that are told; clients ask `/relations` for more.
pub const REFERENCES_MAX: usize = 100;
/// Referring events that are looked at for one page.
pub const REFERENCES_PER_PAGE_MAX: usize = 2_000;
/// Threads of one page whose latest event the reader does not see, so that an earlier one is looked
/// for; of others nothing is told.
pub const THREADS_WALKED_MAX: usize = 20;
/// Events of such a thread that are looked at.
pub const THREAD_STEPS_MAX: usize = 50;

/// What relates to some events, as one reader sees it.
#[derive(Debug, Default)]
pub(crate) struct Aggregations {
    bundles: BTreeMap<EventHash, Bundle>,
    /// The events that the bundles name.
    events: BTreeMap<EventHash, RoomEvent>,
}

/// What relates to one event.
#[derive(Debug, Default)]
struct Bundle {
    edit: Option<EventHash>,
    references: Vec<EventHash>,
    thread: Option<Thread>,
}

/// A thread that begins with an event.
#[derive(Debug)]
struct Thread {
    latest: EventHash,
    count: i64,
    participated: bool,
}

impl Aggregations {
    /// What relates to these events.
    pub(crate) async fn read(
        view: &mut RoomView<'_>,
        facts: &Facts,
        eyes: &Eyes,
        events: &[&RoomEvent],
    ) -> Result<Self, Fault> {
        let mut all = Self::default();
        all.add(view, facts, eyes, events, true).await?;
        let latest: Vec<_> = all.latest().cloned().collect();
        // A thread's latest event is shown with what relates to it; no thread begins with it.
        let latest: Vec<_> = latest.iter().collect();
        all.add(view, facts, eyes, &latest, false).await?;
        Ok(all)
    }

    fn latest(&self) -> impl Iterator<Item = &RoomEvent> {
        let threads = self.bundles.values().filter_map(|one| one.thread.as_ref());
        threads.filter_map(|thread| self.events.get(&thread.latest))
    }

    /// Adds `m.relations` to the `unsigned` of an event, if anything relates to it. Where the event
    /// is `nested` as the end of a thread, no further thread is told.
    pub(crate) fn write(
        &self,
        style: &Style<'_>,
        event: EventHash,
        nested: bool,
        unsigned: &mut Object<'_>,
    ) {
        let Some(bundle) = self.bundles.get(&event) else {
            return;
        };
        let mut object = Object::new(unsigned.member("m.relations"));
        if let Some(edit) = bundle.edit.and_then(|edit| self.events.get(&edit)) {
            style.write_whole(edit, &Unsigned::default(), object.member("m.replace"));
        }
        if !bundle.references.is_empty() {
            let mut reference = Object::new(object.member("m.reference"));
            reference.list("chunk", &self.references(bundle));
            reference.end();
        }
        if let Some(thread) = bundle.thread.as_ref().filter(|_| !nested) {
            self.write_thread(style, thread, object.member("m.thread"));
        }
        object.end();
    }

    fn references(&self, bundle: &Bundle) -> EventList {
        let mut list = EventList::default();
        let events = bundle.references.iter();
        for event in events.filter_map(|hash| self.events.get(hash)) {
            list.push(|out| {
                let mut object = Object::new(out);
                write_string(event.pdu.event_id().as_str(), object.member("event_id"));
                object.end();
            });
        }
        list
    }

    fn write_thread(&self, style: &Style<'_>, thread: &Thread, out: &mut String) {
        let mut object = Object::new(out);
        if let Some(latest) = self.events.get(&thread.latest) {
            let out = object.member("latest_event");
            style.write_whole(latest, &Unsigned::of_latest(self), out);
        }
        object.plain("count", thread.count);
        object.plain("current_user_participated", thread.participated);
        object.end();
    }
}
