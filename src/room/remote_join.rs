//! Users of this server who join, leave, knock on and invite into rooms by way of other servers.
//!
//! It exists because a room that this server is not in can only be entered through one that is. What
//! the other answers is checked like every event from outside; this server signs only what it put
//! together itself. It knows nothing of who may ask for what, and of which servers are in a room.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use belfry_data::{Acceptance, Membership as Is, StateTuple, end_invite};
use belfry_event::{Draft, EventHash, Inbound, KeyRing, Pdu, RoomRules};
use ruma_common::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, RoomVersionId,
    ServerName,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::arrival::{Arrival, Delivery, Fate, Ground};
use crate::beginning::{beginning, only_beginning};
use crate::change::{Change, MemberAct, Membership};
use crate::error::RoomError;
use crate::fetch::Fetch;
use crate::handshake::raw;
use crate::job::{Append, Appended, timestamp};
use crate::outliers::{store_outliers, store_state};
use crate::peers::{Handshake, Invitation, JoinAnswer, Keys, PeerAnswer, PeerError, Template};
use crate::planner::draft;
use crate::pool::deliver;
use crate::rooms::{Rooms, Shared};
use crate::stripped::kept;
use crate::template::{self, VOUCHER};
use crate::verification::{parse, verify_all};

/// Servers that are tried, one after the other.
pub const VIA_MAX: usize = 10;
/// How long one call may take; a join of a large room takes its time.
const CALL_WITHIN: Duration = Duration::from_mins(2);
/// Events that are taken from one answer.
const ANSWER_EVENTS_MAX: usize = 400_000;

/// What a user of this server wants of a room by way of other servers.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who wants it, with the profile to be shown and the reason. The act is the endpoint's: join,
    /// leave or knock, about the user themselves.
    pub change: Membership,
    /// Servers that may be in the room, the likeliest first; at most [`VIA_MAX`] are asked.
    pub via: Vec<OwnedServerName>,
}

/// A handshake that another server began.
struct Made {
    rules: &'static RoomRules,
    event: Arc<Pdu>,
    server: OwnedServerName,
}

impl Rooms {
    /// Joins a room by way of another server, and waits until this server is in it. What else was
    /// known of the room is merged with what the other tells.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] if a server in the room refuses, [`RoomError::Unreachable`] if none
    /// could be asked, [`RoomError::UnsupportedVersion`].
    pub async fn join_remote(&self, remote: &Remote) -> Result<Appended, RoomError> {
        let joined = self.each_via(Handshake::Join, remote).await?;
        Ok(appended(&joined))
    }

    /// Declines an invite, takes back a knock, or leaves a room that this server is not in. If no
    /// server can be told, the user is rid of it here all the same.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`] if the user has nothing to do with the room.
    pub async fn leave_remote(&self, remote: &Remote) -> Result<(), RoomError> {
        if !self
            .0
            .may_leave(&remote.change.target, &remote.room_id)
            .await?
        {
            return Ok(());
        }
        let told = self.each_via(Handshake::Leave, remote).await;
        self.0.end_stay(remote, told.ok()).await
    }

    /// Knocks on a room by way of another server.
    pub async fn knock_remote(&self, remote: &Remote) -> Result<Appended, RoomError> {
        let knocked = self.each_via(Handshake::Knock, remote).await?;
        Ok(appended(&knocked))
    }

    /// Invites a user of another server: that one signs the invite before it is sent.
    ///
    /// # Errors
    /// Those of [`Rooms::append`]; [`RoomError::Forbidden`] if the other server refuses or does not
    /// return the very event, [`RoomError::Unreachable`].
    pub async fn invite_remote(
        &self,
        room_id: &RoomId,
        append: &Append,
    ) -> Result<Appended, RoomError> {
        match &append.change {
            Change::Member(change) if change.act == MemberAct::Invite => {
                let server = change.target.server_name();
                self.send_invite(room_id, append, server).await
            }
            _ => Err(RoomError::BadParameter("this is no invite".to_owned())),
        }
    }

