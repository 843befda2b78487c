//! Relations and directories: that their rows decode and name what is there.

use belfry_kv::{Engine, ReadError};

use super::{
    finding::{FindingKind, Report},
    pages::{Pages, decode_all, present},
};
use crate::{
    listing::{LISTED_ROOM, LISTING, USER_WORD},
    relation::{EDIT, RELATION, RELATION_COUNT_ROWS, THREAD_LOG, THREAD_TAIL},
    room_time::ROOM_TIME,
    stale::STALE,
    tables::{EVENT, ROOM_HEAD},
};

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    check_relations(engine, report).await?;
    check_times(engine, report).await?;
    check_listing(engine, report).await?;
    decode_all(engine, &EDIT, report).await?;
    decode_all(engine, &RELATION_COUNT_ROWS, report).await?;
    decode_all(engine, &THREAD_LOG, report).await?;
    decode_all(engine, &THREAD_TAIL, report).await?;
    decode_all(engine, &STALE, report).await?;
    decode_all(engine, &USER_WORD, report).await?;
    decode_all(engine, &LISTED_ROOM, report).await
}

async fn check_relations(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&RELATION);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let key = |child: [u8; 32], room| EVENT.key(&(room, child));
        let keys: Vec<_> = rows
            .iter()
            .map(|row| key(*row.row.event.as_bytes(), row.key.0.clone()))
            .collect();
        for (row, there) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (RELATION.space(), &row.raw);
            report.expect(there, FindingKind::Dangling, at, "the event is not stored");
        }
    }
    Ok(())
}

async fn check_times(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ROOM_TIME);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let keys: Vec<_> = rows
            .iter()
            .map(|row| EVENT.key(&(row.key.0.clone(), *row.row.event.as_bytes())))
            .collect();
        for (row, there) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (ROOM_TIME.space(), &row.raw);
            report.expect(there, FindingKind::Dangling, at, "the event is not stored");
        }
    }
    Ok(())
}

async fn check_listing(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&LISTING);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let keys: Vec<_> = rows
            .iter()
            .map(|row| ROOM_HEAD.key(&(row.key.1.clone(),)))
            .collect();
        for (row, there) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (LISTING.space(), &row.raw);
            report.expect(there, FindingKind::Orphan, at, "there is no such room");
        }
    }
    Ok(())
}
