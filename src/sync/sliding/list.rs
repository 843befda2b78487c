//! Which rooms an answer may tell: the windows of the lists, and the subscriptions.
//!
//! It exists so that sorting and filtering read no room: what they need lies in one small row each.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    Membership, RoomReader, Snapshot, Stamp, UserRoom, UserRoomRow, account,
    note::{BriefRow, briefs},
    tails,
};
use ruma_common::{OwnedRoomId, RoomId};
use serde_json::Value;

use super::{
    ByRoom, Slide,
    marks::Marks,
    request::{ListFilters, ListRequest, RoomDetails, Shape},
};
use crate::{
    error::Fault, foreign::Stay, plan, projection::brief_of, room_view::RoomView, sight::last_stay,
};

/// Rooms whose rows are read at once.
const PAGE: usize = 1_000;
/// Departures, the latest, of which it is found out whether the user was put out.
pub const DEPARTURES_MAX: usize = 50;

/// A room that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) row: UserRoomRow,
    pub(crate) details: RoomDetails,
    /// In whose windows it is.
    pub(crate) lists: BTreeSet<String>,
    /// Whether it is asked for by its name.
    pub(crate) subscribed: bool,
    /// By which clients sort rooms, if it was read.
    bump_ms: Option<u64>,
    pub(crate) is_dm: bool,
    /// When the user's membership changed last.
    stamp: Stamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// How many rooms each list has.
    pub(crate) counts: BTreeMap<String, usize>,
    pub(crate) wanted: ByRoom<Wanted>,
    /// The user's direct chats.
    direct: BTreeSet<OwnedRoomId>,
    /// What filters ask for by name.
    marks: Marks,
}

/// A room as lists see it.
struct Listed {
    room: UserRoom,
    /// `None` if nobody asked for what it says.
    brief: Option<BriefRow>,
    /// When something happened in it last, as far as it concerns the user.
    active: Stamp,
}

impl Windows {
    pub(crate) async fn read(
        slide: &Slide<'_>,
        snapshot: &dyn Snapshot,
        rooms: Vec<UserRoom>,
    ) -> Result<Self, Fault> {
        let mut windows = Self {
            direct: direct_rooms(snapshot, slide).await?,
            marks: Marks::read(slide, snapshot, &rooms).await?,
            ..Self::default()
        };
        let (here, gone): (Vec<_>, Vec<_>) = rooms
            .into_iter()
            .partition(|room| !matches!(room.row.membership, Membership::Leave | Membership::Ban));
        let (put_out, mut gone) = put_out(slide, snapshot, gone).await?;
        let mut listed = windows.listed(slide, snapshot, here).await?;
        let departed: Vec<_> = put_out.iter().map(|one| one.room.clone()).collect();
        listed.extend(put_out);
        listed.sort_by(|a, b| {
            let key = |one: &Listed| (one.active, one.room.stamp);
            key(b).cmp(&key(a))
        });
        for (name, list) in &slide.request.lists {
            windows.take(name, list, &listed);
        }
        for (room, details) in &slide.request.subscriptions {
            if let Some(found) = listed.iter().find(|one| one.room.room_id == *room) {
                windows.want(found, details).subscribed = true;
            }
        }
        let outside = departed.into_iter();
        gone.extend(outside.filter(|room| !windows.wanted.contains_key(&room.room_id)));
        windows.add_gone(slide, gone);
        Ok(windows)
    }

