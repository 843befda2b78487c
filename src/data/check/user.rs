//! Rows by user and by server: that they agree with the rooms, and counts with what is counted.

use std::collections::BTreeMap;

use belfry_event::{EventHash, Inbound};
use belfry_kv::{Engine, ReadError, Snapshot, Stamp};
use ruma_common::{ServerName, UserId};

use super::{
    event::rules_of,
    finding::{FindingKind, Report},
    pages::{Pages, Row},
};
use crate::{
    column::{RoomKey, UserKey},
    rows::{CurrentRow, Membership, UserRoomRow},
    staging::bytes,
    tables::{
        EXPIRY, LOCAL_MEMBER, ROOM_HEAD, ROOM_STATE, STAGED, STAGED_BYTES_ROWS, USER_ROOM,
        keyspaces,
    },
};

/// Origins whose staged bytes are counted; beyond that the counts are taken as they are.
const ORIGINS_MAX: usize = 100_000;

type Totals = BTreeMap<Box<str>, i64>;

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    check_user_rooms(engine, report).await?;
    check_local_members(engine, report).await?;
    check_expiry(engine, report).await?;
    let totals = check_staged(engine, report).await?;
    check_staged_bytes(engine, &totals, report).await
}

/// That a member's rows say what the current state says.
pub(super) async fn check_member(
    snapshot: &dyn Snapshot,
    local: Option<&ServerName>,
    room: &RoomKey,
    user: &UserId,
    entry: &CurrentRow,
    report: &mut Report,
) -> Result<(), ReadError> {
    let (by_user, by_room) = (
        USER_ROOM.key(&(UserKey::from(user), room.clone())),
        LOCAL_MEMBER.key(&(room.clone(), UserKey::from(user))),
    );
    let values = snapshot
        .get_many(&[by_user.clone(), by_room.clone()])
        .await?;
    let [row, local_row] = values.try_into().map_err(|_| ReadError::TooLarge)?;
    let row = row.and_then(|value| USER_ROOM.decode_row(&value).ok());
    let expected = entry.membership.map(|membership| UserRoomRow {
        membership,
        event: entry.event,
    });
    let right = row.map(|(_, row)| row) == expected;
    let at = (USER_ROOM.space(), &by_user);
    report.expect(
        right,
        FindingKind::WrongMember,
        at,
        "the row is not what the room says",
    );
    if local == Some(user.server_name()) {
        let row = local_row.and_then(|value| LOCAL_MEMBER.decode_row(&value).ok());
        let right = row.map(|row| row.membership) == entry.membership;
        let at = (LOCAL_MEMBER.space(), &by_room);
        report.expect(
            right,
            FindingKind::WrongMember,
            at,
            "the row is not what the room says",
        );
    }
    Ok(())
}

async fn check_user_rooms(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&USER_ROOM);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let right = agrees(&*snapshot, row).await?;
            let at = (USER_ROOM.space(), &row.raw);
            let what = "the room does not say so";
            report.expect(right, FindingKind::WrongMember, at, what);
        }
    }
    Ok(())
}

/// Whether the room's current state has the row's member. While the rows of a room are being
/// built nothing can be said.
async fn agrees(
    snapshot: &dyn Snapshot,
    row: &Row<(UserKey, RoomKey), (Stamp, UserRoomRow)>,
) -> Result<bool, ReadError> {
    let (user, room) = &row.key;
    let Ok(head) = ROOM_HEAD.get(snapshot, &(room.clone(),)).await else {
        return Ok(true);
    };
    let Some(head) = head else {
        // An invitation comes before the room does.
        return Ok(row.row.1.membership != Membership::Join);
    };
    let Some(epoch) = head.rows() else {
        return Ok(true);
    };
    let (member, user) = ("m.room.member".to_owned(), user.0.to_string());
    let key = ROOM_STATE.key(&(room.clone(), epoch, member, user));
    let value = snapshot.get_many(&[key]).await?.pop().flatten();
    let current = value.and_then(|value| ROOM_STATE.decode_row(&value).ok());
    Ok(current.is_some_and(|current| {
        current.event == row.row.1.event && current.membership == Some(row.row.1.membership)
    }))
}

async fn check_local_members(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&LOCAL_MEMBER);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let key = |row: &Row<(RoomKey, UserKey), _>| {
            USER_ROOM.key(&(row.key.1.clone(), row.key.0.clone()))
        };
        let keys: Vec<_> = rows.iter().map(key).collect();
        for (row, value) in rows.iter().zip(snapshot.get_many(&keys).await?) {
            let by_user = value.and_then(|value| USER_ROOM.decode_row(&value).ok());
            let right =
                by_user.is_some_and(|(_, by_user)| by_user.membership == row.row.membership);
            let at = (LOCAL_MEMBER.space(), &row.raw);
            report.expect(
                right,
                FindingKind::WrongMember,
                at,
                "the user's row does not say so",
            );
        }
    }
    Ok(())
}

async fn check_expiry(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&EXPIRY);
    while let Some((_, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let tag = row.key.1.first();
            let known = keyspaces().iter().any(|space| Some(&space.tag) == tag);
            let at = (EXPIRY.space(), &row.raw);
            report.expect(known, FindingKind::Dangling, at, "the row is of no table");
        }
    }
    Ok(())
}

async fn check_staged(engine: &dyn Engine, report: &mut Report) -> Result<Totals, ReadError> {
    let mut totals = Totals::new();
    let mut pages = Pages::new(&STAGED);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let rooms = rows.iter().map(|row| row.key.0.clone()).collect();
        let rules = rules_of(&*snapshot, rooms).await?;
        for row in &rows {
            let staged = &row.row.1;
            if totals.len() < ORIGINS_MAX || totals.contains_key(&staged.origin) {
                *totals.entry(staged.origin.clone()).or_default() += bytes(staged);
            }
            let hash = EventHash::from(row.key.1);
            let right = rules.get(&row.key.0).is_none_or(|rules| {
                let inbound = Inbound::parse(rules, staged.json.as_bytes());
                inbound.is_ok_and(|inbound| inbound.unverified().hash() == hash)
            });
            let at = (STAGED.space(), &row.raw);
            report.expect(
                right,
                FindingKind::WrongHash,
                at,
                "the event has another hash",
            );
        }
    }
    Ok(totals)
}

async fn check_staged_bytes(
    engine: &dyn Engine,
    totals: &Totals,
    report: &mut Report,
) -> Result<(), ReadError> {
    let table = &STAGED_BYTES_ROWS;
    let mut pages = Pages::new(table);
    let mut counted = 0;
    while let Some((_, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let expected = totals.get(row.key.0.0.as_str());
            counted += usize::from(expected.is_some());
            let right = row.row == expected.copied().unwrap_or(0) || totals.len() >= ORIGINS_MAX;
            let at = (table.space(), &row.raw);
            report.expect(right, FindingKind::WrongCount, at, "other bytes are staged");
        }
    }
    if counted < totals.len() {
        let key = table.whole().from;
        report.add(
            FindingKind::WrongCount,
            table.space(),
            &key,
            "a server's bytes are not counted",
        );
    }
    Ok(())
}
