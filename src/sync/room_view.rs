//! One room as it was at one place in the server's order: its head, its state, its events.
//!
//! It exists so that all that is read of a room for one answer fits together, also if the answer
//! takes longer than a snapshot lives and goes on with a later one. It knows nothing of who reads.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    CURRENT_PAGE_MAX, Changes, CurrentCursor, Direction, Entry, GATHER_ROUNDS_MAX, Path, ReadError,
    RoomHead, RoomReader, Root, STAMP_LAST, Snapshot, Stamp, StateError, StateTuple, TimelinePoint,
    WorkingSet,
};
use belfry_event::{EventHash, RoomRules};
use ruma_common::{RoomId, RoomVersionId};

use crate::{error::Fault, event::RoomEvent};

/// Entries of one state; rooms have fewer, as a working set has a limit.
pub const STATE_ENTRIES_MAX: usize = 400_000;

/// Entries asked for at once: few, so that little is read in vain before the members.
const PAGE: usize = 64;

/// Behind the type of every member event, and before every later type.
const MEMBER: &str = "m.room.member";
const LAST_STATE_KEY_CHARACTERS: usize = 63;

/// One room at one place.
pub(crate) struct RoomView<'s> {
    pub(crate) reader: RoomReader<'s>,
    pub(crate) rules: &'static RoomRules,
    pub(crate) head: RoomHead,
    /// What came behind this is not looked at.
    pub(crate) until: Stamp,
    /// The state at `until`.
    pub(crate) state: Root,
    set: WorkingSet,
}

impl<'s> RoomView<'s> {
    /// The room as it was at `until`; `None` if this server has never been in it. The snapshot
    /// holds `until`.
    pub(crate) async fn open(
        snapshot: &'s dyn Snapshot,
        room: &RoomId,
        until: Stamp,
    ) -> Result<Option<Self>, Fault> {
        let reader = RoomReader::new(snapshot, room);
        let Some(head) = reader.head().await? else {
            return Ok(None);
        };
        let mut view = Self {
            rules: rules_of(&head)?,
            reader,
            state: head.state,
            head,
            until,
            set: WorkingSet::new(),
        };
        if snapshot.position() > until.position {
            view.state = view.state_at(until).await?;
        }
        Ok(Some(view))
    }

    /// The room as it is on the snapshot.
    pub(crate) async fn now(
        snapshot: &'s dyn Snapshot,
        room: &RoomId,
    ) -> Result<Option<Self>, Fault> {
        Self::open(snapshot, room, behind(snapshot)).await
    }

    /// Whether the view shows the present, which rows may serve.
    pub(crate) fn is_present(&self) -> bool {
        self.state == self.head.state
    }

    /// The state at a place in the log: that before the next event.
    pub(crate) async fn state_at(&self, at: Stamp) -> Result<Root, Fault> {
        let page = self
            .reader
            .log(at, STAMP_LAST, Direction::Forward, 1)
            .await?;
        self.state_before_first(page.entries.first().map(|(_, event)| *event))
            .await
    }

    /// The state at a place in the timeline: that before the next event.
    pub(crate) async fn state_at_point(&self, at: TimelinePoint) -> Result<Root, Fault> {
        let page = self
            .reader
            .timeline(at, TimelinePoint::LAST, Direction::Forward, 1)
            .await?;
        self.state_before_first(page.entries.first().map(|(_, event)| *event))
            .await
    }

    async fn state_before_first(&self, event: Option<EventHash>) -> Result<Root, Fault> {
        let Some(event) = event else {
            return Ok(self.head.state);
        };
        let stored = self.reader.event(event).await?;
        let root = stored.and_then(|stored| stored.row.state_before);
        Ok(root.unwrap_or(Root::EMPTY))
    }

    /// The state after an event.
    pub(crate) async fn state_after(&mut self, event: &RoomEvent) -> Result<Root, Fault> {
        match event.tuple().filter(|_| event.is_visible()) {
            Some(tuple) => self.with(event.state_before(), tuple, event.hash()).await,
            None => Ok(event.state_before()),
        }
    }

