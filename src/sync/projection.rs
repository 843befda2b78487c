//! One event, as the projector sees it: whom it notifies, and what else follows from it.
//!
//! It exists so that each consequence is one small step. It knows nothing of the log and of commits'
//! sizes.

use std::collections::BTreeSet;

use belfry_data::{
    Commit, Membership, RoomReader, Snapshot, Stamp, StateError, StateTuple, StoredEvent,
    ThreadState,
    note::{BriefRow, NoteRow, briefs, delete_note, delete_notes, put_brief, put_note},
    receipt::{ReceiptRow, put_sent},
    subscription,
};
use belfry_event::{ClientFormat, EventHash, EventNotifier, PushRoom};
use ruma_common::{
    EventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    push::{Action, PushConditionPowerLevelsCtx, Ruleset},
};
use ruma_events::{
    TimelineEventType,
    room::power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    error::Fault,
    event::RoomEvent,
    projector::Projector,
    room_view::RoomView,
    sight::{member_tuple, membership_in, plain_tuple},
    summary::counts,
    thread_rules,
};

/// Types that people would call news: they move a room to the top.
const BUMPS: [&str; 9] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
    "org.matrix.msc3672.beacon_info",
];

/// Users looked at in one step.
const USERS_PER_STEP: usize = 200;
/// Members that changed since the event and are told apart; if more did, all are looked up.
const CHANGED_MAX: usize = 1_000;

/// See the module.
pub(crate) struct Projection<'s> {
    room: OwnedRoomId,
    view: RoomView<'s>,
    stored: StoredEvent,
    event: RoomEvent,
    thread: String,
    /// The local users whom it may notify, in order.
    users: Vec<OwnedUserId>,
    /// How many of them are done.
    done: usize,
    /// The event that it redacts.
    redacted: Option<Stamp>,
}

/// What a step found.
pub(crate) struct Step {
    /// Who was notified, or may have less unread.
    pub(crate) concerned: Vec<OwnedUserId>,
    /// Whether there is another step.
    pub(crate) more: bool,
}

impl<'s> Projection<'s> {
    /// The event; `None` if it is not one that anybody sees.
    pub(crate) async fn of(
        snapshot: &'s dyn Snapshot,
        room: &RoomId,
        hash: EventHash,
    ) -> Result<Option<Self>, Fault> {
        let Some(view) = RoomView::now(snapshot, room).await? else {
            return Ok(None);
        };
        let Some(stored) = RoomReader::new(snapshot, room).event(hash).await? else {
            return Ok(None);
        };
        let thread = view.reader.thread_of(&stored).await?;
        let event = RoomEvent::read(view.rules, stored.clone())?;
        Ok(event.is_visible().then(|| Self {
            room: room.to_owned(),
            view,
            stored,
            event,
            thread,
            users: Vec::new(),
            done: 0,
            redacted: None,
        }))
    }

    /// Finds whom it may concern, of those behind `within`.
    pub(crate) async fn begin(
        &mut self,
        projector: &mut Projector,
        snapshot: &dyn Snapshot,
        within: Option<OwnedUserId>,
    ) -> Result<(), Fault> {
        self.redacted = self.redacted().await?;
        self.users = self.listeners(projector, snapshot).await?;
        let behind = |user: &OwnedUserId| within.as_ref().is_some_and(|within| user <= within);
        self.done = self.users.iter().take_while(|user| behind(user)).count();
        Ok(())
    }

    /// Up to whom everything is done.
    pub(crate) fn done_up_to(&self) -> Option<&OwnedUserId> {
        self.users.get(self.done.checked_sub(1)?)
    }

    /// Adds what follows for some of the users, and at first for the room. May be repeated.
    pub(crate) async fn step(
        &mut self,
        projector: &mut Projector,
        snapshot: &dyn Snapshot,
        commit: &mut Commit,
    ) -> Result<Step, Fault> {
        let mut concerned = Vec::new();
        if self.done == 0 {
            self.write_brief(snapshot, commit).await?;
            concerned.extend(self.note_sender(projector, commit));
            concerned.extend(self.forget_departed(projector, commit));
        }
        let users = self.users.iter().skip(self.done).take(USERS_PER_STEP);
        let users: Vec<_> = users.cloned().collect();
        self.done += users.len();
        if let Some(redacted) = self.redacted {
            for user in &users {
                delete_note(commit, user, &self.room, redacted);
            }
            let badged = users
                .iter()
                .filter(|user| projector.noted.shows_badge(user));
            concerned.extend(badged.cloned());
        }
        if self.event.redacted_by().is_none() {
            concerned.extend(self.notify(projector, snapshot, users, commit).await?);
        }
        let more = self.done < self.users.len();
        Ok(Step { concerned, more })
    }

    /// Whoever speaks has read what was said.
    fn note_sender(&self, projector: &Projector, commit: &mut Commit) -> Option<OwnedUserId> {
        let sender = self.event.pdu.sender();
        if sender.server_name() != projector.local {
            return None;
        }
        let ts = self.stored.row.received_ts;
        let id = self.event.pdu.event_id().as_str();
        let row = ReceiptRow::new(id, ts, self.stored.stamp);
        put_sent(commit, &self.room, sender, &self.thread, &row);
        let badged = projector.noted.shows_badge(sender);
        badged.then(|| sender.to_owned())
    }

