//! Cross-signing keys, and signatures that were uploaded later than what they sign.

use belfry_kv::{ReadError, Snapshot};
use ruma_common::{OwnedUserId, UserId};

use super::{
    device::FORWARD,
    list::note_for,
    rows::{CrossSigningRow, SignatureRow},
    tables::{CROSS_SIGNING, SIGNATURE},
};
use crate::{account::UserChange, column::UserKey};

/// Signatures by one user on the keys of another that are read.
const SIGNATURES_MAX: usize = 2_000;

/// A signature on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSignature {
    /// What is signed: a device's ID, or a cross-signing key's public part.
    pub signed: String,
    /// The key that it is signed with, `ed25519:` and more.
    pub key_id: String,
    /// Base64.
    pub signature: Box<str>,
}

/// The cross-signing keys of these users, in the order asked; one round trip.
pub async fn cross_signing(
    snapshot: &dyn Snapshot,
    users: &[OwnedUserId],
) -> Result<Vec<Option<CrossSigningRow>>, ReadError> {
    let keys: Vec<_> = users.iter().map(|user| (UserKey::from(&**user),)).collect();
    CROSS_SIGNING.get_many(snapshot, &keys).await
}

/// The signatures on keys of the first user by the second, for each pair; one round trip. At most
/// [`belfry_kv::SCAN_MANY_RANGES_MAX`] pairs.
pub async fn signatures_by(
    snapshot: &dyn Snapshot,
    pairs: &[(&UserId, &UserId)],
) -> Result<Vec<Vec<StoredSignature>>, ReadError> {
    let ranges = pairs.iter().map(|(signed, signer)| {
        SIGNATURE.prefix(&(UserKey::from(*signed), UserKey::from(*signer)))
    });
    let pages = SIGNATURE.scan_many(snapshot, ranges.collect(), SIGNATURES_MAX);
    let pages = pages.await?.into_iter();
    Ok(pages
        .map(|page| {
            let rows = page.rows.into_iter();
            let signature = |((_, _, signed, key_id), row): (_, SignatureRow)| StoredSignature {
                signed,
                key_id,
                signature: row.signature,
            };
            rows.map(signature).collect()
        })
        .collect())
}

impl UserChange {
    /// Sets the user's cross-signing keys, all of them.
    pub fn put_cross_signing(&mut self, row: &CrossSigningRow) {
        let key = (UserKey::from(self.id()),);
        CROSS_SIGNING.put(&mut self.commit, &key, row);
        self.note_signing();
    }
}

/// Stores a signature by the user whose change it is. One on their own key has to be noted, one on
/// another's is.
pub fn put_signature(change: &mut UserChange, owner: &UserId, signature: &StoredSignature) {
    let key = (
        UserKey::from(owner),
        UserKey::from(change.id()),
        signature.signed.clone(),
        signature.key_id.clone(),
    );
    let row = SignatureRow {
        signature: signature.signature.clone(),
    };
    SIGNATURE.put(&mut change.commit, &key, &row);
    if owner != change.id() {
        // Nobody else sees the signature.
        let signer = change.id().to_owned();
        note_for(&mut change.commit, owner, &signer);
    }
}

/// Deletes those of the user's signatures on their own keys that are to go.
pub async fn drop_own_signatures(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    goes: impl Fn(&StoredSignature) -> bool,
) -> Result<(), ReadError> {
    let user = UserKey::from(change.id());
    let range = SIGNATURE.prefix(&(user.clone(), user));
    let page = SIGNATURE.scan(snapshot, range, FORWARD, SIGNATURES_MAX);
    for (key, row) in page.await?.rows {
        let stored = StoredSignature {
            signed: key.2.clone(),
            key_id: key.3.clone(),
            signature: row.signature,
        };
        if goes(&stored) {
            SIGNATURE.delete(&mut change.commit, &key);
        }
    }
    Ok(())
}