    async fn with(
        &mut self,
        root: Root,
        tuple: StateTuple,
        event: EventHash,
    ) -> Result<Root, Fault> {
        let changes = Changes::from([(tuple, Some(event))]);
        let states = self.reader.states();
        Ok(states.apply(&mut self.set, root, &changes).await?)
    }

    /// These events, in the order asked, without those that are not stored.
    pub(crate) async fn events(&self, hashes: &[EventHash]) -> Result<Vec<RoomEvent>, Fault> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let stored = self.reader.events(hashes).await?.into_iter().flatten();
        stored.map(|one| RoomEvent::read(self.rules, one)).collect()
    }

    /// What these states have for these tuples, in the order asked: a round trip a level of the
    /// trees, or one if it is the present.
    pub(crate) async fn lookup(
        &mut self,
        asked: &[(Root, StateTuple)],
    ) -> Result<Vec<Option<EventHash>>, Fault> {
        let by_rows = |root: Root| root == self.head.state && self.head.rows().is_some();
        let tuples = asked.iter().filter(|(root, _)| by_rows(*root));
        let tuples: Vec<_> = tuples.map(|(_, tuple)| tuple.clone()).collect();
        let mut rows = if tuples.is_empty() {
            Vec::new().into_iter()
        } else {
            let current = self.reader.current(&self.head);
            current.get(&tuples).await?.into_iter()
        };
        let by_tree: Vec<_> = asked.iter().filter(|(root, _)| !by_rows(*root)).collect();
        gather(&self.reader, &mut self.set, &by_tree).await?;
        asked
            .iter()
            .map(|(root, tuple)| {
                if by_rows(*root) {
                    Ok(rows.next().flatten())
                } else {
                    Ok(self.set.get(*root, tuple)?)
                }
            })
            .collect()
    }

    /// What a state has for these tuples; those that it has not are left out.
    pub(crate) async fn pick(
        &mut self,
        root: Root,
        tuples: impl IntoIterator<Item = StateTuple>,
    ) -> Result<BTreeMap<StateTuple, EventHash>, Fault> {
        let asked: Vec<_> = tuples.into_iter().map(|tuple| (root, tuple)).collect();
        let found = self.lookup(&asked).await?;
        let found = asked.into_iter().zip(found);
        Ok(found
            .filter_map(|((_, tuple), event)| event.map(|event| (tuple, event)))
            .collect())
    }

    /// What differs between two states, by what the second has.
    pub(crate) async fn changes(
        &mut self,
        before: Root,
        after: Root,
        limit: usize,
    ) -> Result<Changes, Fault> {
        let states = self.reader.states();
        let changes = states.diff(&mut self.set, before, after, limit).await?;
        let changes = changes.into_iter();
        Ok(changes.map(|change| (change.tuple, change.after)).collect())
    }

    /// A whole state; without `members` the tuples of member events are left out, and in the
    /// present not even read.
    pub(crate) async fn entries(
        &mut self,
        root: Root,
        members: bool,
    ) -> Result<BTreeMap<StateTuple, EventHash>, Fault> {
        if !members && self.head.rows().is_some() {
            let mut present = self.present_but_members().await?;
            match self.changes(self.head.state, root, PAGE).await {
                Ok(changes) => {
                    apply(&mut present, changes);
                    return Ok(present);
                }
                Err(Fault::Read(StateError::TooMany(_))) => {}
                Err(fault) => return Err(fault),
            }
        }
        let all = self.changes(Root::EMPTY, root, STATE_ENTRIES_MAX).await?;
        let all = all.into_iter();
        let all = all.filter_map(|(tuple, event)| event.map(|event| (tuple, event)));
        let all = all.filter(|(tuple, _)| members || tuple.event_type() != MEMBER);
        Ok(all.collect())
    }

    /// The events of a whole state, those whose tuples are wanted: read in pages of which nothing else
    /// is kept, as the answer that shows them is large enough.
    pub(crate) async fn state_events(
        &self,
        root: Root,
        wanted: impl Fn(&StateTuple) -> bool,
    ) -> Result<Vec<EventHash>, Fault> {
        let by_rows = root == self.head.state;
        let current = self.reader.current(&self.head);
        let states = self.reader.states();
        let (mut events, mut read) = (Vec::new(), 0);
        let mut from = None;
        loop {
            let (entries, next) = if by_rows {
                let page = current.page(from, CURRENT_PAGE_MAX).await?;
                (page.entries, page.next)
            } else {
                let path = match from {
                    Some(CurrentCursor::Tree(path)) => path,
                    _ => Path::FIRST,
                };
                let page = states.page(root, path, CURRENT_PAGE_MAX).await?;
                (page.entries, page.next.map(CurrentCursor::Tree))
            };
            read += entries.len();
            let entries = entries.into_iter().filter(|entry| wanted(&entry.tuple));
            events.extend(entries.map(|entry| entry.event));
            if read > STATE_ENTRIES_MAX {
                return Err(StateError::TooMany(STATE_ENTRIES_MAX).into());
            }
            if next.is_none() {
                return Ok(events);
            }
            from = next;
        }
    }

    /// Rows lie by type, so that reading goes round the members.
    async fn present_but_members(&self) -> Result<BTreeMap<StateTuple, EventHash>, Fault> {
        let current = self.reader.current(&self.head);
        let mut entries = BTreeMap::new();
        let mut from = None;
        loop {
            let page = current.page(from, PAGE).await?;
            let member = |entry: &Entry| entry.tuple.event_type() == MEMBER;
            let met_members = page.entries.iter().any(member);
            let others = page.entries.into_iter().filter(|entry| !member(entry));
            entries.extend(others.map(|entry| (entry.tuple, entry.event)));
            from = match page.next {
                None => return Ok(entries),
                Some(CurrentCursor::Row(tuple)) if met_members && tuple.event_type() == MEMBER => {
                    Some(CurrentCursor::Row(last_member()?))
                }
                next => next,
            };
        }
    }
}