    /// The local users whom it may notify, in order.
    async fn listeners(
        &mut self,
        projector: &mut Projector,
        snapshot: &dyn Snapshot,
    ) -> Result<Vec<OwnedUserId>, Fault> {
        let rooms = [&*self.room];
        let (mut listeners, learnt) = projector.audiences.listeners(snapshot, &rooms).await?;
        projector.audiences.keep(learnt);
        let listeners = listeners.pop().flatten();
        let joined = listeners
            .iter()
            .flat_map(crate::audience::Listeners::joined);
        let mut users: BTreeSet<_> = joined.cloned().collect();
        self.drop_later(&mut users).await?;
        let local = |user: &OwnedUserId| user.server_name() == projector.local;
        if membership_in(&self.event) == Membership::Invite {
            users.extend(self.target().filter(local));
        }
        Ok(users.into_iter().collect())
    }

    /// Takes off who came only after the event: the projector may be late.
    async fn drop_later(&mut self, users: &mut BTreeSet<OwnedUserId>) -> Result<(), Fault> {
        let (then, now) = (self.event.state_before(), self.view.head.state);
        let asked: BTreeSet<_> = match self.view.changes(then, now, CHANGED_MAX).await {
            Ok(changes) => changes.into_keys().collect(),
            Err(Fault::Read(StateError::TooMany(_))) => {
                let tuples = users.iter().filter_map(|user| member_tuple(user).ok());
                tuples.collect()
            }
            Err(fault) => return Err(fault),
        };
        let is_member = |tuple: &StateTuple| tuple.event_type() == "m.room.member";
        let asked: BTreeSet<_> = asked.into_iter().filter(is_member).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let found = self.view.pick(then, asked.iter().cloned()).await?;
        let hashes: Vec<_> = found.into_values().collect();
        let mut stayed = BTreeSet::new();
        for event in self.view.events(&hashes).await? {
            if membership_in(&event) == Membership::Join {
                stayed.extend(event.pdu.state_key().map(str::to_owned));
            }
        }
        let later = asked
            .iter()
            .map(StateTuple::state_key)
            .filter(|user| !stayed.contains(*user));
        for user in later {
            if let Ok(user) = UserId::parse(user) {
                users.remove(&user);
            }
        }
        Ok(())
    }

    /// Whom a member event is about.
    fn target(&self) -> Option<OwnedUserId> {
        let is_member = *self.event.pdu.event_type() == TimelineEventType::RoomMember;
        let key = self.event.pdu.state_key().filter(|_| is_member)?;
        OwnedUserId::try_from(key).ok()
    }

    async fn notify(
        &mut self,
        projector: &mut Projector,
        snapshot: &dyn Snapshot,
        users: Vec<OwnedUserId>,
        commit: &mut Commit,
    ) -> Result<Vec<OwnedUserId>, Fault> {
        let target = self.target();
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let Some(mut notifier) = self.notifier().await? else {
            return Ok(Vec::new());
        };
        let mut noted = Vec::new();
        for user in users {
            let rules = projector.book.of(snapshot, &user).await?;
            let about_others = target.as_ref().is_some_and(|target| *target != user);
            if (about_others && !rules.hears_of_members)
                || rules.ignored.holds(self.event.pdu.sender())
            {
                continue;
            }
            let found = notifier.notification(&user, "", &rules.rules);
            let by_thread = if rules.threads {
                self.by_thread(snapshot, &user, &rules.rules, found.rule_id)
                    .await?
            } else {
                None
            };
            let highlight = by_thread.is_none() && found.highlights();
            let actions = by_thread.as_deref().unwrap_or(found.actions);
            if !actions.iter().any(Action::should_notify) {
                continue;
            }
            let row = NoteRow {
                event: self.stored.hash,
                highlight,
                thread: self.thread.as_str().into(),
                actions: serde_json::to_string(actions).unwrap_or_default().into(),
                ts: self.stored.row.received_ts,
            };
            put_note(commit, &user, &self.room, self.stored.stamp, &row);
            noted.push(user);
        }
        Ok(noted)
    }

    /// What the user's subscription of the event's thread makes of it, if it is in one and no other
    /// rule stands before that.
    async fn by_thread(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        rules: &Ruleset,
        found: Option<&str>,
    ) -> Result<Option<Vec<Action>>, Fault> {
        let root = EventId::parse(&*self.thread).ok();
        let root = root.and_then(|root| EventHash::from_any_event_id(&root).ok());
        let Some(root) = root.filter(|_| self.event.pdu.sender() != user) else {
            return Ok(None);
        };
        let row = subscription(snapshot, user, &self.room, root).await?;
        let subscribed = row.is_some_and(|(_, row)| row.state != ThreadState::Unsubscribed);
        Ok(thread_rules::actions(rules, found, subscribed))
    }

