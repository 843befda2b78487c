//! What those see of an erased user who came later: events without their content (Client-Server
//! API, "Account deactivation"; MSC4025).
//!
//! Whoever was in the room with them before goes on to see what was written. The room's present
//! state is left as it is: it is the room's. It knows nothing of accounts that are open.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{GET_MANY_KEYS_MAX, Membership};
use ruma_common::{OwnedUserId, UserId};

use crate::{
    error::Fault,
    event::RoomEvent,
    room_view::RoomView,
    sight::{Eyes, MEMBERSHIP_STEPS_MAX, Sight, member_tuple, membership_in},
};

/// Takes the content from events whose senders are to be forgotten, for a reader who came after
/// that was asked for.
pub(crate) async fn cover(
    view: &mut RoomView<'_>,
    eyes: &Eyes,
    events: &[(RoomEvent, Sight)],
) -> Result<BTreeMap<usize, RoomEvent>, Fault> {
    let strange = |(event, sight): &&(RoomEvent, Sight)| {
        sight.membership != Membership::Join && event.pdu.sender() != eyes.user()
    };
    let senders = events.iter().filter(strange);
    let senders: BTreeSet<&UserId> = senders.map(|(event, _)| event.pdu.sender()).collect();
    let erased = erased(view, &senders).await?;
    let mut covered = BTreeMap::new();
    let mut known: BTreeMap<u64, bool> = BTreeMap::new();
    for (place, (event, sight)) in events.iter().enumerate() {
        let since = erased.get(event.pdu.sender());
        let Some(since) = since.filter(|_| sight.membership != Membership::Join) else {
            continue;
        };
        let was_there = match known.get(since) {
            Some(was_there) => *was_there,
            None => was_there(view, eyes.user(), *since).await?,
        };
        known.insert(*since, was_there);
        if !was_there && event.pdu.state_key().is_none() {
            covered.insert(place, event.clone().without_content()?);
        }
    }
    Ok(covered)
}

async fn erased(
    view: &RoomView<'_>,
    senders: &BTreeSet<&UserId>,
) -> Result<BTreeMap<OwnedUserId, u64>, Fault> {
    let senders: Vec<&UserId> = senders.iter().copied().collect();
    let mut erased = BTreeMap::new();
    for senders in senders.chunks(GET_MANY_KEYS_MAX) {
        let asked = view.reader.erased(senders).await?;
        let found = senders.iter().zip(asked);
        erased.extend(found.filter_map(|(user, ts)| Some(((*user).to_owned(), ts?))));
    }
    Ok(erased)
}

/// Whether the user was in the room at that time or before, as far back as their last memberships
/// tell.
async fn was_there(view: &mut RoomView<'_>, user: &UserId, ts: u64) -> Result<bool, Fault> {
    let own = member_tuple(user)?;
    let mut root = view.head.state;
    for _ in 0..MEMBERSHIP_STEPS_MAX {
        let found = view.lookup(&[(root, own.clone())]).await?.pop().flatten();
        let Some(hash) = found else { break };
        let Some(event) = view.events(&[hash]).await?.pop() else {
            break;
        };
        if membership_in(&event) == Membership::Join && event.received_ts() <= ts {
            return Ok(true);
        }
        root = event.state_before();
    }
    Ok(false)
}