    /// Has an invite signed by the invited user's server, and sends it.
    pub(crate) async fn send_invite(
        &self,
        room_id: &RoomId,
        append: &Append,
        server: &ServerName,
    ) -> Result<Appended, RoomError> {
        let invite = draft(&self.0, room_id, append).await?;
        let invite = self.0.have_signed(room_id, invite).await?;
        let rules = invite.rules();
        let invitation = Invitation {
            room_version: rules.version().clone(),
            event: raw(invite.json())?,
            invite_room_state: self.0.told_state(room_id, Some(&append.sender)).await?,
        };
        let event_id = invite.event_id();
        let answer = self.0.peers.invite(server, room_id, event_id, &invitation);
        let signed = self.0.call(answer).await.map_err(refusal)?;
        let inbound = parse(rules, room_id, signed.get()).map_err(RoomError::Forbidden)?;
        let same = inbound.unverified().hash() == invite.hash();
        if !same || !self.0.has_signed(&signed, server, &inbound).await {
            let text = format!("{server} did not sign the invite that it was sent");
            return Err(RoomError::Forbidden(text));
        }
        let own = inbound.verify(&self.0.own_keys());
        let event = own.map_err(|error| RoomError::Forbidden(error.to_string()))?;
        let ground = Ground::PrevEvents;
        self.0.admit(rules, room_id, event.pdu(), ground).await?;
        Ok(appended(event.pdu()))
    }

    /// Tries one server after the other. A refusal for the user's sake ends it.
    async fn each_via(&self, handshake: Handshake, remote: &Remote) -> Result<Arc<Pdu>, RoomError> {
        let local = &self.0.identity.server_name;
        let mut last = RoomError::Unreachable("no server was named".to_owned());
        let mut tried = 0;
        for server in &remote.via {
            if server == local || tried == VIA_MAX {
                continue;
            }
            tried += 1;
            match self.0.shake(server, handshake, remote).await {
                Ok(done) => return Ok(done),
                Err(Tried::Room(error)) => return Err(error),
                Err(Tried::Peer(error)) => {
                    tracing::debug!(%server, %error, "a server did not help");
                    last = refusal(error);
                }
            }
        }
        Err(last)
    }
}

/// What came of asking one server.
#[derive(Debug, thiserror::Error)]
enum Tried {
    /// Another may help.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Nobody can.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// What another server's error is to the user.
fn refusal(error: PeerError) -> RoomError {
    match error {
        PeerError::Refused { errcode, error } => match &*errcode {
            "M_FORBIDDEN" | "M_INVITE_BLOCKED" => RoomError::Forbidden(error),
            "M_INCOMPATIBLE_ROOM_VERSION" => RoomError::UnsupportedVersion(error),
            "M_UNABLE_TO_AUTHORISE_JOIN" => RoomError::UnableToAuthorise,
            "M_UNABLE_TO_GRANT_JOIN" => RoomError::UnableToGrant,
            "M_NOT_FOUND" => RoomError::UnknownRoom,
            _ => RoomError::Unreachable(format!("{errcode}: {error}")),
        },
        error => RoomError::Unreachable(error.to_string()),
    }
}

fn malformed(text: impl Into<String>) -> Tried {
    Tried::Peer(PeerError::Malformed(text.into()))
}

fn appended(pdu: &Pdu) -> Appended {
    Appended {
        event_id: pdu.event_id().clone(),
        hash: pdu.hash(),
        repeated: false,
    }
}

impl Shared {
    async fn call<T>(&self, answer: PeerAnswer<'_, T>) -> Result<T, PeerError> {
        let late = |_| PeerError::Unreachable("the server did not answer in time".to_owned());
        self.env
            .clock
            .within(CALL_WITHIN, answer)
            .await
            .map_err(late)?
    }

    /// A whole handshake with one server.
    async fn shake(
        self: &Arc<Self>,
        server: &ServerName,
        handshake: Handshake,
        remote: &Remote,
    ) -> Result<Arc<Pdu>, Tried> {
        let made = self.make_at(server, handshake, remote).await?;
        let (peers, room_id) = (&self.peers, &remote.room_id);
        let (event_id, event) = (made.event.event_id(), raw(made.event.json())?);
        match handshake {
            Handshake::Join => {
                let answer = peers.send_join(server, room_id, event_id, &event);
                let answer = self.call(answer).await?;
                self.adopt(remote, made, answer).await
            }
            Handshake::Leave => {
                let answer = peers.send_leave(server, room_id, event_id, &event);
                self.call(answer).await?;
                Ok(made.event)
            }
            Handshake::Knock => {
                let answer = peers.send_knock(server, room_id, event_id, &event);
                let state = self.call(answer).await?;
                self.remember_knock(remote, &made, &state).await?;
                Ok(made.event)
            }
        }
    }

