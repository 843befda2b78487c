//! `GET /rooms/{roomId}/threads`: the threads of a room, those last written in first.
//!
//! It exists so that a client lists threads without the history. The room's log of threads names
//! a thread for each of its events; an entry counts where it is the thread's last. It knows nothing
//! of what else relates to events.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{Snapshot, Stamp};
use belfry_event::EventHash;
use ruma_common::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use super::access::{Access, Entered, enter};
use crate::{
    error::{Fault, ViewError},
    event::RoomEvent,
    ignored::Ignored,
    json::{EventList, Object},
    presentation::{self, Style},
    room_view::behind,
    sight::Sight,
    token::{Place, TokenError},
    views::{Shared, Views},
    window::before,
};

/// Most threads of a page.
pub const THREADS_MAX: usize = 100;
/// Threads of a page, if the client does not say.
const THREADS_DEFAULT: u64 = 20;
/// Entries of the log of threads looked at for one page; the page's token goes on from there.
const SCAN_MAX: usize = 5_000;
/// Entries read at once.
const READ_MAX: usize = 200;

const THREAD: &str = "m.thread";

/// A request for a page of threads.
#[derive(Debug, Clone)]
pub struct ThreadsRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// On which device: it is told its own transaction IDs.
    pub device_id: Option<OwnedDeviceId>,
    /// Which room.
    pub room_id: OwnedRoomId,
    /// Only those that the user wrote in, or began.
    pub participated: bool,
    /// How many, at most [`THREADS_MAX`]; 20 without.
    pub limit: Option<u64>,
    /// A token of the page before.
    pub from: Option<String>,
}

/// A page of threads.
#[derive(Debug, Clone)]
pub struct Threads {
    /// Their first events.
    pub chunk: EventList,
    /// The token to go on with; `None` if there is nothing more.
    pub next_batch: Option<String>,
}

impl Threads {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.list("chunk", &self.chunk);
        if let Some(token) = &self.next_batch {
            object.string("next_batch", token);
        }
        object.end();
        out
    }
}

/// A walk through the log of threads.
struct Walk {
    limit: usize,
    participated: bool,
    /// The next entry is at this place or before.
    at: Stamp,
    /// What is behind this was told by an earlier page.
    from: Stamp,
    /// Where the walk sees only part of the log: the threads met, whose earlier entries do not
    /// count. Else the threads' ends tell.
    met: Option<BTreeSet<EventHash>>,
    events: Vec<(RoomEvent, Sight)>,
    left: bool,
}

impl Views {
    /// A page of a room's threads, as far as the user may see them.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn threads(&self, request: &ThreadsRequest) -> Result<Threads, ViewError> {
        let shared = &*self.0;
        let page = shared.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let mut entered = enter(snapshot, &request.user_id, &request.room_id).await?;
            let ignored = Ignored::of(snapshot, &request.user_id).await?;
            entered.eyes = entered.eyes.ignoring(ignored);
            entered.eyes = entered.eyes.on(request.device_id.as_deref());
            shared.threads_page(snapshot, entered, request).await
        });
        page.await
    }
}

impl Shared {
    async fn threads_page(
        &self,
        snapshot: &dyn Snapshot,
        mut entered: Entered<'_>,
        request: &ThreadsRequest,
    ) -> Result<Threads, ViewError> {
        let from = match &request.from {
            Some(token) => match self.tokens.place(token)? {
                Place::Sync(stamp) => stamp,
                Place::Timeline(_) => return Err(TokenError::Malformed.into()),
            },
            None => behind(snapshot),
        };
        let limit = usize::try_from(request.limit.unwrap_or(THREADS_DEFAULT));
        let mut walk = Walk {
            limit: limit.unwrap_or(THREADS_MAX).clamp(1, THREADS_MAX),
            participated: request.participated,
            at: from,
            from,
            met: None,
            events: Vec::new(),
            left: true,
        };
        if let Access::Former(departure) = entered.access {
            // The threads' ends are later; it is walked from the departure to where this page is.
            walk.at = departure.stamp;
            walk.met = Some(BTreeSet::new());
        }
        self.walk_threads(&mut entered, &mut walk).await?;
        let Entered { view, eyes, .. } = &mut entered;
        let style = Style::full(self.now_ms());
        Ok(Threads {
            chunk: presentation::timeline(view, &self.facts, eyes, style, &walk.events).await?,
            next_batch: walk.left.then(|| self.tokens.sync(walk.at)),
        })
    }

