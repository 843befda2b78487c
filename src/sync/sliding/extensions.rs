//! What a sliding answer holds besides rooms: account data, receipts, typing, and the device's own.

use belfry_data::{Snapshot, Stamp};
use ruma_common::RoomId;

use super::{
    Slide,
    list::{Wanted, Windows},
    request::Scope,
    response::SlidingResponse,
};
use crate::{
    account_changes::all_in_room,
    ephemeral::Listening,
    error::Fault,
    sections::{Asker, Sections},
};

impl Scope {
    /// Whether an extension tells of this room.
    pub(super) fn holds(&self, room: &RoomId, wanted: &Wanted) -> bool {
        let by_list = match &self.lists {
            None => !wanted.lists.is_empty(),
            Some(lists) => lists.iter().any(|list| wanted.lists.contains(list)),
        };
        let by_name = wanted.subscribed
            && match &self.rooms {
                None => true,
                Some(rooms) => rooms.iter().any(|one| one == "*" || *one == *room.as_str()),
            };
        by_list || by_name
    }
}

impl Slide<'_> {
    /// Adds what the extensions ask for.
    pub(crate) async fn extend(
        &mut self,
        snapshot: &dyn Snapshot,
        since: Option<Stamp>,
        windows: &Windows,
        response: &mut SlidingResponse,
    ) -> Result<(), Fault> {
        let extensions = &self.request.extensions;
        if extensions.account_data.is_some() {
            let user = &self.request.user_id;
            let global = self.changes.global(snapshot, user, |_| true).await?;
            response.extensions.account_data = global;
        }
        for (room, wanted) in &windows.wanted {
            self.extend_room(snapshot, room, wanted, response).await?;
        }
        if let Some(limit) = extensions.threads {
            let found = self.thread_subscriptions(snapshot, since, limit).await?;
            response.extensions.threads = Some(found);
        }
        self.extend_device(snapshot, since, response).await
    }

    async fn extend_room(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        wanted: &Wanted,
        response: &mut SlidingResponse,
    ) -> Result<(), Fault> {
        let extensions = &self.request.extensions;
        let holds = |scope: &Option<Scope>| {
            let joined = wanted.row.membership == belfry_data::Membership::Join;
            joined
                && scope
                    .as_ref()
                    .is_some_and(|scope| scope.holds(room, wanted))
        };
        let told = self.connection.told(room);
        let user = &*self.request.user_id;
        if holds(&extensions.account_data) {
            let data = match told {
                None => all_in_room(snapshot, user, room, |_| true).await?,
                Some(_) => self.changes.in_room(snapshot, user, room, |_| true).await?,
            };
            if !data.is_empty() {
                let rooms = &mut response.extensions.account_data_rooms;
                rooms.insert(room.to_owned(), data);
            }
        }
        if !self.connection.is_looked_at(room) {
            return Ok(());
        }
        let (receipts, typing) = (holds(&extensions.receipts), holds(&extensions.typing));
        if receipts || typing {
            let listening = Listening {
                room,
                reader: user,
                ignored: &self.turn.ignored,
                since: told.map(|told| told.at()),
            };
            let passing = self.shared.ephemeral(snapshot, listening).await?;
            let room = room.to_owned();
            let answers = &mut response.extensions;
            let found = passing.receipts.filter(|_| receipts);
            answers
                .receipts
                .extend(found.map(|found| (room.clone(), found)));
            let found = passing.typing.filter(|_| typing);
            answers.typing.extend(found.map(|found| (room, found)));
        }
        Ok(())
    }

    /// What concerns the device: read as for classic sync.
    async fn extend_device(
        &self,
        snapshot: &dyn Snapshot,
        since: Option<Stamp>,
        response: &mut SlidingResponse,
    ) -> Result<(), Fault> {
        let extensions = &self.request.extensions;
        if let Some(wanted) = &extensions.to_device {
            let from = wanted.since.as_deref();
            let from = from.and_then(|token| self.shared.tokens.since(token).ok());
            let sections = self.device_sections(snapshot, from).await?;
            let until = sections.to_device_until.unwrap_or(self.until);
            response.extensions.to_device =
                Some((self.shared.tokens.sync(until), sections.to_device));
        }
        if extensions.e2ee {
            let sections = self.device_sections(snapshot, since).await?;
            response.extensions.e2ee = Some(sections);
        }
        Ok(())
    }

    async fn device_sections(
        &self,
        snapshot: &dyn Snapshot,
        since: Option<Stamp>,
    ) -> Result<Sections, Fault> {
        let user = &*self.request.user_id;
        let asker = Asker {
            user,
            device: Some(&self.request.device_id),
            since,
            until: self.until,
            to_device: since,
            no_messages: since
                .is_some_and(|since| self.shared.notifier.is_quiet_aside(user, since)),
            presence: &self.turn.request.filter.presence,
        };
        self.shared.sections(snapshot, asker).await
    }
}
