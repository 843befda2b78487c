//! What filters of lists ask for by name: spaces and tags.
//!
//! It exists so that they are read only if some filter names any.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{Membership, Snapshot, UserRoom, account};
use ruma_common::{OwnedRoomId, RoomId};
use serde_json::Value;

use super::{Slide, request::ListFilters};
use crate::{account_changes::AccountChanges, error::Fault, room_view::RoomView};

/// The rooms of each space, and the tags of each room.
#[derive(Debug, Default)]
pub(super) struct Marks {
    children: BTreeMap<OwnedRoomId, BTreeSet<OwnedRoomId>>,
    tags: BTreeMap<OwnedRoomId, BTreeSet<String>>,
}

impl Marks {
    pub(super) async fn read(
        slide: &Slide<'_>,
        snapshot: &dyn Snapshot,
        rooms: &[UserRoom],
    ) -> Result<Self, Fault> {
        let mut marks = Self::default();
        let filters = || slide.request.lists.values().map(|list| &list.filters);
        let spaces: BTreeSet<_> = filters()
            .flat_map(|filters| filters.spaces.iter().flatten())
            .collect();
        let joined = rooms.iter().filter(|room| {
            room.row.membership == Membership::Join && spaces.contains(&room.room_id)
        });
        for room in joined {
            let children = match children(snapshot, &room.room_id).await {
                Err(fault) if fault.is_of_room() => BTreeSet::new(),
                children => children?,
            };
            marks.children.insert(room.room_id.clone(), children);
        }
        if filters().any(|filters| filters.tags.is_some() || !filters.not_tags.is_empty()) {
            marks.tags = tags(slide, snapshot).await?;
        }
        Ok(marks)
    }

    /// Whether the room is one that the filters' spaces and tags mean.
    pub(super) fn admit(&self, filters: &ListFilters, room: &RoomId) -> bool {
        let is_child = |space: &OwnedRoomId| {
            let children = self.children.get(space);
            children.is_some_and(|children| children.contains(room))
        };
        let tags = self.tags.get(room);
        let has = |tag: &String| tags.is_some_and(|tags| tags.contains(tag));
        filters
            .spaces
            .as_ref()
            .is_none_or(|spaces| spaces.iter().any(is_child))
            && filters
                .tags
                .as_ref()
                .is_none_or(|tags| tags.iter().any(has))
            && !filters.not_tags.iter().any(has)
    }
}

/// The rooms that a space names with servers to join them by.
async fn children(snapshot: &dyn Snapshot, space: &RoomId) -> Result<BTreeSet<OwnedRoomId>, Fault> {
    let Some(mut view) = RoomView::now(snapshot, space).await? else {
        return Ok(BTreeSet::new());
    };
    let state = view.entries(view.state, false).await?;
    let named = state
        .into_iter()
        .filter(|(tuple, _)| tuple.event_type() == "m.space.child");
    let hashes: Vec<_> = named.map(|(_, event)| event).collect();
    let mut children = BTreeSet::new();
    for event in view.events(&hashes).await? {
        let content: Value = serde_json::from_str(event.pdu.content_json()).unwrap_or_default();
        let is_child = content["via"].as_array().is_some_and(|via| !via.is_empty());
        let child = event.pdu.state_key().filter(|_| is_child);
        children.extend(child.and_then(|child| OwnedRoomId::try_from(child).ok()));
    }
    Ok(children)
}

/// The tags that the user gave to rooms.
async fn tags(
    slide: &Slide<'_>,
    snapshot: &dyn Snapshot,
) -> Result<BTreeMap<OwnedRoomId, BTreeSet<String>>, Fault> {
    let user = &*slide.request.user_id;
    let data = AccountChanges::read(snapshot, user, None).await?;
    let mut tags = BTreeMap::new();
    for room in data.rooms_with("m.tag") {
        let row = account::account_data(snapshot, user, room.as_str(), "m.tag").await?;
        let content: Value = row
            .and_then(|row| serde_json::from_str(&row.content).ok())
            .unwrap_or_default();
        let named = content["tags"].as_object().into_iter().flatten();
        let named = named.map(|(tag, _)| tag.clone()).collect();
        tags.insert(room.to_owned(), named);
    }
    Ok(tags)
}