    async fn listed(
        &self,
        slide: &Slide<'_>,
        snapshot: &dyn Snapshot,
        rooms: Vec<UserRoom>,
    ) -> Result<Vec<Listed>, Fault> {
        let filters = slide.request.lists.values().map(|list| &list.filters);
        let asked = filters.into_iter().any(asks_for_brief);
        let mut listed = Vec::new();
        for chunk in rooms.chunks(PAGE) {
            let ids: Vec<_> = chunk.iter().map(|room| &*room.room_id).collect();
            let rows = if asked {
                briefs_of(slide, snapshot, &ids).await?
            } else {
                vec![None; ids.len()]
            };
            let tails = tails(snapshot, &ids).await?;
            for ((room, row), tail) in chunk.iter().zip(rows).zip(tails) {
                let joined = room.row.membership == Membership::Join;
                let last = tail.filter(|_| joined);
                listed.push(Listed {
                    room: room.clone(),
                    brief: if joined {
                        row
                    } else {
                        Some(asked_brief(slide, snapshot, room, row).await?)
                    },
                    active: last.unwrap_or(room.stamp),
                });
            }
        }
        Ok(listed)
    }

    fn take(&mut self, name: &str, list: &ListRequest, listed: &[Listed]) {
        let is_in = |one: &&Listed| self.admits(&list.filters, one);
        let rooms: Vec<_> = listed.iter().filter(is_in).collect();
        self.counts.insert(name.to_owned(), rooms.len());
        let all = [(0, u64::MAX)];
        let ranges = list.ranges.as_deref().unwrap_or(&all);
        for (place, one) in (0_u64..).zip(rooms) {
            let within = |(first, last): &(u64, u64)| (*first..=*last).contains(&place);
            if ranges.iter().any(within) {
                let wanted = self.want(one, &list.details);
                wanted.lists.insert(name.to_owned());
            }
        }
    }

    fn want(&mut self, one: &Listed, details: &RoomDetails) -> &mut Wanted {
        let room = &one.room;
        let is_dm = self.direct.contains(&room.room_id);
        let entry = self.wanted.entry(room.room_id.clone());
        let wanted = entry.or_insert_with(|| Wanted {
            row: room.row,
            details: RoomDetails::default(),
            lists: BTreeSet::new(),
            subscribed: false,
            bump_ms: one.brief.as_ref().map(|brief| brief.bump_ms),
            is_dm,
            stamp: room.stamp,
        });
        wanted.details.add(details);
        wanted
    }

    /// Rooms that the user left since the last answer: if it told of them, they are told once more.
    fn add_gone(&mut self, slide: &Slide<'_>, gone: Vec<UserRoom>) {
        let Some(since) = slide.turn.since else {
            return;
        };
        for room in gone.into_iter().filter(|room| room.stamp > since) {
            let listed = Listed {
                brief: Some(BriefRow::default()),
                active: room.stamp,
                room,
            };
            let details = RoomDetails {
                timeline_limit: 1,
                ..RoomDetails::default()
            };
            self.want(&listed, &details);
        }
    }

    fn admits(&self, filters: &ListFilters, one: &Listed) -> bool {
        let is = |wanted: Option<bool>, found: bool| wanted.is_none_or(|wanted| wanted == found);
        let room_type = one.brief.as_ref().and_then(|it| it.room_type.as_deref());
        let encrypted = one.brief.as_ref().is_some_and(|brief| brief.encrypted);
        let among = |types: &[Option<String>]| types.iter().any(|it| it.as_deref() == room_type);
        is(filters.is_dm, self.direct.contains(&one.room.room_id))
            && is(filters.is_encrypted, encrypted)
            && is(
                filters.is_invite,
                one.room.row.membership == Membership::Invite,
            )
            && filters.room_types.as_deref().is_none_or(among)
            && !among(&filters.not_room_types)
            && self.marks.admit(filters, &one.room.room_id)
    }

