//! One room of a sliding answer.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{STAMP_FIRST, Snapshot, Stamp, StateTuple, connection::ToldRow};
use belfry_event::EventHash;
use ruma_common::OwnedUserId;
use serde::Deserialize;

use super::{
    list::Wanted,
    request::Shape,
    required::Required,
    response::{Hero, SlidingRoom},
};
use crate::{
    account_changes::AccountChanges,
    delta,
    error::Fault,
    event::RoomEvent,
    joined::Candidate,
    json::{EventList, Object},
    presentation,
    room_view::RoomView,
    sight::{Eyes, member_tuple, plain_tuple},
    state_section::Base,
    summary::Summary,
    turn::Turn,
    window::Window,
};

/// What a room's update is made of.
pub(crate) struct Assembly<'a> {
    /// `since` is up to where the connection was told of the room.
    pub(crate) turn: &'a Turn<'a>,
    pub(crate) candidate: &'a Candidate,
    pub(crate) shape: Shape,
    pub(crate) wanted: &'a Wanted,
    /// By which clients sort rooms.
    pub(crate) bump_ms: u64,
    pub(crate) told: Option<ToldRow>,
    /// What came behind this has just happened.
    pub(crate) live_since: Option<Stamp>,
}

/// What of the state an update tells.
struct State {
    entries: BTreeMap<StateTuple, EventHash>,
    /// What is there no more.
    gone: Vec<StateTuple>,
    /// What changed; everything if the room is new to the client.
    changed: Option<BTreeSet<StateTuple>>,
}

impl State {
    fn touches(&self, matches: impl Fn(&StateTuple) -> bool) -> bool {
        self.changed
            .as_ref()
            .is_none_or(|changed| changed.iter().any(matches))
    }
}

