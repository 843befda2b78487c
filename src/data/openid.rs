//! Tokens by which users prove to other services who they are (Client-Server API, "`OpenID`").
//!
//! Exists because another server asks for them long after they were made. Knows nothing of how a
//! token looks: rows are found by its hash.

use belfry_kv::{Commit, ReadError, Shape, Snapshot, Table, Temperature};
use ruma_common::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::{account::TokenHash, codec::postcard_row, tables::ground, txn::expire_at};

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIdRow {
    /// The user.
    pub user: OwnedUserId,
    /// The installation's age in milliseconds at which it is good no longer.
    pub expires_age_ms: u64,
}
postcard_row!(OpenIdRow);

/// By hash of the token.
pub(crate) static OPENID_TOKEN: Table<(TokenHash,), OpenIdRow> =
    Table::new(ground(67, "openid_token", Shape::Point, Temperature::Cold));

/// Stores a token, which is removed once its time is up.
pub fn put_openid_token(commit: &mut Commit, hash: &TokenHash, row: &OpenIdRow) {
    let key = (*hash,);
    OPENID_TOKEN.put(commit, &key, row);
    expire_at(commit, row.expires_age_ms, &OPENID_TOKEN.key(&key));
}

/// Whose token has this hash; whoever asks compares the age.
pub async fn openid_token(
    snapshot: &dyn Snapshot,
    hash: &TokenHash,
) -> Result<Option<OpenIdRow>, ReadError> {
    OPENID_TOKEN.get(snapshot, &(*hash,)).await
}
