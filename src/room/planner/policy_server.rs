//! The policy server's say on receipt of an event (the seventh check), and before this server sends
//! its own.
//!
//! It exists so that rooms are spared what was not recommended to them. It knows nothing of asking:
//! an event that comes from others was asked for before, and one of our own is handed back for it.

use std::sync::Arc;

use belfry_data::{Acceptance, RoomReader};
use belfry_event::{POLICY_TYPE, Pdu, PolicyServer, StateMapKey};

use super::Planner;
use super::arrival::Pause;
use super::gathering::gathered;
use crate::arrival::{Arrival, Fate, Ground};
use crate::batch::Done;
use crate::change::Change;
use crate::desk::Desk;
use crate::error::RoomError;
use crate::job::{Append, timestamp};
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

    /// The policy server that the room has now.
    pub(super) async fn policy_server_of(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
    ) -> Result<Result<Option<PolicyServer>, RoomError>, RoomError> {
        let named = match gathered(desk, reader, |desk| desk.policy_server()).await? {
            Ok(named) => named,
            Err(refused) => return Ok(Err(refused)),
        };
        let local = &self.shared.identity.server_name;
        Ok(Ok(in_force(reader, &desk.head, named, local).await?))
    }

    /// The policy server that is to recommend what this request leads to.
    pub(super) async fn policy_server_for(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        append: &Append,
    ) -> Result<Result<Option<PolicyServer>, RoomError>, RoomError> {
        if says_who(&append.change) {
            return Ok(Ok(None));
        }
        self.policy_server_of(desk, reader).await
    }

    /// Gives the signed event its place, or hands one back that is to be signed.
    ///
    /// While it was away the room may have moved on. The signed event is not made anew for that, or
    /// a room where much is said would never let it in: it forks the room, as those of other
    /// servers do, and is judged as they are.
    pub(super) async fn recommended(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        (append, signed): (&Append, Option<&Arc<Pdu>>),
        policy: PolicyServer,
    ) -> Result<Done, RoomError> {
        let at = timestamp(append.timestamp_ms.unwrap_or(self.now_ms));
        let (sender, change) = (&append.sender, &append.change);
        let identity = &self.shared.identity;
        let composed = gathered(desk, reader, |desk| {
            desk.compose(identity, sender, change, at)
        });
        let event = match composed.await? {
            Ok(Ok(made)) => made.pdu,
            Ok(Err(present)) => {
                return Ok(Done::Event {
                    hash: present,
                    repeated: true,
                });
            }
            Err(refused) => return Ok(Done::Refused(refused)),
        };
        if let Some(signed) = signed.filter(|signed| policy.recommends(signed))
            && let Some(done) = self.take_signed(desk, reader, signed).await?
        {
            return Ok(done);
        }
        Ok(Done::Held { event, policy })
    }

    /// `None` if what the event follows did not become durable.
    async fn take_signed(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        signed: &Arc<Pdu>,
    ) -> Result<Option<Done>, RoomError> {
        let arrival = Arrival {
            pdu: Arc::clone(signed),
            ground: Ground::PrevEvents,
            past: false,
            staged: None,
        };
        let refused = |error| Some(Done::Refused(error));
        Ok(match self.receive_one(desk, reader, &arrival).await {
            Ok(Fate::Judged(Acceptance::Accepted, _) | Fate::Known(Acceptance::Accepted)) => {
                Some(Done::Event {
                    hash: signed.hash(),
                    repeated: false,
                })
            }
            Ok(Fate::Judged(_, reason)) => refused(RoomError::Forbidden(
                reason.unwrap_or_else(|| "the room has changed since".to_owned()),
            )),
            Ok(Fate::Known(_)) => refused(RoomError::Forbidden("it was refused before".into())),
            Ok(Fate::Waits(_)) => None,
            Ok(Fate::Stuck(reason)) | Err(Pause::Stuck(reason)) => {
                refused(RoomError::Unavailable(reason))
            }
            Err(Pause::Broken(error)) => return Err(error),
        })
    }
}

/// Whether it is about which policy server the room has: that one is not asked then.
fn says_who(change: &Change) -> bool {
    matches!(change, Change::State { kind, state_key, .. }
        if kind.to_string() == POLICY_TYPE && state_key.is_empty())
}
