//! What a server has for its clients: the rooms themselves, or the router in front of everything.
//!
//! It exists so that the same clients meet the room workers directly, where every answer names its
//! event and tells what is known, and over HTTP, where it is what clients get. It knows nothing of
//! the way between client and server.

pub(crate) mod rooms;
pub(crate) mod router;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use belfry_room::Rooms;
use ruma_common::UserId;

use crate::act::Act;
use crate::door::Answer;

/// Access tokens by device.
pub(crate) type Tokens = Arc<BTreeMap<String, String>>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Front {
    /// `belfry-room`'s own door.
    Rooms(Rooms),
    /// A node's router, and who is signed in.
    Router(Router, Tokens),
}

impl Front {
    /// Asks for it as this user on this device; `mark` is what its events carry.
    pub(crate) async fn ask(&self, user: &UserId, device: &str, act: &Act, mark: &str) -> Answer {
        match self {
            Self::Rooms(rooms) => rooms::ask(rooms, user, device, act, mark).await,
            Self::Router(router, tokens) => router::ask(router, &tokens[device], act, mark).await,
        }
    }

    /// How many rooms are being worked on, where that can be told.
    pub(crate) fn workers(&self) -> usize {
        match self {
            Self::Rooms(rooms) => rooms.workers(),
            Self::Router(..) => 0,
        }
    }
}
