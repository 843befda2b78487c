//! What the handlers of one server share: handles, each of which a handler names if it uses it.

use std::{ops::Deref, sync::Arc};

use axum::extract::FromRef;
use belfry_flow::Flows;
use belfry_media::Media;
use belfry_policy::Rules;
use belfry_room::{Append, Change, MemberAct, Membership, Profile, Rooms, Txn};
use belfry_sync::Views;
use belfry_user::{ProfileError, Requester, Users};
use ruma_common::{OwnedEventId, OwnedServerName, RoomId, RoomVersionId, UserId};

use crate::{
    about::{Turn, WellKnown},
    consent,
    edge::{Ctx, Door, Edge},
    error::ApiError,
    federation::Federation,
};

/// The state of the router: [`Handles`], shared. A router clones it several times a request.
#[derive(Clone)]
pub struct Api(Arc<Handles>);

impl From<Handles> for Api {
    fn from(handles: Handles) -> Self {
        Self(Arc::new(handles))
    }
}

impl Deref for Api {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

/// What answers requests. A crate that handlers need is one more field here.
pub struct Handles {
    /// What all requests share.
    pub edge: Edge,
    /// Accounts.
    pub users: Users,
    /// Rooms.
    pub rooms: Rooms,
    /// Acts over several of them.
    pub flows: Flows,
    /// Rooms as clients see them.
    pub views: Views,
    /// Files.
    pub media: Media,
    /// What policy decides by.
    pub rules: Arc<Rules>,
    /// What answers other servers need.
    pub federation: Federation,
    /// What clients are told of the server.
    pub about: About,
}

/// Rooms as accounts reach them: with policy before, and profiles shown.
#[derive(Clone)]
pub(crate) struct RoomDoor {
    pub(crate) rooms: Rooms,
    pub(crate) rules: Arc<Rules>,
    pub(crate) flows: Flows,
    pub(crate) users: Users,
}

impl RoomDoor {
    /// Makes the change as this account; the event that says it.
    pub(crate) async fn act(
        &self,
        requester: &Requester,
        room_id: &RoomId,
        change: Change,
        txn: Option<Txn>,
    ) -> Result<OwnedEventId, ApiError> {
        let append = Append {
            sender: requester.user_id.clone(),
            change,
            txn,
            timestamp_ms: None,
        };
        if let Some(invited) = consent::invited(&append.change) {
            consent::ask(&self.users, &invited, &requester.user_id).await?;
        }
        let comes = matches!(&append.change, Change::Member(it) if it.act == MemberAct::Join);
        let account = requester.account();
        let made = self.rooms.append_as(&self.rules, account, room_id, append);
        let made = made.await?.event_id;
        if comes {
            // What somebody had in the room's predecessor follows them.
            self.flows.resume();
        }
        Ok(made)
    }

    /// Changes a membership as this account, here or by way of one of these servers.
    pub(crate) async fn go(
        &self,
        requester: &Requester,
        room_id: &RoomId,
        change: Membership,
        via: Vec<OwnedServerName>,
    ) -> Result<(), ApiError> {
        if change.act == MemberAct::Invite {
            consent::ask(&self.users, &change.target, &requester.user_id).await?;
        }
        let comes = change.act == MemberAct::Join;
        let account = requester.account();
        let gone = self
            .rooms
            .move_as(&self.rules, account, room_id, change, via);
        gone.await?;
        if comes {
            // What somebody had in the room's predecessor follows them.
            self.flows.resume();
        }
        Ok(())
    }

    /// What member events show of a user; nothing of users that this server does not have.
    pub(crate) async fn profile_of(&self, user_id: &UserId) -> Result<Profile, ApiError> {
        let fields = match self.users.profile(user_id).await {
            Ok(fields) => fields,
            Err(ProfileError::NotFound) => return Ok(Profile::default()),
            Err(error) => return Err(error.into()),
        };
        let text = |name: &str| {
            let mut named = fields.iter().filter(|(field, _)| field == name);
            named
                .next()
                .and_then(|(_, value)| value.as_str().map(str::to_owned))
        };
        Ok(Profile {
            displayname: text("displayname"),
            avatar_url: text("avatar_url"),
        })
    }
}

/// What accounts read of rooms, if policy lets them read.
#[derive(Clone)]
pub(crate) struct ViewDoor {
    pub(crate) views: Views,
    pub(crate) rules: Arc<Rules>,
    pub(crate) federation: Federation,
}

impl FromRef<Api> for ViewDoor {
    fn from_ref(api: &Api) -> Self {
        Self {
            views: api.views.clone(),
            rules: Arc::clone(&api.rules),
            federation: api.federation.clone(),
        }
    }
}

impl FromRef<Api> for RoomDoor {
    fn from_ref(api: &Api) -> Self {
        Self {
            rooms: api.rooms.clone(),
            rules: Arc::clone(&api.rules),
            flows: api.flows.clone(),
            users: api.users.clone(),
        }
    }
}

/// What clients are told of the server, beyond what follows from the code.
#[derive(Debug, Clone)]
pub struct About {
    /// The version of rooms whose creator names none.
    pub default_room_version: RoomVersionId,
    /// Whether files are shown to whoever knows their URI, without a token (frozen by the spec).
    pub unauthenticated_media: bool,
    /// What is told at well-known URIs.
    pub well_known: WellKnown,
    /// Where calls find a way through firewalls.
    pub turn: Option<Turn>,
}

macro_rules! handles {
    ($($field:ident: $handle:ty),+ $(,)?) => {$(
        impl FromRef<Api> for $handle {
            fn from_ref(api: &Api) -> Self {
                api.$field.clone()
            }
        }
    )+};
}

handles!(edge: Edge, users: Users, flows: Flows, about: About, federation: Federation);

impl Door for Api {
    fn edge(&self) -> &Edge {
        &self.edge
    }

    async fn identify(&self, ctx: &Ctx, token: &str) -> Result<Requester, ApiError> {
        let requester = self.users.identify(token).await?;
        let noted = self
            .users
            .note_seen(&requester, &ctx.client.to_string())
            .await;
        if let Err(fault) = noted {
            // Nobody waits for it: a database that is busy loses a time of day.
            tracing::debug!(%fault, "when a device was last seen was not noted");
        }
        Ok(requester)
    }
}
