//! `GET /rooms/{roomId}/members` and `/joined_members`, and the rooms that a user is in.
//!
//! Member lists of the present are chosen by rows, so that a room with many former members costs what
//! it shows. It knows nothing of profiles but what member events say.

use belfry_data::{CURRENT_PAGE_MAX, Member, Membership, StateTuple};
use belfry_event::EventHash;
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;

use super::access::{Access, Entered, enter};
use crate::{
    error::{Fault, ViewError},
    event::RoomEvent,
    json::{EventList, Object},
    plan,
    presentation::{self, Style},
    room_view::RoomView,
    sight::membership_in,
    token::Place,
    views::{Shared, Views},
};

/// Members' events read at once.
const EVENTS_AT_ONCE: usize = 1_000;

const MEMBER: &str = "m.room.member";

/// Which members are wanted: any, if neither is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MembersFilter {
    /// Those with this membership.
    pub membership: Option<Membership>,
    /// Those with another than this.
    pub not_membership: Option<Membership>,
}

impl MembersFilter {
    /// With both set either is enough, as the spec has it.
    fn wants(self, membership: Membership) -> bool {
        let is = self.membership.map(|wanted| wanted == membership);
        let is_not = self.not_membership.map(|unwanted| unwanted != membership);
        match (is, is_not) {
            (None, None) => true,
            (is, is_not) => is == Some(true) || is_not == Some(true),
        }
    }
}

/// A request for a member list.
#[derive(Debug, Clone)]
pub struct MembersRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// Which room.
    pub room_id: OwnedRoomId,
    /// As of which place: a token of `/sync` or of a timeline. Now, without it.
    pub at: Option<String>,
    /// Which members.
    pub filter: MembersFilter,
}

impl Views {
    /// The member events of a room.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn members(&self, request: &MembersRequest) -> Result<EventList, ViewError> {
        let shared = &*self.0;
        let members = shared.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let mut entered = enter(snapshot, &request.user_id, &request.room_id).await?;
            if let Some(at) = &request.at {
                shared.go_back(&mut entered, at).await?;
            }
            let filter = request.filter;
            let Entered { view, eyes, .. } = &mut entered;
            let hashes = member_events(view, |membership| filter.wants(membership)).await?;
            let style = Style::full(shared.now_ms());
            // Where no row said it, the events do.
            let keep = |event: &RoomEvent| filter.wants(membership_in(event));
            let facts = &shared.facts;
            Ok(presentation::state(view, facts, eyes, style, &hashes, keep).await?)
        });
        members.await
    }

    /// The joined members of a room that the user is in, as the JSON object `{"joined": ...}`.
    ///
    /// # Errors
    /// [`ViewError::Forbidden`], [`ViewError::Fault`].
    pub async fn joined_members(&self, user: &UserId, room: &RoomId) -> Result<String, ViewError> {
        let joined = self.0.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let mut entered = enter(snapshot, user, room).await?;
            if !matches!(entered.access, Access::Member) {
                return Err(ViewError::Forbidden);
            }
            Ok(joined_members(&mut entered.view).await?)
        });
        joined.await
    }

    /// The rooms that the user is in, by ID.
    ///
    /// # Errors
    /// [`ViewError::Fault`].
    pub async fn joined_rooms(&self, user: &UserId) -> Result<Vec<OwnedRoomId>, ViewError> {
        let joined = self
            .0
            .read(|snapshot| async move { Ok(plan::all(&*snapshot, user).await?) });
        let rooms = joined.await?.into_iter();
        let joined = rooms.filter(|room| room.row.membership == Membership::Join);
        Ok(joined.map(|room| room.room_id).collect())
    }
}

impl Shared {
    /// Turns the view back to a place, but for those who left never to one after that.
    async fn go_back(&self, entered: &mut Entered<'_>, at: &str) -> Result<(), ViewError> {
        let view = &mut entered.view;
        let place = self.tokens.place(at)?;
        if let Access::Former(departure) = entered.access
            && self.point(view, at).await? >= departure
        {
            return Ok(());
        }
        view.state = match place {
            Place::Sync(stamp) => view.state_at(stamp).await?,
            Place::Timeline(point) => view.state_at_point(point).await?,
        };
        Ok(())
    }
}

/// The member events of a state; where rows tell, of the wanted memberships only.
async fn member_events(
    view: &mut RoomView<'_>,
    wanted: impl Fn(Membership) -> bool,
) -> Result<Vec<EventHash>, Fault> {
    if view.is_present() && view.head.rows().is_some() {
        return present_members(view, |member| wanted(member.membership)).await;
    }
    let is_member = |tuple: &StateTuple| tuple.event_type() == MEMBER;
    view.state_events(view.state, is_member).await
}

/// The member events of the present, those that are wanted; nothing else is kept of the rows.
async fn present_members(
    view: &RoomView<'_>,
    wanted: impl Fn(&Member) -> bool,
) -> Result<Vec<EventHash>, Fault> {
    let current = view.reader.current(&view.head);
    let (mut members, mut from) = (Vec::new(), None);
    loop {
        let page = current.members(from, CURRENT_PAGE_MAX).await?;
        let page_members = page.members.into_iter().filter(&wanted);
        members.extend(page_members.map(|member| member.event));
        from = page.next;
        if from.is_none() {
            return Ok(members);
        }
    }
}

async fn joined_members(view: &mut RoomView<'_>) -> Result<String, Fault> {
    let joined = |member: &Member| member.membership == Membership::Join;
    let hashes = present_members(view, joined).await?;
    let mut out = String::new();
    let mut answer = Object::new(&mut out);
    let mut object = Object::new(answer.member("joined"));
    for chunk in hashes.chunks(EVENTS_AT_ONCE) {
        for event in view.events(chunk).await? {
            let user = event.pdu.state_key().unwrap_or_default();
            write_profile(&event, object.member(user));
        }
    }
    object.end();
    answer.end();
    Ok(out)
}

/// What a member event says of its user; a field that is no text is as good as none.
fn write_profile(event: &RoomEvent, out: &mut String) {
    #[derive(Deserialize)]
    struct Content {
        displayname: Option<serde_json::Value>,
        avatar_url: Option<serde_json::Value>,
    }
    let content = serde_json::from_str::<Content>(event.pdu.content_json()).ok();
    let (name, avatar) = content
        .map(|content| (content.displayname, content.avatar_url))
        .unwrap_or_default();
    let mut object = Object::new(out);
    for (field, value) in [("display_name", name), ("avatar_url", avatar)] {
        if let Some(text) = value.as_ref().and_then(serde_json::Value::as_str) {
            object.string(field, text);
        }
    }
    object.end();
}
