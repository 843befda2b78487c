//! `GET` and `POST /publicRooms`: the rooms that this server shows, largest first.
//!
//! It exists so that a page reads no room: the directory's rows say all that is shown and all that
//! is searched. It knows nothing of other servers' directories.

use belfry_data::{ListingPlace, ListingRow, Snapshot, listing};
use ruma_common::OwnedRoomId;

use crate::{
    error::{Fault, ViewError},
    fold::folded,
    json::{EventList, Object},
    token::List,
    views::{Shared, Views},
};

/// Most rooms of a page.
pub const PUBLIC_ROOMS_MAX: usize = 500;
/// Rooms of a page, if the client does not say.
const PUBLIC_ROOMS_DEFAULT: u64 = 100;
/// Rooms looked at for one page; the page's token goes on from there.
const SCAN_MAX: usize = 10_000;
/// Rooms read at once.
const READ_MAX: usize = 500;
/// Up to so many rooms the estimate of their number is exact.
const COUNTED_MAX: usize = 500;

/// A request for published rooms.
#[derive(Debug, Clone, Default)]
pub struct PublicRoomsRequest {
    /// How many, at most [`PUBLIC_ROOMS_MAX`]; 100 without.
    pub limit: Option<u64>,
    /// A token of an earlier page.
    pub since: Option<String>,
    /// Only those whose name, topic or alias has this, whatever the case and the accents.
    pub search_term: Option<String>,
    /// Only those of these types; `None` is that of rooms without a type.
    pub room_types: Option<Vec<Option<String>>>,
}

/// A page of published rooms.
#[derive(Debug, Clone)]
pub struct PublicRooms {
    /// The rooms, each a JSON object.
    pub chunk: EventList,
    /// The token of the rooms behind these; `None` if there are none.
    pub next_batch: Option<String>,
    /// The token of the rooms before these; `None` if there are none.
    pub prev_batch: Option<String>,
    /// How many rooms there are, whatever was searched; `None` if there are too many to count.
    pub total: Option<usize>,
}

impl PublicRooms {
    /// The JSON object that goes over the wire.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.list("chunk", &self.chunk);
        if let Some(token) = &self.next_batch {
            object.string("next_batch", token);
        }
        if let Some(token) = &self.prev_batch {
            object.string("prev_batch", token);
        }
        if let Some(total) = self.total {
            object.plain("total_room_count_estimate", total);
        }
        object.end();
        out
    }
}

/// What a token says: which way, and the place passed.
type Passed = (bool, u32, OwnedRoomId);

/// Which way a page goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Back,
}

impl Views {
    /// A page of published rooms, of which everybody may know.
    ///
    /// # Errors
    /// [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn public_rooms(
        &self,
        request: &PublicRoomsRequest,
    ) -> Result<PublicRooms, ViewError> {
        let shared = &*self.0;
        let place = |token: &String| shared.tokens.list_place(List::PublicRooms, token);
        let since: Option<Passed> = request.since.as_ref().map(place).transpose()?;
        shared.refresh_directories().await?;
        let term = request.search_term.as_deref().map(folded);
        let term = term
            .as_deref()
            .map(str::trim)
            .filter(|term| !term.is_empty());
        let since = &since;
        let page = shared.read(|snapshot| async move {
            Ok(shared
                .listing_page(&*snapshot, request, since.as_ref(), term)
                .await?)
        });
        page.await
    }
}

impl Shared {
    async fn listing_page(
        &self,
        snapshot: &dyn Snapshot,
        request: &PublicRoomsRequest,
        since: Option<&Passed>,
        term: Option<&str>,
    ) -> Result<PublicRooms, Fault> {
        let limit = usize::try_from(request.limit.unwrap_or(PUBLIC_ROOMS_DEFAULT));
        let limit = limit.unwrap_or(PUBLIC_ROOMS_MAX).clamp(1, PUBLIC_ROOMS_MAX);
        let wants = |row: &ListingRow| {
            let typed = request.room_types.as_ref();
            let typed = typed.is_none_or(|types| {
                let same = |it: &Option<String>| it.as_deref() == row.room_type.as_deref();
                types.iter().any(same)
            });
            typed && term.is_none_or(|term| row.text.contains(term))
        };
        let way = match since {
            Some((true, ..)) => Way::Back,
            Some((false, ..)) | None => Way::On,
        };
        let passed = since.map(|(_, joined, room_id)| ListingPlace {
            joined: *joined,
            room_id: room_id.clone(),
        });
        let mut page = scan(snapshot, passed.clone(), way, limit, wants).await?;
        if way == Way::Back {
            page.rooms.reverse();
        }
        let mut chunk = EventList::default();
        for (_, row) in &page.rooms {
            chunk.push(|out| out.push_str(&row.json));
        }
        let token = |back: bool, place: &ListingPlace| {
            let place: Passed = (back, place.joined, place.room_id.clone());
            self.tokens.list(List::PublicRooms, &place)
        };
        // What a page of a search passed over counts as passed.
        let (first, last) = match way {
            Way::On => (page.rooms.first().map(|it| &it.0), page.end.as_ref()),
            Way::Back => (page.end.as_ref(), page.rooms.last().map(|it| &it.0)),
        };
        let (before, behind) = match way {
            Way::On => (since.is_some(), page.more),
            Way::Back => (page.more, true),
        };
        let (first, last) = (first.or(passed.as_ref()), last.or(passed.as_ref()));
        Ok(PublicRooms {
            chunk,
            next_batch: last.filter(|_| behind).map(|place| token(false, place)),
            prev_batch: first.filter(|_| before).map(|place| token(true, place)),
            total: total(snapshot).await?,
        })
    }
}

/// What was found.
struct Found {
    rooms: Vec<(ListingPlace, ListingRow)>,
    /// The last place that was looked at.
    end: Option<ListingPlace>,
    /// Whether there may be more.
    more: bool,
}

async fn scan(
    snapshot: &dyn Snapshot,
    passed: Option<ListingPlace>,
    way: Way,
    limit: usize,
    wants: impl Fn(&ListingRow) -> bool,
) -> Result<Found, Fault> {
    let direction = match way {
        Way::On => belfry_data::Direction::Forward,
        Way::Back => belfry_data::Direction::Backward,
    };
    let (mut rooms, mut end) = (Vec::new(), passed);
    for _ in 0..SCAN_MAX / READ_MAX {
        let page = listing(snapshot, end.as_ref(), direction, READ_MAX).await?;
        for (place, row) in page.rooms {
            let wanted = wants(&row);
            if wanted && rooms.len() >= limit {
                let more = true;
                return Ok(Found { rooms, end, more });
            }
            end = Some(place.clone());
            rooms.extend(wanted.then_some((place, row)));
        }
        if !page.more {
            let more = false;
            return Ok(Found { rooms, end, more });
        }
    }
    let more = true;
    Ok(Found { rooms, end, more })
}

/// How many rooms are shown, if they can be counted at once.
async fn total(snapshot: &dyn Snapshot) -> Result<Option<usize>, Fault> {
    let direction = belfry_data::Direction::Forward;
    let page = listing(snapshot, None, direction, COUNTED_MAX).await?;
    Ok((!page.more).then_some(page.rooms.len()))
}
