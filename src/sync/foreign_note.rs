//! Invitations into rooms that this server is not in: that they notify as others do, and what a push
//! gateway is told of them.
//!
//! It exists because no room's log holds them. It knows nothing of how they came here.

use belfry_data::{
    Commit, MAIN_THREAD, Membership, Snapshot, Stamp,
    note::{NoteRow, delete_notes, put_note},
    user_room,
};
use belfry_event::{ClientFormat, EventNotifier, PushRoom};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    admission::shows_invite, error::Fault, foreign::Stay, projector::Projector,
    sight::NAMES_IN_PUSHES,
};

impl Projector {
    /// What follows from a changed stay that the log has at `at`: who was notified, or may have less
    /// unread.
    pub(crate) async fn take_stay(
        &mut self,
        snapshot: &dyn Snapshot,
        at: Stamp,
        (room, user): (&OwnedRoomId, &OwnedUserId),
        commit: &mut Commit,
    ) -> Result<Option<OwnedUserId>, Fault> {
        let Some((stamp, row)) = user_room(snapshot, user, room).await? else {
            return Ok(None);
        };
        // What was replaced since has an entry of its own behind this one.
        if stamp.position != at.position {
            return Ok(None);
        }
        match row.membership {
            Membership::Join => return Ok(None),
            Membership::Invite => {}
            Membership::Knock | Membership::Leave | Membership::Ban => {
                delete_notes(commit, user, room);
                return Ok(self.noted.shows_badge(user).then(|| user.clone()));
            }
        }
        let Some(stay) = Stay::read(snapshot, user, room, row).await? else {
            return Ok(None);
        };
        let noted = self.invitation(snapshot, (room, user), &stay).await?;
        Ok(noted.map(|row| {
            put_note(commit, user, room, at, &row);
            user.clone()
        }))
    }

    /// The note of an invitation; `None` if it does not notify.
    async fn invitation(
        &mut self,
        snapshot: &dyn Snapshot,
        (room, user): (&OwnedRoomId, &UserId),
        stay: &Stay,
    ) -> Result<Option<NoteRow>, Fault> {
        let sender = stay.own().sender();
        let rules = self.book.of(snapshot, user).await?;
        if rules.ignored.holds(sender) || !shows_invite(snapshot, user, sender).await? {
            return Ok(None);
        }
        let format = ClientFormat {
            room_id: true,
            unsigned: None,
        };
        let Ok(raw) = RawValue::from_string(stay.own().to_client_json(format)) else {
            return Ok(None);
        };
        let about = PushRoom {
            room_id: room.clone(),
            // Nobody here knows.
            member_count: u32::MAX,
            power_levels: None,
        };
        let Ok(mut notifier) = EventNotifier::new(&raw, about) else {
            return Ok(None);
        };
        let found = notifier.notification(user, "", &rules.rules);
        Ok(found.notifies().then(|| NoteRow {
            event: stay.own().hash(),
            highlight: found.highlights(),
            thread: MAIN_THREAD.into(),
            actions: serde_json::to_string(found.actions)
                .unwrap_or_default()
                .into(),
            ts: self.env.clock.wall_ms(),
        }))
    }
}

impl Stay {
    /// The invitation that this note is of, if it stands.
    pub(crate) async fn noted(
        snapshot: &dyn Snapshot,
        user: &UserId,
        room: &RoomId,
        note: &NoteRow,
    ) -> Result<Option<Self>, Fault> {
        let Some((_, row)) = user_room(snapshot, user, room).await? else {
            return Ok(None);
        };
        if row.membership != Membership::Invite || row.event != note.event {
            return Ok(None);
        }
        Self::read(snapshot, user, room, row).await
    }

    /// What a push may show of it without asking the server.
    pub(crate) fn describe(&self, told: &mut Map<String, Value>) {
        let own = self.own();
        let content: Value = serde_json::from_str(own.content_json()).unwrap_or_default();
        told.insert("content".into(), content);
        told.insert("sender".into(), json!(own.sender()));
        told.insert("type".into(), json!(own.event_type().to_string()));
        told.insert("user_is_target".into(), json!(true));
        for (name, kind, member) in NAMES_IN_PUSHES {
            let key = if kind == "m.room.member" {
                own.sender().as_str()
            } else {
                ""
            };
            if let Some(text) = self.said(kind, key, member) {
                told.insert(name.to_owned(), json!(text));
            }
        }
    }
}
