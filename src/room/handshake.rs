//! Users of other servers who come, go, knock and invite: the server that is in the room.
//!
//! It exists so that what another server asks to be done is checked like everything else: who asks,
//! for whom, the room's access list, signatures, and the room's own rules, before anything is
//! stored or signed. It knows nothing of HTTP and of the servers' ways to each other.

use std::sync::Arc;

use belfry_data::{Acceptance, RoomReader};
use belfry_event::{EventHash, Inbound, Pdu, RoomRules, SignatureError};
use ruma_common::{EventId, OwnedUserId, RoomId, RoomVersionId, ServerName, UserId};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::arrival::{Arrival, Delivery, Fate, Ground};
use crate::auth_chain::{Events, auth_chain, state_events};
use crate::change::{Change, MemberAct, Membership};
use crate::error::RoomError;
use crate::joining::Vouching;
use crate::peers::{Handshake, Invitation, JoinAnswer, Template};
use crate::planner::{rules_of, template};
use crate::pool::deliver;
use crate::residence::{Place, current, place_of};
use crate::rooms::{Rooms, Shared};
use crate::stripped::stripped;
use crate::verification::{keys_wanted, parse};

/// What somebody who is not in a room is told of it (Client-Server API, "Stripped state").
const STRIPPED: [&str; 7] = [
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
];

impl Rooms {
    /// `make_join`, `make_leave`, `make_knock`: the event that `user_id`, of the server that asks,
    /// is to complete and sign. `versions` are those that the server can take part in; a leave
    /// goes without.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`] if nobody of this server is in the room,
    /// [`RoomError::IncompatibleVersion`], [`RoomError::UnableToAuthorise`],
    /// [`RoomError::UnableToGrant`], [`RoomError::Forbidden`].
    pub async fn make(
        &self,
        origin: &ServerName,
        handshake: Handshake,
        room_id: &RoomId,
        user_id: &UserId,
        versions: &[RoomVersionId],
    ) -> Result<Template, RoomError> {
        if user_id.server_name() != origin {
            return Err(forbidden("the user is not of the server that asks"));
        }
        let rules = self.0.door(room_id, origin).await?;
        if handshake != Handshake::Leave && !versions.contains(rules.version()) {
            return Err(RoomError::IncompatibleVersion(rules.version().clone()));
        }
        let act = match handshake {
            Handshake::Join => MemberAct::Join,
            Handshake::Leave => MemberAct::Leave,
            Handshake::Knock => MemberAct::Knock,
        };
        let mut change = Membership::new(user_id, act);
        if handshake == Handshake::Join {
            change.authorised_via = self.vouch(room_id, user_id).await?;
        }
        let event = template(&self.0, room_id, user_id, &Change::Member(change)).await?;
        Ok(Template {
            room_version: rules.version().clone(),
            event: raw(event.json())?,
        })
    }

    /// Who of this server vouches for the join of a user of another, if it takes somebody.
    async fn vouch(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        match self.vouching(room_id, user_id).await? {
            Vouching::NotNeeded => Ok(None),
            Vouching::By(user) => Ok(Some(user)),
            Vouching::NotMet => Err(forbidden(
                "you are in none of the rooms that let you in here",
            )),
            Vouching::NotKnown => Err(RoomError::UnableToAuthorise),
            Vouching::Nobody => Err(RoomError::UnableToGrant),
        }
    }

    /// `PUT /v2/send_join`: the room with the state before the join. Asked again, it answers the
    /// same.
    ///
    /// # Errors
    /// [`RoomError::BadParameter`] if the event is not such a join, [`RoomError::Forbidden`] if it
    /// is not signed or not allowed, those of [`Rooms::make`].
    pub async fn accept_join(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        event: &RawValue,
    ) -> Result<JoinAnswer, RoomError> {
        let rules = self.0.door(room_id, origin).await?;
        let asked = Asked {
            origin,
            rules,
            room_id,
            event_id,
        };
        let local = &self.0.identity.server_name;
        let mut join = self.0.own_member(&asked, "join", event).await?;
        let signs = join.countersigner(local);
        if let Some(voucher) = &signs {
            let user_id = UserId::parse(join.state_key().unwrap_or_default())
                .map_err(|error| RoomError::BadParameter(error.to_string()))?;
            if self.vouch(room_id, &user_id).await?.is_none() {
                tracing::debug!(voucher, "a join names somebody who need not vouch for it");
            }
            let signed = join.countersign(local, &self.0.identity.key);
            join = Arc::new(signed.map_err(|error| RoomError::BadParameter(error.to_string()))?);
        }
        self.0
            .admit(rules, room_id, &join, Ground::Handshake)
            .await?;
        let before = self.0.state_before(room_id, join.hash()).await?;
        let state = state_events(&self.0, room_id, rules, before).await?;
        let chain = auth_chain(&self.0, room_id, rules, state.values().chain([&join])).await?;
        Ok(JoinAnswer {
            event: signs.map(|_| raw(join.json())).transpose()?,
            state: raws(&state)?,
            auth_chain: raws(&chain)?,
            members_omitted: false,
            servers_in_room: Vec::new(),
        })
    }

