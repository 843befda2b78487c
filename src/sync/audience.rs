//! Which users of this server a room's events concern.
//!
//! It exists so that a message in a room of a thousand does not read a thousand rows: who is in a
//! room follows from its state, and the state's root is the same after a message as before. It knows
//! nothing of who waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belfry_data::{Batch, Membership, RoomHead, RoomQuestions, RoomReader, Root, Snapshot};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId};

use crate::error::Fault;

/// Users remembered over all rooms; the rooms not asked for longest are forgotten first.
pub const AUDIENCE_USERS_MAX: usize = 200_000;

/// Users read at once.
const USERS_PAGE: usize = 5_000;

/// A room's local users, whatever their membership.
#[derive(Debug, Clone)]
struct Audience {
    state: Root,
    users: Arc<BTreeMap<OwnedUserId, Membership>>,
    used: u64,
}

/// Whom a room's events concern.
#[derive(Debug, Clone)]
pub(crate) struct Listeners {
    users: Arc<BTreeMap<OwnedUserId, Membership>>,
    /// Those whose membership may be another than it was.
    changed: BTreeSet<OwnedUserId>,
}

impl Listeners {
    /// Who is in the room.
    pub(crate) fn joined(&self) -> impl Iterator<Item = &OwnedUserId> {
        let joined = self.users.iter();
        joined.filter_map(|(user, membership)| (*membership == Membership::Join).then_some(user))
    }

    pub(crate) fn changed(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.changed.iter()
    }
}

/// The audiences of the rooms asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Audiences {
    rooms: BTreeMap<OwnedRoomId, Audience>,
    users: usize,
    uses: u64,
}

/// Audiences that were read, to be remembered once their listeners were told.
pub(crate) struct Learnt(Vec<(OwnedRoomId, Audience)>);

impl Audiences {
    /// Whom the events of these rooms concern, in the order asked. A room that is unknown concerns
    /// nobody. One round trip, and others only for rooms whose state changed.
    pub(crate) async fn listeners(
        &self,
        snapshot: &dyn Snapshot,
        rooms: &[&RoomId],
    ) -> Result<(Vec<Option<Listeners>>, Learnt), Fault> {
        let (mut all, mut learnt) = (Vec::new(), Vec::new());
        for (room, head) in rooms.iter().zip(heads(snapshot, rooms).await?) {
            let Some(head) = head else {
                all.push(None);
                continue;
            };
            let before = self.rooms.get(*room);
            if let Some(known) = before.filter(|known| known.state == head.state) {
                all.push(Some(Listeners {
                    users: Arc::clone(&known.users),
                    changed: BTreeSet::new(),
                }));
                learnt.push(((*room).to_owned(), known.clone()));
                continue;
            }
            let users = Arc::new(read_users(snapshot, room).await?);
            all.push(Some(Listeners {
                changed: changed(before, &users),
                users: Arc::clone(&users),
            }));
            // While rows are being rebuilt they lag behind the state, and are read every time.
            if head.rows().is_some() {
                let (state, used) = (head.state, 0);
                learnt.push(((*room).to_owned(), Audience { state, users, used }));
            }
        }
        Ok((all, Learnt(learnt)))
    }

    /// Remembers what was read, within the limit.
    pub(crate) fn keep(&mut self, learnt: Learnt) {
        for (room, audience) in learnt.0 {
            self.uses += 1;
            let used = self.uses;
            self.forget(&room);
            self.users += audience.users.len();
            self.rooms.insert(room, Audience { used, ..audience });
        }
        while self.users > AUDIENCE_USERS_MAX {
            let oldest = self.rooms.iter().min_by_key(|(_, audience)| audience.used);
            let Some(room) = oldest.map(|(room, _)| room.clone()) else {
                break;
            };
            self.forget(&room);
        }
    }

    fn forget(&mut self, room: &RoomId) {
        if let Some(audience) = self.rooms.remove(room) {
            self.users -= audience.users.len();
        }
    }
}

async fn heads(snapshot: &dyn Snapshot, rooms: &[&RoomId]) -> Result<Vec<Option<RoomHead>>, Fault> {
    let mut batch = Batch::new();
    let handles: Vec<_> = rooms
        .iter()
        .map(|room| RoomQuestions::new(room).head(&mut batch))
        .collect();
    let mut got = batch.read(snapshot).await?;
    let mut heads = Vec::new();
    for handle in handles {
        heads.push(got.take(handle)?.row);
    }
    Ok(heads)
}

async fn read_users(
    snapshot: &dyn Snapshot,
    room: &RoomId,
) -> Result<BTreeMap<OwnedUserId, Membership>, Fault> {
    let reader = RoomReader::new(snapshot, room);
    let mut users = BTreeMap::new();
    loop {
        let after = users
            .last_key_value()
            .map(|(user, _): (&OwnedUserId, _)| user);
        let after = after.map(|user| &**user);
        let page = reader.local_members(after, USERS_PAGE).await?;
        let last = page.len() < USERS_PAGE;
        users.extend(page);
        if last {
            return Ok(users);
        }
    }
}

/// Whose membership may be another than it was. Where that is not known, everybody's; an invite or
/// a knock may have been replaced by one that says something else.
fn changed(
    before: Option<&Audience>,
    users: &BTreeMap<OwnedUserId, Membership>,
) -> BTreeSet<OwnedUserId> {
    let pending = |now: Membership| matches!(now, Membership::Invite | Membership::Knock);
    let known = |user: &OwnedUserId| before.and_then(|before| before.users.get(user).copied());
    let now = users.iter();
    let others = now.filter(|(user, now)| pending(**now) || known(user) != Some(**now));
    let mut changed: BTreeSet<_> = others.map(|(user, _)| user.clone()).collect();
    let before = before.into_iter().flat_map(|before| before.users.keys());
    changed.extend(before.filter(|user| !users.contains_key(*user)).cloned());
    changed
}
