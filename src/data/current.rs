//! The current state of a room, from rows where they are, else from the tree.
//!
//! Exists so that readers need not know which: rows serve the hot path, and while a new epoch of
//! them is being built the tree tells the same. Knows nothing of state at other times; that is
//! what [`crate::StateReader`] is for.

use belfry_event::EventHash;
use belfry_kv::{Direction, ReadError};
use ruma_common::OwnedUserId;

use crate::{
    column::RoomKey,
    reader::RoomReader,
    rows::{CurrentRow, CurrentState, Membership, RoomHead},
    state::{Entry, Path, Root, StateError, StateTuple, WorkingSet},
    tables::ROOM_STATE,
    writes::state_key,
};

/// Most entries of one page.
pub const CURRENT_PAGE_MAX: usize = 1_000;

const MEMBER: &str = "m.room.member";

/// The current state of one room, by one head.
pub struct CurrentReader<'r, 's> {
    reader: &'r RoomReader<'s>,
    root: Root,
    epoch: Option<u64>,
}

/// Where a page of the current state ended. Of use as long as the head names the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CurrentCursor {
    /// Behind this row.
    Row(StateTuple),
    /// At this place in the tree.
    Tree(Path),
}

/// A run of the current state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentPage {
    /// Entries, in no order that callers may count on.
    pub entries: Vec<Entry>,
    /// Where to go on; `None` if these were the last.
    pub next: Option<CurrentCursor>,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The user that the event is about.
    pub user_id: OwnedUserId,
    /// The user's membership.
    pub membership: Membership,
    /// The `m.room.member` event.
    pub event: EventHash,
}

/// A run of a room's members, whatever their membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersPage {
    /// The members.
    pub members: Vec<Member>,
    /// Where to go on; `None` if these were the last.
    pub next: Option<CurrentCursor>,
}

impl<'s> RoomReader<'s> {
    /// The room's current state by this head, which was read from the same snapshot.
    pub fn current(&self, head: &RoomHead) -> CurrentReader<'_, 's> {
        CurrentReader {
            reader: self,
            root: head.state,
            epoch: match head.current {
                CurrentState::Rows { epoch, .. } => Some(epoch),
                CurrentState::Tree { .. } => None,
            },
        }
    }
}

impl CurrentReader<'_, '_> {
    /// The events of these tuples, in the order asked.
    pub async fn get(&self, tuples: &[StateTuple]) -> Result<Vec<Option<EventHash>>, StateError> {
        let Some(epoch) = self.epoch else {
            return self.get_from_tree(tuples).await;
        };
        let keys: Vec<_> = tuples.iter().map(|tuple| self.key(epoch, tuple)).collect();
        let rows = ROOM_STATE.get_many(self.reader.snapshot, &keys).await?;
        Ok(rows
            .into_iter()
            .map(|row| row.map(|row| row.event))
            .collect())
    }

    /// Entries of the whole current state, about `limit`, at most [`CURRENT_PAGE_MAX`] and what
    /// else a leaf holds.
    pub async fn page(
        &self,
        from: Option<CurrentCursor>,
        limit: usize,
    ) -> Result<CurrentPage, StateError> {
        let limit = limit.min(CURRENT_PAGE_MAX);
        let Some(epoch) = self.epoch else {
            return self.page_of_tree(from, limit).await;
        };
        let (rows, next) = self.rows(epoch, None, from, limit).await?;
        let entries = rows.into_iter().map(|(tuple, row)| Entry {
            tuple,
            event: row.event,
        });
        Ok(CurrentPage {
            entries: entries.collect(),
            next,
        })
    }

