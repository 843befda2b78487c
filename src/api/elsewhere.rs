//! Other servers, as somebody of this one may look something up there: policy is asked before.
//!
//! It exists so that no handler forgets to ask policy, and so that what another server refuses is
//! answered in one way. It knows nothing of requests and of where the answers are shown.

use std::sync::Arc;

use axum::extract::FromRef;
use belfry_policy::{Action, Purpose, Request, Rules};
use belfry_room::{FoundAlias, FoundMoment, FoundSpace, PublicRoomsAsk, RoomError, Rooms};
use belfry_user::Requester;
use ruma_common::{
    OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, RoomOrAliasId, ServerName, UserId,
};
use serde_json::{Map, Value};

use crate::{
    error::{ApiError, EdgeError},
    federation::Federation,
    state::Api,
};

/// Other servers, and what decides whether they are asked. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    federation: Federation,
    rooms: Rooms,
    rules: Arc<Rules>,
}

impl FromRef<Api> for Elsewhere {
    fn from_ref(api: &Api) -> Self {
        Self {
            federation: api.federation.clone(),
            rooms: api.rooms.clone(),
            rules: Arc::clone(&api.rules),
        }
    }
}

impl Elsewhere {
    /// What is between this server and others, for administrators.
    pub(crate) fn administer(&self, requester: &Requester) -> Result<&Federation, ApiError> {
        let asking = belfry_policy::Requester::Account(requester.account());
        let request = Request::new(asking, Action::Administer);
        belfry_policy::decide(&self.rules, &request).into_result()?;
        Ok(&self.federation)
    }

    /// Whether the server is another one.
    pub(crate) fn is_far(&self, server: &ServerName) -> bool {
        server != self.federation.server()
    }

    /// Whether other servers are asked at all.
    pub(crate) fn is_on(&self) -> bool {
        self.federation.directory().is_some()
    }

    /// The room of an alias of whatever server, and servers to join by.
    pub(crate) async fn alias(
        &self,
        requester: Option<&Requester>,
        alias: &RoomAliasId,
    ) -> Result<FoundAlias, ApiError> {
        let server = alias.server_name();
        if !self.is_far(server) {
            let room_id = self.rooms.resolve_alias(alias).await?;
            let mut servers = vec![server.to_owned()];
            match self.rooms.other_servers(&room_id).await {
                Ok(others) => servers.extend(others),
                Err(RoomError::UnknownRoom) => {}
                Err(error) => return Err(error.into()),
            }
            return Ok(FoundAlias { room_id, servers });
        }
        let Some(directory) = self.federation.directory() else {
            // Says why this server keeps no such alias.
            let room_id = self.rooms.resolve_alias(alias).await?;
            let servers = Vec::new();
            return Ok(FoundAlias { room_id, servers });
        };
        self.permit(requester, server, Purpose::Directory)?;
        Ok(directory.alias(alias).await?)
    }

    /// A room by its ID or alias, and servers to go by: those of the request, then the alias's.
    pub(crate) async fn room(
        &self,
        requester: &Requester,
        name: &RoomOrAliasId,
        mut via: Vec<OwnedServerName>,
    ) -> Result<(OwnedRoomId, Vec<OwnedServerName>), ApiError> {
        if let Ok(room) = <&RoomId>::try_from(name) {
            return Ok((room.to_owned(), via));
        }
        let alias = <&RoomAliasId>::try_from(name);
        let alias =
            alias.map_err(|_| EdgeError::InvalidParam("not a room ID or alias".to_owned()))?;
        let found = self.alias(Some(requester), alias).await?;
        via.extend(found.servers);
        Ok((found.room_id, via))
    }

    /// The profile of a user of another server; `None` if no server is ever asked.
    pub(crate) async fn profile(
        &self,
        requester: Option<&Requester>,
        user: &UserId,
    ) -> Result<Option<Map<String, Value>>, ApiError> {
        let Some(directory) = self.federation.directory() else {
            return Ok(None);
        };
        self.permit(requester, user.server_name(), Purpose::Profile)?;
        Ok(Some(directory.profile(user).await?))
    }

    /// A page of another server's published rooms, as JSON; `None` if no server is ever asked.
    pub(crate) async fn public_rooms(
        &self,
        requester: Option<&Requester>,
        server: &ServerName,
        ask: &PublicRoomsAsk,
    ) -> Result<Option<String>, ApiError> {
        let Some(directory) = self.federation.directory() else {
            return Ok(None);
        };
        self.permit(requester, server, Purpose::Directory)?;
        let page = directory.public_rooms(server, ask).await?;
        Ok(Some(page.get().to_owned()))
    }

    /// A space of which another server tells, of those that policy lets the requester ask, and that
    /// of a room ID that names one; `None` if nobody tells.
    pub(crate) async fn space(
        &self,
        requester: &Requester,
        room: &RoomId,
        mut via: Vec<OwnedServerName>,
    ) -> Option<FoundSpace> {
        let directory = self.federation.directory()?;
        via.extend(named_in(room));
        via.retain(|server| {
            let may = self.permit(Some(requester), server, Purpose::Directory);
            self.is_far(server) && may.is_ok()
        });
        directory.space(&via, room).await.ok()
    }

    /// The event closest to a moment, of other servers in the room; `None` if nobody has one.
    pub(crate) async fn moment(
        &self,
        requester: &Requester,
        room: &RoomId,
        at_ms: u64,
        forward: bool,
    ) -> Result<Option<FoundMoment>, ApiError> {
        let Some(directory) = self.federation.directory() else {
            return Ok(None);
        };
        let mut servers = self.rooms.other_servers(room).await?;
        servers.retain(|server| {
            let may = self.permit(Some(requester), server, Purpose::Exchange);
            may.is_ok()
        });
        let found = directory.moment(&servers, room, at_ms, forward).await;
        Ok(found.ok())
    }

    fn permit(
        &self,
        requester: Option<&Requester>,
        server: &ServerName,
        purpose: Purpose,
    ) -> Result<(), ApiError> {
        let asking = match requester {
            Some(requester) => belfry_policy::Requester::Account(requester.account()),
            None => belfry_policy::Requester::Homeserver,
        };
        let request = Request::new(asking, Action::LookUp).with_peer(server, purpose);
        Ok(belfry_policy::decide(&self.rules, &request).into_result()?)
    }
}

/// The server whose name a room ID of before version 12 ends in.
fn named_in(room: &RoomId) -> Option<OwnedServerName> {
    let (_, name) = room.as_str().split_once(':')?;
    OwnedServerName::try_from(name).ok()
}