    /// `PUT /v2/send_leave`. Errors as in [`Rooms::accept_join`].
    pub async fn accept_leave(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        event: &RawValue,
    ) -> Result<(), RoomError> {
        self.accept(origin, Handshake::Leave, room_id, event_id, event)
            .await
            .map(drop)
    }

    /// `PUT /v1/send_knock`: what somebody outside is told of the room. Errors as in [`Rooms::accept_join`].
    pub async fn accept_knock(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        event: &RawValue,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        self.accept(origin, Handshake::Knock, room_id, event_id, event)
            .await?;
        self.0.told_state(room_id, None).await
    }

    async fn accept(
        &self,
        origin: &ServerName,
        handshake: Handshake,
        room_id: &RoomId,
        event_id: &EventId,
        event: &RawValue,
    ) -> Result<(), RoomError> {
        let rules = self.0.door(room_id, origin).await?;
        let asked = Asked {
            origin,
            rules,
            room_id,
            event_id,
        };
        let member = self
            .0
            .own_member(&asked, handshake.membership(), event)
            .await?;
        self.0
            .admit(rules, room_id, &member, Ground::Handshake)
            .await
    }

    /// `PUT /v2/invite`: an invite of a user of this server, signed as asked for, and remembered if
    /// the server is not in the room. Whether the user exists and takes invites is for the caller to
    /// ask first.
    ///
    /// # Errors
    /// [`RoomError::UnsupportedVersion`]; [`RoomError::BadParameter`] if the event is no such invite
    /// or, from room version 12 on, the state does not begin the room;
    /// [`RoomError::Forbidden`] if it is not signed, or the room shuts the server out. Nothing is
    /// signed then.
    pub async fn accept_invite(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        invitation: &Invitation,
    ) -> Result<Box<RawValue>, RoomError> {
        let version = &invitation.room_version;
        let rules = RoomRules::new(version)
            .ok_or_else(|| RoomError::UnsupportedVersion(version.to_string()))?;
        match self.0.door(room_id, origin).await {
            Ok(known) if known != rules => return Err(unfit("the room has another version")),
            Ok(_) | Err(RoomError::UnknownRoom) => {}
            Err(error) => return Err(error),
        }
        let asked = Asked {
            origin,
            rules,
            room_id,
            event_id,
        };
        let local = &self.0.identity.server_name;
        let invite = self.0.member(&asked, "invite", &invitation.event).await?;
        let user = invite.state_key().unwrap_or_default();
        let user_id = UserId::parse(user).map_err(|_| unfit("the state key is no user"))?;
        if user_id.server_name() != local {
            return Err(unfit("the invited user is not of this server"));
        }
        let state = stripped(rules, room_id, &invitation.invite_room_state)?;
        let signed = invite
            .countersign(local, &self.0.identity.key)
            .map_err(|error| RoomError::BadParameter(error.to_string()))?;
        self.0
            .remember_invite(room_id, &user_id, &signed, state)
            .await?;
        raw(signed.json())
    }
}

/// What a server asks about whom.
struct Asked<'a> {
    origin: &'a ServerName,
    rules: &'static RoomRules,
    room_id: &'a RoomId,
    event_id: &'a EventId,
}

