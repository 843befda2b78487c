//! Who is to be told that somebody's devices changed.
//!
//! It exists so that those who share a room with somebody are woken. It knows nothing of what is
//! told.

use std::collections::BTreeMap;

use belfry_data::{Snapshot, Stamp};
use ruma_common::OwnedUserId;

use crate::{audience::Audiences, error::Fault, presence};

/// Whom these changes concern, each with when.
pub(crate) async fn audience(
    snapshot: &dyn Snapshot,
    audiences: &Audiences,
    changed: BTreeMap<OwnedUserId, Stamp>,
) -> Result<Vec<(OwnedUserId, Stamp)>, Fault> {
    let told = presence::audience(snapshot, audiences, changed).await?;
    Ok(told.into_iter().map(|(user, _, at)| (user, at)).collect())
}
