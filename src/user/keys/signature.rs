//! `POST /keys/signatures/upload`: signatures on keys that are there already.

use std::collections::BTreeMap;

use belfry_data::{
    Snapshot,
    account::UserChange,
    keys::{self as rows, CrossSigningRow, StoredSignature},
};
use belfry_policy::Action;
use ruma_common::{OwnedUserId, UserId};

use super::{
    KEY_WAIT_MAX, KeyError, WantedDevices,
    query::key_of,
    shape::{self, Signer},
};
use crate::{Requester, Users, store::Tries};

/// Signed keys in one upload.
pub const SIGNATURES_MAX: usize = 500;

/// Signed objects as JSON: by user, and by device or public key.
pub type SignedKeys = BTreeMap<OwnedUserId, BTreeMap<String, String>>;

/// Why a signature was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFailure {
    /// The signature is missing, wrong, or by a key that does not sign this: `M_INVALID_SIGNATURE`.
    Signature,
    /// What is signed is not what is stored: `M_INVALID_PARAM`.
    Different,
    /// There is no such device or key: `M_NOT_FOUND`.
    Unknown,
}

/// Which were not taken.
pub type SignatureFailures = BTreeMap<OwnedUserId, BTreeMap<String, SignatureFailure>>;

/// What is known of users of other servers: their master keys.
type Masters = BTreeMap<OwnedUserId, String>;

impl Users {
    /// Takes the requester's signatures: by their self-signing key on their devices, by their
    /// devices on their master key, by their user-signing key on others' master keys. Each is
    /// verified; the others are taken whatever becomes of one.
    pub async fn upload_signatures(
        &self,
        requester: &Requester,
        signed: &SignedKeys,
    ) -> Result<SignatureFailures, KeyError> {
        self.allow(requester, Action::ManageKeys)?;
        if signed.values().map(BTreeMap::len).sum::<usize>() > SIGNATURES_MAX {
            return Err(KeyError::TooMany("signed keys", SIGNATURES_MAX));
        }
        let remote = self.remote_masters(signed).await;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, &requester.user_id).await?;
            let mut change = change.ok_or(KeyError::NoDevice)?;
            let desk = Desk::read(&*snapshot, requester, signed, &remote).await?;
            let (taken, failures) = desk.judge(signed);
            let mut new = 0;
            for (owner, signature) in &taken {
                if desk.knows(owner, signature) {
                    continue;
                }
                new += 1;
                rows::put_signature(&mut change, owner, signature);
                if *owner == requester.user_id {
                    change.note_device(&signature.signed);
                }
            }
            if new == 0 || self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(failures);
            }
        }
    }

    /// The master keys of those who are of other servers.
    async fn remote_masters(&self, signed: &SignedKeys) -> Masters {
        let local = &self.0.options.server_name;
        let users = signed.keys().filter(|user| user.server_name() != local);
        let mut wanted: BTreeMap<_, WantedDevices> = BTreeMap::new();
        for user in users {
            let of_server = wanted.entry(user.server_name().to_owned()).or_default();
            of_server.insert(user.clone(), Vec::new());
        }
        if wanted.is_empty() {
            return Masters::new();
        }
        self.1.query(wanted, KEY_WAIT_MAX).await.master_keys
    }
}

/// All that signatures are judged by.
struct Desk<'a> {
    user: &'a UserId,
    own: CrossSigningRow,
    /// The requester's devices' keys.
    devices: BTreeMap<String, Box<str>>,
    masters: Masters,
    known: Vec<(OwnedUserId, StoredSignature)>,
}

type Taken = Vec<(OwnedUserId, StoredSignature)>;

