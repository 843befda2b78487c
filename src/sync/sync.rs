//! `GET /sync` (Client-Server API, "Syncing"): what a device has not seen yet, now or as soon as
//! there is something.
//!
//! It exists so that waiting is in one place: a request subscribes first, then takes its snapshot, so
//! that whatever the snapshot lacks will wake it. It knows nothing of what a room's section holds.

use std::{sync::Arc, time::Duration};

use belfry_data::{Membership, Snapshot, Stamp};
use belfry_env::Moment;
use ruma_common::{OwnedDeviceId, OwnedUserId, RoomId};

use crate::{
    account_changes::AccountChanges,
    admission::is_forgotten,
    error::{Fault, ViewError},
    filter::Filter,
    joined::Candidate,
    notifier::Waiter,
    plan,
    response::SyncResponse,
    room_view::behind,
    sections::Asker,
    turn::Turn,
    views::{Shared, Views},
};

/// Longest time that a request waits for something new.
pub const TIMEOUT_MAX: Duration = Duration::from_mins(5);

/// How often one room is read anew because a snapshot grew too old under it.
const SNAPSHOTS_PER_ROOM_MAX: usize = 3;

/// A request to `/sync`.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// On which device. Without one nothing is remembered of what was sent.
    pub device_id: Option<OwnedDeviceId>,
    /// The `next_batch` of the last answer.
    pub since: Option<String>,
    /// What is wanted; see [`Views::filter`].
    pub filter: Filter,
    /// Whether to tell the whole state of all rooms.
    pub full_state: bool,
    /// Whether to tell the state after the timeline, not before it (MSC4222).
    pub use_state_after: bool,
    /// How long to wait if there is nothing new; at most [`TIMEOUT_MAX`].
    pub timeout: Duration,
}

impl SyncRequest {
    /// An initial sync without filter.
    pub fn new(user_id: OwnedUserId) -> Self {
        Self {
            user_id,
            device_id: None,
            since: None,
            filter: Filter::default(),
            full_state: false,
            use_state_after: false,
            timeout: Duration::ZERO,
        }
    }
}

impl Views {
    /// What the device has not seen yet. Waits for it if there is nothing, up to the timeout, and
    /// then answers with nothing but a token; so it does when the server stops.
    ///
    /// # Errors
    /// [`ViewError::Token`], [`ViewError::TooManyWaiting`], [`ViewError::Fault`].
    pub async fn sync(&self, request: &SyncRequest) -> Result<SyncResponse, ViewError> {
        let shared = &*self.0;
        let since = request.since.as_deref();
        let to_device = since.map(|token| shared.tokens.to_device(token));
        let to_device = to_device.transpose()?;
        let mut since = since.map(|token| shared.tokens.since(token)).transpose()?;
        let deadline = shared.env.clock.now() + request.timeout.min(TIMEOUT_MAX);
        let waits = since.is_some() && !request.timeout.is_zero() && !request.full_state;
        let mut waiter = shared.notifier.subscribe(&request.user_id, waits)?;
        let mut woken = None;
        if let Some(seen) = since.filter(|_| waits && to_device == since)
            && waiter.is_quiet(seen)
            && shared.news(&mut waiter, seen, deadline).await
        {
            woken = Some(waiter.latest());
        }
        loop {
            // On the heap, so that a request that waits is small.
            let look = Box::pin(shared.turn(request, since, to_device, woken));
            let (until, response) = look.await?;
            let done = !waits || !response.is_empty();
            if done || !shared.news(&mut waiter, until, deadline).await {
                return Ok(*response);
            }
            (since, woken) = (Some(until), Some(waiter.latest()));
        }
    }
}

impl Shared {
    /// Whether something came behind `until` before the deadline.
    pub(crate) async fn news(&self, waiter: &mut Waiter, until: Stamp, deadline: Moment) -> bool {
        tokio::select! {
            biased;
            () = waiter.news(until) => true,
            () = self.env.shutdown.wait() => false,
            () = self.env.clock.sleep_until(deadline) => false,
        }
    }

