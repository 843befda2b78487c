//! Summaries of threads: how many events, which is the latest, and whether the reader took part.
//!
//! It knows nothing of how threads are listed.

use std::collections::BTreeSet;

use belfry_data::{Direction, TimelinePoint};
use belfry_event::EventHash;

use super::{Aggregations, THREAD_STEPS_MAX, THREADS_WALKED_MAX, Thread, gather::THREAD};
use crate::{error::Fault, event::RoomEvent, facts::Facts, room_view::RoomView, sight::Eyes};

/// Threads, as far as they are known before their latest events are looked at.
#[derive(Default)]
pub(super) struct Threads(Vec<(EventHash, Thread)>);

impl Threads {
    /// `roots` with how many events each thread has, those of ignored users among them.
    pub(super) async fn read(
        view: &RoomView<'_>,
        eyes: &Eyes,
        roots: &[(&RoomEvent, i64)],
    ) -> Result<Self, Fault> {
        if roots.is_empty() {
            return Ok(Self::default());
        }
        let hashes: Vec<_> = roots.iter().map(|(root, _)| root.hash()).collect();
        let tails = view.reader.thread_tails(&hashes).await?;
        let own = |root: &EventHash| (*root, Some(THREAD), Some(eyes.user()));
        let own: Vec<_> = hashes.iter().map(own).collect();
        let own = view.reader.relation_counts(&own).await?;
        let ignored = ignored_counts(view, eyes, &hashes).await?;
        let told = own.into_iter().zip(ignored);
        let all = roots.iter().zip(tails).zip(told);
        let threads = all.filter_map(|(((root, count), tail), (own, ignored))| {
            let thread = Thread {
                latest: tail?.latest,
                count: count - ignored,
                participated: own > 0 || root.pdu.sender() == eyes.user(),
            };
            (thread.count > 0).then_some((root.hash(), thread))
        });
        Ok(Self(threads.collect()))
    }

    pub(super) fn latest(&self) -> impl Iterator<Item = EventHash> {
        self.0.iter().map(|(_, thread)| thread.latest)
    }
}

/// How many events of each thread are by users whom the reader ignores.
async fn ignored_counts(
    view: &RoomView<'_>,
    eyes: &Eyes,
    roots: &[EventHash],
) -> Result<Vec<i64>, Fault> {
    if !eyes.ignored().any() {
        return Ok(vec![0; roots.len()]);
    }
    let users = view.reader.relating_users(roots, THREAD).await?;
    let ignored = users.iter().map(|users| {
        let ignored = users.iter().filter(|(user, _)| eyes.ignored().holds(user));
        ignored.map(|(_, count)| *count).sum()
    });
    Ok(ignored.collect())
}

impl Aggregations {
    /// Puts threads into their roots' bundles. Where the latest event may not be told, the latest
    /// that may is looked for.
    pub(super) async fn put_threads(
        &mut self,
        view: &mut RoomView<'_>,
        facts: &Facts,
        eyes: &Eyes,
        threads: Threads,
    ) -> Result<(), Fault> {
        let mut walked = 0;
        for (root, mut thread) in threads.0 {
            if !self.events.contains_key(&thread.latest) {
                walked += 1;
                if walked > THREADS_WALKED_MAX {
                    continue;
                }
                match self.latest_told(view, facts, eyes, root).await? {
                    Some(latest) => thread.latest = latest,
                    None => continue,
                }
            }
            self.bundles.entry(root).or_default().thread = Some(thread);
        }
        Ok(())
    }

    async fn latest_told(
        &mut self,
        view: &mut RoomView<'_>,
        facts: &Facts,
        eyes: &Eyes,
        root: EventHash,
    ) -> Result<Option<EventHash>, Fault> {
        let whole = (TimelinePoint::FIRST, TimelinePoint::LAST);
        let direction = Direction::Backward;
        let page = view
            .reader
            .relations(root, Some(THREAD), whole, direction, THREAD_STEPS_MAX)
            .await?;
        let events: Vec<_> = page.entries.iter().map(|(_, row)| row.event).collect();
        let named: BTreeSet<_> = events.iter().copied().collect();
        self.look(view, facts, eyes, &named).await?;
        let mut events = events.into_iter();
        Ok(events.find(|event| self.events.contains_key(event)))
    }
}
