//! Stored filters: what of a sync a client wants to see.
//!
//! A filter's ID is made of its definition, so that a client that stores the same one at every
//! start stores it once. Knows nothing of what filters mean.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use belfry_data::{
    ReadError,
    account::{self as rows, FilterRow, UserChange},
};
use belfry_policy::{Action, Denial};
use ruma_common::UserId;
use sha2::{Digest as _, Sha256};

use crate::{Requester, Users, fault::Fault, store::Tries};

/// Largest definition, as JSON.
pub const FILTER_BYTES_MAX: usize = 64 * 1024;

/// Filters of one user.
pub const FILTERS_MAX: u32 = 1_000;

/// Bytes of the hash that are the ID.
const ID_BYTES: usize = 12;

/// Why a filter was not stored or not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No filter has this ID.
    #[error("there is no such filter; store it again")]
    NotFound,
    /// Somebody else's.
    #[error("you can use your own filters only")]
    NotYours,
    /// Beyond [`FILTER_BYTES_MAX`].
    #[error("the filter is larger than {FILTER_BYTES_MAX} bytes")]
    TooLarge,
    /// Beyond [`FILTERS_MAX`].
    #[error("more than {FILTERS_MAX} filters are stored; use one of them")]
    TooMany,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for FilterError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// Stores a definition of the requester's own, and gives its ID.
    pub async fn store_filter(
        &self,
        requester: &Requester,
        user_id: &UserId,
        definition: &str,
    ) -> Result<String, FilterError> {
        self.allow(requester, Action::ChangeSettings)?;
        if requester.user_id != user_id {
            return Err(FilterError::NotYours);
        }
        if definition.len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLarge);
        }
        let id = id_of(definition);
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            if rows::filter(&*snapshot, user_id, &id).await?.is_some() {
                return Ok(id);
            }
            let change = UserChange::of(&*snapshot, user_id).await?;
            let mut change = change.ok_or(FilterError::NotFound)?;
            if change.user.filters >= FILTERS_MAX {
                return Err(FilterError::TooMany);
            }
            change.user.filters += 1;
            let row = FilterRow {
                definition: definition.into(),
            };
            change.put_filter(&id, &row);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(id);
            }
        }
    }

    /// A definition of the requester's own.
    pub async fn filter(
        &self,
        requester: &Requester,
        user_id: &UserId,
        id: &str,
    ) -> Result<String, FilterError> {
        self.allow(requester, Action::Read)?;
        if requester.user_id != user_id {
            return Err(FilterError::NotYours);
        }
        let snapshot = self.0.store.snapshot().await?;
        let row = rows::filter(&*snapshot, user_id, id).await?;
        row.map(|row| row.definition.into())
            .ok_or(FilterError::NotFound)
    }
}

/// Never starts like an inline filter, `{`.
fn id_of(definition: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(definition).into();
    URL_SAFE_NO_PAD.encode(hash.get(..ID_BYTES).unwrap_or_default())
}