    /// Entries of one type, at most `limit`; `None` if the current state is not in rows, where they
    /// are among the others.
    pub async fn of_type(
        &self,
        event_type: &str,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>, StateError> {
        let Some(epoch) = self.epoch else {
            return Ok(None);
        };
        let limit = limit.min(CURRENT_PAGE_MAX);
        let (rows, _) = self.rows(epoch, Some(event_type), None, limit).await?;
        let entries = rows.into_iter().map(|(tuple, row)| Entry {
            tuple,
            event: row.event,
        });
        Ok(Some(entries.collect()))
    }

    /// Members, about `limit` of them (fewer if the state is read from the tree, where they are
    /// among the other entries). From rows without reading an event.
    pub async fn members(
        &self,
        from: Option<CurrentCursor>,
        limit: usize,
    ) -> Result<MembersPage, StateError> {
        let limit = limit.min(CURRENT_PAGE_MAX);
        let Some(epoch) = self.epoch else {
            return self.members_of_tree(from, limit).await;
        };
        let (rows, next) = self.rows(epoch, Some(MEMBER), from, limit).await?;
        let members = rows
            .into_iter()
            .filter_map(|(tuple, row)| member(&tuple, row.event, row.membership));
        Ok(MembersPage {
            members: members.collect(),
            next,
        })
    }

    /// Entries of one type by state key, at most `limit` behind the state key `after` (which itself
    /// is left out; the empty state key counts as before all others, and is left out too). Fewer
    /// than [`CURRENT_PAGE_MAX`] and `limit` are the last. From the tree, it is read whole.
    pub async fn of_type_behind(
        &self,
        event_type: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(StateTuple, CurrentRow)>, StateError> {
        let limit = limit.min(CURRENT_PAGE_MAX);
        let Ok(after) = StateTuple::new(event_type, after) else {
            return Ok(Vec::new());
        };
        if let Some(epoch) = self.epoch {
            let from = Some(CurrentCursor::Row(after));
            let (rows, _) = self.rows(epoch, Some(event_type), from, limit).await?;
            return Ok(rows);
        }
        let (mut entries, mut path) = (Vec::new(), None);
        loop {
            let page = self.page_of_tree(path, CURRENT_PAGE_MAX).await?;
            let fits = |entry: &Entry| {
                entry.tuple.event_type() == event_type
                    && entry.tuple.state_key() > after.state_key()
            };
            entries.extend(page.entries.into_iter().filter(fits));
            path = page.next;
            if path.is_none() {
                break;
            }
        }
        entries.sort_unstable_by(|a, b| a.tuple.state_key().cmp(b.tuple.state_key()));
        entries.truncate(limit);
        let memberships = self.reader.memberships(&entries).await?;
        let rows = entries.into_iter().zip(memberships);
        Ok(rows
            .map(|(entry, membership)| {
                let event = entry.event;
                (entry.tuple, CurrentRow { event, membership })
            })
            .collect())
    }

    async fn get_from_tree(
        &self,
        tuples: &[StateTuple],
    ) -> Result<Vec<Option<EventHash>>, StateError> {
        let mut set = WorkingSet::new();
        let states = self.reader.states();
        states.gather(&mut set, &[self.root], tuples).await?;
        tuples
            .iter()
            .map(|tuple| set.get(self.root, tuple))
            .collect()
    }

    async fn page_of_tree(
        &self,
        from: Option<CurrentCursor>,
        limit: usize,
    ) -> Result<CurrentPage, StateError> {
        let from = match from {
            None => Path::FIRST,
            Some(CurrentCursor::Tree(path)) => path,
            Some(CurrentCursor::Row(_)) => return Err(moved().into()),
        };
        let page = self.reader.states().page(self.root, from, limit).await?;
        Ok(CurrentPage {
            entries: page.entries,
            next: page.next.map(CurrentCursor::Tree),
        })
    }

    async fn members_of_tree(
        &self,
        from: Option<CurrentCursor>,
        limit: usize,
    ) -> Result<MembersPage, StateError> {
        let page = self.page_of_tree(from, limit).await?;
        let mut entries = page.entries;
        entries.retain(|entry| entry.tuple.event_type() == MEMBER);
        let memberships = self.reader.memberships(&entries).await?;
        let members = entries
            .iter()
            .zip(memberships)
            .filter_map(|(entry, membership)| member(&entry.tuple, entry.event, membership));
        Ok(MembersPage {
            members: members.collect(),
            next: page.next,
        })
    }

    /// Rows of one type, or of all.
    async fn rows(
        &self,
        epoch: u64,
        event_type: Option<&str>,
        from: Option<CurrentCursor>,
        limit: usize,
    ) -> Result<(Vec<(StateTuple, CurrentRow)>, Option<CurrentCursor>), StateError> {
        let room = self.reader.room.clone();
        let mut range = match event_type {
            Some(name) => ROOM_STATE.prefix(&(room, epoch, name.to_owned())),
            None => ROOM_STATE.prefix(&(room, epoch)),
        };
        match from {
            None => {}
            Some(CurrentCursor::Row(tuple)) => {
                range.from = ROOM_STATE.key(&self.key(epoch, &tuple)).successor();
            }
            Some(CurrentCursor::Tree(_)) => return Err(moved().into()),
        }
        let page = ROOM_STATE
            .scan(self.reader.snapshot, range, Direction::Forward, limit)
            .await?;
        let rows = page
            .rows
            .into_iter()
            .map(|((_, _, event_type, state_key), row)| {
                let tuple = StateTuple::new(event_type, state_key);
                tuple.map(|tuple| (tuple, row)).map_err(|_| {
                    ReadError::corrupt("a name in a key is too long").within("room_state")
                })
            });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let last = rows.last().filter(|_| page.rest.is_some());
        let next = last.map(|(tuple, _)| CurrentCursor::Row(tuple.clone()));
        Ok((rows, next))
    }

    fn key(&self, epoch: u64, tuple: &StateTuple) -> (RoomKey, u64, String, String) {
        state_key(&self.reader.room, epoch, tuple)
    }
}

impl RoomReader<'_> {
    /// What the events of these entries say of their users' memberships; `None` for entries that
    /// are not about members. Every event must be stored.
    pub(crate) async fn memberships(
        &self,
        entries: &[Entry],
    ) -> Result<Vec<Option<Membership>>, ReadError> {
        let hashes: Vec<_> = entries.iter().map(|entry| entry.event).collect();
        let events = self.events(&hashes).await?;
        let told = entries.iter().zip(events).map(|(entry, event)| {
            if entry.tuple.event_type() != MEMBER {
                return Ok(None);
            }
            let event = event.ok_or_else(|| {
                ReadError::Corrupt(format!("event: {:?} is state and not stored", entry.event))
            })?;
            Ok(Membership::from_event(&event.row.json))
        });
        told.collect()
    }
}

/// Entries whose state key is no user ID are of no user.
fn member(tuple: &StateTuple, event: EventHash, membership: Option<Membership>) -> Option<Member> {
    Some(Member {
        user_id: tuple.state_key().try_into().ok()?,
        membership: membership?,
        event,
    })
}

fn moved() -> ReadError {
    // As for any walk that outlives its snapshot: begin again.
    ReadError::Expired
}
