//! Rooms that this server is not in, but a user of it has to do with: invited, knocking, or rid of
//! that.
//!
//! It exists because all that is known of such a room is what another server told with the member
//! event. It knows nothing of how that came here, and of rooms that the server is in.

use belfry_data::{
    Membership, Snapshot, Stamp, UserRoomRow, invite, note::BriefRow, user_room as stored_row,
};
use belfry_event::{ClientFormat, Inbound, Pdu, RoomRules};
use ruma_common::{RoomId, RoomVersionId, UserId};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    admission::shows_invite,
    error::Fault,
    joined::Candidate,
    json::EventList,
    response::{LeftRoom, Timeline},
    turn::Turn,
};

/// What is known of a user and a room that this server is not in.
#[derive(Debug)]
pub(crate) struct Stay {
    /// The user's member event.
    own: Pdu,
    /// Stripped state, as JSON.
    state: Vec<Box<str>>,
    stamp: Stamp,
}

/// What is read of stripped state.
#[derive(Deserialize)]
struct Stripped {
    #[serde(rename = "type")]
    kind: String,
    state_key: String,
    content: StrippedContent,
}

#[derive(Deserialize)]
struct StrippedContent {
    #[serde(rename = "type", default)]
    room_type: Option<Value>,
}

impl Stay {
    /// What another server told of the user's membership that `row` names; `None` if this server
    /// learnt of it in the room itself.
    pub(crate) async fn read(
        snapshot: &dyn Snapshot,
        user: &UserId,
        room: &RoomId,
        row: UserRoomRow,
    ) -> Result<Option<Self>, Fault> {
        if row.membership == Membership::Join {
            return Ok(None);
        }
        let Some(stay) = invite(snapshot, user, room).await? else {
            return Ok(None);
        };
        let version = RoomVersionId::try_from(&*stay.room_version).ok();
        let rules = version
            .as_ref()
            .and_then(RoomRules::new)
            .ok_or_else(|| Fault::Version(stay.room_version.to_string()))?;
        let Ok(inbound) = Inbound::parse(rules, stay.event.as_bytes()) else {
            return Ok(None);
        };
        let own = inbound.unverified().clone();
        let Some((stamp, _)) = stored_row(snapshot, user, room).await? else {
            return Ok(None);
        };
        // A room that the user has come into since tells of them itself.
        let stands = own.hash() == row.event;
        let state = stay.state;
        Ok(stands.then_some(Self { own, state, stamp }))
    }

    /// The user's member event.
    pub(crate) fn own(&self) -> &Pdu {
        &self.own
    }

    /// A text that the stripped state has in the content of this event; `None` if it is empty.
    pub(crate) fn said(&self, kind: &str, state_key: &str, member: &str) -> Option<String> {
        let mut events = self.state.iter().filter_map(|text| {
            let event: Value = serde_json::from_str(text).ok()?;
            (event["type"] == kind && event["state_key"] == state_key).then_some(event)
        });
        let event = events.next()?;
        let text = event["content"][member].as_str();
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// As lists sort and filter rooms.
    pub(crate) fn brief(&self) -> BriefRow {
        let parsed = self.state.iter();
        let parsed = parsed.filter_map(|text| serde_json::from_str::<Stripped>(text).ok());
        let mut brief = BriefRow {
            bump_ms: self.own.origin_server_ts().get().into(),
            ..BriefRow::default()
        };
        for event in parsed.filter(|event| event.state_key.is_empty()) {
            if event.kind == "m.room.create" {
                let named = event.content.room_type;
                let named = named.and_then(|it| it.as_str().map(Into::into));
                brief.room_type = named;
            }
            brief.encrypted |= event.kind == "m.room.encryption";
        }
        brief
    }

    fn is_news(&self, since: Option<Stamp>) -> bool {
        since.is_none_or(|since| self.stamp > since)
    }

    fn stripped(&self) -> EventList {
        let own = |text: &str| {
            let event = serde_json::from_str::<Stripped>(text);
            event.is_ok_and(|event| {
                event.kind == "m.room.member" && Some(&*event.state_key) == self.own.state_key()
            })
        };
        let mut list = EventList::default();
        for text in self.state.iter().filter(|text| !own(text)) {
            list.push(|out| out.push_str(text));
        }
        list.push(|out| self.own.write_stripped_json(out));
        list
    }
}

impl Turn<'_> {
    /// What an invite into, or a knock on, such a room tells of it; `None` if the client knows, or
    /// the inviter is ignored or not admitted.
    pub(crate) async fn stripped_foreign(
        &self,
        snapshot: &dyn Snapshot,
        candidate: &Candidate,
        stay: &Stay,
    ) -> Result<Option<EventList>, Fault> {
        let sender = stay.own.sender();
        let is_invite = candidate.row.membership == Membership::Invite;
        if !stay.is_news(self.since) || (is_invite && self.ignored.holds(sender)) {
            return Ok(None);
        }
        if is_invite && !shows_invite(snapshot, self.user(), sender).await? {
            return Ok(None);
        }
        Ok(Some(stay.stripped()))
    }

    /// How it ended: nothing but the event that says so.
    pub(crate) fn departed_foreign(&self, stay: &Stay) -> Option<LeftRoom> {
        if !stay.is_news(self.since) {
            return None;
        }
        let mut events = EventList::default();
        let format = ClientFormat {
            room_id: false,
            unsigned: None,
        };
        events.push(|out| stay.own.write_client_json(format, out));
        Some(LeftRoom {
            state: self.section(EventList::default()),
            timeline: Timeline {
                events,
                ..Timeline::default()
            },
            account_data: EventList::default(),
        })
    }
}
