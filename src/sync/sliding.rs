//! Simplified sliding sync (MSC4186): the rooms at the top of some lists, and what is new in them.
//!
//! It exists so that a client with thousands of rooms shows its first screen at once. Rooms are viewed
//! as classic sync views them (`turn`, `window`, `delta`); what differs is which rooms are told
//! (`list`), which of their state (`required`), and that the server remembers what each connection
//! was told (`connection`). It knows nothing of HTTP, nor of which shape of the draft a client speaks.

mod connection;
mod extensions;
mod list;
mod marks;
mod profiles;
mod request;
mod required;
mod response;
mod room;
mod thread_subscriptions;
mod written;

use std::{collections::BTreeMap, sync::Arc};

use belfry_data::{Membership, Snapshot, Stamp};
use ruma_common::{OwnedRoomId, RoomId};

pub use list::DEPARTURES_MAX;
pub use profiles::{PROFILES_BYTES_MAX, PROFILES_MAX};
pub use request::{
    CONNECTION_NAME_BYTES_MAX, Extensions, FILTER_NAMES_MAX, LISTS_MAX, ListFilters, ListRequest,
    PROFILE_FIELDS_MAX, ProfilesRequest, REQUIRED_STATE_MAX, RoomDetails,
    SUBSCRIPTIONS_ACCEPTED_MAX, SUBSCRIPTIONS_MAX, Scope, Shape, SlidingRequest, StatePattern,
    StateSet, ToDeviceRequest,
};
pub use response::{ExtensionAnswers, Hero, Label, SlidingResponse, SlidingRoom};
pub use thread_subscriptions::{THREAD_SUBSCRIPTIONS_MAX, ThreadSubscriptionsRequest};

use crate::{
    account_changes::AccountChanges,
    error::{Fault, ViewError},
    filter::Filter,
    joined::Candidate,
    plan,
    room_view::behind,
    sliding::{
        connection::Connection,
        list::{Wanted, Windows},
        room::Assembly,
    },
    sync::{SyncRequest, TIMEOUT_MAX},
    turn::Turn,
    views::{Shared, Views},
};

/// How often one room is read anew because a snapshot grew too old under it.
const SNAPSHOTS_PER_ROOM_MAX: usize = 3;

impl Views {
    /// What the connection has not been told yet. Waits for it if there is nothing, up to the
    /// timeout, and then answers with nothing; so it does when the server stops.
    ///
    /// # Errors
    /// [`ViewError::UnknownPos`] if the connection is not remembered: the client begins anew.
    /// [`ViewError::Invalid`], [`ViewError::TooManyWaiting`], [`ViewError::Fault`].
    pub async fn slide(&self, request: &SlidingRequest) -> Result<SlidingResponse, ViewError> {
        request.check()?;
        let shared = &*self.0;
        let deadline = shared.env.clock.now() + request.timeout.min(TIMEOUT_MAX);
        let waits = request.pos.is_some() && !request.timeout.is_zero();
        let mut waiter = shared.notifier.subscribe(&request.user_id, waits)?;
        loop {
            // On the heap, so that a request that waits is small.
            let look = Box::pin(shared.slide_once(request)).await?;
            let done = !waits || !look.response.is_empty();
            if done || !shared.news(&mut waiter, look.until, deadline).await {
                return Box::pin(look.finish(shared)).await;
            }
        }
    }
}

/// What one look found.
struct Look {
    until: Stamp,
    response: SlidingResponse,
    connection: Connection,
}

impl Look {
    /// The answer, once what it tells is stored.
    async fn finish(mut self, shared: &Shared) -> Result<SlidingResponse, ViewError> {
        let (response, until) = (&self.response, self.until);
        self.response.pos = self.connection.close(shared, response, until).await?;
        Ok(self.response)
    }
}

/// One look for a connection.
pub(crate) struct Slide<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) request: &'a SlidingRequest,
    pub(crate) connection: Connection,
    pub(crate) until: Stamp,
    pub(crate) changes: AccountChanges,
    /// For what is the same in all rooms.
    pub(crate) turn: &'a Turn<'a>,
}

impl Shared {
    async fn slide_once(&self, request: &SlidingRequest) -> Result<Box<Look>, ViewError> {
        let snapshot = self.snapshot().await?;
        self.notifier.advance(&*snapshot).await?;
        let until = behind(&*snapshot);
        let connection = Connection::open(self, &*snapshot, request).await?;
        let since = connection.since().map(|since| since.min(until));
        let changes = AccountChanges::read(&*snapshot, &request.user_id, since).await?;
        let frame = SyncRequest {
            device_id: Some(connection.device()),
            use_state_after: true,
            ..SyncRequest::new(request.user_id.clone())
        };
        let turn = Turn::new(self, &frame, since, &snapshot, until).await?;
        let mut slide = Slide {
            shared: self,
            request,
            connection,
            until,
            changes,
            turn: &turn,
        };
        let response = slide.answer(snapshot, since).await?;
        Ok(Box::new(Look {
            until,
            response,
            connection: slide.connection,
        }))
    }
}

