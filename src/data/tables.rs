//! Every table: its name, the tag that is its identity for ever, and what its keys and rows are.
//!
//! It exists so that the whole schema is one list, held by `schema.lock`. It knows nothing of how
//! tables are read together or written together.
//!
//! A tag is never used again. *Derived* tables follow from *Ground* ones.

use belfry_event::HASH_BYTES;
use belfry_kv::{
    Counter, Keyspace, Kind, ReadError, RowCodec, Shape, Stamp, Table,
    Temperature::{self, Cold, Hot},
};
use bytes::Bytes;

use crate::keys::{heard::DEVICE_HEARD, tables as keys, tracked};
use crate::{
    account::tables::{
        ACCOUNT_DATA, ACCOUNT_DATA_COUNT, ACCOUNT_DATA_LOG, DEVICE, DEVICE_SEEN, FILTER, PROFILE,
        PROFILE_LOG, REGISTRATION_TOKEN, TOKEN, USER,
    },
    age::AGE,
    codec::unknown_version,
    column::{DIGEST_BYTES, RoomKey, ServerKey, UserKey},
    connection::CONNECTION,
    copy::{COPIED_BYTES, COPY, COPY_ORDER},
    delayed::{DELAYED, DELAYED_COUNT, DELAYED_DUE, DELAYED_OF_USER, DELAYED_TXN},
    directory::{ALIAS_OF_ROOM, PUBLISHED, ROOM_ALIAS},
    federation::{DESTINATION, EDU_OUTBOX, KEY_DOCUMENT, SERVER_KEY},
    flow::FLOW,
    forgotten::FORGOTTEN,
    lag::LAGGING_ROOM,
    listing::{LISTED_ROOM, LISTING, USER_WORD},
    litter::LITTER,
    media::{BLOB_USE, MEDIA, RESERVATION, RESERVED_BY, THUMBNAIL, UPLOADED_BYTES},
    note::{NOTE, NOTE_ORDER, ROOM_BRIEF},
    notice::NOTICE_ROOM,
    openid::OPENID_TOKEN,
    origin::EVENT_ORIGIN,
    partner::PARTNER,
    presence::PRESENCE,
    preview::PREVIEW,
    pusher::{PUSH_PLACE, PUSHER},
    receipt::{RECEIPT, RECEIPT_LOG},
    relation::{EDIT, RELATION, RELATION_COUNT, THREAD_LOG, THREAD_TAIL},
    remote::{INVITE, REDACTION_DUE, STUCK_ROOM},
    report::REPORT,
    room_time::ROOM_TIME,
    rows::{
        CurrentRow, CursorRow, EdgeRow, EpochRow, EventRow, GapRow, GlobalRow, InboundTxnRow,
        LocalMemberRow, LogRow, MetaRow, MigrationRow, RoomHead, StagedRow, TxnRow, UserRoomRow,
    },
    stale::STALE,
    state::NODE_HASH_BYTES,
    stir::STIR_LOG,
    subscription::{SUBSCRIPTION_LOG, THREAD_SUBSCRIPTION},
    typing::ROOM_TYPING,
};

/// An event hash as a key column.
pub(crate) type HashKey = [u8; HASH_BYTES];

/// Room, then event.
pub(crate) type EventKey = (RoomKey, HashKey);

pub(crate) const fn ground(
    tag: u8,
    name: &'static str,
    shape: Shape,
    temperature: Temperature,
) -> Keyspace {
    Keyspace {
        name,
        tag,
        shape,
        temperature,
        kind: Kind::Ground,
        row_version: 1,
    }
}

const fn derived(tag: u8, name: &'static str, shape: Shape, temperature: Temperature) -> Keyspace {
    Keyspace {
        kind: Kind::Derived,
        ..ground(tag, name, shape, temperature)
    }
}

pub(crate) const fn count(tag: u8, name: &'static str) -> Keyspace {
    Keyspace {
        row_version: 0,
        ..derived(tag, name, Shape::Counter, Hot)
    }
}

/// The database itself: one row.
pub(crate) static META: Table<(), MetaRow> = Table::new(ground(1, "meta", Shape::Point, Hot));

/// The migration under way, if one is.
pub(crate) static MIGRATION: Table<(), MigrationRow> =
    Table::new(ground(2, "migration", Shape::Point, Cold));

/// Where each room stands.
pub(crate) static ROOM_HEAD: Table<(RoomKey,), RoomHead> =
    Table::new(ground(3, "room_head", Shape::Point, Hot));

/// Every event, outliers too, with the stamp of its arrival.
pub(crate) static EVENT: Table<EventKey, (Stamp, EventRow)> =
    Table::new(ground(4, "event", Shape::Point, Cold));

/// The room of an event, for the few requests that do not name it.
pub(crate) static EVENT_ROOM: Table<(HashKey,), RoomOf> =
    Table::new(derived(5, "event_room", Shape::Point, Cold));

/// Room, event, and each event that has it among its `prev_events`.
pub(crate) static EVENT_EDGE: Table<(RoomKey, HashKey, HashKey), EdgeRow> =
    Table::new(derived(6, "event_edge", Shape::Scan, Cold));