impl Assembly<'_> {
    /// A room that the user is in; `None` if nothing is new.
    pub(crate) async fn joined(
        &self,
        snapshot: &dyn Snapshot,
    ) -> Result<Option<SlidingRoom>, Fault> {
        let (turn, room) = (self.turn, &*self.candidate.room);
        let Some(mut view) = RoomView::open(snapshot, room, turn.until).await? else {
            return Ok(None);
        };
        let eyes = Eyes::of_member(turn.user());
        let known = turn.known_since(&mut view, self.candidate).await?;
        let after = known.unwrap_or(STAMP_FIRST);
        let mut window = turn.window(&mut view, &eyes, after, None, room).await?;
        let state = self.state(&mut view, known, &window).await?;
        let expanded = known.is_some() && self.is_expanded();
        if expanded {
            window = turn
                .window(&mut view, &eyes, STAMP_FIRST, None, room)
                .await?;
        }
        let mut update = SlidingRoom {
            initial: known.is_none(),
            expanded,
            bump_stamp: Some(self.bump_ms),
            is_dm: self.is_dm(),
            ..SlidingRoom::default()
        };
        self.describe(&mut view, &state, &mut update).await?;
        let (required, members) = self.required(&mut view, &eyes, &window, state).await?;
        update.required_state = required;
        update.shown.extend(members);
        update.live = self.live(&window);
        let timeline = turn.timeline(&mut view, &eyes, &window).await?;
        update.limited = timeline.limited;
        update.prev_batch = timeline.prev_batch.filter(|_| !window.events.is_empty());
        update.timeline = timeline.events;
        let own = self.own_receipt(snapshot, known).await?;
        let counted = own || turn.shared.counts.came_late(room, after);
        update.unread = Some(turn.unread(room).await?.total());
        let news = update.initial || expanded || counted || !update.timeline.is_empty();
        let news = news || !update.required_state.is_empty() || update.is_described();
        let news = news || update.is_dm == Some(false);
        Ok((news || update.limited).then_some(update))
    }

    /// A room that the user is invited to, or knocked on.
    pub(crate) async fn invited(
        &self,
        snapshot: &dyn Snapshot,
    ) -> Result<Option<SlidingRoom>, Fault> {
        let stripped = self.turn.stripped(snapshot, self.candidate).await?;
        Ok(stripped.map(|stripped| SlidingRoom {
            initial: true,
            invite_state: Some(stripped),
            bump_stamp: Some(self.bump_ms),
            is_dm: self.is_dm(),
            ..SlidingRoom::default()
        }))
    }

    /// A room that the user left, for the last time: up to the departure and not further.
    pub(crate) async fn departed(
        &self,
        snapshot: &dyn Snapshot,
    ) -> Result<Option<SlidingRoom>, Fault> {
        let put_out = !self.wanted.lists.is_empty();
        if self.told.is_none() && !put_out {
            return Ok(None);
        }
        let none = AccountChanges::default();
        let left = self.turn.departed(snapshot, self.candidate, &none).await?;
        Ok(left.map(|left| SlidingRoom {
            limited: left.timeline.limited,
            prev_batch: left.timeline.prev_batch,
            timeline: left.timeline.events,
            // Who was never told of the room is told of the departure alone.
            required_state: match self.told {
                Some(_) => left.state.events().clone(),
                None => EventList::default(),
            },
            initial: self.told.is_none(),
            bump_stamp: put_out.then_some(self.bump_ms),
            ..SlidingRoom::default()
        }))
    }

    /// Whether it is a direct chat: told if it is, and if it is no more.
    fn is_dm(&self) -> Option<bool> {
        let (is_dm, details) = (self.wanted.is_dm, &self.wanted.details);
        let was = self
            .told
            .is_some_and(|told| told.state == details.digest(true));
        (is_dm || was).then_some(is_dm)
    }

    fn is_expanded(&self) -> bool {
        let limit = self.wanted.details.timeline_limit;
        self.told.is_some_and(|told| limit > told.limit)
    }

    async fn state(
        &self,
        view: &mut RoomView<'_>,
        known: Option<Stamp>,
        window: &Window,
    ) -> Result<State, Fault> {
        let (details, required) = (&self.wanted.details, Required::new(&self.wanted.details));
        let digests = [details.digest(true), details.digest(false)];
        let same = self.told.is_some_and(|told| digests.contains(&told.state));
        let changes = match self.turn.base(view, known, window).await? {
            Base::OneOf(bases) => delta::changes(view, &bases).await?,
            Base::Nothing => None,
        };
        let Some(changes) = changes else {
            return Ok(State {
                entries: required.of_state(view).await?,
                gone: Vec::new(),
                changed: None,
            });
        };
        let touched = changes.keys().cloned().collect();
        let gone = changes.iter().filter(|(_, event)| event.is_none());
        let gone = gone.map(|(tuple, _)| tuple.clone());
        let gone = gone.filter(|tuple| required.wants(tuple)).collect();
        let entries = if same {
            let limited = window.limited;
            let wanted = changes
                .into_iter()
                .filter(|(tuple, _)| required.follows(tuple, limited));
            wanted
                .filter_map(|(tuple, event)| Some((tuple, event?)))
                .collect()
        } else {
            required.of_state(view).await?
        };
        Ok(State {
            entries,
            gone,
            changed: Some(touched),
        })
    }

    /// The events of `required_state`, with the members that are loaded lazily; and whose of the events
    /// are of members.
    async fn required(
        &self,
        view: &mut RoomView<'_>,
        eyes: &Eyes,
        window: &Window,
        state: State,
    ) -> Result<(EventList, Vec<OwnedUserId>), Fault> {
        let turn = self.turn;
        let required = Required::new(&self.wanted.details);
        let mut entries = state.entries;
        let senders = required.of_window(view, window).await?;
        if let Some(device) = turn.device() {
            let since = self.live_since.filter(|_| self.told.is_some());
            let sent = |event: &EventHash| {
                since.is_some_and(|at| turn.shared.sent.has(&device, at.position, *event))
            };
            let lacking = senders.into_iter().filter(|(_, event)| !sent(event));
            entries.extend(lacking);
            if required.lazy {
                let members = entries.iter();
                let members = members.filter(|(tuple, _)| tuple.event_type() == "m.room.member");
                let members: Vec<_> = members.map(|(_, event)| *event).collect();
                turn.shared
                    .sent
                    .note(&device, &members, turn.until.position);
            }
        }
        let members = entries.keys();
        let members = members.filter(|tuple| tuple.event_type() == "m.room.member");
        let members = members.filter_map(|tuple| tuple.state_key().try_into().ok());
        let members = members.collect();
        let hashes: Vec<_> = entries.into_values().collect();
        let (facts, style) = (turn.facts(), turn.style());
        let mut told = presentation::state(view, facts, eyes, style, &hashes, |_| true).await?;
        if self.shape == Shape::Accepted {
            for tuple in &state.gone {
                told.push(|out| write_stub(tuple, out));
            }
        }
        Ok((told, members))
    }

    fn live(&self, window: &Window) -> usize {
        let Some(since) = self.live_since else {
            return 0;
        };
        let live = |event: &&RoomEvent| event.stamp() > since;
        crate::turn::shown(window).filter(live).count()
    }

    /// Name, avatar, heroes and counts, as far as they may have changed.
    async fn describe(
        &self,
        view: &mut RoomView<'_>,
        state: &State,
        update: &mut SlidingRoom,
    ) -> Result<(), Fault> {
        let of_type = |kind: &'static str| move |tuple: &StateTuple| tuple.event_type() == kind;
        let named = state.touches(Summary::depends_on);
        if named || state.touches(of_type("m.room.avatar")) {
            let tuples = [plain_tuple("m.room.name")?, plain_tuple("m.room.avatar")?];
            let found = view.pick(view.state, tuples).await?;
            let hashes: Vec<_> = found.into_values().collect();
            for event in view.events(&hashes).await? {
                let said = said(&event);
                update.name.set(said.name);
                update.avatar.set(said.url);
            }
            if !update.initial {
                update
                    .name
                    .or_removed(state.touches(of_type("m.room.name")));
                update
                    .avatar
                    .or_removed(state.touches(of_type("m.room.avatar")));
            }
        }
        if named {
            let summary = Summary::read(view, self.turn.user()).await?;
            if let Some(heroes) = &summary.heroes {
                update.shown.extend(heroes.iter().cloned());
                update.heroes = Some(describe_heroes(view, heroes).await?);
            }
            update.members = summary.members;
        }
        Ok(())
    }

    /// Whether the user's own receipt moved: what is unread may be less.
    async fn own_receipt(
        &self,
        snapshot: &dyn Snapshot,
        known: Option<Stamp>,
    ) -> Result<bool, Fault> {
        if known.is_none() {
            return Ok(false);
        }
        let room = &*self.candidate.room;
        let passing = self.turn.ephemeral(snapshot, room, known).await?;
        Ok(passing.own_receipt)
    }
}