    /// What evaluates rules on the event; `None` if its JSON is beyond that.
    async fn notifier(&mut self) -> Result<Option<EventNotifier>, Fault> {
        let format = ClientFormat {
            room_id: true,
            unsigned: None,
        };
        let json = self.event.pdu.to_client_json(format);
        let Ok(raw) = RawValue::from_string(json) else {
            return Ok(None);
        };
        let room = PushRoom {
            room_id: self.room.clone(),
            member_count: counts(&self.view.head).map_or(u32::MAX, |(joined, _)| joined),
            power_levels: self.power_levels().await?,
        };
        Ok(EventNotifier::new(&raw, room).ok())
    }

    /// Who may notify everybody; read only for events that try.
    async fn power_levels(&mut self) -> Result<Option<PushConditionPowerLevelsCtx>, Fault> {
        let content = self.event.pdu.content_json();
        if !content.contains("\"room\":true") && !content.contains("@room") {
            return Ok(None);
        }
        let tuples = [
            plain_tuple("m.room.create")?,
            plain_tuple("m.room.power_levels")?,
        ];
        let before = self.event.state_before();
        let found = self.view.pick(before, tuples).await?;
        let hashes: Vec<_> = found.into_values().collect();
        let mut creators = Vec::new();
        let mut source = RoomPowerLevelsSource::default();
        for event in self.view.events(&hashes).await? {
            if event.pdu.is_create() {
                creators = creators_of(&event);
            } else {
                let content = event.pdu.content_json();
                let content = serde_json::from_str::<RoomPowerLevelsEventContent>(content);
                source = RoomPowerLevelsSource::from(content.ok());
            }
        }
        let rules = self.view.rules.authorization();
        Ok(Some(RoomPowerLevels::new(source, rules, creators).into()))
    }

    /// When the event came whose notes this redaction takes back.
    async fn redacted(&self) -> Result<Option<Stamp>, Fault> {
        if *self.event.pdu.event_type() != TimelineEventType::RoomRedaction {
            return Ok(None);
        }
        let target = self.event.pdu.redacts();
        let target = target.and_then(|id| EventHash::from_any_event_id(id).ok());
        let Some(target) = target else {
            return Ok(None);
        };
        let target = self.view.reader.event(target).await?;
        let target = target.filter(|target| target.row.redacted_by == Some(self.stored.hash));
        Ok(target.map(|target| target.stamp))
    }

    /// Whoever is not in the room any more has nothing unread there.
    fn forget_departed(&self, projector: &Projector, commit: &mut Commit) -> Option<OwnedUserId> {
        let gone = [Membership::Leave, Membership::Ban];
        let user = self.target()?;
        if user.server_name() != projector.local || !gone.contains(&membership_in(&self.event)) {
            return None;
        }
        delete_notes(commit, &user, &self.room);
        projector.noted.shows_badge(&user).then_some(user)
    }

    async fn write_brief(
        &mut self,
        snapshot: &dyn Snapshot,
        commit: &mut Commit,
    ) -> Result<(), Fault> {
        let known = briefs(snapshot, &[&self.room]).await?.pop().flatten();
        let event_type = self.event.pdu.event_type().to_string();
        let bumps = BUMPS.contains(&event_type.as_str());
        let is_encryption = event_type == "m.room.encryption";
        let mut brief = match known {
            Some(_) if !bumps && !is_encryption => return Ok(()),
            Some(known) => known,
            None => brief_of(&mut self.view).await?,
        };
        if bumps || brief.bump_ms == 0 {
            brief.bump_ms = self.stored.row.received_ts.max(brief.bump_ms);
        }
        brief.encrypted |= is_encryption && self.event.pdu.state_key() == Some("");
        put_brief(commit, &self.room, &brief);
        Ok(())
    }
}

/// What the present state says of a room.
pub(crate) async fn brief_of(view: &mut RoomView<'_>) -> Result<BriefRow, Fault> {
    let encryption = plain_tuple("m.room.encryption")?;
    let tuples: [StateTuple; 2] = [plain_tuple("m.room.create")?, encryption.clone()];
    let found = view.pick(view.head.state, tuples).await?;
    let encrypted = found.contains_key(&encryption);
    let hashes: Vec<_> = found.into_values().collect();
    let events = view.events(&hashes).await?;
    let create = events.iter().find(|event| event.pdu.is_create());
    Ok(BriefRow {
        bump_ms: 0,
        room_type: create.and_then(room_type),
        encrypted,
    })
}

fn room_type(create: &RoomEvent) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "type")]
        room_type: Option<Box<str>>,
    }
    let content = serde_json::from_str::<Content>(create.pdu.content_json());
    content.ok()?.room_type
}

fn creators_of(create: &RoomEvent) -> Vec<OwnedUserId> {
    let mut creators = vec![create.pdu.sender().to_owned()];
    let content: Value = serde_json::from_str(create.pdu.content_json()).unwrap_or_default();
    let more = content["additional_creators"].as_array();
    let more = more.into_iter().flatten().filter_map(Value::as_str);
    creators.extend(more.filter_map(|user| OwnedUserId::try_from(user).ok()));
    creators
}
