//! What a room is called by its members when it has no name (`summary` of `/sync`), and how many
//! they are.
//!
//! It exists so that clients can name a room without its member list. It knows nothing of the
//! room's events.

use belfry_data::{Member, Membership, RoomHead, StateTuple};
use ruma_common::{OwnedUserId, UserId};
use serde::Deserialize;

use crate::{
    error::Fault,
    event::RoomEvent,
    json::{Object, write_string},
    room_view::RoomView,
    sight::plain_tuple,
};

/// How many members stand for all.
pub const HEROES_MAX: usize = 5;

/// Members among whom the heroes are chosen. In a nameless room with more, these are the first by
/// user ID, not by arrival.
pub const HERO_CANDIDATES_MAX: usize = 100;

/// Types whose change may change the summary.
const TYPES: [&str; 3] = ["m.room.canonical_alias", "m.room.member", "m.room.name"];

/// The `summary` of a joined room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Who the room is named after, without the reader; `None` if it has a name or an alias.
    pub heroes: Option<Vec<OwnedUserId>>,
    /// How many have joined, and are invited; `None` while they are being counted.
    pub members: Option<(u32, u32)>,
}

impl Summary {
    /// Whether a change of this may change the summary.
    pub(crate) fn depends_on(tuple: &StateTuple) -> bool {
        TYPES.contains(&tuple.event_type())
    }

    pub(crate) async fn read(view: &mut RoomView<'_>, reader: &UserId) -> Result<Self, Fault> {
        let named = is_named(view).await?;
        let heroes = if named || !view.is_present() {
            None
        } else {
            Some(heroes(view, reader).await?)
        };
        Ok(Self {
            heroes,
            members: counts(&view.head),
        })
    }

    pub(crate) fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        if let Some(heroes) = &self.heroes {
            write_users(heroes, object.member("m.heroes"));
        }
        if let Some((joined, invited)) = self.members {
            object.plain("m.joined_member_count", joined);
            object.plain("m.invited_member_count", invited);
        }
        object.end();
    }
}

/// How many have joined, and are invited.
pub(crate) fn counts(head: &RoomHead) -> Option<(u32, u32)> {
    match head.current {
        belfry_data::CurrentState::Rows { members, .. } => Some((members.joined, members.invited)),
        belfry_data::CurrentState::Tree { .. } => None,
    }
}

fn write_users(users: &[OwnedUserId], out: &mut String) {
    out.push('[');
    for (number, user) in users.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_string(user.as_str(), out);
    }
    out.push(']');
}

async fn is_named(view: &mut RoomView<'_>) -> Result<bool, Fault> {
    let tuples = [
        plain_tuple("m.room.name")?,
        plain_tuple("m.room.canonical_alias")?,
    ];
    let found = view.pick(view.state, tuples).await?;
    let hashes: Vec<_> = found.into_values().collect();
    let events = view.events(&hashes).await?;
    Ok(events.iter().any(says_a_name))
}

fn says_a_name(event: &RoomEvent) -> bool {
    #[derive(Deserialize)]
    struct Content {
        name: Option<String>,
        alias: Option<String>,
    }
    let content = serde_json::from_str::<Content>(event.pdu.content_json());
    let texts = content.map(|content| [content.name, content.alias]);
    let mut texts = texts.into_iter().flatten().flatten();
    texts.any(|text| !text.is_empty())
}

/// The first to come of those who are here or are to come; if there is nobody, of those who were.
async fn heroes(view: &RoomView<'_>, reader: &UserId) -> Result<Vec<OwnedUserId>, Fault> {
    let current = view.reader.current(&view.head);
    let page = current.members(None, HERO_CANDIDATES_MAX).await?;
    let others = page.members.into_iter();
    let others = others.filter(|member| member.user_id != reader);
    let (here, gone): (Vec<_>, Vec<_>) = others
        .partition(|member| matches!(member.membership, Membership::Join | Membership::Invite));
    let was_here = |member: &Member| member.membership != Membership::Knock;
    let chosen = if here.is_empty() {
        gone.into_iter().filter(was_here).collect()
    } else {
        here
    };
    by_arrival(view, chosen).await
}

async fn by_arrival(view: &RoomView<'_>, members: Vec<Member>) -> Result<Vec<OwnedUserId>, Fault> {
    let mut users: Vec<_> = members
        .iter()
        .map(|member| (None, &member.user_id))
        .collect();
    if members.len() > 1 {
        let hashes: Vec<_> = members.iter().map(|member| member.event).collect();
        let events = view.reader.events(&hashes).await?;
        for (user, event) in users.iter_mut().zip(events) {
            user.0 = event.map(|event| event.stamp);
        }
        users.sort();
    }
    let users = users.into_iter().take(HEROES_MAX);
    Ok(users.map(|(_, user)| user.clone()).collect())
}
