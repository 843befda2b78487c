//! Which state a client wants of a room: `required_state`.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::StateTuple;
use belfry_event::EventHash;

use super::request::{RoomDetails, StatePattern, StateSet};
use crate::{error::Fault, room_view::RoomView, sight::member_tuple, turn::shown, window::Window};

const MEMBER: &str = "m.room.member";

/// `required_state`: what any set of it asks for.
pub(crate) struct Required<'a> {
    sets: &'a [StateSet],
    /// Whether members are told where their events are.
    pub(crate) lazy: bool,
}

fn matches((kind, key): &StatePattern, tuple: &StateTuple) -> bool {
    kind.as_deref()
        .is_none_or(|kind| kind == tuple.event_type())
        && key.as_deref().is_none_or(|key| key == tuple.state_key())
}

impl StateSet {
    /// Whether the set asks for this. With lazy members, any type does not stand for theirs.
    fn wants(&self, tuple: &StateTuple) -> bool {
        let hidden = self.lazy_members && tuple.event_type() == MEMBER;
        let included = self.include.iter().any(|pattern| {
            let any = matches!(pattern, (None, None));
            !(any && hidden) && matches(pattern, tuple)
        });
        included && !self.exclude.iter().any(|pattern| matches(pattern, tuple))
    }

    /// Whether it asks for every member.
    fn wants_members(&self) -> bool {
        self.include.iter().any(|(kind, key)| {
            let members = match kind.as_deref() {
                None => !self.lazy_members,
                Some(kind) => kind == MEMBER,
            };
            members && key.is_none()
        })
    }
}

impl<'a> Required<'a> {
    pub(crate) fn new(details: &'a RoomDetails) -> Self {
        let sets = &*details.state;
        let all = sets.iter().any(StateSet::wants_members);
        Self {
            lazy: !all && sets.iter().any(|set| set.lazy_members),
            sets,
        }
    }

    /// Whether the client wants this.
    pub(crate) fn wants(&self, tuple: &StateTuple) -> bool {
        self.sets.iter().any(|set| set.wants(tuple))
    }

    fn patterns(&self) -> impl Iterator<Item = &StatePattern> {
        self.sets.iter().flat_map(|set| &set.include)
    }

    /// All that the client wants of the view's state: by single look-ups, if it names everything.
    pub(crate) async fn of_state(
        &self,
        view: &mut RoomView<'_>,
    ) -> Result<BTreeMap<StateTuple, EventHash>, Fault> {
        let named = |(kind, key): &StatePattern| {
            let (kind, key) = (kind.as_deref()?, key.as_deref()?);
            StateTuple::new(kind, key).ok()
        };
        if self
            .patterns()
            .all(|(kind, key)| kind.is_some() && key.is_some())
        {
            let tuples: BTreeSet<_> = self.patterns().filter_map(named).collect();
            let tuples = tuples.into_iter().filter(|tuple| self.wants(tuple));
            return view.pick(view.state, tuples.collect::<Vec<_>>()).await;
        }
        let members = self.sets.iter().any(StateSet::wants_members);
        let mut all = view.entries(view.state, members).await?;
        if !members {
            let of_members = self
                .patterns()
                .filter(|(kind, _)| kind.as_deref().is_none_or(|kind| kind == MEMBER));
            let named = of_members.filter_map(|(_, key)| StateTuple::member(key.as_deref()?).ok());
            let named: BTreeSet<_> = named.collect();
            all.extend(view.pick(view.state, named).await?);
        }
        all.retain(|tuple, _| self.wants(tuple));
        Ok(all)
    }

    /// The members of those who wrote what is shown, and of whom it is about, if they are wanted.
    pub(crate) async fn of_window(
        &self,
        view: &mut RoomView<'_>,
        window: &Window,
    ) -> Result<BTreeMap<StateTuple, EventHash>, Fault> {
        let mut tuples = BTreeSet::new();
        if self.lazy {
            for event in shown(window) {
                tuples.insert(member_tuple(event.pdu.sender())?);
                let about = event.tuple();
                tuples.extend(about.filter(|tuple| tuple.event_type() == MEMBER));
            }
        }
        view.pick(view.state, tuples).await
    }

    /// Whether a change of this is told to a client that has seen all since: with lazy members, all
    /// changes of members are.
    pub(crate) fn follows(&self, tuple: &StateTuple, limited: bool) -> bool {
        self.wants(tuple) || (self.lazy && !limited && tuple.event_type() == MEMBER)
    }
}
