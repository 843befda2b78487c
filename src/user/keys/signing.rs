//! `POST /keys/device_signing/upload`: cross-signing keys come in, and replace those before.

use belfry_data::{
    Snapshot,
    account::UserChange,
    keys::{self as rows, CrossSigningRow},
};
use belfry_policy::Action;
use ruma_common::UserId;

use super::{
    KeyError,
    query::key_of,
    shape::{self, Signer},
};
use crate::{Requester, Users, store::Tries};

/// Devices whose signatures on a master key are looked at.
const SIGNING_DEVICES_MAX: usize = 50;

/// Cross-signing keys, each as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SigningKeys {
    /// `master_key`
    pub master: Option<String>,
    /// `self_signing_key`
    pub self_signing: Option<String>,
    /// `user_signing_key`
    pub user_signing: Option<String>,
}

impl Users {
    /// Replaces the requester's cross-signing keys. With a new master key, keys that it does not
    /// come with are gone, and so are signatures by keys that are replaced.
    ///
    /// Without `proven`, which says that user-interactive authentication was done, this happens
    /// only if the user has no master key yet or if the upload brings nothing but what is there;
    /// else the answer is `false`. Keys that cannot be taken are refused before.
    pub async fn set_signing_keys(
        &self,
        requester: &Requester,
        keys: &SigningKeys,
        proven: bool,
    ) -> Result<bool, KeyError> {
        self.allow(requester, Action::ManageKeys)?;
        let user = &requester.user_id;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user).await?;
            let mut change = change.ok_or(KeyError::NoDevice)?;
            let stored = stored(&*snapshot, user).await?;
            let next = plan(&*snapshot, user, &stored, keys).await?;
            if next == stored || is_same(&stored, keys) {
                return Ok(true);
            }
            if stored.master.is_some() && !proven {
                return Ok(false);
            }
            drop_outdated(&*snapshot, &mut change, &next).await?;
            change.put_cross_signing(&next);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(true);
            }
        }
    }
}

async fn stored(snapshot: &dyn Snapshot, user: &UserId) -> Result<CrossSigningRow, KeyError> {
    let found = rows::cross_signing(snapshot, &[user.to_owned()]).await?;
    Ok(found.into_iter().next().flatten().unwrap_or_default())
}

/// Whether the upload brings nothing but what is stored.
fn is_same(stored: &CrossSigningRow, keys: &SigningKeys) -> bool {
    let same = |stored: Option<&str>, brought: Option<&String>| match (stored, brought) {
        (_, None) => true,
        (Some(stored), Some(brought)) => shape::same_but_signatures(stored, brought),
        (None, Some(_)) => false,
    };
    same(stored.master.as_deref(), keys.master.as_ref())
        && same(stored.self_signing.as_deref(), keys.self_signing.as_ref())
        && same(stored.user_signing.as_deref(), keys.user_signing.as_ref())
}

/// What will be stored, if all signatures are right.
async fn plan(
    snapshot: &dyn Snapshot,
    user: &UserId,
    stored: &CrossSigningRow,
    keys: &SigningKeys,
) -> Result<CrossSigningRow, KeyError> {
    let mut next = stored.clone();
    if let Some(json) = &keys.master {
        let before = stored.master.as_deref().and_then(key_of);
        let after = shape::signing_key(json, user, "master")?;
        if before != key_of(json) {
            next = CrossSigningRow::default();
        }
        let json = with_devices(snapshot, user, json, &after).await?;
        next.master = Some(json.into());
    }
    if keys.self_signing.is_none() && keys.user_signing.is_none() {
        return Ok(next);
    }
    let Some(master) = &next.master else {
        let text = "there is no master key yet; send it along";
        return Err(KeyError::Mismatch(text.to_owned()));
    };
    let master = shape::signing_key(master, user, "master")?;
    if let Some(json) = &keys.self_signing {
        next.self_signing = Some(signed(json, user, "self_signing", &master)?);
    }
    if let Some(json) = &keys.user_signing {
        next.user_signing = Some(signed(json, user, "user_signing", &master)?);
    }
    Ok(next)
}

/// A key that the master key must have signed.
fn signed(json: &str, user: &UserId, usage: &str, master: &Signer) -> Result<Box<str>, KeyError> {
    shape::signing_key(json, user, usage)?;
    shape::verify(json, user, master)?;
    Ok(shape::keep_verified(json, user, &[master])?.into())
}

/// A master key with the signatures by the user's devices; a wrong one is refused.
async fn with_devices(
    snapshot: &dyn Snapshot,
    user: &UserId,
    json: &str,
    own: &Signer,
) -> Result<String, KeyError> {
    let ids = shape::signing_ids(json, user)?;
    if ids.len() > SIGNING_DEVICES_MAX {
        return Err(KeyError::TooMany("signatures", SIGNING_DEVICES_MAX));
    }
    let devices: Vec<_> = ids
        .iter()
        .filter_map(|id| id.strip_prefix("ed25519:"))
        .filter(|device| device.len() <= crate::DEVICE_ID_BYTES_MAX)
        .collect();
    let asked: Vec<_> = devices.iter().map(|device| (user, *device)).collect();
    let found = rows::device_keys_of(snapshot, &asked).await?;
    let mut signers = vec![own.clone()];
    for (device, row) in devices.iter().zip(found) {
        if let Some(row) = row {
            let signer = shape::stored_signer(&row.json, device)?;
            shape::verify(json, user, &signer)?;
            signers.push(signer);
        }
    }
    let signers: Vec<_> = signers.iter().collect();
    shape::keep_verified(json, user, &signers)
}

/// Drops the user's signatures on their own keys that a replaced key made, or that are on one.
async fn drop_outdated(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    next: &CrossSigningRow,
) -> Result<(), KeyError> {
    let master = next.master.as_deref().and_then(key_of);
    let self_signing = next.self_signing.as_deref().and_then(key_of);
    let user = change.id().to_owned();
    let devices = rows::keyed_devices(snapshot, &[user]).await?;
    let devices: Vec<_> = devices.into_iter().flat_map(|page| page.devices).collect();
    let is_device = |id: &str| devices.iter().any(|(device, ..)| device == id);
    let goes = |stored: &rows::StoredSignature| {
        let signer = stored.key_id.strip_prefix("ed25519:").unwrap_or_default();
        if is_device(&stored.signed) {
            self_signing.as_deref() != Some(signer)
        } else {
            master.as_deref() != Some(&*stored.signed)
        }
    };
    Ok(rows::drop_own_signatures(snapshot, change, goes).await?)
}
