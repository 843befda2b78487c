//! The directory: that aliases and published rooms are of rooms that are there, and that both
//! directions of an alias agree.

use belfry_kv::{Engine, ReadError};

use super::{
    finding::{FindingKind, Report},
    pages::{Pages, present},
};
use crate::{
    column::RoomKey,
    directory::{ALIAS_OF_ROOM, PUBLISHED, ROOM_ALIAS},
    tables::ROOM_HEAD,
};

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    check_aliases(engine, report).await?;
    check_rooms(engine, report).await?;
    check_published(engine, report).await
}

async fn check_aliases(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ROOM_ALIAS);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let room = RoomKey::from(&*row.row.room);
            let back = ALIAS_OF_ROOM.key(&(room.clone(), row.key.0.clone()));
            let there = present(&*snapshot, &[ROOM_HEAD.key(&(room,)), back]).await?;
            let at = (ROOM_ALIAS.space(), &row.raw);
            let whole = there.into_iter().all(|it| it);
            report.expect(
                whole,
                FindingKind::Dangling,
                at,
                "its room does not have it",
            );
        }
    }
    Ok(())
}

async fn check_rooms(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ALIAS_OF_ROOM);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let alias = ROOM_ALIAS.get(&*snapshot, &(row.key.1.clone(),)).await?;
            let right = alias.is_some_and(|alias| alias.room == row.key.0.0);
            let at = (ALIAS_OF_ROOM.space(), &row.raw);
            report.expect(
                right,
                FindingKind::Dangling,
                at,
                "the alias stands for another room",
            );
        }
    }
    Ok(())
}

async fn check_published(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&PUBLISHED);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let keys: Vec<_> = rows.iter().map(|row| ROOM_HEAD.key(&row.key)).collect();
        for (row, there) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (PUBLISHED.space(), &row.raw);
            report.expect(there, FindingKind::Orphan, at, "there is no such room");
        }
    }
    Ok(())
}
