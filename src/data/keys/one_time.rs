//! One-time and fallback keys: stored in the order that they came, given away once.

use std::collections::BTreeMap;

use belfry_kv::{Commit, ReadError, Seen, Snapshot, Stamp};
use ruma_common::{OwnedUserId, UserId};

use super::{
    device::FORWARD,
    rows::{FallbackKeyRow, OneTimeKeyIdRow, OneTimeKeyRow},
    tables::{FALLBACK_KEY, ONE_TIME_KEY, ONE_TIME_KEY_COUNT, ONE_TIME_KEY_ID},
};
use crate::{
    account::UserChange,
    column::{UserKey, digest},
    txn::expire_at,
};

/// Algorithms of one device that are read.
const ALGORITHMS_MAX: usize = 100;

/// The keys of one algorithm of one device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPool {
    /// Whose.
    pub user: OwnedUserId,
    /// Of which device.
    pub device: String,
    /// For instance `signed_curve25519`.
    pub algorithm: String,
}

impl KeyPool {
    fn key(&self) -> (UserKey, String, String) {
        let user = UserKey::from(&*self.user);
        (user, self.device.clone(), self.algorithm.clone())
    }

    fn id(&self, key_id: &str) -> (UserKey, String, String, String) {
        let (user, device, algorithm) = self.key();
        (user, device, algorithm, key_id.to_owned())
    }
}

/// A key that comes in.
#[derive(Debug, Clone, Copy)]
pub struct NewOneTimeKey<'a> {
    /// The key ID without its algorithm.
    pub key_id: &'a str,
    /// What makes it the same key: it without its signatures.
    pub identity: &'a str,
    /// As JSON.
    pub json: &'a str,
}

/// What the server knows of a key ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneTimeKeyState {
    /// Nothing.
    New,
    /// This key is stored, or was and is given away.
    Same,
    /// Another key has this ID.
    Other,
}

/// A key that may be given away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedKey {
    /// When it came, among those of its pool.
    pub stamp: Stamp,
    /// The key.
    pub row: OneTimeKeyRow,
}

