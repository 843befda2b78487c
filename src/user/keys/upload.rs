//! `POST /keys/upload`: a device's keys come in.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    Snapshot,
    account::{self as accounts, UserChange},
    keys::{self as rows, FallbackKeyRow, KeyPool, NewOneTimeKey, OneTimeKeyState},
};
use belfry_env::Random;
use belfry_policy::Action;
use ruma_common::UserId;

use super::{
    KeyError,
    shape::{self, ALGORITHMS_MAX, OneTime, Signer},
    together::check_signed,
};
use crate::{Requester, Users, store::Tries};

/// One-time keys of one device, of all algorithms. Clients keep 50 to 100.
pub const ONE_TIME_KEYS_MAX: usize = 1_000;

/// Keys of a device, each as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyUpload {
    /// `DeviceKeys`.
    pub device_keys: Option<String>,
    /// By algorithm and ID.
    pub one_time_keys: BTreeMap<String, String>,
    /// By algorithm and ID; of each algorithm the last one counts.
    pub fallback_keys: BTreeMap<String, String>,
}

impl Users {
    /// Takes keys of the requester's device: all of them or, if one is not good, none. An upload
    /// that is repeated does no more. The answer is how many one-time keys of each algorithm the
    /// device has.
    pub async fn upload_keys(
        &self,
        requester: &Requester,
        upload: &KeyUpload,
    ) -> Result<BTreeMap<String, u64>, KeyError> {
        self.allow(requester, Action::ManageKeys)?;
        let (user, device) = (&*requester.user_id, requester.device_id.as_str());
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user).await?;
            let mut change = change.ok_or(KeyError::NoDevice)?;
            if accounts::device(&*snapshot, user, device).await?.is_none() {
                return Err(KeyError::NoDevice);
            }
            let random = &self.0.env.random;
            let upload = (upload, false);
            let changed = put_keys(&*snapshot, &mut change, device, upload, random).await?;
            if !changed || self.0.store.commit(change.finish(), &mut tries).await? {
                break;
            }
        }
        let snapshot = self.0.store.snapshot().await?;
        Ok(rows::one_time_key_counts(&*snapshot, user, device).await?)
    }
}

/// Checks all keys and adds what is new of them to the change; whether there is anything. With
/// `anew`, the change deletes what the device had before.
pub(crate) async fn put_keys(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    device: &str,
    (upload, anew): (&KeyUpload, bool),
    random: &Random,
) -> Result<bool, KeyError> {
    let user = change.id().to_owned();
    let stored = rows::device_keys(snapshot, &user, device).await?;
    let stored = stored.filter(|_| !anew);
    let before = stored
        .as_ref()
        .and_then(|row| shape::stored_signer(&row.json, device).ok());
    let after = match &upload.device_keys {
        Some(json) => Some(shape::device_keys(json, &user, device)?),
        None => before.clone(),
    };
    let mut batch = Batch::parse(&user, device, upload)?;
    if let Some(signer) = &after {
        check_signed(upload.one_time_keys.iter(), &user, signer, random)?;
        check_signed(upload.fallback_keys.iter(), &user, signer, random)?;
    }
    let replaced = before.is_some_and(|before| {
        let key = after.as_ref().map(|after| &after.key);
        key != Some(&before.key)
    });
    let mut changed = false;
    if let (Some(json), Some(signer)) = (&upload.device_keys, &after) {
        let row = device_row(snapshot, &user, json, signer).await?;
        if stored.as_ref() != Some(&row) {
            if replaced {
                // Keys that the former one signed are of no use to anybody.
                rows::drop_device_keys(change, device);
            }
            change.put_device_keys(device, &row);
            changed = true;
        }
    }
    let replaced = replaced || anew;
    batch.keep_new(snapshot, replaced).await?;
    changed |= batch.put(change);
    changed |= put_fallback(snapshot, change, device, upload, replaced).await?;
    Ok(changed)
}

/// What is stored of a device's keys: with its own signature, and that of the user's self-signing
/// key if it is right.
async fn device_row(
    snapshot: &dyn Snapshot,
    user: &UserId,
    json: &str,
    signer: &Signer,
) -> Result<rows::DeviceKeysRow, KeyError> {
    let signing = rows::cross_signing(snapshot, &[user.to_owned()]).await?;
    let signing = signing.into_iter().next().flatten().unwrap_or_default();
    let own = signing.self_signing.as_deref();
    let own = own.and_then(|json| shape::signing_key(json, user, "self_signing").ok());
    let signers: Vec<_> = std::iter::once(signer).chain(&own).collect();
    let json = shape::keep_verified(json, user, &signers)?;
    Ok(rows::DeviceKeysRow { json: json.into() })
}

/// One-time keys of one upload.
struct Batch<'a> {
    /// By algorithm.
    pools: BTreeMap<&'a str, KeyPool>,
    keys: Vec<(OneTime<'a>, &'a str)>,
}