/// Behind everything that the snapshot holds.
pub(crate) fn behind(snapshot: &dyn Snapshot) -> Stamp {
    Stamp {
        position: snapshot.position(),
        ordinal: u16::MAX,
    }
}

/// The rules that the room lives by.
pub(crate) fn rules_of(head: &RoomHead) -> Result<&'static RoomRules, Fault> {
    let version = RoomVersionId::try_from(&*head.room_version).ok();
    version
        .and_then(|version| RoomRules::new(&version))
        .ok_or_else(|| Fault::Version(head.room_version.to_string()))
}

fn apply(state: &mut BTreeMap<StateTuple, EventHash>, changes: Changes) {
    for (tuple, event) in changes {
        match event.filter(|_| tuple.event_type() != MEMBER) {
            Some(event) => _ = state.insert(tuple, event),
            None => _ = state.remove(&tuple),
        }
    }
}

/// The tuple behind those of all members.
fn last_member() -> Result<StateTuple, Fault> {
    let key: String = std::iter::repeat_n(char::MAX, LAST_STATE_KEY_CHARACTERS).collect();
    StateTuple::member(&key).map_err(|_| ReadError::TooLarge.into())
}

/// Reads the nodes that looking these up needs.
async fn gather(
    reader: &RoomReader<'_>,
    set: &mut WorkingSet,
    asked: &[&(Root, StateTuple)],
) -> Result<(), Fault> {
    for _ in 0..GATHER_ROUNDS_MAX {
        let mut missing = BTreeSet::new();
        for (root, tuple) in asked {
            match set.get(*root, tuple) {
                Err(StateError::Missing(nodes)) => missing.extend(nodes),
                settled => _ = settled?,
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<_> = missing.into_iter().collect();
        reader.states().load(set, &missing).await?;
    }
    Err(ReadError::TooLarge.into())
}
