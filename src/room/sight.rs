//! What a server may see of a room's history.
//!
//! It exists so that whatever is served to a server goes by the same rule (Client-Server API, "Room
//! History Visibility", applied to a server's users). It knows nothing of what is served.

use std::sync::Arc;

use belfry_data::{
    CurrentCursor, Membership, RoomReader, Root, StateTuple, StoredEvent, WorkingSet,
};
use belfry_event::{Around, Pdu, Standing, Visibility, server_may_see, visible_at_once};
use ruma_common::{OwnedUserId, RoomId, ServerName};
use serde_json::value::RawValue;

use crate::error::RoomError;
use crate::residence::is_in_room;
use crate::rooms::Shared;

/// Users of a server whose memberships at an event are looked at; further ones open nothing.
const USERS_MAX: usize = 500;
/// Members that are looked through for them.
const MEMBERS_MAX: usize = 20_000;
/// Members read at once.
const MEMBERS_AT_ONCE: usize = 500;

/// One server in one room.
pub(crate) struct Sight {
    joined_now: bool,
    users: Vec<OwnedUserId>,
}

impl Sight {
    pub(crate) async fn of(
        shared: &Arc<Shared>,
        room_id: &RoomId,
        server: &ServerName,
    ) -> Result<Self, RoomError> {
        let mut users = Vec::new();
        let mut cursor: Option<CurrentCursor> = None;
        let mut joined_now = false;
        for page in 0..MEMBERS_MAX / MEMBERS_AT_ONCE {
            let snapshot = shared.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, room_id);
            let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
            if page == 0 {
                joined_now = is_in_room(&reader, &head, server, false).await?;
            }
            let current = reader.current(&head);
            let page = current.members(cursor, MEMBERS_AT_ONCE).await?;
            let members = page.members.into_iter().map(|member| member.user_id);
            users.extend(members.filter(|user| user.server_name() == server));
            cursor = page.next;
            if cursor.is_none() || users.len() >= USERS_MAX {
                break;
            }
        }
        users.truncate(USERS_MAX);
        Ok(Self { joined_now, users })
    }

    /// Whether a user of the server is in the room now.
    pub(crate) const fn joined_now(&self) -> bool {
        self.joined_now
    }

    /// Whether the server may see the event, which has a place.
    pub(crate) async fn sees(
        &self,
        shared: &Arc<Shared>,
        room_id: &RoomId,
        pdu: &Pdu,
        stored: &StoredEvent,
    ) -> Result<bool, RoomError> {
        let before = stored.row.state_before.unwrap_or(Root::EMPTY);
        let snapshot = shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let counts = stored.row.is_visible() && stored.row.redacted_by.is_none();
        let set = &mut WorkingSet::new();
        let was = self.visibility(&reader, set, before, pdu).await?;
        let own = pdu.event_type().to_string();
        let is = if own == "m.room.history_visibility" && counts {
            visibility_of(pdu)
        } else {
            was
        };
        let visibility = Around {
            before: was,
            after: is,
        };
        if let Some(sees) = visible_at_once(visibility, self.joined_now) {
            return Ok(sees);
        }
        let standings = self.standings(&reader, set, before).await?;
        let standings = standings.into_iter().map(|(user, standing)| {
            let changed =
                own == "m.room.member" && pdu.state_key() == Some(user.as_str()) && counts;
            Around {
                before: standing,
                after: if changed {
                    standing_of(pdu.content_json())
                } else {
                    standing
                },
            }
        });
        Ok(server_may_see(visibility, standings, self.joined_now))
    }

    async fn visibility(
        &self,
        reader: &RoomReader<'_>,
        set: &mut WorkingSet,
        root: Root,
        pdu: &Pdu,
    ) -> Result<Visibility, RoomError> {
        let tuple = StateTuple::new("m.room.history_visibility", "")
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        let states = reader.states();
        states
            .gather(set, &[root], std::slice::from_ref(&tuple))
            .await?;
        let Some(hash) = set.get(root, &tuple)? else {
            return Ok(Visibility::default());
        };
        let Some(event) = reader.event(hash).await? else {
            return Ok(Visibility::default());
        };
        let event = event
            .pdu(pdu.rules())
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        Ok(visibility_of(&event))
    }

    /// The server's users, joined or not, as far as they are looked at.
    pub(crate) fn users(&self) -> &[OwnedUserId] {
        &self.users
    }

    /// Where the server's users stood in a state.
    pub(crate) async fn standings(
        &self,
        reader: &RoomReader<'_>,
        set: &mut WorkingSet,
        root: Root,
    ) -> Result<Vec<(OwnedUserId, Standing)>, RoomError> {
        let tuple = |user: &OwnedUserId| StateTuple::new("m.room.member", user.as_str()).ok();
        let tuples: Vec<_> = self.users.iter().filter_map(tuple).collect();
        reader.states().gather(set, &[root], &tuples).await?;
        let (mut named, mut users) = (Vec::new(), Vec::new());
        for user in &self.users {
            let Some(tuple) = tuple(user) else { continue };
            if let Some(hash) = set.get(root, &tuple)? {
                named.push(hash);
                users.push(user.clone());
            }
        }
        let events = reader.events(&named).await?;
        let standings = events.into_iter().map(|event| {
            event.map_or(Standing::Outside, |event| {
                #[derive(serde::Deserialize)]
                struct Event<'a> {
                    #[serde(borrow)]
                    content: &'a RawValue,
                }
                let content = serde_json::from_str::<Event<'_>>(&event.row.json);
                content.map_or(Standing::Outside, |event| standing_of(event.content.get()))
            })
        });
        Ok(users.into_iter().zip(standings).collect())
    }
}

fn visibility_of(pdu: &Pdu) -> Visibility {
    let content = RawValue::from_string(pdu.content_json().to_owned());
    content.map_or(Visibility::default(), |content| {
        Visibility::of_content(&content)
    })
}

fn standing_of(content: &str) -> Standing {
    match Membership::from_content(content) {
        Some(Membership::Join) => Standing::Joined,
        Some(Membership::Invite) => Standing::Invited,
        _ => Standing::Outside,
    }
}