    /// `make_*`, and the event built from what it tells: its place in the room. The rest is ours.
    async fn make_at(
        &self,
        server: &ServerName,
        handshake: Handshake,
        remote: &Remote,
    ) -> Result<Made, Tried> {
        let versions: Vec<RoomVersionId> = RoomRules::all()
            .map(|rules| rules.version().clone())
            .collect();
        let user = &remote.change.target;
        let (peers, room_id) = (&self.peers, &remote.room_id);
        let asked = peers.make(server, handshake, room_id, user, &versions);
        let Template {
            room_version,
            event,
        } = self.call(asked).await?;
        let rules = RoomRules::new(&room_version)
            .ok_or_else(|| RoomError::UnsupportedVersion(room_version.to_string()))?;
        let place = template::read(handshake, room_id, user, &event)
            .map_err(|error| malformed(format!("the event to be made: {error}")))?;
        let mut content = remote.change.content();
        content.insert("membership".to_owned(), handshake.membership().into());
        content.remove(VOUCHER);
        if let Some(voucher) = place.voucher {
            content.insert(VOUCHER.to_owned(), voucher);
        }
        let hashes = |ids: &[OwnedEventId]| -> Result<Vec<EventHash>, Tried> {
            let hashes = ids
                .iter()
                .map(|id| EventHash::from_event_id(id, rules.alphabet()));
            let hashes: Result<_, _> = hashes.collect();
            hashes.map_err(|_| malformed("the event to be made refers to no events"))
        };
        let draft = Draft {
            rules,
            room_id: Some(room_id),
            sender: user,
            event_type: "m.room.member",
            state_key: Some(user.as_str()),
            content: &Value::Object(content).to_string(),
            redacts: None,
            prev_events: &hashes(&place.prev_events)?,
            auth_events: &hashes(&place.auth_events)?,
            depth: place.depth,
            origin_server_ts: timestamp(self.env.clock.wall_ms()),
        };
        let signed = draft.sign(&self.identity.server_name, &self.identity.key);
        let event = signed.map_err(|error| malformed(error.to_string()))?;
        Ok(Made {
            rules,
            event: Arc::new(event),
            server: server.to_owned(),
        })
    }

    /// Takes in the room that a join was answered with: events and state in parts, the head last.
    async fn adopt(
        self: &Arc<Self>,
        remote: &Remote,
        made: Made,
        answer: JoinAnswer,
    ) -> Result<Arc<Pdu>, Tried> {
        if answer.members_omitted {
            return Err(malformed(
                "the members were left out, which was not asked for",
            ));
        }
        let _hold = self.holds.hold(&remote.room_id);
        let join = self.final_join(remote, &made, answer.event).await?;
        let texts = |events: Vec<Box<RawValue>>| -> Vec<String> {
            let events = events.into_iter().take(ANSWER_EVENTS_MAX);
            events.map(|event| event.get().to_owned()).collect()
        };
        let (rules, room_id) = (made.rules, &remote.room_id);
        // Who cannot be reached for their keys now would be missing from the room's state for good.
        let keys: (&dyn Keys, _) = (&*self.keys, Some(&*made.server));
        let state = verify_all(keys, rules, room_id, texts(answer.state)).await;
        let chain = verify_all(keys, rules, room_id, texts(answer.auth_chain)).await;
        let (state, chain) = (state.right, chain.right);
        let begins = only_beginning(&state).map_err(malformed)?;
        let known = beginning(self, room_id).await?;
        if known.is_some_and(|known| known != begins) {
            return Err(malformed("the room began otherwise than this server knows"));
        }
        let named: BTreeSet<EventHash> = state.keys().copied().collect();
        let mut all = chain;
        all.extend(state);
        store_outliers(self, (room_id, Some(begins)), rules, &all).await?;
        drop(all);
        let fetch = Fetch {
            shared: self,
            room_id,
            rules,
            server: &made.server,
        };
        let entries = fetch.state_of(named).await?;
        let create = |(tuple, event): (&StateTuple, &EventHash)| {
            tuple.event_type() == "m.room.create" && *event == begins
        };
        if !entries.iter().any(create) {
            return Err(malformed("the state does not have the room's create event"));
        }
        let root = store_state(self, room_id, &entries).await?;
        let delivery = Delivery {
            rules,
            arrivals: vec![Arrival {
                pdu: Arc::clone(&join),
                ground: Ground::Joined(root),
                past: false,
                staged: None,
            }],
            dropped: Vec::new(),
        };
        let fate = deliver(self, room_id, delivery).await?.into_iter().next();
        match fate {
            Some(Fate::Judged(Acceptance::Accepted, _) | Fate::Known(Acceptance::Accepted)) => {}
            Some(Fate::Judged(_, Some(reason))) => return Err(malformed(reason)),
            fate => return Err(malformed(format!("the join cannot be taken in: {fate:?}"))),
        }
        let mut commit = belfry_data::Commit::synced();
        end_invite(&mut commit, &remote.change.target, room_id);
        self.engine.commit(commit).await.map_err(RoomError::from)?;
        Ok(join)
    }

