//! The front door: what a client can ask of a server, and what it learns of what became of it.
//!
//! It exists so that the clients of the simulation ask what clients ask over HTTP, in the same
//! terms: this file alone has to change for them to do so once the endpoints exist. Membership
//! endpoints tell no event then; nobody counts on it. It knows nothing of who asks why, and of
//! what a right answer is.

use std::time::Duration;

use belfry_env::Clock;
use belfry_room::{
    Append, Appended, Change, CreateRoom, MemberAct, Membership, Preset, Profile, RoomError, Rooms,
    Txn,
};
use ruma_common::{
    OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use tokio::select;

use crate::dice::Dice;
use crate::server::{Life, Server};
use crate::weather::Weather;

/// What a client learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is done, and durable.
    Done(Told),
    /// It is not done, and asking again would not help.
    Refused(RoomError),
    /// It is not done; ask again.
    Later(RoomError),
    /// The server does not know; ask again.
    Unsure,
    /// The server was not reached: it is not done.
    Unreached,
    /// No answer came.
    Silence,
    /// Something that cannot be.
    Broken(RoomError),
}

/// What an answer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// The room that was created.
    Room(OwnedRoomId),
    /// The event that was sent.
    Event(OwnedEventId),
}

impl Answer {
    /// Whether nothing was done by the request that this answers, for sure.
    pub(crate) fn is_no(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Later(_) | Self::Unreached)
    }

    /// Whether there is nothing left to ask.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Refused(_) | Self::Broken(_))
    }
}

impl From<RoomError> for Answer {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Busy | RoomError::Unavailable(_) => Self::Later(error),
            RoomError::Unsure => Self::Unsure,
            RoomError::Fault(_) => Self::Broken(error),
            _ => Self::Refused(error),
        }
    }
}

/// A room to be created.
#[derive(Debug, Clone)]
pub(crate) struct Creation {
    pub(crate) version: RoomVersionId,
    pub(crate) preset: Preset,
    pub(crate) name: String,
    pub(crate) topic: Option<String>,
    pub(crate) alias: Option<OwnedRoomAliasId>,
    pub(crate) invite: Vec<OwnedUserId>,
    pub(crate) is_direct: bool,
}

impl Creation {
    /// The request as the server takes it.
    pub(crate) fn request(&self, creator: &UserId) -> CreateRoom {
        CreateRoom {
            creator: creator.to_owned(),
            profile: Profile::default(),
            version: self.version.clone(),
            preset: self.preset,
            name: Some(self.name.clone()),
            topic: self.topic.clone(),
            alias: self.alias.clone(),
            published: false,
            invite: self.invite.clone(),
            is_direct: self.is_direct,
            creation_content: Map::new(),
            initial_state: Vec::new(),
            power_level_content_override: Map::new(),
        }
    }
}

/// The network between a client and its server.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) dice: Dice,
    pub(crate) clock: Clock,
    pub(crate) longest_ms: u64,
    pub(crate) losses: u64,
    pub(crate) weather: Weather,
}

impl Link {
    /// One way of one message; whether it arrives.
    async fn carry(&self) -> bool {
        self.clock.sleep(self.dice.pause(0, self.longest_ms)).await;
        !self.dice.chance(self.losses) || self.weather.is_peaceful()
    }
}

/// One device of a user, at the door of its server.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) server: Server,
    pub(crate) user: OwnedUserId,
    pub(crate) device: String,
    pub(crate) link: Link,
}

impl Door {
    /// `POST /createRoom`.
    pub(crate) async fn create(&self, creation: &Creation) -> Answer {
        let request = creation.request(&self.user);
        self.ask(|rooms| async move { rooms.create(request).await.map(Told::Room) })
            .await
    }

    /// `PUT /rooms/{room}/send/{kind}/{txn}`.
    pub(crate) async fn send(
        &self,
        room: &OwnedRoomId,
        kind: &str,
        txn: &str,
        content: &Value,
    ) -> Answer {
        let change = Change::Message {
            kind: kind.into(),
            content: to_raw_value(content).expect("JSON is JSON"),
        };
        let txn = self.txn(format!("send/{room}/{kind}"), txn);
        self.append(room, change, Some(txn)).await
    }