/// Room, event, and by arrival each state event that has it among its `auth_events`.
pub(crate) static AUTH_CITER: Table<(RoomKey, HashKey, Stamp), LogRow> =
    Table::new(derived(7, "auth_citer", Shape::Log, Cold));

/// The visible events of a room by arrival; new ones only.
pub(crate) static ROOM_LOG: Table<(RoomKey, Stamp), LogRow> =
    Table::new(ground(8, "room_log", Shape::Log, Hot));

/// What happened on the server, in order.
pub(crate) static GLOBAL_LOG: Table<(Stamp,), GlobalRow> =
    Table::new(ground(9, "global_log", Shape::Log, Hot));

/// The visible events of a room by depth, then arrival; backfilled ones too.
pub(crate) static ROOM_TIMELINE: Table<(RoomKey, i64, Stamp), LogRow> =
    Table::new(ground(10, "room_timeline", Shape::Log, Cold));

/// The backward extremities of a room.
pub(crate) static ROOM_GAP: Table<EventKey, GapRow> =
    Table::new(ground(11, "room_gap", Shape::Scan, Cold));

/// When a room last got a new event.
pub(crate) static ROOM_TAIL: Table<(RoomKey,), (Stamp, ())> =
    Table::new(derived(12, "room_tail", Shape::Point, Hot));

/// Room, epoch, type, state key: the current state.
pub(crate) static ROOM_STATE: Table<(RoomKey, u64, String, String), CurrentRow> =
    Table::new(derived(13, "room_state", Shape::Scan, Hot));

/// The nodes of every state tree of a room.
pub(crate) static STATE_NODE: Table<(RoomKey, [u8; NODE_HASH_BYTES]), StateNode> =
    Table::new(ground(14, "state_node", Shape::Point, Hot));

/// The epoch of current state rows that is being built.
pub(crate) static ROOM_EPOCH: Table<(RoomKey,), EpochRow> =
    Table::new(ground(15, "room_epoch", Shape::Point, Cold));

/// The rooms of every user, with the stamp of the last change.
pub(crate) static USER_ROOM: Table<(UserKey, RoomKey), (Stamp, UserRoomRow)> =
    Table::new(derived(16, "user_room", Shape::Scan, Hot));

/// The users of this server in a room.
pub(crate) static LOCAL_MEMBER: Table<(RoomKey, UserKey), LocalMemberRow> =
    Table::new(derived(17, "local_member", Shape::Scan, Hot));

/// Room, epoch, server: how many of the server's users are joined.
pub(crate) static ROOM_SERVER: Counter<(RoomKey, u64, ServerKey)> =
    Counter::new(count(18, "room_server"));

/// The same, row by row.
pub(crate) static ROOM_SERVER_ROWS: Table<(RoomKey, u64, ServerKey), i64> =
    Table::new(*ROOM_SERVER.space());

/// User, device, digest of scope and transaction ID.
pub(crate) static TXN: Table<(UserKey, String, [u8; DIGEST_BYTES]), TxnRow> =
    Table::new(ground(19, "txn", Shape::Point, Hot));

/// An age of the installation in milliseconds, and the whole key of a row that may go then.
pub(crate) static EXPIRY: Table<(u64, Bytes), ()> =
    Table::new(ground(20, "expiry", Shape::Queue, Cold));

/// How far each reader of the log came.
pub(crate) static CURSOR: Table<(String,), CursorRow> =
    Table::new(ground(21, "cursor", Shape::Point, Hot));

/// Room, event: received, and not taken by the room's worker yet.
pub(crate) static STAGED: Table<EventKey, (Stamp, StagedRow)> =
    Table::new(ground(22, "staged", Shape::Scan, Cold));

/// Bytes of JSON staged from each server.
pub(crate) static STAGED_BYTES: Counter<(ServerKey,)> = Counter::new(count(23, "staged_bytes"));

/// The same, row by row.
pub(crate) static STAGED_BYTES_ROWS: Table<(ServerKey,), i64> = Table::new(*STAGED_BYTES.space());

/// Server, digest of transaction ID.
pub(crate) static INBOUND_TXN: Table<(ServerKey, [u8; DIGEST_BYTES]), InboundTxnRow> =
    Table::new(ground(24, "inbound_txn", Shape::Point, Cold));

/// How many tables there are.
pub(crate) const TABLES: usize = 113;

