//! How far users have read each room (Client-Server API, "Receipts").
//!
//! Exists so that a receipt is one row by user, kind and thread, and that what changed in a room is
//! read by what changed, whatever the number of its members. Knows nothing of who may see which
//! receipt, and of what is unread.

use belfry_kv::{
    Commit, Direction, Range, ReadError, STAMP_BYTES, Seen, Shape, Snapshot, Stamp, Table,
};
use ruma_common::{OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    codec::postcard_row,
    column::{RoomKey, UserKey},
    stir::{StirRow, space, stir},
};

/// Receipts of one user in one room that are looked at: one by kind and thread.
pub const RECEIPTS_OF_USER_MAX: usize = 1_000;

/// What a receipt says to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReceiptKind {
    /// `m.read`: to everybody.
    Read,
    /// `m.read.private`: to their own devices.
    Private,
    /// No receipt: their own last event, up to which they have read as well.
    Sent,
}

impl ReceiptKind {
    /// The `receipt_type`; of [`Self::Sent`] a name that no client can send.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "m.read",
            Self::Private => "m.read.private",
            Self::Sent => "sent",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let kinds = [Self::Read, Self::Private, Self::Sent];
        kinds.into_iter().find(|kind| kind.name() == name)
    }
}

/// Up to where somebody has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRow {
    /// The event's ID.
    pub event: Box<str>,
    /// When they said so, in milliseconds since the Unix epoch.
    pub ts: u64,
    /// When the event came ([`Self::at`]).
    at: [u8; STAMP_BYTES],
}
postcard_row!(ReceiptRow);

impl ReceiptRow {
    /// A row.
    pub fn new(event: &str, ts: u64, at: Stamp) -> Self {
        Self {
            event: event.into(),
            ts,
            at: at.to_bytes(),
        }
    }

    /// When the event came; zero if this server does not have it.
    pub fn at(&self) -> Stamp {
        Stamp::from_bytes(self.at)
    }
}

/// Whose receipt of which kind moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReceiptRef {
    /// The user's ID.
    pub user: Box<str>,
    /// Which kind.
    pub kind: ReceiptKind,
    /// The thread: `main`, the ID of its root, or empty for a receipt without thread.
    pub thread: Box<str>,
}
postcard_row!(ReceiptRef);

/// A receipt as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose.
    pub user: OwnedUserId,
    /// Which kind.
    pub kind: ReceiptKind,
    /// As in [`ReceiptRef::thread`].
    pub thread: String,
    /// Up to where.
    pub row: ReceiptRow,
}

type ReceiptKey = (RoomKey, UserKey, String, String);

/// Room, user, kind, thread.
pub(crate) static RECEIPT: Table<ReceiptKey, (Stamp, ReceiptRow)> =
    Table::new(space(81, "receipt", Shape::Scan));

/// Room, and by arrival the last change of each receipt, once.
pub(crate) static RECEIPT_LOG: Table<(RoomKey, Stamp), ReceiptRef> =
    Table::new(space(82, "receipt_log", Shape::Scan));

/// All that one user has read of a room, at most [`RECEIPTS_OF_USER_MAX`].
pub async fn receipts_of(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    user: &UserId,
) -> Result<Vec<Receipt>, ReadError> {
    let range = RECEIPT.prefix(&(RoomKey::from(room), UserKey::from(user)));
    let page = RECEIPT
        .scan(snapshot, range, Direction::Forward, RECEIPTS_OF_USER_MAX)
        .await?;
    page.rows.into_iter().map(read).collect()
}

/// Receipts of a room that moved behind `after`, newest first, at most `limit`. Those of kind
/// [`ReceiptKind::Sent`] are not among them.
pub async fn receipts_since(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    after: Stamp,
    limit: usize,
) -> Result<Vec<Receipt>, ReadError> {
    let page = RECEIPT_LOG
        .scan(snapshot, since(room, after), Direction::Backward, limit)
        .await?;
    let keys: Vec<_> = page
        .rows
        .into_iter()
        .filter_map(|((room, _), at)| {
            let user = OwnedUserId::try_from(&*at.user).ok()?;
            let kind = at.kind.name().to_owned();
            Some((room, UserKey(user), kind, at.thread.into()))
        })
        .collect();
    let rows = RECEIPT.get_many(snapshot, &keys).await?;
    let found = keys.into_iter().zip(rows);
    found
        .filter_map(|(key, row)| row.map(|row| read((key, row))))
        .collect()
}