    /// `PUT /rooms/{room}/redact/{event}/{txn}`.
    pub(crate) async fn redact(
        &self,
        room: &OwnedRoomId,
        event: &OwnedEventId,
        txn: &str,
        reason: &str,
    ) -> Answer {
        let content = serde_json::json!({"reason": reason});
        let change = Change::Redaction {
            redacts: event.clone(),
            content: to_raw_value(&content).expect("JSON is JSON"),
        };
        let txn = self.txn(format!("redact/{room}/{event}"), txn);
        self.append(room, change, Some(txn)).await
    }

    /// `PUT /rooms/{room}/state/{kind}/{key}`.
    pub(crate) async fn state(
        &self,
        room: &OwnedRoomId,
        kind: &str,
        key: &str,
        content: &Value,
    ) -> Answer {
        let change = Change::State {
            kind: kind.into(),
            state_key: key.to_owned(),
            content: to_raw_value(content).expect("JSON is JSON"),
        };
        self.append(room, change, None).await
    }

    /// `POST /rooms/{room}/join`.
    pub(crate) async fn join(&self, room: &OwnedRoomId, reason: &str) -> Answer {
        self.member(room, MemberAct::Join, &self.user, reason).await
    }

    /// `POST /rooms/{room}/leave`.
    pub(crate) async fn leave(&self, room: &OwnedRoomId, reason: &str) -> Answer {
        self.member(room, MemberAct::Leave, &self.user, reason)
            .await
    }

    /// `POST /knock/{room}`.
    pub(crate) async fn knock(&self, room: &OwnedRoomId, reason: &str) -> Answer {
        self.member(room, MemberAct::Knock, &self.user, reason)
            .await
    }

    /// `POST /rooms/{room}/invite`, and likewise `kick`, `ban` and `unban`.
    pub(crate) async fn moderate(
        &self,
        room: &OwnedRoomId,
        act: MemberAct,
        target: &UserId,
        reason: &str,
    ) -> Answer {
        self.member(room, act, target, reason).await
    }

    async fn member(
        &self,
        room: &OwnedRoomId,
        act: MemberAct,
        target: &UserId,
        reason: &str,
    ) -> Answer {
        let mut change = Membership::new(target, act);
        change.reason = Some(reason.to_owned());
        self.append(room, Change::Member(change), None).await
    }

    fn txn(&self, scope: String, id: &str) -> Txn {
        Txn {
            user: self.user.clone(),
            device: self.device.as_str().into(),
            scope,
            id: id.to_owned(),
        }
    }

    async fn append(&self, room: &OwnedRoomId, change: Change, txn: Option<Txn>) -> Answer {
        let append = Append {
            sender: self.user.clone(),
            change,
            txn,
            timestamp_ms: None,
        };
        let told = |appended: Appended| Told::Event(appended.event_id);
        let ask = |rooms: Rooms| async move { rooms.append(room, append).await.map(told) };
        self.ask(ask).await
    }

    /// Sends the request over, and the answer back.
    async fn ask<F>(&self, request: impl FnOnce(Rooms) -> F) -> Answer
    where
        F: Future<Output = Result<Told, RoomError>>,
    {
        if !self.link.carry().await {
            return self.silence().await;
        }
        let Some(Life { rooms, disk, .. }) = self.server.life() else {
            return Answer::Unreached;
        };
        let answer = select! { biased;
            () = disk.died() => return self.silence().await,
            answer = request(rooms) => answer,
        };
        if !self.link.carry().await {
            return self.silence().await;
        }
        answer.map_or_else(Answer::from, Answer::Done)
    }

    /// Nothing comes, which the client notices after a while.
    async fn silence(&self) -> Answer {
        let while_ms: Duration = self.link.dice.pause(100, 5_000);
        self.link.clock.sleep(while_ms).await;
        Answer::Silence
    }
}
