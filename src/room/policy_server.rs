//! Asking a room's policy server to recommend an event (Server-Server API, "Policy Servers").
//!
//! It exists so that events that come without its signature, because they are old or their server
//! does not know of it, get one before the room's worker judges them. It knows nothing of what
//! becomes of those that are not recommended.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{RoomHead, RoomReader};
use belfry_event::{EVENT_BYTES_MAX, POLICY_TYPE, Pdu, PolicyServer};
use ruma_common::{RoomId, ServerName};

use crate::error::RoomError;
use crate::handshake::raw;
use crate::peers::PeerError;
use crate::planner::rules_of;
use crate::residence::{current, is_in_room};
use crate::rooms::Shared;

/// Events of one round that it is asked about; further ones have to come with its signature.
pub(crate) const ASKS_MAX: usize = 50;
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

impl Shared {
    /// The policy server that the room has now: one that is named and has a user in the room.
    pub(crate) async fn policy_server(
        &self,
        room_id: &RoomId,
    ) -> Result<Option<PolicyServer>, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let Some(head) = reader.head().await? else {
            return Ok(None);
        };
        let Some(policy) = current(&reader, &head, POLICY_TYPE, "").await? else {
            return Ok(None);
        };
        let policy = policy
            .pdu(rules_of(&head)?)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        let local = &self.identity.server_name;
        in_force(&reader, &head, PolicyServer::of(&policy), local).await
    }

    /// The event as it may be judged: with the policy server's signature, if it gives one.
    pub(crate) async fn recommended(&self, policy: &PolicyServer, event: Arc<Pdu>) -> Arc<Pdu> {
        if policy.recommends(&event) {
            return event;
        }
        match self.ask_policy(policy, &event).await {
            Ok(signed) => Arc::new(signed),
            Err(error) => {
                let (server, event_id) = (policy.server(), event.event_id());
                tracing::debug!(%server, %event_id, %error, "an event is not recommended");
                event
            }
        }
    }

    async fn ask_policy(&self, policy: &PolicyServer, event: &Pdu) -> Result<Pdu, PeerError> {
        let malformed = |text: String| PeerError::Malformed(text);
        let json = raw(event.json()).map_err(|error| malformed(error.to_string()))?;
        let answer = self.peers.recommend(policy.server(), &json);
        let late = |_| PeerError::Unreachable("the policy server did not answer in time".into());
        let answer = self.env.clock.within(ANSWER_WITHIN, answer).await;
        let signature = answer.map_err(late)??;
        let signed = event.with_recommendation(policy.server(), &signature);
        let signed = signed.ok_or_else(|| malformed("the event is damaged".to_owned()))?;
        if signed.json().len() > EVENT_BYTES_MAX || !policy.recommends(&signed) {
            return Err(malformed("its signature is not right".to_owned()));
        }
        Ok(signed)
    }
}

/// The policy server, if it has a user in the room: no server is made one against its will.
pub(crate) async fn in_force(
    reader: &RoomReader<'_>,
    head: &RoomHead,
    named: Option<PolicyServer>,
    local: &ServerName,
) -> Result<Option<PolicyServer>, RoomError> {
    let Some(policy) = named else { return Ok(None) };
    let server = policy.server();
    let there = is_in_room(reader, head, server, server == local).await?;
    Ok(there.then_some(policy))
}