impl Slide<'_> {
    async fn answer(
        &mut self,
        snapshot: Arc<dyn Snapshot>,
        since: Option<Stamp>,
    ) -> Result<SlidingResponse, ViewError> {
        let user = &*self.request.user_id;
        let changed = since.and_then(|since| self.shared.notifier.changed(user, since));
        let mut response = SlidingResponse {
            shape: self.request.shape,
            txn_id: self.request.txn_id.clone(),
            ..SlidingResponse::default()
        };
        let quiet = changed
            .as_ref()
            .is_some_and(std::collections::BTreeSet::is_empty);
        let profiles = self.profile_changes(&*snapshot, since).await?;
        let still = quiet && !self.connection.asks_anew() && profiles.is_some();
        let mut windows = Windows::default();
        if !still || self.changes.rooms().next().is_some() {
            let rooms = plan::all(&*snapshot, user).await.map_err(ViewError::from)?;
            windows = Windows::read(self, &*snapshot, rooms).await?;
            response.lists.clone_from(&windows.counts);
            self.tell_rooms(snapshot.clone(), &windows, &mut response)
                .await?;
        }
        self.extend(&*snapshot, since, &windows, &mut response)
            .await?;
        if let Some(wanted) = &self.request.extensions.profiles {
            let (news, told) = ((since, profiles), (&windows, &response));
            let found = self.profiles(&*snapshot, wanted, news, told).await?;
            response.extensions.profiles = Some(found);
        }
        response.fresh = since.is_none();
        Ok(response)
    }

    /// The rooms of the windows and subscriptions, those in which something is new to the connection.
    async fn tell_rooms(
        &mut self,
        mut snapshot: Arc<dyn Snapshot>,
        windows: &Windows,
        response: &mut SlidingResponse,
    ) -> Result<(), ViewError> {
        self.connection
            .load(&*snapshot, windows.wanted.keys())
            .await?;
        let fresh = windows.fresh(self, &*snapshot).await?;
        let bumps = windows.bumps(self, &*snapshot, &fresh).await?;
        for (room, wanted) in &windows.wanted {
            let Some(bump_ms) = bumps.get(room) else {
                continue;
            };
            tokio::task::yield_now().await;
            let told = (wanted, *bump_ms);
            let told = self.tell(&mut snapshot, room, told).await?;
            if let Some(mut told) = told {
                told.membership = Some(wanted.row.membership);
                told.lists = wanted.lists.iter().cloned().collect();
                response.rooms.insert(room.clone(), told);
            }
        }
        Ok(())
    }

    /// One room, with a later snapshot if need be. A room that is damaged is left out.
    async fn tell(
        &mut self,
        snapshot: &mut Arc<dyn Snapshot>,
        room: &RoomId,
        wanted: (&Wanted, u64),
    ) -> Result<Option<SlidingRoom>, Fault> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.tell_once(&**snapshot, room, wanted).await {
                Err(fault) if fault.is_expired() && tries < SNAPSHOTS_PER_ROOM_MAX => {
                    *snapshot = self.shared.snapshot().await?;
                }
                Err(fault) if fault.is_of_room() => {
                    tracing::error!(%room, %fault, "a room cannot be shown to its members");
                    return Ok(None);
                }
                settled => return settled,
            }
        }
    }

    async fn tell_once(
        &mut self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        (wanted, bump_ms): (&Wanted, u64),
    ) -> Result<Option<SlidingRoom>, Fault> {
        let told = self.connection.told(room);
        let limit = wanted.details.timeline_limit;
        let frame = SyncRequest {
            filter: Filter::of_timeline(limit),
            ..self.turn.request.clone()
        };
        let turn = Turn {
            request: &frame,
            since: told.map(|told| told.at()),
            ignored: self.turn.ignored.clone(),
            counted: Arc::clone(&self.turn.counted),
            ..*self.turn
        };
        let candidate = Candidate {
            room: room.to_owned(),
            row: wanted.row,
        };
        let assembly = Assembly {
            turn: &turn,
            candidate: &candidate,
            shape: self.request.shape,
            wanted,
            bump_ms,
            told,
            live_since: self.turn.since,
        };
        let told = match wanted.row.membership {
            Membership::Join => assembly.joined(snapshot).await?,
            Membership::Invite | Membership::Knock => assembly.invited(snapshot).await?,
            Membership::Leave | Membership::Ban => assembly.departed(snapshot).await?,
        };
        let gone = matches!(wanted.row.membership, Membership::Leave | Membership::Ban);
        if gone && wanted.lists.is_empty() {
            self.connection.forget(room);
        } else {
            self.connection.note(room, self.until, wanted);
        }
        Ok(told)
    }
}

/// Rooms by ID.
pub(crate) type ByRoom<T> = BTreeMap<OwnedRoomId, T>;
