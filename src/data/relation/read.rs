//! Reads of what relates to events: many events at once wherever a page of them is shown.
//!
//! Exists so that a page costs a few round trips, not a few for each of its events. Knows nothing
//! of what is made of the answers.

use belfry_event::EventHash;
use belfry_kv::{Direction, GET_MANY_KEYS_MAX, Range, ReadError, SCAN_MANY_RANGES_MAX, Stamp};
use ruma_common::{OwnedUserId, UserId};

use super::{ALL, EDIT, RELATION, RELATION_COUNT, RelationRow, THREAD_LOG, THREAD_TAIL, column};
use crate::{
    column::UserKey,
    order::{OrderPage, TimelinePoint},
    reader::RoomReader,
};

/// Senders that [`RoomReader::relating_users`] gives for one event.
pub const PARTICIPANTS_MAX: usize = 1_000;

/// A run of the events that relate to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationPage {
    /// Place and event, in the direction asked. The place is behind [`crate::StoredEvent`]'s own
    /// and before that in the timeline.
    pub entries: Vec<(TimelinePoint, RelationRow)>,
    /// Whether there may be more.
    pub more: bool,
}

/// The end of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadTail {
    /// Where its latest event stands in the log of threads.
    pub at: Stamp,
    /// That event.
    pub latest: EventHash,
}