    /// One look, and how far it goes: at least to what woke the request, if anything did.
    async fn turn(
        &self,
        request: &SyncRequest,
        since: Option<Stamp>,
        to_device: Option<Stamp>,
        woken: Option<Stamp>,
    ) -> Result<(Stamp, Box<SyncResponse>), Fault> {
        let mut snapshot = match woken {
            Some(at) => self.snapshot_with(at, Stamp::default()).await?,
            None => self.snapshot().await?,
        };
        self.notifier.advance(&*snapshot).await?;
        let until = behind(&*snapshot);
        // Positions that a crash took with it are never given again: nothing is missed.
        let since = since.map(|since| since.min(until));
        let mut turn = Turn::new(self, request, since, &snapshot, until).await?;
        turn.woken = woken.is_some();
        let quiet = |since| self.notifier.is_quiet_aside(turn.user(), since);
        let changes = if since.is_some_and(quiet) {
            AccountChanges::none()
        } else {
            AccountChanges::read(&*snapshot, turn.user(), since).await?
        };
        let rooms = turn.rooms(&*snapshot, &changes).await?;
        if let Some(device) = turn.device().filter(|_| since.is_none()) {
            self.sent.forget(&device);
        }
        let wanted = |event_type: &str| request.filter.account_data.wants_type(event_type);
        let asker = Asker {
            user: turn.user(),
            device: request.device_id.as_deref(),
            since,
            until,
            to_device,
            no_messages: to_device.is_some_and(quiet),
            presence: &request.filter.presence,
        };
        let sections = self.sections(&*snapshot, asker).await?;
        let lagging = sections.to_device_until.filter(|told| *told < until);
        let mut response = Box::new(SyncResponse {
            next_batch: match lagging {
                Some(told) => self.tokens.lagging(until, told),
                None => self.tokens.sync(until),
            },
            sections,
            account_data: changes.global(&*snapshot, turn.user(), wanted).await?,
            ..SyncResponse::default()
        });
        for room in &rooms {
            turn.tell(&mut snapshot, room, &changes, &mut response)
                .await?;
        }
        Ok((until, response))
    }
}

impl Turn<'_> {
    /// The rooms to look at.
    async fn rooms(
        &self,
        snapshot: &dyn Snapshot,
        changes: &AccountChanges,
    ) -> Result<Vec<Candidate>, Fault> {
        let user = self.user();
        let mut rooms = match self.since {
            Some(since) if !self.request.full_state => {
                if let Some(changed) = self.shared.notifier.changed(user, since) {
                    plan::by_name(snapshot, user, changed, changes).await?
                } else {
                    let rooms = plan::all(snapshot, user).await?;
                    let mut found = plan::by_tails(snapshot, &rooms, since, changes).await?;
                    let late = |room: &RoomId| self.shared.counts.came_late(room, since);
                    plan::add_passing(snapshot, rooms, since, late, &mut found).await?;
                    plan::every(found)
                }
            }
            _ => plan::every(plan::all(snapshot, user).await?),
        };
        let filter = &self.request.filter.room;
        rooms.retain(|candidate| filter.wants_room(&candidate.room));
        Ok(rooms)
    }

    /// Adds what is to be told of a room, with a later snapshot if need be. A room that is damaged is
    /// left out: the others are not to suffer.
    async fn tell(
        &self,
        snapshot: &mut Arc<dyn Snapshot>,
        candidate: &Candidate,
        changes: &AccountChanges,
        response: &mut SyncResponse,
    ) -> Result<(), Fault> {
        // Many rooms in a row must not keep other requests from the processor.
        tokio::task::yield_now().await;
        let mut tries = 0;
        loop {
            tries += 1;
            match self
                .tell_once(&**snapshot, candidate, changes, response)
                .await
            {
                Err(fault) if fault.is_expired() && tries < SNAPSHOTS_PER_ROOM_MAX => {
                    *snapshot = self.shared.snapshot().await?;
                }
                Err(fault) if fault.is_of_room() => {
                    let room = &candidate.room;
                    tracing::error!(%room, %fault, "a room cannot be shown to its members");
                    return Ok(());
                }
                settled => return settled,
            }
        }
    }

    async fn tell_once(
        &self,
        snapshot: &dyn Snapshot,
        candidate: &Candidate,
        changes: &AccountChanges,
        response: &mut SyncResponse,
    ) -> Result<(), Fault> {
        let room = candidate.room.clone();
        match candidate.row.membership {
            Membership::Join => {
                let told = self.joined(snapshot, candidate, changes).await?;
                response.join.extend(told.map(|told| (room, told)));
            }
            Membership::Invite => {
                let told = self.stripped(snapshot, candidate).await?;
                response.invite.extend(told.map(|told| (room, told)));
            }
            Membership::Knock => {
                let told = self.stripped(snapshot, candidate).await?;
                response.knock.extend(told.map(|told| (room, told)));
            }
            Membership::Leave | Membership::Ban => {
                // A departure is told once to who syncs on, also if the room is forgotten.
                let wanted = self.since.is_some()
                    || (self.request.filter.room.include_leave
                        && !is_forgotten(snapshot, self.user(), &room, candidate.row).await?);
                if wanted {
                    let told = self.departed(snapshot, candidate, changes).await?;
                    response.leave.extend(told.map(|told| (room, told)));
                }
            }
        }
        Ok(())
    }
}
