//! Merging forks: an event of our own that refers to all extremities.
//!
//! It exists because a room whose extremities become many costs more with every event, and nobody
//! may be about to say anything. It knows nothing of why the room forked.

use belfry_data::{Membership, RoomReader};
use serde_json::value::RawValue;

use super::Planner;
use crate::change::Change;
use crate::desk::{Desk, Outcome};
use crate::error::RoomError;
use crate::job::Append;

/// Extremities beyond which they are merged.
pub(super) const UNMERGED_MAX: usize = 10;
/// Users of this server in whose name it is tried.
const SENDERS_MAX: usize = 20;
/// What the merging event is called; clients that do not know it show nothing.
const MERGE_TYPE: &str = "org.matrix.dummy_event";

impl Planner<'_> {
    /// Merges the extremities if they are too many and a user of this server may send.
    pub(super) async fn merge_extremities(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
    ) -> Result<(), RoomError> {
        if desk.head.extremities.len() <= UNMERGED_MAX {
            return Ok(());
        }
        // Where a policy server has a say, the next event that somebody has signed merges them.
        let policy = self.policy_server_of(desk, reader).await?;
        if !matches!(policy, Ok(None)) {
            return Ok(());
        }
        for (sender, membership) in reader.local_members(None, SENDERS_MAX).await? {
            if membership != Membership::Join {
                continue;
            }
            let append = Append {
                sender,
                change: Change::Message {
                    kind: MERGE_TYPE.into(),
                    content: RawValue::from_string("{}".to_owned())
                        .map_err(|error| RoomError::Fault(error.to_string()))?,
                },
                txn: None,
                timestamp_ms: None,
            };
            if let Ok(Outcome::New(planned)) =
                self.change(desk, reader, &append, self.now_ms).await?
            {
                self.keep(Outcome::New(planned));
                return Ok(());
            }
        }
        Ok(())
    }
}