impl RoomReader<'_> {
    /// What relates to an event, of one relation type or of all: by depth, then arrival, behind
    /// `after` and not behind `until`. Redacted events are among them.
    pub async fn relations(
        &self,
        parent: EventHash,
        rel_type: Option<&str>,
        (after, until): (TimelinePoint, TimelinePoint),
        direction: Direction,
        limit: usize,
    ) -> Result<RelationPage, ReadError> {
        let range = self.relation_range(parent, rel_type, after, until);
        let page = RELATION
            .scan(self.snapshot, range, direction, limit)
            .await?;
        let entries = page.rows.into_iter();
        Ok(RelationPage {
            entries: entries
                .map(|((_, _, _, depth, stamp), row)| (TimelinePoint { depth, stamp }, row))
                .collect(),
            more: page.rest.is_some(),
        })
    }

    /// What relates to each of these events, oldest first, at most `limit_each`, in one round trip.
    /// At most [`SCAN_MANY_RANGES_MAX`] events.
    pub async fn relations_of_many(
        &self,
        parents: &[EventHash],
        rel_type: Option<&str>,
        limit_each: usize,
    ) -> Result<Vec<RelationPage>, ReadError> {
        let (first, last) = (TimelinePoint::FIRST, TimelinePoint::LAST);
        let range = |parent: &EventHash| self.relation_range(*parent, rel_type, first, last);
        let ranges = parents.iter().map(range).collect();
        let pages = RELATION
            .scan_many(self.snapshot, ranges, limit_each)
            .await?;
        let pages = pages.into_iter().map(|page| RelationPage {
            more: page.rest.is_some(),
            entries: page
                .rows
                .into_iter()
                .map(|((_, _, _, depth, stamp), row)| (TimelinePoint { depth, stamp }, row))
                .collect(),
        });
        Ok(pages.collect())
    }

    /// How many events relate to each of these in this way (any, for `None`), by this sender (any,
    /// for `None`, but then the way is to be named); in the order asked, one round trip. At most
    /// [`GET_MANY_KEYS_MAX`].
    pub async fn relation_counts(
        &self,
        asked: &[(EventHash, Option<&str>, Option<&UserId>)],
    ) -> Result<Vec<i64>, ReadError> {
        if asked.len() > GET_MANY_KEYS_MAX {
            return Err(ReadError::TooLarge);
        }
        let keys: Vec<_> = asked
            .iter()
            .map(|(parent, rel_type, sender)| {
                (
                    self.room.clone(),
                    column(*parent),
                    rel_type.unwrap_or(ALL).to_owned(),
                    sender.map_or(ALL, |sender| sender.as_str()).to_owned(),
                )
            })
            .collect();
        RELATION_COUNT.get_many(self.snapshot, &keys).await
    }

    /// Who relates to each of these events in this way, and how often; in the order asked, one
    /// round trip, at most [`PARTICIPANTS_MAX`] users each, by ID.
    pub async fn relating_users(
        &self,
        parents: &[EventHash],
        rel_type: &str,
    ) -> Result<Vec<Vec<(OwnedUserId, i64)>>, ReadError> {
        let prefix = |parent: &EventHash| {
            let columns = (self.room.clone(), column(*parent), rel_type.to_owned());
            RELATION_COUNT.prefix(&columns)
        };
        let ranges: Vec<Range> = parents.iter().map(prefix).collect();
        if ranges.len() > SCAN_MANY_RANGES_MAX {
            return Err(ReadError::TooLarge);
        }
        let pages = super::RELATION_COUNT_ROWS
            .scan_many(self.snapshot, ranges, PARTICIPANTS_MAX)
            .await?;
        let users = pages.into_iter().map(|page| {
            let rows = page.rows.into_iter();
            let users = rows.filter_map(|((_, _, _, sender), count)| {
                // That of all senders has no user ID.
                Some((OwnedUserId::try_from(sender).ok()?, count)).filter(|(_, count)| *count > 0)
            });
            users.collect()
        });
        Ok(users.collect())
    }

    /// The latest edit of each of these events by this sender in this type; in the order asked, one
    /// round trip. At most [`SCAN_MANY_RANGES_MAX`].
    pub async fn latest_edits(
        &self,
        asked: &[(EventHash, &UserId, String)],
    ) -> Result<Vec<Option<EventHash>>, ReadError> {
        let ranges = asked.iter().map(|(event, sender, event_type)| {
            EDIT.prefix(&(
                self.room.clone(),
                column(*event),
                UserKey::from(*sender),
                event_type.clone(),
            ))
        });
        let pages = EDIT.scan_many(self.snapshot, ranges.collect(), 1).await?;
        let latest = pages.into_iter().map(|page| {
            let first = page.rows.into_iter().next();
            first.map(|(_, row)| row.event)
        });
        Ok(latest.collect())
    }

    /// The ends of the threads that begin with these events, in the order asked; one round trip.
    pub async fn thread_tails(
        &self,
        roots: &[EventHash],
    ) -> Result<Vec<Option<ThreadTail>>, ReadError> {
        let keys: Vec<_> = roots.iter().map(|root| self.event_key(*root)).collect();
        let rows = THREAD_TAIL.get_many(self.snapshot, &keys).await?;
        let tails = rows.into_iter().map(|row| {
            row.map(|(stamp, row)| ThreadTail {
                at: Stamp {
                    ordinal: stamp.ordinal.saturating_sub(1),
                    ..stamp
                },
                latest: row.latest,
            })
        });
        Ok(tails.collect())
    }

    /// The log of threads: the first event of a thread for each event in it, latest first, those
    /// not behind `until`.
    pub async fn thread_log(
        &self,
        until: Stamp,
        limit: usize,
    ) -> Result<OrderPage<Stamp>, ReadError> {
        let prefix = (self.room.clone(),);
        let range = Range {
            to: THREAD_LOG.key(&(self.room.clone(), until)).successor(),
            ..THREAD_LOG.prefix(&prefix)
        };
        let page = THREAD_LOG
            .scan(self.snapshot, range, Direction::Backward, limit)
            .await?;
        Ok(OrderPage {
            entries: page
                .rows
                .into_iter()
                .map(|((_, at), row)| (at, row.event))
                .collect(),
            more: page.rest.is_some(),
        })
    }

    fn relation_range(
        &self,
        parent: EventHash,
        rel_type: Option<&str>,
        after: TimelinePoint,
        until: TimelinePoint,
    ) -> Range {
        let key = |at: TimelinePoint| {
            let kind = rel_type.unwrap_or(ALL).to_owned();
            let columns = (self.room.clone(), column(parent), kind, at.depth, at.stamp);
            RELATION.key(&columns).successor()
        };
        Range {
            from: key(after),
            to: key(until),
        }
    }
}