    /// The wanted rooms in which something may be new to the connection.
    pub(crate) async fn fresh(
        &self,
        slide: &Slide<'_>,
        snapshot: &dyn Snapshot,
    ) -> Result<BTreeSet<OwnedRoomId>, Fault> {
        let ids: Vec<&RoomId> = self.wanted.keys().map(|room| &**room).collect();
        let mut fresh = BTreeSet::new();
        for chunk in ids.chunks(PAGE) {
            let tails = tails(snapshot, chunk).await?;
            for (room, tail) in chunk.iter().zip(tails) {
                let Some(wanted) = self.wanted.get(*room) else {
                    continue;
                };
                let gone = matches!(wanted.row.membership, Membership::Leave | Membership::Ban);
                let news = match slide.connection.told(room) {
                    None => !gone || !wanted.lists.is_empty(),
                    Some(told) if gone => wanted.stamp > told.at(),
                    Some(told) => {
                        tail.is_some_and(|tail| tail > told.at())
                            || wanted.stamp > told.at()
                            || wanted.details.timeline_limit > told.limit
                            || wanted.details.digest(wanted.is_dm) != told.state
                    }
                };
                if news {
                    fresh.insert((*room).to_owned());
                }
            }
        }
        self.add_passing(slide, snapshot, &mut fresh).await?;
        Ok(fresh)
    }

    /// By which clients sort these rooms, of those that are wanted.
    pub(crate) async fn bumps(
        &self,
        slide: &Slide<'_>,
        snapshot: &dyn Snapshot,
        rooms: &BTreeSet<OwnedRoomId>,
    ) -> Result<BTreeMap<OwnedRoomId, u64>, Fault> {
        let (mut bumps, mut lacking) = (BTreeMap::new(), Vec::new());
        for (room, wanted) in self.wanted.iter().filter(|(room, _)| rooms.contains(*room)) {
            match wanted.bump_ms {
                Some(bump_ms) => _ = bumps.insert(room.clone(), bump_ms),
                None => lacking.push(&**room),
            }
        }
        for chunk in lacking.chunks(PAGE) {
            let rows = briefs_of(slide, snapshot, chunk).await?;
            let rows = chunk.iter().zip(rows);
            bumps.extend(rows.filter_map(|(room, row)| Some(((*room).to_owned(), row?.bump_ms))));
        }
        Ok(bumps)
    }

    /// Rooms in which nothing happened, but somebody read or typed.
    async fn add_passing(
        &self,
        slide: &Slide<'_>,
        snapshot: &dyn Snapshot,
        fresh: &mut BTreeSet<OwnedRoomId>,
    ) -> Result<(), Fault> {
        let Some(since) = slide.turn.since else {
            return Ok(());
        };
        let user = &*slide.request.user_id;
        if let Some(changed) = slide.shared.notifier.changed(user, since) {
            let here = changed
                .into_iter()
                .filter(|room| self.wanted.contains_key(room));
            fresh.extend(here);
            return Ok(());
        }
        let rooms = self.wanted.iter().map(|(room_id, wanted)| UserRoom {
            room_id: room_id.clone(),
            stamp: wanted.stamp,
            row: wanted.row,
        });
        let late = |room: &RoomId| slide.shared.counts.came_late(room, since);
        let mut found = Vec::new();
        plan::add_passing(snapshot, rooms.collect(), since, late, &mut found).await?;
        fresh.extend(found.into_iter().map(|room| room.room_id));
        Ok(())
    }
}

/// Rooms that the user was put out of, and the others. Only the accepted shape lists them; of which
/// departures were the user's own is found out for the latest.
async fn put_out(
    slide: &Slide<'_>,
    snapshot: &dyn Snapshot,
    mut gone: Vec<UserRoom>,
) -> Result<(Vec<Listed>, Vec<UserRoom>), Fault> {
    if slide.request.shape == Shape::Draft {
        return Ok((Vec::new(), gone));
    }
    gone.sort_by_key(|room| std::cmp::Reverse(room.stamp));
    let (mut listed, mut others) = (Vec::new(), Vec::new());
    for (number, room) in gone.into_iter().enumerate() {
        let told = match was_put_out(slide, snapshot, &room, number).await {
            Err(fault) if fault.is_of_room() => None,
            told => told?,
        };
        match told {
            Some(bump_ms) => listed.push(Listed {
                active: room.stamp,
                brief: Some(BriefRow {
                    bump_ms,
                    ..BriefRow::default()
                }),
                room,
            }),
            None => others.push(room),
        }
    }
    Ok((listed, others))
}

