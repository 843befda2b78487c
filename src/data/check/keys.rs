//! Rows of encryption: that they decode, that keys are of devices that are there, and that counts
//! are right.

use std::collections::BTreeSet;

use belfry_kv::{Engine, Key, ReadError};

use super::{
    finding::{FindingKind, Report},
    pages::{Pages, decode_all, present},
};
use crate::{
    account::tables::{DEVICE, USER},
    column::UserKey,
    keys::heard::DEVICE_HEARD,
    keys::tables::{
        BACKUP_SESSION, BACKUP_VERSION, CROSS_SIGNING, DEHYDRATED, DEVICE_KEYS, DEVICE_LIST_LOG,
        FALLBACK_KEY, MEMBER_LOG, ONE_TIME_KEY, ONE_TIME_KEY_COUNT_ROWS, ONE_TIME_KEY_ID,
        SHARED_MESSAGE, SIGNATURE, TO_DEVICE, TO_DEVICE_COUNT_ROWS,
    },
    keys::tracked::{DEVICE_DUE, DEVICE_STREAM, TRACKED_DEVICE, TRACKED_LIST},
    partner::PARTNER,
};

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    decode_all(engine, &ONE_TIME_KEY_ID, report).await?;
    decode_all(engine, &ONE_TIME_KEY_COUNT_ROWS, report).await?;
    decode_all(engine, &FALLBACK_KEY, report).await?;
    decode_all(engine, &SIGNATURE, report).await?;
    decode_all(engine, &DEVICE_LIST_LOG, report).await?;
    decode_all(engine, &MEMBER_LOG, report).await?;
    decode_all(engine, &SHARED_MESSAGE, report).await?;
    decode_all(engine, &TO_DEVICE, report).await?;
    decode_all(engine, &TO_DEVICE_COUNT_ROWS, report).await?;
    decode_all(engine, &BACKUP_SESSION, report).await?;
    // As the note of when a device was seen, it may outlive the device.
    decode_all(engine, &DEVICE_HEARD, report).await?;
    decode_all(engine, &DEVICE_STREAM, report).await?;
    decode_all(engine, &DEVICE_DUE, report).await?;
    decode_all(engine, &TRACKED_LIST, report).await?;
    decode_all(engine, &TRACKED_DEVICE, report).await?;
    decode_all(engine, &PARTNER, report).await?;
    check_users(engine, report).await?;
    check_device_keys(engine, report).await?;
    check_one_time_keys(engine, report).await
}

async fn check_users(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let text = "there is no such user";
    let mut pages = Pages::new(&CROSS_SIGNING);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let keys: Vec<Key> = rows.iter().map(|row| USER.key(&row.key)).collect();
        for (row, there) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (CROSS_SIGNING.space(), &row.raw);
            report.expect(there, FindingKind::Orphan, at, text);
        }
    }
    let mut pages = Pages::new(&DEHYDRATED);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let keys: Vec<Key> = rows.iter().map(|row| USER.key(&row.key)).collect();
        for (row, there) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (DEHYDRATED.space(), &row.raw);
            report.expect(there, FindingKind::Orphan, at, text);
        }
    }
    let mut pages = Pages::new(&BACKUP_VERSION);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let key = |user: &UserKey| USER.key(&(user.clone(),));
        let keys: Vec<Key> = rows.iter().map(|row| key(&row.key.0)).collect();
        for (row, there) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (BACKUP_VERSION.space(), &row.raw);
            report.expect(there, FindingKind::Orphan, at, text);
        }
    }
    Ok(())
}

async fn check_device_keys(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&DEVICE_KEYS);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        for row in &rows {
            let there = present(&*snapshot, &[DEVICE.key(&row.key)]).await?;
            let owner = (row.key.0.clone(),);
            let dehydrated = DEHYDRATED.get(&*snapshot, &owner).await.unwrap_or_default();
            let dehydrated = dehydrated.is_some_and(|found| *found.device == *row.key.1);
            let at = (DEVICE_KEYS.space(), &row.raw);
            let there = dehydrated || there.into_iter().all(|it| it);
            report.expect(there, FindingKind::Orphan, at, "there is no such device");
        }
    }
    Ok(())
}

/// Every key has its ID, which is not said to be given away.
async fn check_one_time_keys(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ONE_TIME_KEY);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let mut seen = BTreeSet::new();
        for row in &rows {
            let (user, device, algorithm, _) = row.key.clone();
            let id = (user, device, algorithm, row.row.key_id.to_string());
            let known = ONE_TIME_KEY_ID.get(&*snapshot, &id).await;
            let known = known.unwrap_or_default();
            let fresh = seen.insert(id);
            let right = fresh && known.is_some_and(|known| !known.claimed);
            let at = (ONE_TIME_KEY.space(), &row.raw);
            let text = "its ID is not there, or given away already";
            report.expect(right, FindingKind::Dangling, at, text);
        }
    }
    Ok(())
}
