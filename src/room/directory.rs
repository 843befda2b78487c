//! Where rooms are found: by an alias, in the server's directory, among one's own.
//!
//! It exists so that who may name a room and who may show it is decided in one place, by the
//! room's current state and the administration's policy. It knows nothing of room workers: aliases
//! and the directory are no part of a room's history, and one commit each changes them.

use belfry_data::{
    ALIASES_MAX, Commit, CommitError, Membership, RoomReader, Snapshot, alias_seen, aliases_of,
    claim_alias, is_published, move_alias, publish, release_alias, user_in_rooms, user_rooms,
};
use belfry_event::{Pdu, Visibility, may_send_state};
use belfry_policy::{Account, Action, DEFAULT_CLASS, Denial, Request, Requester, Room, Rules};
use ruma_common::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, UserId};
use ruma_events::TimelineEventType;
use serde_json::value::RawValue;

use crate::error::RoomError;
use crate::rooms::Rooms;
use crate::settings::state_events;

/// Bytes of an alias (appendices, "Room Aliases").
const ALIAS_BYTES_MAX: usize = 255;
/// Rooms read at a time of all that a user ever was in.
const ROOMS_PAGE_MAX: usize = 1_000;
/// How many times that many [`Rooms::joined_rooms`] looks at.
pub const JOINED_ROOMS_PAGES_MAX: usize = 100;

impl Rooms {
    /// The room that an alias of this server stands for.
    ///
    /// # Errors
    /// [`RoomError::UnknownAlias`]; [`RoomError::BadParameter`] for another server's alias.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<OwnedRoomId, RoomError> {
        self.check_alias(alias)?;
        let snapshot = self.0.engine.snapshot().await?;
        let row = alias_seen(&*snapshot, alias).await?.row;
        row.map(|row| row.room).ok_or(RoomError::UnknownAlias)
    }

    /// Gives the room this alias, for an account that is in it.
    ///
    /// # Errors
    /// [`RoomError::AliasTaken`] also if it is this room that has it; [`RoomError::BadParameter`]
    /// for an alias that is not well-formed or another server's.
    pub async fn claim_alias_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        alias: &RoomAliasId,
        room_id: &RoomId,
    ) -> Result<(), RoomError> {
        self.check_alias(alias)?;
        permit(rules, account, Action::Publish, room_id)?;
        let snapshot = self.0.engine.snapshot().await?;
        Sight::of(&*snapshot, room_id, account.id)
            .await?
            .require_joined()?;
        if alias_seen(&*snapshot, alias).await?.row.is_some() {
            return Err(RoomError::AliasTaken);
        }
        if aliases_of(&*snapshot, room_id).await?.len() >= ALIASES_MAX {
            let text = format!("the room has {ALIASES_MAX} aliases; remove one of them first");
            return Err(RoomError::Forbidden(text));
        }
        let mut commit = Commit::synced();
        claim_alias(&mut commit, alias, room_id, account.id);
        match self.0.engine.commit(commit).await {
            Err(CommitError::Conflict) => Err(RoomError::AliasTaken),
            outcome => outcome.map(drop).map_err(RoomError::from),
        }
    }

    /// Takes an alias from its room: for who claimed it, for administrators, and for members who
    /// may set `m.room.canonical_alias` there. If the room's canonical alias event names it and the
    /// account may change that event, it no longer does.
    ///
    /// # Errors
    /// [`RoomError::UnknownAlias`]; [`RoomError::Busy`] if it changed hands meanwhile.
    pub async fn release_alias_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        alias: &RoomAliasId,
    ) -> Result<(), RoomError> {
        self.check_alias(alias)?;
        let snapshot = self.0.engine.snapshot().await?;
        let seen = alias_seen(&*snapshot, alias).await?;
        let row = seen.row.as_ref().ok_or(RoomError::UnknownAlias)?;
        if !administers(rules, account) {
            permit(rules, account, Action::Publish, &row.room)?;
            if row.creator != account.id {
                let sight = Sight::of(&*snapshot, &row.room, account.id).await?;
                sight.require_joined()?;
                sight.require_power()?;
            }
        }
        let mut commit = Commit::synced();
        release_alias(&mut commit, alias, &seen);
        self.0.engine.commit(commit).await?;
        self.unname(rules, account, alias, &row.room).await
    }

    /// This server's aliases of the room, by name, at most [`ALIASES_MAX`]: for members, and for
    /// every account if the room's history is world-readable.
    pub async fn aliases_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        room_id: &RoomId,
    ) -> Result<Vec<OwnedRoomAliasId>, RoomError> {
        permit(rules, account, Action::Read, room_id)?;
        let snapshot = self.0.engine.snapshot().await?;
        let sight = Sight::of(&*snapshot, room_id, account.id).await?;
        if !sight.world_readable {
            sight.require_joined()?;
        }
        Ok(aliases_of(&*snapshot, room_id).await?)
    }

    /// Whether the server shows the room in its directory.
    pub async fn is_published(&self, room_id: &RoomId) -> Result<bool, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let head = RoomReader::new(&*snapshot, room_id).head().await?;
        head.ok_or(RoomError::UnknownRoom)?;
        Ok(is_published(&*snapshot, room_id).await?)
    }

    /// Shows the room in the directory, or no longer: for members who are administrators or may
    /// set `m.room.canonical_alias`.
    pub async fn publish_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        room_id: &RoomId,
        shown: bool,
    ) -> Result<(), RoomError> {
        permit(rules, account, Action::Publish, room_id)?;
        let snapshot = self.0.engine.snapshot().await?;
        let sight = Sight::of(&*snapshot, room_id, account.id).await?;
        sight.require_joined()?;
        if !administers(rules, account) {
            sight.require_power()?;
        }
        let mut commit = Commit::synced();
        publish(&mut commit, room_id, shown);
        self.0.engine.commit(commit).await?;
        Ok(())
    }

    /// Gives all that finds the one room to the other: its aliases and its place in the directory.
    /// For flows: nobody is asked.
    ///
    /// # Errors
    /// [`RoomError::Busy`] if an alias changed hands meanwhile; what was moved stays moved.
    pub async fn move_listing(&self, from: &RoomId, to: &RoomId) -> Result<(), RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        for alias in aliases_of(&*snapshot, from).await? {
            let seen = alias_seen(&*snapshot, &alias).await?;
            let mut commit = Commit::synced();
            move_alias(&mut commit, &alias, &seen, to);
            self.0.engine.commit(commit).await?;
        }
        if is_published(&*snapshot, from).await? {
            let mut commit = Commit::synced();
            publish(&mut commit, from, false);
            publish(&mut commit, to, true);
            self.0.engine.commit(commit).await?;
        }
        Ok(())
    }

    /// The rooms that the user is in, by room ID: those among the first
    /// [`JOINED_ROOMS_PAGES_MAX`] thousand rooms that the user ever had to do with.
    pub async fn joined_rooms(&self, user_id: &UserId) -> Result<Vec<OwnedRoomId>, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let (mut joined, mut after) = (Vec::new(), None::<OwnedRoomId>);
        for _ in 0..JOINED_ROOMS_PAGES_MAX {
            let page = user_rooms(&*snapshot, user_id, after.as_deref(), ROOMS_PAGE_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.room_id.clone());
            let rooms = page.into_iter();
            let rooms = rooms.filter(|room| room.row.membership == Membership::Join);
            joined.extend(rooms.map(|room| room.room_id));
        }
        Ok(joined)
    }

    /// Whether this server may keep the alias: its own, and nothing in it that people cannot see.
    pub(crate) fn check_alias(&self, alias: &RoomAliasId) -> Result<(), RoomError> {
        let local = alias.alias();
        let unseen = |letter: char| letter.is_whitespace() || letter.is_control();
        let own = &self.0.identity.server_name;
        let text = if alias.server_name() != *own {
            format!("this server keeps only aliases that end in :{own}")
        } else if alias.as_bytes().len() > ALIAS_BYTES_MAX {
            format!("an alias has at most {ALIAS_BYTES_MAX} bytes; choose a shorter one")
        } else if local.is_empty() || local.contains(unseen) {
            "an alias has a name before the colon, without spaces".to_owned()
        } else {
            return Ok(());
        };
        Err(RoomError::BadParameter(text))
    }
}

