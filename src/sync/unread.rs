//! What is unread in a room: how many events notified a user that they have not read.
//!
//! It exists so that badges follow from two facts, what notified and what was read, and from nothing
//! that could drift from them. It knows nothing of push rules.

use std::collections::BTreeMap;

use belfry_data::{
    MAIN_THREAD, STAMP_FIRST, Snapshot, Stamp,
    note::{NoteRow, notes},
    receipt::{Receipt, receipts_of},
};
use ruma_common::{RoomId, UserId};

use crate::{error::Fault, json::Object};

/// Notes of one room that are counted; a badge says no more.
pub const COUNTED_MAX: usize = 1_000;

/// Two numbers of a badge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Events that notified.
    pub notifications: u64,
    /// Those of them that stand out.
    pub highlights: u64,
}

impl Count {
    fn add(&mut self, highlight: bool) {
        self.notifications += 1;
        self.highlights += u64::from(highlight);
    }

    fn write(self, out: &mut String) {
        let mut object = Object::new(out);
        self.write_members(&mut object);
        object.end();
    }

    pub(crate) fn write_members(self, object: &mut Object<'_>) {
        object.plain("notification_count", self.notifications);
        object.plain("highlight_count", self.highlights);
    }
}

/// What is unread in a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// In the main timeline.
    pub main: Count,
    /// By the ID of its root, in each thread that has something unread.
    pub threads: BTreeMap<String, Count>,
}

/// How far somebody has read a room.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadUpTo {
    /// Whatever the thread.
    whole: Stamp,
    /// In single threads.
    threads: BTreeMap<String, Stamp>,
}

impl ReadUpTo {
    pub(crate) async fn of(
        snapshot: &dyn Snapshot,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Self, Fault> {
        let receipts = receipts_of(snapshot, room, user).await?;
        Ok(Self::by(receipts))
    }

    fn by(receipts: Vec<Receipt>) -> Self {
        let mut read = Self::default();
        for receipt in receipts {
            let at = receipt.row.at();
            let place = if receipt.thread.is_empty() {
                &mut read.whole
            } else {
                read.threads.entry(receipt.thread).or_default()
            };
            *place = at.max(*place);
        }
        read
    }

    /// Whether the event of this note, which came at `at`, was read.
    pub(crate) fn covers(&self, at: Stamp, note: &NoteRow) -> bool {
        at <= self.whole
            || self
                .threads
                .get(&*note.thread)
                .is_some_and(|read| at <= *read)
    }
}

impl Unread {
    /// As of the events that came up to `until`.
    pub(crate) async fn read(
        snapshot: &dyn Snapshot,
        user: &UserId,
        room: &RoomId,
        until: Stamp,
    ) -> Result<Self, Fault> {
        let read = ReadUpTo::of(snapshot, room, user).await?;
        let after = read.whole.max(STAMP_FIRST);
        let found = notes(snapshot, user, room, (after, until), COUNTED_MAX).await?;
        let mut unread = Self::default();
        for (at, note) in found {
            if !read.covers(at, &note) {
                unread.add(&note);
            }
        }
        Ok(unread)
    }

    fn add(&mut self, note: &NoteRow) {
        let count = if *note.thread == *MAIN_THREAD {
            &mut self.main
        } else {
            self.threads.entry(note.thread.to_string()).or_default()
        };
        count.add(note.highlight);
    }

    /// Main timeline and threads together.
    pub fn total(&self) -> Count {
        let mut total = self.main;
        for count in self.threads.values() {
            total.notifications += count.notifications;
            total.highlights += count.highlights;
        }
        total
    }

    /// The members of a joined room, threads apart or not.
    pub(crate) fn write(&self, by_thread: bool, room: &mut Object<'_>) {
        let main = if by_thread { self.main } else { self.total() };
        main.write(room.member("unread_notifications"));
        if by_thread && !self.threads.is_empty() {
            let out = room.member("unread_thread_notifications");
            let mut threads = Object::new(out);
            for (root, count) in &self.threads {
                count.write(threads.member(root));
            }
            threads.end();
        }
    }
}