impl Shared {
    /// The rules of a room that this server is in and that lets the other in.
    pub(crate) async fn door(
        &self,
        room_id: &RoomId,
        origin: &ServerName,
    ) -> Result<&'static RoomRules, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let local = &self.identity.server_name;
        let reader = RoomReader::new(&*snapshot, room_id);
        let Some(head) = reader.head().await? else {
            return Err(RoomError::UnknownRoom);
        };
        match place_of(&*snapshot, room_id, local, origin).await? {
            Place::Open(rules) => Ok(rules),
            Place::Absent => Err(RoomError::UnknownRoom),
            Place::Shut(reason) => {
                rules_of(&head)?;
                Err(forbidden(reason))
            }
        }
    }

    /// A member event about its sender, by the server that asks.
    async fn own_member(
        &self,
        asked: &Asked<'_>,
        membership: &str,
        event: &RawValue,
    ) -> Result<Arc<Pdu>, RoomError> {
        let member = self.member(asked, membership, event).await?;
        if member.state_key() != Some(member.sender().as_str()) {
            return Err(unfit("the event is about another user than its sender"));
        }
        Ok(member)
    }

    /// A member event by a user of the server that asks, with its signature. That of this server is
    /// not asked for.
    async fn member(
        &self,
        asked: &Asked<'_>,
        membership: &str,
        event: &RawValue,
    ) -> Result<Arc<Pdu>, RoomError> {
        let inbound =
            parse(asked.rules, asked.room_id, event.get()).map_err(RoomError::BadParameter)?;
        let pdu = inbound.unverified();
        if pdu.event_id() != asked.event_id {
            return Err(unfit("the event has another ID than the path names"));
        }
        let content: Value = serde_json::from_str(pdu.content_json()).unwrap_or_default();
        let is_it = content.get("membership").and_then(Value::as_str) == Some(membership);
        if pdu.event_type().to_string() != "m.room.member" || !is_it {
            return Err(unfit(
                "the event does not say the membership that is asked for",
            ));
        }
        if pdu.sender().server_name() != asked.origin {
            return Err(unfit("the event's sender is not of the server that asks"));
        }
        let local = self.identity.server_name.clone();
        match self.verify_but(&inbound, &local).await {
            Ok(pdu) => Ok(pdu),
            Err(error) => Err(RoomError::Forbidden(error.to_string())),
        }
    }

    async fn verify_but(
        &self,
        inbound: &Inbound,
        but: &ServerName,
    ) -> Result<Arc<Pdu>, SignatureError> {
        let wanted = keys_wanted(inbound);
        let wanted: Vec<_> = wanted.into_iter().filter(|it| it.server != *but).collect();
        let held = self.keys.held(&wanted).await;
        let verified = match inbound.verify_but(&held, Some(but)) {
            Err(SignatureError::NoUsableKey { .. }) => {
                let fetched = self.keys.fetch(&wanted).await;
                inbound.verify_but(&fetched, Some(but))
            }
            settled => settled,
        };
        verified.map(belfry_event::Verified::into_pdu)
    }

    /// Has the room's worker judge and store the event.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        rules: &'static RoomRules,
        room_id: &RoomId,
        pdu: &Arc<Pdu>,
        ground: Ground,
    ) -> Result<(), RoomError> {
        let policy = self.policy_server(room_id).await?;
        let pdu = match &policy {
            Some(policy) => &self.recommended(policy, Arc::clone(pdu)).await,
            None => pdu,
        };
        let delivery = Delivery {
            rules,
            arrivals: vec![Arrival {
                pdu: Arc::clone(pdu),
                ground,
                past: false,
                staged: None,
            }],
            dropped: Vec::new(),
        };
        let fates = deliver(self, room_id, delivery).await?;
        match fates.into_iter().next() {
            Some(Fate::Judged(Acceptance::Accepted, _) | Fate::Known(Acceptance::Accepted)) => {
                Ok(())
            }
            Some(Fate::Judged(_, reason)) => Err(RoomError::Forbidden(reason.unwrap_or_default())),
            Some(Fate::Known(_)) => Err(forbidden("the event was refused before")),
            Some(Fate::Waits(_)) => Err(unfit("the event refers to events that are not known")),
            Some(Fate::Stuck(reason)) => Err(RoomError::Unavailable(reason)),
            None => Err(RoomError::Fault("an event has no fate".to_owned())),
        }
    }

    async fn state_before(
        &self,
        room_id: &RoomId,
        hash: EventHash,
    ) -> Result<belfry_data::Root, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let stored = RoomReader::new(&*snapshot, room_id).event(hash).await?;
        stored
            .and_then(|stored| stored.row.state_before)
            .ok_or_else(|| RoomError::Fault("a stored event has no place".to_owned()))
    }

    /// What somebody who is not in the room is told of it, whoever invites them first among the
    /// members: whole events (Server-Server API, "Inviting to a room", from v1.16 on), of which their
    /// server shows them a part.
    pub(crate) async fn told_state(
        &self,
        room_id: &RoomId,
        inviter: Option<&UserId>,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let inviter = inviter.map(|user| ("m.room.member", user.as_str()));
        let keys = STRIPPED.iter().map(|kind| (*kind, "")).chain(inviter);
        let mut told = Vec::new();
        for (kind, key) in keys {
            let Some(event) = current(&reader, &head, kind, key).await? else {
                continue;
            };
            let fault = |error: belfry_event::UnreadableEvent| RoomError::Fault(error.to_string());
            let mut pdu = event.pdu(rules_of(&head)?).map_err(fault)?;
            if event.row.redacted_by.is_some() {
                pdu = pdu.redact().map_err(fault)?;
            }
            told.push(raw(pdu.json())?);
        }
        Ok(told)
    }
}

pub(crate) fn raw(json: &str) -> Result<Box<RawValue>, RoomError> {
    RawValue::from_string(json.to_owned()).map_err(|error| RoomError::Fault(error.to_string()))
}

pub(crate) fn raws(events: &Events) -> Result<Vec<Box<RawValue>>, RoomError> {
    events.values().map(|pdu| raw(pdu.json())).collect()
}

fn forbidden(reason: &str) -> RoomError {
    RoomError::Forbidden(reason.to_owned())
}

pub(crate) fn unfit(reason: &str) -> RoomError {
    RoomError::BadParameter(reason.to_owned())
}