/// When the user was put out of the room, if they had been in it and did not leave by themselves.
async fn was_put_out(
    slide: &Slide<'_>,
    snapshot: &dyn Snapshot,
    room: &UserRoom,
    number: usize,
) -> Result<Option<u64>, Fault> {
    if number >= DEPARTURES_MAX {
        return Ok(None);
    }
    let Some(mut view) = RoomView::now(snapshot, &room.room_id).await? else {
        return Ok(None);
    };
    let Some(event) = view.events(&[room.row.event]).await?.pop() else {
        return Ok(None);
    };
    let user = &*slide.request.user_id;
    if event.pdu.sender() == user || last_stay(&mut view, user, event.hash()).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(event.received_ts()))
}

/// Whether a list's filters ask for what a room's brief says.
fn asks_for_brief(filters: &ListFilters) -> bool {
    filters.is_encrypted.is_some()
        || filters.room_types.is_some()
        || !filters.not_room_types.is_empty()
}

/// What is known of these rooms without reading them; of one that the projector has not seen, what it
/// would say.
async fn briefs_of(
    slide: &Slide<'_>,
    snapshot: &dyn Snapshot,
    rooms: &[&RoomId],
) -> Result<Vec<Option<BriefRow>>, Fault> {
    // What the projector wrote is there once it was waited for.
    let mut rows = match briefs(&*slide.turn.counted, rooms).await {
        Ok(rows) => rows,
        Err(_) => briefs(snapshot, rooms).await?,
    };
    for (room, row) in rooms.iter().zip(&mut rows) {
        if row.is_none() {
            *row = Some(unknown(snapshot, room).await?);
        }
    }
    Ok(rows)
}

/// What is known of a room that the user is not in.
async fn asked_brief(
    slide: &Slide<'_>,
    snapshot: &dyn Snapshot,
    room: &UserRoom,
    known: Option<BriefRow>,
) -> Result<BriefRow, Fault> {
    let (user, id) = (&slide.request.user_id, &room.room_id);
    if let Some(stay) = Stay::read(snapshot, user, id, room.row).await? {
        return Ok(stay.brief());
    }
    let known = known.unwrap_or_default();
    Ok(BriefRow {
        bump_ms: asked_at(snapshot, room).await?,
        ..known
    })
}

/// A room that the projector has not seen.
async fn unknown(snapshot: &dyn Snapshot, room: &RoomId) -> Result<BriefRow, Fault> {
    match RoomView::now(snapshot, room).await {
        Ok(Some(mut view)) => brief_of(&mut view).await,
        Ok(None) => Ok(BriefRow::default()),
        Err(fault) if fault.is_of_room() => Ok(BriefRow::default()),
        Err(fault) => Err(fault),
    }
}

/// When the user was invited, or knocked.
async fn asked_at(snapshot: &dyn Snapshot, room: &UserRoom) -> Result<u64, Fault> {
    let reader = RoomReader::new(snapshot, &room.room_id);
    let event = reader.event(room.row.event).await?;
    Ok(event.map_or(0, |event| event.row.received_ts))
}

/// The rooms that `m.direct` names.
async fn direct_rooms(
    snapshot: &dyn Snapshot,
    slide: &Slide<'_>,
) -> Result<BTreeSet<OwnedRoomId>, Fault> {
    let user = &slide.request.user_id;
    let row = account::account_data(snapshot, user, "", "m.direct").await?;
    let content = row.map(|row| row.content).unwrap_or_default();
    let content: Value = serde_json::from_str(&content).unwrap_or_default();
    let by_user = content
        .as_object()
        .into_iter()
        .flat_map(|users| users.values());
    let rooms = by_user.filter_map(Value::as_array).flatten();
    let rooms = rooms.filter_map(Value::as_str);
    Ok(rooms.filter_map(|room| room.try_into().ok()).collect())
}
