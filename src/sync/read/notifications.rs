//! What somebody was notified of (`GET /notifications`), newest first.

use belfry_data::{STAMP_LAST, Snapshot, Stamp, note};
use ruma_common::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::access::enter;
use crate::{
    error::ViewError,
    json::{EventList, Object},
    presentation::{self, Style},
    token::List,
    unread::ReadUpTo,
    views::{Shared, Views},
};

/// Notifications of one page, if the client does not say.
const PAGE_DEFAULT: usize = 20;
/// Most notifications of one page.
pub const NOTIFICATIONS_MAX: usize = 100;

/// A request.
#[derive(Debug, Clone)]
pub struct NotificationsRequest {
    /// Whose.
    pub user_id: OwnedUserId,
    /// The `next_token` of the page before.
    pub from: Option<String>,
    /// How many at most.
    pub limit: Option<u64>,
    /// Whether only those that stand out are wanted.
    pub only_highlights: bool,
}

#[derive(Serialize, Deserialize)]
struct Place {
    at: String,
}

impl Views {
    /// A page of what somebody was notified of, as JSON. Events that they may not see any more are
    /// left out.
    ///
    /// # Errors
    /// [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn notifications(&self, request: &NotificationsRequest) -> Result<String, ViewError> {
        let shared = &*self.0;
        let before = match &request.from {
            None => STAMP_LAST,
            Some(token) => {
                let place: Place = shared.tokens.list_place(List::Notifications, token)?;
                shared.tokens.since(&place.at)?
            }
        };
        let wanted = request.limit.map(usize::try_from);
        let wanted = wanted.map_or(PAGE_DEFAULT, |limit| limit.unwrap_or(NOTIFICATIONS_MAX));
        let limit = wanted.clamp(1, NOTIFICATIONS_MAX);
        let first = shared.snapshot().await?;
        let until = crate::room_view::behind(&*first);
        let snapshot = shared.counted(&first, until).await?;
        let page = note::notes_before(&*snapshot, &request.user_id, before, limit)
            .await
            .map_err(ViewError::from)?;
        let mut list = EventList::default();
        for (at, found) in &page {
            let Ok(room) = OwnedRoomId::try_from(&*found.room) else {
                continue;
            };
            if !request.only_highlights || found.highlight {
                shared
                    .notification(&*snapshot, &request.user_id, (&room, *at), &mut list)
                    .await?;
            }
        }
        let mut out = String::new();
        let mut answer = Object::new(&mut out);
        answer.list("notifications", &list);
        if let Some((at, _)) = page.last().filter(|_| page.len() == limit) {
            let at = shared.tokens.sync(*at);
            let token = shared.tokens.list(List::Notifications, &Place { at });
            answer.string("next_token", &token);
        }
        answer.end();
        Ok(out)
    }
}

impl Shared {
    async fn notification(
        &self,
        snapshot: &dyn Snapshot,
        user: &ruma_common::UserId,
        (room, at): (&OwnedRoomId, Stamp),
        list: &mut EventList,
    ) -> Result<(), ViewError> {
        let place = (room.clone(), at);
        let found = note::notes_at(snapshot, user, &[place]).await?.pop();
        let Some(found) = found.flatten() else {
            return Ok(());
        };
        let mut entered = match enter(snapshot, user, room).await {
            Err(ViewError::Forbidden) => return Ok(()),
            entered => entered?,
        };
        let read = ReadUpTo::of(snapshot, room, user).await?.covers(at, &found);
        let events = entered.view.events(&[found.event]).await?;
        let sights = entered
            .eyes
            .look(&mut entered.view, &self.facts, &events)
            .await?;
        let seen = events.into_iter().zip(sights);
        let seen: Vec<_> = seen.filter(|(_, sight)| sight.visible).collect();
        let (eyes, style) = (&entered.eyes, Style::full(self.now_ms()));
        let shown =
            presentation::timeline(&mut entered.view, &self.facts, eyes, style, &seen).await?;
        if shown.is_empty() {
            return Ok(());
        }
        list.push(|out| {
            let mut object = Object::new(out);
            object.member("actions").push_str(&found.actions);
            object.member("event").push_str(&shown.into_text());
            object.plain("read", read);
            object.string("room_id", room.as_str());
            object.plain("ts", found.ts);
            object.end();
        });
        Ok(())
    }
}