    /// The join as it was sent, or with the signature of the server that vouches for it.
    async fn final_join(
        &self,
        remote: &Remote,
        made: &Made,
        told: Option<Box<RawValue>>,
    ) -> Result<Arc<Pdu>, Tried> {
        let Some(told) = told else {
            return Ok(Arc::clone(&made.event));
        };
        let inbound = parse(made.rules, &remote.room_id, told.get()).map_err(malformed)?;
        if !template::is_same(&made.event, &told) {
            return Err(malformed("another event was returned than the join"));
        }
        let local = &self.identity.server_name;
        let others = crate::verification::keys_wanted(&inbound);
        if others.iter().all(|wanted| wanted.server == *local) {
            return Ok(Arc::clone(&made.event));
        }
        let mut ring = self.keys.fetch(&others).await;
        self.add_own_key(&mut ring);
        let verified = inbound
            .verify(&ring)
            .map_err(|error| malformed(error.to_string()))?;
        Ok(verified.into_pdu())
    }

    fn add_own_key(&self, ring: &mut KeyRing) {
        let key = &self.identity.key;
        let (server, public) = (self.identity.server_name.clone(), key.public_key().clone());
        let always = MilliSecondsSinceUnixEpoch(js_int::UInt::MAX);
        // A key that is on the list of leaked ones vouches for nothing, not even here.
        drop(ring.insert(server, key.key_id(), public, always));
    }

    fn own_keys(&self) -> KeyRing {
        let mut ring = KeyRing::default();
        self.add_own_key(&mut ring);
        ring
    }

    /// Whether the invited server signed the invite, as far as its keys are to be had.
    async fn has_signed(&self, json: &RawValue, server: &ServerName, invite: &Inbound) -> bool {
        let wanted = [crate::peers::KeyWanted {
            server: server.to_owned(),
            key_ids: signed_with(json, server),
            valid_at: invite.keys_valid_at(),
        }];
        let ring = self.keys.fetch(&wanted).await;
        invite.verify_by(&ring, server).is_ok()
    }

    async fn remember_knock(
        &self,
        remote: &Remote,
        made: &Made,
        state: &[Box<RawValue>],
    ) -> Result<(), RoomError> {
        let (user, room_id) = (&*remote.change.target, &*remote.room_id);
        let kept = (&*made.event, kept(state));
        self.note_stay(user, room_id, Is::Knock, kept).await
    }
}

/// The key IDs by which a server signed an object.
fn signed_with(json: &RawValue, server: &ServerName) -> Vec<String> {
    let value: Value = serde_json::from_str(json.get()).unwrap_or_default();
    let of_server = value
        .pointer("/signatures")
        .and_then(|all| all.get(server.as_str()));
    let keys = of_server.and_then(Value::as_object);
    keys.map(|keys| keys.keys().cloned().collect())
        .unwrap_or_default()
}