/// What decides who may list a room: what its current state says of one user.
struct Sight {
    joined: bool,
    powerful: bool,
    world_readable: bool,
}

impl Sight {
    async fn of(
        snapshot: &dyn Snapshot,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Self, RoomError> {
        let reader = RoomReader::new(snapshot, room_id);
        let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
        let kinds = [
            "m.room.create",
            "m.room.power_levels",
            "m.room.history_visibility",
        ];
        let found = state_events(&reader, &head, &kinds.map(|kind| (kind, ""))).await?;
        let [create, levels, visibility] = <[_; 3]>::try_from(found).unwrap_or_default();
        let mut rows = user_in_rooms(snapshot, user_id, &[room_id]).await?;
        let row = rows.pop().flatten();
        let listing = TimelineEventType::RoomCanonicalAlias;
        let powerful = |create| may_send_state(create, levels.as_ref(), user_id, &listing);
        Ok(Self {
            joined: row.is_some_and(|row| row.membership == Membership::Join),
            powerful: create.as_ref().is_some_and(powerful),
            world_readable: visibility.is_some_and(|event| is_world_readable(&event)),
        })
    }

    fn require_joined(&self) -> Result<(), RoomError> {
        let text = "you are not in this room; join it first";
        self.joined
            .then_some(())
            .ok_or_else(|| RoomError::Forbidden(text.to_owned()))
    }

    fn require_power(&self) -> Result<(), RoomError> {
        let text =
            "your power level is too low to set the room's canonical alias, which this needs";
        self.powerful
            .then_some(())
            .ok_or_else(|| RoomError::Forbidden(text.to_owned()))
    }
}

fn is_world_readable(event: &Pdu) -> bool {
    serde_json::from_str::<&RawValue>(event.content_json())
        .is_ok_and(|content| Visibility::of_content(content) == Visibility::WorldReadable)
}

fn permit(
    rules: &Rules,
    account: Account<'_>,
    action: Action,
    room_id: &RoomId,
) -> Result<(), Denial> {
    let room = Room {
        id: Some(room_id),
        class: DEFAULT_CLASS,
    };
    let request = Request::new(Requester::Account(account), action).in_room(room);
    belfry_policy::decide(rules, &request).into_result()
}

/// Whether policy lets the account administer the server.
fn administers(rules: &Rules, account: Account<'_>) -> bool {
    let request = Request::new(Requester::Account(account), Action::Administer);
    belfry_policy::decide(rules, &request).into_result().is_ok()
}
