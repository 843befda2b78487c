//! What users of this server have to do with rooms that it is not in: invited, knocking, rid of it.
//!
//! It exists so that such a membership is remembered and ended in one way, whoever ends it: the
//! user, who declines, or the room, which takes the invite back. It knows nothing of networks.

use std::sync::Arc;

use belfry_data::{
    Before, Commit, InviteRow, Membership as Is, RoomReader, invite, put_invite, user_room,
};
use belfry_event::{Draft, EventHash, Inbound, Pdu, RoomRules, SignatureError};
use ruma_common::{OwnedUserId, RoomId, RoomVersionId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::change::Membership;
use crate::error::RoomError;
use crate::job::timestamp;
use crate::remote_join::Remote;
use crate::residence::is_in_room;
use crate::rooms::Shared;
use crate::verification::{keys_wanted, parse};

/// A membership that another server ends, as far as it is looked at before its room is known.
#[derive(Deserialize)]
struct Ending {
    #[serde(rename = "type")]
    kind: String,
    state_key: OwnedUserId,
    content: EndingContent,
}

#[derive(Deserialize)]
struct EndingContent {
    membership: String,
}

impl Shared {
    /// Stores an invitation, unless this server is in the room, which then hears of it there.
    pub(crate) async fn remember_invite(
        &self,
        room_id: &RoomId,
        user: &UserId,
        invite: &Pdu,
        state: Vec<Box<str>>,
    ) -> Result<(), RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        if let Some(head) = reader.head().await? {
            let local = &self.identity.server_name;
            if is_in_room(&reader, &head, local, true).await? {
                return Ok(());
            }
        }
        let known = user_room(&*snapshot, user, room_id).await?;
        if known.is_some_and(|(_, row)| row.event == invite.hash()) {
            return Ok(());
        }
        self.note_stay(user, room_id, Is::Invite, (invite, state))
            .await
    }

    /// Remembers what the user has to do with the room, unless somebody joined it in the meantime.
    pub(crate) async fn note_stay(
        &self,
        user: &UserId,
        room_id: &RoomId,
        membership: Is,
        (event, state): (&Pdu, Vec<Box<str>>),
    ) -> Result<(), RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let seen = reader.head_seen().await?;
        let mut commit = Commit::synced();
        match &seen.row {
            Some(_) => Before::Read(&seen).check(&mut commit, room_id),
            None => Before::New.check(&mut commit, room_id),
        }
        let row = InviteRow {
            room_version: event.rules().version().as_str().into(),
            event: event.json().into(),
            state,
        };
        put_invite(&mut commit, user, room_id, membership, event.hash(), &row);
        self.engine.commit(commit).await?;
        Ok(())
    }

    /// Whether the user has anything to do with the room that they could leave.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`] if they never had to do with it.
    pub(crate) async fn may_leave(
        &self,
        user: &UserId,
        room_id: &RoomId,
    ) -> Result<bool, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let (_, row) = user_room(&*snapshot, user, room_id)
            .await?
            .ok_or(RoomError::UnknownRoom)?;
        Ok(!matches!(row.membership, Is::Leave | Is::Ban))
    }

    /// The user has left what this server is not in: by the event that another server took, or, if
    /// none did, by one that nobody else hears of.
    pub(crate) async fn end_stay(
        &self,
        remote: &Remote,
        told: Option<Arc<Pdu>>,
    ) -> Result<(), RoomError> {
        let (user, room_id) = (&*remote.change.target, &*remote.room_id);
        if let Some(left) = told {
            return self
                .note_stay(user, room_id, Is::Leave, (&*left, Vec::new()))
                .await;
        }
        let snapshot = self.engine.snapshot().await?;
        let Some(row) = invite(&*snapshot, user, room_id).await? else {
            return Err(RoomError::UnknownRoom);
        };
        let left = self.departure(remote, &row)?;
        self.note_stay(user, room_id, Is::Leave, (&left, Vec::new()))
            .await
    }

    /// The user leaves a room that is too damaged to take a departure: they are rid of it here, and
    /// nobody else hears of it. Nothing of the room is read but what it is said to be.
    pub(crate) async fn abandon(
        &self,
        room_id: &RoomId,
        change: &Membership,
    ) -> Result<(), RoomError> {
        let user = &*change.target;
        let snapshot = self.engine.snapshot().await?;
        let stay = user_room(&*snapshot, user, room_id).await?;
        let (_, stay) = stay.ok_or(RoomError::UnknownRoom)?;
        if matches!(stay.membership, Is::Leave | Is::Ban) {
            return Ok(());
        }
        let head = RoomReader::new(&*snapshot, room_id).head().await;
        let named = head.ok().flatten();
        let named = named.and_then(|head| rules_named(&head.room_version).ok());
        // Only the user's own clients are told, to whom versions are all the same.
        let rules = match named {
            Some(rules) => rules,
            None if room_id.as_str().contains(':') => rules_named("11")?,
            None => rules_named("12")?,
        };
        let left = self.last_event((room_id, rules), change, (stay.event, 0))?;
        let row = InviteRow {
            room_version: rules.version().as_str().into(),
            event: left.json().into(),
            state: Vec::new(),
        };
        // Nothing to check: whatever the room may still say of the user comes after this, and counts.
        let mut commit = Commit::synced();
        put_invite(&mut commit, user, room_id, Is::Leave, left.hash(), &row);
        self.engine.commit(commit).await?;
        Ok(())
    }

    /// The event by which somebody turns down what the row says, as this server tells its clients.
    fn departure(&self, remote: &Remote, row: &InviteRow) -> Result<Pdu, RoomError> {
        let rules = rules_named(&row.room_version)?;
        let inbound = Inbound::parse(rules, row.event.as_bytes())
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        let before = inbound.unverified();
        let before = (before.hash(), before.depth());
        self.last_event((&remote.room_id, rules), &remote.change, before)
    }

    /// A departure that follows an event of this hash and depth.
    fn last_event(
        &self,
        (room_id, rules): (&RoomId, &'static RoomRules),
        change: &Membership,
        (before, depth): (EventHash, i64),
    ) -> Result<Pdu, RoomError> {
        let mut content = change.content();
        content.insert("membership".to_owned(), "leave".into());
        let user = &change.target;
        let draft = Draft {
            rules,
            room_id: Some(room_id),
            sender: user,
            event_type: "m.room.member",
            state_key: Some(user.as_str()),
            content: &serde_json::Value::Object(content).to_string(),
            redacts: None,
            prev_events: &[before],
            auth_events: &[before],
            depth: depth.saturating_add(1),
            origin_server_ts: timestamp(self.env.clock.wall_ms()),
        };
        Ok(draft.sign(&self.identity.server_name, &self.identity.key)?)
    }

    /// Takes in that a room, which this server is not in, took back what a user of it was asked or
    /// asked for; the event that says so. `None` if the event says no such thing.
    pub(crate) async fn take_back(
        &self,
        room_id: &RoomId,
        event: &RawValue,
    ) -> Result<Option<Pdu>, RoomError> {
        let Ok(ending) = serde_json::from_str::<Ending>(event.get()) else {
            return Ok(None);
        };
        let membership = match &*ending.content.membership {
            "leave" => Is::Leave,
            "ban" => Is::Ban,
            _ => return Ok(None),
        };
        let user = &*ending.state_key;
        let own = user.server_name() == self.identity.server_name;
        if ending.kind != "m.room.member" || !own {
            return Ok(None);
        }
        let Some((stay, rules)) = self.open_stay(user, room_id).await? else {
            return Ok(None);
        };
        let Ok(inbound) = parse(rules, room_id, event.get()) else {
            return Ok(None);
        };
        let pdu = inbound.unverified();
        let by_inviter = pdu.sender() == stay.sender() && stay.sender() != user;
        if !(by_inviter || pdu.auth_hashes().contains(&stay.hash())) {
            return Ok(None);
        }
        let Ok(verified) = self.verified(&inbound).await else {
            return Ok(None);
        };
        self.note_stay(user, room_id, membership, (&*verified, Vec::new()))
            .await?;
        Ok(Some((*verified).clone()))
    }

    /// The invite or the knock of a user that still stands.
    async fn open_stay(
        &self,
        user: &UserId,
        room_id: &RoomId,
    ) -> Result<Option<(Pdu, &'static RoomRules)>, RoomError> {
        let snapshot = self.engine.snapshot().await?;
        let Some(row) = invite(&*snapshot, user, room_id).await? else {
            return Ok(None);
        };
        let rules = rules_named(&row.room_version)?;
        let stay = Inbound::parse(rules, row.event.as_bytes())
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        let stay = stay.unverified().clone();
        let now = user_room(&*snapshot, user, room_id).await?;
        let stands = now.is_some_and(|(_, now)| stands(now.membership, now.event, &stay));
        Ok(stands.then_some((stay, rules)))
    }

    async fn verified(&self, inbound: &Inbound) -> Result<Arc<Pdu>, SignatureError> {
        let wanted = keys_wanted(inbound);
        let held = self.keys.held(&wanted).await;
        let verified = match inbound.verify(&held) {
            Err(SignatureError::NoUsableKey { .. }) => {
                inbound.verify(&self.keys.fetch(&wanted).await)
            }
            settled => settled,
        };
        verified.map(belfry_event::Verified::into_pdu)
    }
}

fn stands(membership: Is, event: EventHash, stay: &Pdu) -> bool {
    matches!(membership, Is::Invite | Is::Knock) && event == stay.hash()
}

fn rules_named(version: &str) -> Result<&'static RoomRules, RoomError> {
    let unknown = || RoomError::UnsupportedVersion(version.to_owned());
    let version = RoomVersionId::try_from(version).map_err(|_| unknown())?;
    RoomRules::new(&version).ok_or_else(unknown)
}