/// Says that a piece of state is there no more.
fn write_stub(tuple: &StateTuple, out: &mut String) {
    let mut stub = Object::new(out);
    stub.string("type", tuple.event_type());
    stub.string("state_key", tuple.state_key());
    stub.end();
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    name: Option<String>,
    url: Option<String>,
    displayname: Option<String>,
    avatar_url: Option<String>,
}

/// What clients wrote may be of any shape.
fn said(event: &RoomEvent) -> Said {
    let said: Said = serde_json::from_str(event.pdu.content_json()).unwrap_or_default();
    Said {
        name: said.name.filter(|name| !name.is_empty()),
        url: said.url.filter(|url| !url.is_empty()),
        ..said
    }
}

async fn describe_heroes(
    view: &mut RoomView<'_>,
    users: &[OwnedUserId],
) -> Result<Vec<Hero>, Fault> {
    let mut tuples = Vec::new();
    for user in users {
        tuples.push(member_tuple(user)?);
    }
    let found = view.pick(view.state, tuples.iter().cloned()).await?;
    let mut heroes = Vec::new();
    for (user, tuple) in users.iter().zip(&tuples) {
        let hash: Vec<_> = found.get(tuple).copied().into_iter().collect();
        let event = view.events(&hash).await?.pop();
        let said = event.as_ref().map(said).unwrap_or_default();
        heroes.push(Hero {
            user_id: user.clone(),
            displayname: said.displayname,
            avatar_url: said.avatar_url,
        });
    }
    Ok(heroes)
}
