//! The `ephemeral` section of a room: who types, and who has read up to where.
//!
//! It exists so that receipts are told once by what changed, and private ones to their owner alone.
//! It knows nothing of how either is written.

use std::collections::BTreeMap;

use belfry_data::{
    STAMP_FIRST, Snapshot, Stamp,
    receipt::{Receipt, ReceiptKind, receipts_since},
    typing,
};
use ruma_common::{RoomId, UserId};

use crate::{
    error::Fault,
    ignored::Ignored,
    json::{EventList, Object},
    sections::write_strings,
    views::Shared,
};

/// Receipts of one room in one answer: the newest.
pub const RECEIPTS_TOLD_MAX: usize = 1_000;

/// The ephemeral events of a room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ephemeral {
    /// `m.typing`, if it changed.
    pub(crate) typing: Option<String>,
    /// `m.receipt`, if any moved.
    pub(crate) receipts: Option<String>,
    /// Whether a receipt of the reader's own is among them.
    pub(crate) own_receipt: bool,
}

impl Ephemeral {
    /// As a list, without the types that `wanted` does not want.
    pub(crate) fn events(&self, wanted: impl Fn(&str) -> bool) -> EventList {
        let mut list = EventList::default();
        let all = [("m.typing", &self.typing), ("m.receipt", &self.receipts)];
        for (event_type, event) in all {
            if let Some(event) = event.as_ref().filter(|_| wanted(event_type)) {
                list.push(|out| out.push_str(event));
            }
        }
        list
    }
}

/// A room and a reader, as far as ephemeral events ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listening<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) reader: &'a UserId,
    pub(crate) ignored: &'a Ignored,
    /// What the reader has seen; nothing without it.
    pub(crate) since: Option<Stamp>,
}

impl Shared {
    /// What is new, or everything there is for a reader who has seen nothing.
    pub(crate) async fn ephemeral(
        &self,
        snapshot: &dyn Snapshot,
        listening: Listening<'_>,
    ) -> Result<Ephemeral, Fault> {
        let receipts = self.receipts(snapshot, listening).await?;
        let own = receipts.iter().any(|one| one.user == listening.reader);
        Ok(Ephemeral {
            typing: self.typing(snapshot, listening).await?,
            receipts: (!receipts.is_empty()).then(|| receipt_event(&receipts)),
            own_receipt: own,
        })
    }

    /// Whether anybody typed or read behind `since`.
    pub(crate) async fn stirred_since(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        since: Stamp,
    ) -> Result<bool, Fault> {
        let typing = typing::typing(snapshot, &[room]).await?;
        let mut typing = typing.into_iter().flatten();
        Ok(typing.any(|(stamp, _)| stamp > since)
            || !receipts_since(snapshot, room, since, 1).await?.is_empty())
    }

    /// Who types, if that changed.
    pub(crate) async fn typing(
        &self,
        snapshot: &dyn Snapshot,
        listening: Listening<'_>,
    ) -> Result<Option<String>, Fault> {
        let row = typing::typing(snapshot, &[listening.room]).await?;
        let Some((stamp, row)) = row.into_iter().next().flatten() else {
            return Ok(None);
        };
        let now = self.env.clock.age_ms();
        let types = |(user, until): &&(Box<str>, u64)| {
            let user = <&UserId>::try_from(&**user);
            *until > now && user.is_ok_and(|user| !listening.ignored.holds(user))
        };
        let users = row.users.iter().filter(types).map(|(user, _)| &**user);
        let users: Vec<&str> = users.collect();
        let told = match listening.since {
            Some(since) => stamp > since,
            None => !users.is_empty(),
        };
        Ok(told.then(|| typing_event(&users)))
    }

    async fn receipts(
        &self,
        snapshot: &dyn Snapshot,
        listening: Listening<'_>,
    ) -> Result<Vec<Receipt>, Fault> {
        let after = listening.since.unwrap_or(STAMP_FIRST);
        let moved = receipts_since(snapshot, listening.room, after, RECEIPTS_TOLD_MAX).await?;
        let told = |receipt: &Receipt| match receipt.kind {
            ReceiptKind::Read => !listening.ignored.holds(&receipt.user),
            ReceiptKind::Private => receipt.user == listening.reader,
            ReceiptKind::Sent => false,
        };
        Ok(moved.into_iter().filter(told).collect())
    }
}

fn typing_event(users: &[&str]) -> String {
    let mut out = String::new();
    let mut event = Object::new(&mut out);
    event.string("type", "m.typing");
    let mut content = Object::new(event.member("content"));
    write_strings(users.iter().copied(), content.member("user_ids"));
    content.end();
    event.end();
    out
}

/// By event, kind and user. Where a user marked one event with and without a thread, the mark
/// without tells more (MSC4102).
fn receipt_event(receipts: &[Receipt]) -> String {
    type ByUser<'a> = BTreeMap<&'a str, &'a Receipt>;
    let mut events: BTreeMap<&str, BTreeMap<&str, ByUser<'_>>> = BTreeMap::new();
    for receipt in receipts {
        let kinds = events.entry(&receipt.row.event).or_default();
        let users = kinds.entry(receipt.kind.name()).or_default();
        let place = users.entry(receipt.user.as_str()).or_insert(receipt);
        if receipt.thread.is_empty() {
            *place = receipt;
        }
    }
    let mut out = String::new();
    let mut event = Object::new(&mut out);
    event.string("type", "m.receipt");
    let mut content = Object::new(event.member("content"));
    for (event_id, kinds) in events {
        let mut by_kind = Object::new(content.member(event_id));
        for (kind, users) in kinds {
            let mut by_user = Object::new(by_kind.member(kind));
            for (user, receipt) in users {
                write_mark(receipt, by_user.member(user));
            }
            by_user.end();
        }
        by_kind.end();
    }
    content.end();
    event.end();
    out
}

fn write_mark(receipt: &Receipt, out: &mut String) {
    let mut mark = Object::new(out);
    mark.plain("ts", receipt.row.ts);
    if !receipt.thread.is_empty() {
        mark.string("thread_id", &receipt.thread);
    }
    mark.end();
}
