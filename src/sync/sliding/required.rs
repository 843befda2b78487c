//! Which state a client wants of a room: `required_state`.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::StateTuple;
use belfry_event::EventHash;
use ruma_common::UserId;

use super::request::RoomDetails;
use crate::{error::Fault, room_view::RoomView, sight::member_tuple, turn::shown, window::Window};

const MEMBER: &str = "m.room.member";
const ANY: &str = "*";
const LAZY: &str = "$LAZY";
const ME: &str = "$ME";

/// `required_state`, for one reader.
pub(crate) struct Required<'a> {
    entries: Vec<(&'a str, &'a str)>,
    /// Whether members are told where their events are.
    pub(crate) lazy: bool,
}

impl<'a> Required<'a> {
    pub(crate) fn new(details: &'a RoomDetails, user: &'a UserId) -> Self {
        let entries = details.required_state.iter();
        let lazy = |(kind, key): &(&str, &str)| *kind == MEMBER && *key == LAZY;
        let entries: Vec<_> = entries
            .map(|(kind, key)| {
                let key = if key == ME {
                    user.as_str()
                } else {
                    key.as_str()
                };
                (kind.as_str(), key)
            })
            .collect();
        Self {
            lazy: entries.iter().any(lazy),
            entries: entries.into_iter().filter(|entry| !lazy(entry)).collect(),
        }
    }

    /// Whether the client wants this. With lazy members, `*` does not stand for all of them.
    pub(crate) fn wants(&self, tuple: &StateTuple) -> bool {
        self.entries.iter().any(|(kind, key)| {
            let all = *kind == ANY && *key == ANY;
            let hidden = all && self.lazy && tuple.event_type() == MEMBER;
            !hidden
                && (*kind == ANY || *kind == tuple.event_type())
                && (*key == ANY || *key == tuple.state_key())
        })
    }

    /// All that the client wants of the view's state: by single look-ups, if it names everything.
    pub(crate) async fn of_state(
        &self,
        view: &mut RoomView<'_>,
    ) -> Result<BTreeMap<StateTuple, EventHash>, Fault> {
        let wild = |(kind, key): &&(&str, &str)| *kind == ANY || *key == ANY;
        if !self.entries.iter().any(|entry| wild(&entry)) {
            let tuples = self.entries.iter();
            let tuples = tuples.filter_map(|(kind, key)| StateTuple::new(*kind, *key).ok());
            let tuples: BTreeSet<_> = tuples.collect();
            return view.pick(view.state, tuples).await;
        }
        let of_members = |(kind, key): &&(&str, &str)| {
            *key == ANY && (*kind == MEMBER || (*kind == ANY && !self.lazy))
        };
        let members = self.entries.iter().any(|entry| of_members(&entry));
        let mut all = view.entries(view.state, members).await?;
        all.retain(|tuple, _| self.wants(tuple));
        if !members {
            let named = self.entries.iter().filter(|(kind, _)| *kind == MEMBER);
            let named = named.filter_map(|(_, key)| StateTuple::member(key).ok());
            let named: BTreeSet<_> = named.collect();
            all.extend(view.pick(view.state, named).await?);
        }
        Ok(all)
    }

    /// The members of those who wrote what is shown, if they are wanted.
    pub(crate) async fn of_senders(
        &self,
        view: &mut RoomView<'_>,
        window: &Window,
    ) -> Result<BTreeMap<StateTuple, EventHash>, Fault> {
        let mut tuples = BTreeSet::new();
        if self.lazy {
            for event in shown(window) {
                tuples.insert(member_tuple(event.pdu.sender())?);
            }
        }
        view.pick(view.state, tuples).await
    }
}