static KEYSPACES: [Keyspace; TABLES] = [
    *META.space(),
    *MIGRATION.space(),
    *ROOM_HEAD.space(),
    *EVENT.space(),
    *EVENT_ROOM.space(),
    *EVENT_EDGE.space(),
    *AUTH_CITER.space(),
    *ROOM_LOG.space(),
    *GLOBAL_LOG.space(),
    *ROOM_TIMELINE.space(),
    *ROOM_GAP.space(),
    *ROOM_TAIL.space(),
    *ROOM_STATE.space(),
    *STATE_NODE.space(),
    *ROOM_EPOCH.space(),
    *USER_ROOM.space(),
    *LOCAL_MEMBER.space(),
    *ROOM_SERVER.space(),
    *TXN.space(),
    *EXPIRY.space(),
    *CURSOR.space(),
    *STAGED.space(),
    *STAGED_BYTES.space(),
    *INBOUND_TXN.space(),
    *THREAD_SUBSCRIPTION.space(),
    *SUBSCRIPTION_LOG.space(),
    *DELAYED.space(),
    *DELAYED_DUE.space(),
    *DELAYED_OF_USER.space(),
    *DELAYED_COUNT.space(),
    *DELAYED_TXN.space(),
    *EVENT_ORIGIN.space(),
    *NOTICE_ROOM.space(),
    *ACCOUNT_DATA_COUNT.space(),
    *USER.space(),
    *DEVICE.space(),
    *DEVICE_SEEN.space(),
    *TOKEN.space(),
    *PROFILE.space(),
    *ACCOUNT_DATA.space(),
    *ACCOUNT_DATA_LOG.space(),
    *FILTER.space(),
    *REGISTRATION_TOKEN.space(),
    *PROFILE_LOG.space(),
    *AGE.space(),
    *ROOM_ALIAS.space(),
    *ALIAS_OF_ROOM.space(),
    *PUBLISHED.space(),
    *FORGOTTEN.space(),
    *FLOW.space(),
    *REPORT.space(),
    *OPENID_TOKEN.space(),
    *RELATION.space(),
    *EDIT.space(),
    *RELATION_COUNT.space(),
    *THREAD_LOG.space(),
    *THREAD_TAIL.space(),
    *ROOM_TIME.space(),
    *STALE.space(),
    *USER_WORD.space(),
    *LISTED_ROOM.space(),
    *LISTING.space(),
    *ROOM_TYPING.space(),
    *RECEIPT.space(),
    *RECEIPT_LOG.space(),
    *NOTE.space(),
    *NOTE_ORDER.space(),
    *STIR_LOG.space(),
    *ROOM_BRIEF.space(),
    *PRESENCE.space(),
    *PUSHER.space(),
    *CONNECTION.space(),
    *keys::DEVICE_KEYS.space(),
    *keys::ONE_TIME_KEY.space(),
    *keys::ONE_TIME_KEY_ID.space(),
    *keys::ONE_TIME_KEY_COUNT.space(),
    *keys::FALLBACK_KEY.space(),
    *keys::CROSS_SIGNING.space(),
    *keys::SIGNATURE.space(),
    *keys::DEVICE_LIST_LOG.space(),
    *keys::TO_DEVICE.space(),
    *keys::SHARED_MESSAGE.space(),
    *keys::TO_DEVICE_COUNT.space(),
    *keys::MEMBER_LOG.space(),
    *keys::BACKUP_VERSION.space(),
    *keys::BACKUP_SESSION.space(),
    *keys::DEHYDRATED.space(),
    *DEVICE_HEARD.space(),
    *LITTER.space(),
    *REDACTION_DUE.space(),
    *INVITE.space(),
    *STUCK_ROOM.space(),
    *SERVER_KEY.space(),
    *KEY_DOCUMENT.space(),
    *DESTINATION.space(),
    *EDU_OUTBOX.space(),
    *LAGGING_ROOM.space(),
    *tracked::DEVICE_STREAM.space(),
    *tracked::DEVICE_DUE.space(),
    *tracked::TRACKED_LIST.space(),
    *tracked::TRACKED_DEVICE.space(),
    *PARTNER.space(),
    *PUSH_PLACE.space(),
    *MEDIA.space(),
    *BLOB_USE.space(),
    *THUMBNAIL.space(),
    *RESERVATION.space(),
    *RESERVED_BY.space(),
    *UPLOADED_BYTES.space(),
    *COPY.space(),
    *COPY_ORDER.space(),
    *COPIED_BYTES.space(),
    *PREVIEW.space(),
];

/// Every table, by tag: what an engine is opened with.
pub fn keyspaces() -> &'static [Keyspace] {
    &KEYSPACES
}

/// A node of a state tree: canonical bytes as they are, for their hash is their key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateNode(pub(crate) Bytes);

impl RowCodec for StateNode {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(version: u8, bytes: &[u8]) -> Result<Self, ReadError> {
        match version {
            1 => Ok(Self(Bytes::copy_from_slice(bytes))),
            other => Err(unknown_version(other)),
        }
    }
}

/// The room that an event is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomOf(pub(crate) RoomKey);

impl RowCodec for RoomOf {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.0.as_bytes());
    }

    fn decode(version: u8, bytes: &[u8]) -> Result<Self, ReadError> {
        if version != Self::VERSION {
            return Err(unknown_version(version));
        }
        let not_a_room = || ReadError::corrupt("a row holds no room ID");
        let text = std::str::from_utf8(bytes).map_err(|_| not_a_room())?;
        let room = text.try_into().map_err(|_| not_a_room())?;
        Ok(Self(RoomKey(room)))
    }
}
