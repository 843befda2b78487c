//! One event, as the projector sees it: whom it notifies, and what else follows from it.
//!
//! It exists so that each consequence is one small step. It knows nothing of the log and of commits'
//! sizes.

use belfry_data::{
    Commit, Membership, RoomReader, Snapshot, StateTuple, StoredEvent,
    note::{BriefRow, NoteRow, briefs, delete_note, delete_notes, put_brief, put_note},
    receipt::{ReceiptRow, put_sent},
};
use belfry_event::{ClientFormat, EventHash, EventNotifier, PushRoom};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, push::PushConditionPowerLevelsCtx};
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
    sight::{membership_in, plain_tuple},
    summary::counts,
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

/// See the module.
pub(crate) struct Projection<'s> {
    room: OwnedRoomId,
    view: RoomView<'s>,
    stored: StoredEvent,
    event: RoomEvent,
    thread: String,
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
        }))
    }

    /// Adds everything that follows; who is notified.
    pub(crate) async fn write(
        mut self,
        projector: &mut Projector,
        snapshot: &dyn Snapshot,
        commit: &mut Commit,
    ) -> Result<Vec<OwnedUserId>, Fault> {
        self.write_brief(snapshot, commit).await?;
        let members = self.listeners(projector, snapshot).await?;
        self.take_back(&members, commit).await?;
        let sender = self.event.pdu.sender();
        if sender.server_name() == projector.local {
            let ts = self.stored.row.received_ts;
            let id = self.event.pdu.event_id().as_str();
            let row = ReceiptRow::new(id, ts, self.stored.stamp);
            put_sent(commit, &self.room, sender, &self.thread, &row);
        }
        self.forget_departed(projector, commit);
        if self.event.redacted_by().is_some() {
            return Ok(Vec::new());
        }
        self.notify(projector, snapshot, members, commit).await
    }

    /// The local users whom it may notify.
    async fn listeners(
        &self,
        projector: &mut Projector,
        snapshot: &dyn Snapshot,
    ) -> Result<Vec<OwnedUserId>, Fault> {
        let rooms = [&*self.room];
        let (mut listeners, learnt) = projector.audiences.listeners(snapshot, &rooms).await?;
        projector.audiences.keep(learnt);
        let listeners = listeners.pop().flatten();
        let mut members: Vec<_> = listeners
            .iter()
            .flat_map(crate::audience::Listeners::joined)
            .cloned()
            .collect();
        if let Some(target) = self
            .target()
            .filter(|user| user.server_name() == projector.local)
            && membership_in(&self.event) == Membership::Invite
            && !members.contains(&target)
        {
            members.push(target);
        }
        Ok(members)
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
        members: Vec<OwnedUserId>,
        commit: &mut Commit,
    ) -> Result<Vec<OwnedUserId>, Fault> {
        let target = self.target();
        let Some(mut notifier) = self.notifier().await? else {
            return Ok(Vec::new());
        };
        let mut noted = Vec::new();
        for user in members {
            let rules = projector.book.of(snapshot, &user).await?;
            let about_others = target.as_ref().is_some_and(|target| *target != user);
            if (about_others && !rules.hears_of_members)
                || rules.ignored.holds(self.event.pdu.sender())
            {
                continue;
            }
            let found = notifier.notification(&user, "", &rules.rules);
            if !found.notifies() {
                continue;
            }
            let row = NoteRow {
                event: self.stored.hash,
                highlight: found.highlights(),
                thread: self.thread.as_str().into(),
                actions: serde_json::to_string(found.actions)
                    .unwrap_or_default()
                    .into(),
                ts: self.stored.row.received_ts,
            };
            put_note(commit, &user, &self.room, self.stored.stamp, &row);
            noted.push(user);
        }
        Ok(noted)
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

    /// A redaction takes back what its target notified.
    async fn take_back(&self, members: &[OwnedUserId], commit: &mut Commit) -> Result<(), Fault> {
        if *self.event.pdu.event_type() != TimelineEventType::RoomRedaction {
            return Ok(());
        }
        let target = self.event.pdu.redacts();
        let target = target.and_then(|id| EventHash::from_any_event_id(id).ok());
        let Some(target) = target else { return Ok(()) };
        let Some(target) = self.view.reader.event(target).await? else {
            return Ok(());
        };
        if target.row.redacted_by == Some(self.stored.hash) {
            for user in members {
                delete_note(commit, user, &self.room, target.stamp);
            }
        }
        Ok(())
    }

    /// Whoever is not in the room any more has nothing unread there.
    fn forget_departed(&self, projector: &Projector, commit: &mut Commit) {
        let gone = [Membership::Leave, Membership::Ban];
        if let Some(user) = self.target()
            && user.server_name() == projector.local
            && gone.contains(&membership_in(&self.event))
        {
            delete_notes(commit, &user, &self.room);
        }
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
