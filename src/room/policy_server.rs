//! Asking a room's policy server to recommend an event (Server-Server API, "Policy Servers").
//!
//! It exists so that events that come without its signature, because they are old or their server
//! does not know of it, get one before the room's worker judges them, and so that this server's own
//! have it before they are sent. Workers wait for no network: theirs are asked for here. It knows
//! nothing of what becomes of others' events that are not recommended.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::{RoomHead, RoomReader};
use belfry_event::{EVENT_BYTES_MAX, POLICY_TYPE, Pdu, PolicyServer};
use ruma_common::{RoomId, ServerName};

use crate::error::RoomError;
use crate::handshake::raw;
use crate::job::{Appended, Held, Sent};
use crate::peers::PeerError;
use crate::planner::rules_of;
use crate::residence::{current, is_in_room};
use crate::rooms::{Rooms, Shared};

/// Events of one round that it is asked about; further ones have to come with its signature.
pub(crate) const ASKS_MAX: usize = 50;
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long an event may wait for those before it of the same sender. With the answer it is less
/// than a client's request may take.
const TURN_WITHIN: Duration = Duration::from_secs(30);
/// How often a signature is asked for because the room took none of the events signed before: its
/// policy server is another now, or what the event followed did not become durable.
const SIGNED_MAX: usize = 3;

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

    /// An event of our own with the signature of the policy server, if the room has one.
    ///
    /// # Errors
    /// [`RoomError::NotRecommended`] and [`RoomError::Unrecommended`]: it is not to be sent.
    pub(crate) async fn have_signed(
        &self,
        room_id: &RoomId,
        event: Arc<Pdu>,
    ) -> Result<Arc<Pdu>, RoomError> {
        match self.policy_server(room_id).await? {
            Some(policy) if !policy.recommends(&event) => {
                Ok(Arc::new(self.ask_policy(&policy, &event).await?))
            }
            _ => Ok(event),
        }
    }

    /// The event with the policy server's signature.
    async fn ask_policy(&self, policy: &PolicyServer, event: &Pdu) -> Result<Pdu, RoomError> {
        let json = raw(event.json())?;
        let answer = self.peers.recommend(policy.server(), &json);
        let late = |_| RoomError::Unrecommended("it did not answer in time".to_owned());
        let answer = self.env.clock.within(ANSWER_WITHIN, answer).await;
        let signature = answer.map_err(late)?.map_err(refusal)?;
        let signed = event.with_recommendation(policy.server(), &signature);
        let signed = signed.ok_or_else(|| RoomError::Fault("the event is damaged".to_owned()))?;
        if signed.json().len() > EVENT_BYTES_MAX {
            let text = "with the policy server's signature the event is too long";
            return Err(RoomError::EventTooLarge(text.to_owned()));
        }
        if !policy.recommends(&signed) {
            let text = "its signature is not right";
            return Err(RoomError::Unrecommended(text.to_owned()));
        }
        Ok(signed)
    }
}

impl Rooms {
    /// Has the policy server sign the event and the worker take it. Nothing is stored before.
    pub(crate) async fn append_held(
        &self,
        room_id: &RoomId,
        held: Box<Held>,
    ) -> Result<Appended, RoomError> {
        let shared = &self.0;
        let place = shared.lines.enter(room_id, &held.append.sender);
        let place = place.ok_or(RoomError::Busy)?;
        let mut held = held;
        let mut turn = place.at_once();
        if turn.is_none() {
            let next = shared.env.clock.within(TURN_WITHIN, place.turn());
            turn = Some(next.await.map_err(|_| RoomError::Busy)?);
            // The event is to follow those that were before it.
            match self.send(room_id, held.append, None).await? {
                Sent::Done(appended) => return Ok(appended),
                Sent::Held(anew) => held = anew,
            }
        }
        let _turn = turn;
        for _ in 0..SIGNED_MAX {
            let signed = shared.ask_policy(&held.policy, &held.event).await;
            let signed = Arc::new(signed?);
            match self.send(room_id, held.append, Some(signed)).await? {
                Sent::Done(appended) => return Ok(appended),
                Sent::Held(anew) => held = anew,
            }
        }
        Err(RoomError::Busy)
    }
}

/// What the policy server's error is to whoever sends the event: the same error.
fn refusal(error: PeerError) -> RoomError {
    match error {
        PeerError::Refused { errcode, error } => RoomError::NotRecommended { errcode, error },
        PeerError::Unreachable(text) | PeerError::Malformed(text) => RoomError::Unrecommended(text),
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