impl<'a> Batch<'a> {
    fn parse(user: &UserId, device: &str, upload: &'a KeyUpload) -> Result<Self, KeyError> {
        if upload.fallback_keys.len() > ALGORITHMS_MAX {
            return Err(KeyError::TooMany("fallback keys", ALGORITHMS_MAX));
        }
        if upload.one_time_keys.len() > ONE_TIME_KEYS_MAX {
            return Err(KeyError::TooMany("one-time keys", ONE_TIME_KEYS_MAX));
        }
        let mut pools = BTreeMap::new();
        let mut keys = Vec::new();
        for (name, json) in &upload.one_time_keys {
            let key = shape::one_time_key(name, json)?;
            pools
                .entry(key.algorithm)
                .or_insert_with(|| pool(user, device, key.algorithm));
            keys.push((key, &**json));
        }
        if pools.len() > ALGORITHMS_MAX {
            return Err(KeyError::TooMany("algorithms", ALGORITHMS_MAX));
        }
        Ok(Self { pools, keys })
    }

    fn new_key<'b>(key: &'b OneTime<'_>, json: &'b str) -> NewOneTimeKey<'b> {
        NewOneTimeKey {
            key_id: key.key_id,
            identity: &key.identity,
            json,
        }
    }

    /// Leaves those that are not known yet; fails if another key has the ID of one. With
    /// `replaced`, none are known.
    async fn keep_new(&mut self, snapshot: &dyn Snapshot, replaced: bool) -> Result<(), KeyError> {
        if replaced || self.keys.is_empty() {
            return Ok(());
        }
        let asked = self.keys.iter().filter_map(|(key, json)| {
            let pool = self.pools.get(key.algorithm)?;
            Some((pool, Self::new_key(key, json)))
        });
        let asked: Vec<_> = asked.collect();
        let states = rows::known_keys(snapshot, &asked).await?;
        let known = self.keys.iter().zip(&states);
        for ((key, _), state) in known {
            if *state == OneTimeKeyState::Other {
                let name = format!("{}:{}", key.algorithm, key.key_id);
                return Err(KeyError::KnownId(name));
            }
        }
        let mut states = states.into_iter();
        self.keys
            .retain(|_| states.next() == Some(OneTimeKeyState::New));
        self.limit(snapshot).await
    }

    /// What is new must fit beside what there is.
    async fn limit(&self, snapshot: &dyn Snapshot) -> Result<(), KeyError> {
        let Some(pool) = self.pools.values().next() else {
            return Ok(());
        };
        let counts = rows::one_time_key_counts(snapshot, &pool.user, &pool.device).await?;
        let there = usize::try_from(counts.values().sum::<u64>()).unwrap_or(usize::MAX);
        let algorithms: BTreeSet<_> = counts.keys().map(String::as_str).collect();
        let algorithms = algorithms
            .union(&self.pools.keys().copied().collect())
            .count();
        if there.saturating_add(self.keys.len()) > ONE_TIME_KEYS_MAX {
            Err(KeyError::TooMany("one-time keys", ONE_TIME_KEYS_MAX))
        } else if algorithms > ALGORITHMS_MAX {
            Err(KeyError::TooMany("algorithms", ALGORITHMS_MAX))
        } else {
            Ok(())
        }
    }

    fn put(&self, change: &mut UserChange) -> bool {
        for (algorithm, pool) in &self.pools {
            let keys = self.keys.iter();
            let keys = keys.filter(|(key, _)| key.algorithm == *algorithm);
            rows::put_one_time_keys(
                change,
                pool,
                keys.map(|(key, json)| Self::new_key(key, json)),
            );
        }
        !self.keys.is_empty()
    }
}

/// Sets fallback keys that are other than those stored; whether there are any.
async fn put_fallback(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    device: &str,
    upload: &KeyUpload,
    replaced: bool,
) -> Result<bool, KeyError> {
    if upload.fallback_keys.is_empty() {
        return Ok(false);
    }
    let user = change.id().to_owned();
    let stored = if replaced {
        BTreeMap::new()
    } else {
        rows::fallback_keys(snapshot, &user, device).await?
    };
    let mut changed = false;
    for (name, json) in &upload.fallback_keys {
        let key = shape::one_time_key(name, json)?;
        let known = stored.get(key.algorithm).is_some_and(|row| {
            let identity = shape::one_time_identity(&row.json);
            *row.key_id == *key.key_id && identity.as_ref() == Ok(&key.identity)
        });
        if !known {
            let row = FallbackKeyRow {
                key_id: key.key_id.into(),
                json: json.as_str().into(),
                used: false,
            };
            rows::put_fallback_key(change, &pool(&user, device, key.algorithm), &row);
            changed = true;
        }
    }
    let mut algorithms: BTreeSet<_> = stored.keys().map(String::as_str).collect();
    let named = upload.fallback_keys.keys();
    algorithms.extend(named.filter_map(|name| Some(name.split_once(':')?.0)));
    if algorithms.len() > ALGORITHMS_MAX {
        return Err(KeyError::TooMany("algorithms", ALGORITHMS_MAX));
    }
    Ok(changed)
}

fn pool(user: &UserId, device: &str, algorithm: &str) -> KeyPool {
    KeyPool {
        user: user.to_owned(),
        device: device.to_owned(),
        algorithm: algorithm.to_owned(),
    }
}