impl<'a> Desk<'a> {
    async fn read(
        snapshot: &dyn Snapshot,
        requester: &'a Requester,
        signed: &SignedKeys,
        remote: &Masters,
    ) -> Result<Self, KeyError> {
        let user = &*requester.user_id;
        let mut users: Vec<OwnedUserId> = vec![user.to_owned()];
        users.extend(signed.keys().filter(|other| *other != user).cloned());
        let mut signing = rows::cross_signing(snapshot, &users).await?.into_iter();
        let own = signing.next().flatten().unwrap_or_default();
        let mut masters = remote.clone();
        for (other, row) in users.iter().skip(1).zip(signing) {
            let master = row.and_then(|row| row.master);
            masters.extend(master.map(|master| (other.clone(), master.into())));
        }
        let pairs: Vec<_> = users.iter().map(|other| (&**other, user)).collect();
        let known = rows::signatures_by(snapshot, &pairs).await?;
        let known = users.iter().zip(known).flat_map(|(owner, found)| {
            let found = found.into_iter();
            found.map(|signature| (owner.clone(), signature))
        });
        let known = known.collect();
        let devices = rows::keyed_devices(snapshot, &users[..1]).await?;
        let devices = devices.into_iter().flat_map(|page| page.devices);
        Ok(Self {
            user,
            own,
            devices: devices.map(|(id, row, _)| (id, row.json)).collect(),
            masters,
            known,
        })
    }

    fn knows(&self, owner: &UserId, signature: &StoredSignature) -> bool {
        let mut known = self.known.iter();
        known.any(|(known, stored)| known == owner && stored == signature)
    }

    fn judge(&self, signed: &SignedKeys) -> (Taken, SignatureFailures) {
        let (mut taken, mut failures) = (Taken::new(), SignatureFailures::new());
        for (owner, keys) in signed {
            for (name, json) in keys {
                match self.judge_one(owner, name, json) {
                    Ok(signatures) => {
                        taken.extend(signatures.into_iter().map(|one| (owner.clone(), one)));
                    }
                    Err(failure) => {
                        let of_owner = failures.entry(owner.clone()).or_default();
                        of_owner.insert(name.clone(), failure);
                    }
                }
            }
        }
        (taken, failures)
    }

    fn judge_one(
        &self,
        owner: &UserId,
        name: &str,
        json: &str,
    ) -> Result<Vec<StoredSignature>, SignatureFailure> {
        let own_master = self.own.master.as_deref();
        if owner != self.user {
            let master = self.masters.get(owner).map(String::as_str);
            let master = master.filter(|master| key_of(master).as_deref() == Some(name));
            same(master, json)?;
            let signer = self.signer(self.own.user_signing.as_deref(), "user_signing");
            self.by(name, json, signer.as_slice())
        } else if let Some(device) = self.devices.get(name) {
            same(Some(device), json)?;
            let signer = self.signer(self.own.self_signing.as_deref(), "self_signing");
            self.by(name, json, signer.as_slice())
        } else {
            let master = own_master.filter(|master| key_of(master).as_deref() == Some(name));
            same(master, json)?;
            let devices = self.devices.iter();
            let signers = devices.filter_map(|(id, json)| shape::stored_signer(json, id).ok());
            self.by(name, json, &signers.collect::<Vec<_>>())
        }
    }

    fn signer(&self, json: Option<&str>, usage: &str) -> Option<Signer> {
        shape::signing_key(json?, self.user, usage).ok()
    }

    /// The signatures by these keys: one at least, and none of them wrong.
    fn by(
        &self,
        signed: &str,
        json: &str,
        signers: &[Signer],
    ) -> Result<Vec<StoredSignature>, SignatureFailure> {
        let mut found = Vec::new();
        for signer in signers {
            let signature = shape::signature_by(json, self.user, signer);
            let signature = signature.map_err(|_| SignatureFailure::Signature)?;
            found.extend(signature.map(|signature| StoredSignature {
                signed: signed.to_owned(),
                key_id: signer.key_id.clone(),
                signature: signature.into(),
            }));
        }
        if found.is_empty() {
            Err(SignatureFailure::Signature)
        } else {
            Ok(found)
        }
    }
}

/// Whether what is signed is what is stored.
fn same(stored: Option<&str>, json: &str) -> Result<(), SignatureFailure> {
    let stored = stored.ok_or(SignatureFailure::Unknown)?;
    if shape::same_but_signatures(stored, json) {
        Ok(())
    } else {
        Err(SignatureFailure::Different)
    }
}