/// What the server knows of these keys, in the order given; one round trip.
pub async fn known_keys(
    snapshot: &dyn Snapshot,
    keys: &[(&KeyPool, NewOneTimeKey<'_>)],
) -> Result<Vec<OneTimeKeyState>, ReadError> {
    let ids: Vec<_> = keys.iter().map(|(pool, key)| pool.id(key.key_id)).collect();
    let rows = ONE_TIME_KEY_ID.get_many(snapshot, &ids).await?;
    let states = rows.into_iter().zip(keys).map(|(row, (_, key))| match row {
        None => OneTimeKeyState::New,
        Some(row) if row.digest == digest(&[key.identity]) => OneTimeKeyState::Same,
        Some(_) => OneTimeKeyState::Other,
    });
    Ok(states.collect())
}

/// How many one-time keys of each algorithm a device has.
pub async fn one_time_key_counts(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &str,
) -> Result<BTreeMap<String, u64>, ReadError> {
    let prefix = (UserKey::from(user), device.to_owned());
    let range = ONE_TIME_KEY_COUNT.prefix(&prefix);
    let page = ONE_TIME_KEY_COUNT.scan(snapshot, range, FORWARD, ALGORITHMS_MAX);
    let rows = page.await?.rows.into_iter();
    Ok(rows
        .map(|((_, _, algorithm), count)| (algorithm, u64::try_from(count).unwrap_or(0)))
        .collect())
}

/// A device's fallback keys by algorithm.
pub async fn fallback_keys(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &str,
) -> Result<BTreeMap<String, FallbackKeyRow>, ReadError> {
    let range = FALLBACK_KEY.prefix(&(UserKey::from(user), device.to_owned()));
    let page = FALLBACK_KEY.scan(snapshot, range, FORWARD, ALGORITHMS_MAX);
    let rows = page.await?.rows.into_iter();
    Ok(rows
        .map(|((_, _, algorithm), row)| (algorithm, row))
        .collect())
}

/// The oldest keys of each pool, in the order asked, and its fallback key; two round trips. At most
/// [`belfry_kv::SCAN_MANY_RANGES_MAX`] pools. Keys up to the stamp beside a pool are left out: who
/// knows that they are gone saves the way over what is left of them in the database.
pub async fn oldest_keys(
    snapshot: &dyn Snapshot,
    pools: &[(&KeyPool, Option<Stamp>)],
    limit_each: usize,
) -> Result<Vec<(Vec<ClaimedKey>, Seen<FallbackKeyRow>)>, ReadError> {
    let ranges = pools.iter().map(|(pool, gone)| {
        let key = pool.key();
        let mut range = ONE_TIME_KEY.prefix(&key);
        if let Some(gone) = gone {
            let (user, device, algorithm) = key;
            let last = ONE_TIME_KEY.key(&(user, device, algorithm, *gone));
            range.from = last.successor();
        }
        range
    });
    let pages = ONE_TIME_KEY.scan_many(snapshot, ranges.collect(), limit_each);
    let pages = pages.await?;
    let mut batch = belfry_kv::Batch::new();
    let handles: Vec<_> = pools
        .iter()
        .map(|(pool, _)| batch.get_seen(&FALLBACK_KEY, &pool.key()))
        .collect();
    let mut got = batch.read(snapshot).await?;
    let mut found = Vec::new();
    for (page, handle) in pages.into_iter().zip(handles) {
        let keys = page.rows.into_iter();
        let keys = keys.map(|((_, _, _, stamp), row)| ClaimedKey { stamp, row });
        found.push((keys.collect(), got.take(handle)?));
    }
    Ok(found)
}

/// Stores keys of one of the user's devices that [`known_keys`] found to be new on the change's
/// snapshot.
pub fn put_one_time_keys<'a>(
    change: &mut UserChange,
    pool: &KeyPool,
    keys: impl Iterator<Item = NewOneTimeKey<'a>>,
) {
    let commit = &mut change.commit;
    let prefix = pool.key();
    let mut count = 0;
    for key in keys {
        let row = OneTimeKeyRow {
            key_id: key.key_id.into(),
            json: key.json.into(),
        };
        ONE_TIME_KEY.append(commit, &prefix, &row);
        let id = OneTimeKeyIdRow {
            digest: digest(&[key.identity]),
            claimed: false,
        };
        ONE_TIME_KEY_ID.put(commit, &pool.id(key.key_id), &id);
        count += 1;
    }
    if count > 0 {
        ONE_TIME_KEY_COUNT.add(commit, &prefix, count);
    }
}

/// Gives a key away: the commit applies only if it is still there. Its ID is remembered until the
/// installation's age is `forget_age_ms`.
pub fn claim(
    commit: &mut Commit,
    pool: &KeyPool,
    key: &ClaimedKey,
    identity: &str,
    forget_age_ms: u64,
) {
    let (user, device, algorithm) = pool.key();
    let at = (user, device, algorithm, key.stamp);
    ONE_TIME_KEY.check_equals(commit, &at, Some(&key.row));
    ONE_TIME_KEY.delete(commit, &at);
    ONE_TIME_KEY_COUNT.add(commit, &pool.key(), -1);
    let id = pool.id(&key.row.key_id);
    let given = OneTimeKeyIdRow {
        digest: digest(&[identity]),
        claimed: true,
    };
    ONE_TIME_KEY_ID.put(commit, &id, &given);
    expire_at(commit, forget_age_ms, &ONE_TIME_KEY_ID.key(&id));
}

/// Notes that a fallback key was given, if it is still the one seen.
pub fn use_fallback(commit: &mut Commit, pool: &KeyPool, seen: &Seen<FallbackKeyRow>) {
    let Some(row) = seen.row.clone() else { return };
    FALLBACK_KEY.check_unchanged(commit, &pool.key(), seen);
    FALLBACK_KEY.put(commit, &pool.key(), &FallbackKeyRow { used: true, ..row });
}

/// Sets a fallback key.
pub fn put_fallback_key(change: &mut UserChange, pool: &KeyPool, row: &FallbackKeyRow) {
    FALLBACK_KEY.put(&mut change.commit, &pool.key(), row);
}
