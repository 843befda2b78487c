//! The seventh check on receipt of an event: that the room's policy server recommends it.
//!
//! It exists so that rooms are spared what was not recommended to them. It knows nothing of asking:
//! that was done before.

use belfry_data::RoomReader;
use belfry_event::{POLICY_TYPE, Pdu, PolicyServer, StateMapKey};

use super::Planner;
use crate::desk::Desk;
use crate::error::RoomError;
use crate::policy_server::in_force;

impl Planner<'_> {
    /// Whether the room has a policy server now, and that one has not recommended the event.
    pub(super) async fn is_not_recommended(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        event: &Pdu,
    ) -> Result<bool, RoomError> {
        let (now, key): (_, StateMapKey) = (desk.head.state, (POLICY_TYPE.into(), String::new()));
        let found = self.entries(desk, reader, now, &[key]).await?;
        let named = found.values().find_map(|policy| PolicyServer::of(policy));
        let local = &self.shared.identity.server_name;
        let policy = in_force(reader, &desk.head, named, local).await?;
        Ok(policy.is_some_and(|policy| !policy.recommends(event)))
    }
}