    async fn walk_threads(&self, entered: &mut Entered<'_>, walk: &mut Walk) -> Result<(), Fault> {
        let mut looked_at = 0;
        while looked_at < SCAN_MAX {
            let reader = &entered.view.reader;
            let read = reader.thread_log(walk.at, READ_MAX).await?;
            looked_at += read.entries.len();
            let entries = walk.last_entries(entered, read.entries.clone()).await?;
            let mut roots = self.roots(entered, walk.participated, &entries).await?;
            let mut full = false;
            for (at, root) in read.entries {
                let current = entries.contains(&(at, root));
                let told = current.then(|| roots.remove(&root)).flatten();
                if told.is_some() && walk.events.len() >= walk.limit {
                    full = true;
                    break;
                }
                walk.events.extend(told);
                walk.at = before(at);
            }
            if full || !read.more {
                walk.left = full;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Those of these threads that are told, each by its first event.
    async fn roots(
        &self,
        entered: &mut Entered<'_>,
        participated: bool,
        entries: &[(Stamp, EventHash)],
    ) -> Result<BTreeMap<EventHash, (RoomEvent, Sight)>, Fault> {
        let Entered { view, eyes, .. } = entered;
        let hashes: Vec<_> = entries.iter().map(|(_, root)| *root).collect();
        let asked: Vec<_> = hashes
            .iter()
            .flat_map(|root| {
                let own = Some(eyes.user());
                [(*root, Some(THREAD), None), (*root, Some(THREAD), own)]
            })
            .collect();
        let counts = view.reader.relation_counts(&asked).await?;
        let counts = hashes.iter().zip(counts.chunks_exact(2));
        let counts: BTreeMap<_, _> = counts
            .map(|(root, two)| (*root, (two[0], two[1])))
            .collect();
        let events = view.events(&hashes).await?;
        let sights = eyes.look(view, &self.facts, &events).await?;
        let mut roots = BTreeMap::new();
        for (event, sight) in events.into_iter().zip(sights) {
            let (all, own) = counts.get(&event.hash()).copied().unwrap_or_default();
            let mine = own > 0 || event.pdu.sender() == eyes.user();
            if !sight.visible || all <= 0 || (participated && !mine) {
                continue;
            }
            // What an ignored user began goes on without them.
            let event = if eyes.ignored().holds(event.pdu.sender()) {
                event.without_content()?
            } else {
                event
            };
            roots.insert(event.hash(), (event, sight));
        }
        Ok(roots)
    }
}

impl Walk {
    /// Those of these entries that are their threads' last, and were not told by an earlier page.
    async fn last_entries(
        &mut self,
        entered: &Entered<'_>,
        mut entries: Vec<(Stamp, EventHash)>,
    ) -> Result<Vec<(Stamp, EventHash)>, Fault> {
        if let Some(met) = &mut self.met {
            entries.retain(|(_, root)| met.insert(*root));
            entries.retain(|(at, _)| *at <= self.from);
            return Ok(entries);
        }
        let roots: BTreeSet<_> = entries.iter().map(|(_, root)| *root).collect();
        let roots: Vec<_> = roots.into_iter().collect();
        let tails = entered.view.reader.thread_tails(&roots).await?;
        let tails = roots.into_iter().zip(tails);
        let ends: BTreeMap<_, _> = tails
            .filter_map(|(root, tail)| tail.map(|tail| (root, tail.at)))
            .collect();
        entries.retain(|(at, root)| ends.get(root) == Some(at));
        Ok(entries)
    }
}
