//! A server without others: nobody is reached, no key is known.
//!
//! It exists so that a server whose federation is off runs the same code as one whose peers are
//! all away. It knows nothing of why.

use belfry_data::BoxFuture;
use belfry_event::KeyRing;
use ruma_common::{EventId, OwnedEventId, RoomId, RoomVersionId, ServerName, UserId};
use serde_json::value::RawValue;

use crate::peers::{
    Handshake, Invitation, JoinAnswer, KeyWanted, Keys, MissingEvents, PeerAnswer, PeerError,
    Peers, StateEvents, StateIds, Template,
};

/// See the module.
pub(crate) struct Isolated;

/// What every call of it gives.
fn nobody<'a, T: Send + 'a>() -> PeerAnswer<'a, T> {
    let text = "this server does not speak to others; federation is off".to_owned();
    Box::pin(std::future::ready(Err(PeerError::Unreachable(text))))
}

impl Keys for Isolated {
    fn held<'a>(&'a self, _: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing> {
        Box::pin(std::future::ready(KeyRing::default()))
    }

    fn fetch<'a>(&'a self, wanted: &'a [KeyWanted]) -> BoxFuture<'a, KeyRing> {
        self.held(wanted)
    }
}

impl Peers for Isolated {
    fn missing_events<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a MissingEvents,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        nobody()
    }

    fn state_ids<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a EventId,
    ) -> PeerAnswer<'a, StateIds> {
        nobody()
    }

    fn state<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a EventId,
    ) -> PeerAnswer<'a, StateEvents> {
        nobody()
    }

    fn event<'a>(&'a self, _: &'a ServerName, _: &'a EventId) -> PeerAnswer<'a, Box<RawValue>> {
        nobody()
    }

    fn event_auth<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a EventId,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        nobody()
    }

    fn backfill<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a [OwnedEventId],
        _: usize,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        nobody()
    }

    fn make<'a>(
        &'a self,
        _: &'a ServerName,
        _: Handshake,
        _: &'a RoomId,
        _: &'a UserId,
        _: &'a [RoomVersionId],
    ) -> PeerAnswer<'a, Template> {
        nobody()
    }

    fn send_join<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a EventId,
        _: &'a RawValue,
    ) -> PeerAnswer<'a, JoinAnswer> {
        nobody()
    }

    fn send_leave<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a EventId,
        _: &'a RawValue,
    ) -> PeerAnswer<'a, ()> {
        nobody()
    }

    fn send_knock<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a EventId,
        _: &'a RawValue,
    ) -> PeerAnswer<'a, Vec<Box<RawValue>>> {
        nobody()
    }

    fn recommend<'a>(&'a self, _: &'a ServerName, _: &'a RawValue) -> PeerAnswer<'a, String> {
        nobody()
    }

    fn invite<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a RoomId,
        _: &'a EventId,
        _: &'a Invitation,
    ) -> PeerAnswer<'a, Box<RawValue>> {
        nobody()
    }
}
