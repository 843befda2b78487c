//! What the handlers of one server share: handles, each of which a handler names if it uses it.

use axum::extract::FromRef;
use belfry_user::{Requester, Users};
use ruma_common::RoomVersionId;

use crate::{
    edge::{Ctx, Door, Edge},
    error::ApiError,
};

/// The state of the router. Cheap to clone. A crate that handlers need is one more field here.
#[derive(Clone)]
pub struct Api {
    /// What all requests share.
    pub edge: Edge,
    /// Accounts.
    pub users: Users,
    /// What clients are told of the server.
    pub about: About,
}

/// What clients are told of the server, beyond what follows from the code.
#[derive(Debug, Clone)]
pub struct About {
    /// The version of rooms whose creator names none.
    pub default_room_version: RoomVersionId,
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

handles!(edge: Edge, users: Users, about: About);

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