/// In which of these rooms a receipt moved behind `after`, in the order asked. At most
/// [`belfry_kv::SCAN_MANY_RANGES_MAX`] rooms.
pub async fn have_receipts_since(
    snapshot: &dyn Snapshot,
    rooms: &[&RoomId],
    after: Stamp,
) -> Result<Vec<bool>, ReadError> {
    let ranges = rooms.iter().map(|room| since(room, after)).collect();
    let pages = RECEIPT_LOG.scan_many(snapshot, ranges, 1).await?;
    Ok(pages
        .into_iter()
        .map(|page| !page.rows.is_empty() || page.rest.is_some())
        .collect())
}

/// A receipt, for [`put_receipt`].
pub async fn receipt_seen(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    at: &ReceiptRef,
) -> Result<Seen<(Stamp, ReceiptRow)>, ReadError> {
    RECEIPT.get_seen(snapshot, &key(room, at)?).await
}

/// Moves a receipt, if it still is where it was seen; clients are told.
pub fn put_receipt(
    commit: &mut Commit,
    room: &RoomId,
    at: &ReceiptRef,
    seen: &Seen<(Stamp, ReceiptRow)>,
    row: &ReceiptRow,
) -> Result<(), ReadError> {
    let key = key(room, at)?;
    RECEIPT.check_unchanged(commit, &key, seen);
    let room = RoomKey::from(room);
    if let Some((stamp, _)) = &seen.row {
        // The log's entry takes the ordinal right before the row's.
        RECEIPT_LOG.delete(commit, &(room.clone(), logged_before(*stamp)));
    }
    RECEIPT_LOG.append(commit, &(room.clone(),), at);
    RECEIPT.stamp(commit, &key, row);
    let stirred = StirRow::Receipt {
        room: room.0.as_str().into(),
        user: at.user.clone(),
        private: at.kind != ReceiptKind::Read,
    };
    stir(commit, &stirred);
    Ok(())
}

/// Notes a user's own event, up to which they have read the thread; nobody is told.
pub fn put_sent(commit: &mut Commit, room: &RoomId, user: &UserId, thread: &str, row: &ReceiptRow) {
    let kind = ReceiptKind::Sent.name().to_owned();
    let key = (
        RoomKey::from(room),
        UserKey::from(user),
        kind,
        thread.to_owned(),
    );
    RECEIPT.stamp(commit, &key, row);
}

fn key(room: &RoomId, at: &ReceiptRef) -> Result<ReceiptKey, ReadError> {
    let user = OwnedUserId::try_from(&*at.user);
    let user = user.map_err(|_| ReadError::corrupt("a receipt of nobody").within("receipt"))?;
    let kind = at.kind.name().to_owned();
    Ok((
        RoomKey::from(room),
        UserKey(user),
        kind,
        at.thread.to_string(),
    ))
}

fn since(room: &RoomId, after: Stamp) -> Range {
    let room = RoomKey::from(room);
    RECEIPT_LOG.range_after(&(room.clone(),), &(room, after))
}

fn read((key, (_, row)): (ReceiptKey, (Stamp, ReceiptRow))) -> Result<Receipt, ReadError> {
    let (_, user, kind, thread) = key;
    let kind = ReceiptKind::from_name(&kind)
        .ok_or_else(|| ReadError::corrupt("a receipt of no kind").within("receipt"))?;
    Ok(Receipt {
        user: user.0,
        kind,
        thread,
        row,
    })
}

fn logged_before(row: Stamp) -> Stamp {
    Stamp {
        ordinal: row.ordinal.saturating_sub(1),
        ..row
    }
}
