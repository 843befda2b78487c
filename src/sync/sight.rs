//! Who sees which events: history visibility for one reader, asked for many events at once.
//!
//! It exists so that every reader of rooms (sync, messages, context, single events) asks in one
//! place, with the facts read in a few round trips whatever the number of events. It knows nothing
//! of filters and of what is shown of an event.

use belfry_data::{Membership, Root, StateTuple, TimelinePoint};
use belfry_event::{Around, EventHash, Standing, Visibility, user_may_see};
use ruma_common::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use ruma_events::TimelineEventType;
use serde_json::value::RawValue;

use crate::{
    error::Fault,
    event::RoomEvent,
    facts::{Fact, Facts},
    ignored::Ignored,
    room_view::RoomView,
};

/// Steps back through somebody's memberships of a room in search of the latest join. Whoever came
/// and was turned away more often since then counts as never joined.
pub const MEMBERSHIP_STEPS_MAX: usize = 100;

/// What names a room, and who speaks there, in a push: the name there, the event, the member of its
/// content. A sender's is the member event of theirs.
pub(crate) const NAMES_IN_PUSHES: [(&str, &str, &str); 3] = [
    ("room_name", "m.room.name", "name"),
    ("room_alias", "m.room.canonical_alias", "alias"),
    ("sender_display_name", "m.room.member", "displayname"),
];

/// The reader of a room.
#[derive(Debug, Clone)]
pub(crate) struct Eyes {
    user: OwnedUserId,
    joined: Joined,
    ignored: Ignored,
    device: Option<OwnedDeviceId>,
}

/// Until when the reader was joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    /// They are.
    Now,
    /// The latest join stands at this place.
    LastAt(TimelinePoint),
    /// They never were.
    Never,
}

/// What the reader sees of one event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    /// Whether they see it.
    pub(crate) visible: bool,
    /// The reader's own membership after the event.
    pub(crate) membership: Membership,
    /// The state event that it replaced, if it is one.
    pub(crate) replaces: Option<EventHash>,
}

/// The end of somebody's latest stay in a room.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    /// The latest member event that says `join`.
    pub(crate) join: RoomEvent,
    /// The member event that followed it; `None` while the stay lasts.
    pub(crate) departure: Option<RoomEvent>,
}

impl Eyes {
    /// Of a member.
    pub(crate) fn of_member(user: &UserId) -> Self {
        Self::new(user, Joined::Now)
    }

    /// Of somebody who is not joined.
    pub(crate) fn of_outsider(user: &UserId, last_stay: Option<&Stay>) -> Self {
        let joined = last_stay.map_or(Joined::Never, |stay| Joined::LastAt(stay.join.point()));
        Self::new(user, joined)
    }

    fn new(user: &UserId, joined: Joined) -> Self {
        Self {
            user: user.to_owned(),
            joined,
            ignored: Ignored::default(),
            device: None,
        }
    }

    /// The same, of somebody who does not want to hear from these.
    pub(crate) fn ignoring(mut self, ignored: Ignored) -> Self {
        self.ignored = ignored;
        self
    }

    /// The same, of somebody who reads on this device.
    pub(crate) fn on(mut self, device: Option<&DeviceId>) -> Self {
        self.device = device.map(ToOwned::to_owned);
        self
    }

    pub(crate) fn device(&self) -> Option<&str> {
        self.device.as_deref().map(DeviceId::as_str)
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    pub(crate) fn ignored(&self) -> &Ignored {
        &self.ignored
    }

    fn joined_since(&self, event: &RoomEvent) -> bool {
        match self.joined {
            Joined::Now => true,
            Joined::LastAt(join) => event.point() < join,
            Joined::Never => false,
        }
    }

    /// What the reader sees of these events, in their order.
    pub(crate) async fn look(
        &self,
        view: &mut RoomView<'_>,
        facts: &Facts,
        events: &[RoomEvent],
    ) -> Result<Vec<Sight>, Fault> {
        let questions = Questions::about(events, &self.user)?;
        let found = view.lookup(&questions.asked).await?;
        let told = questions.places.iter();
        let told = told.flat_map(|place| [found[place.setting], found[place.setting + 1]]);
        let facts = facts.of(&view.reader, &told.flatten().collect()).await?;
        let fact = |place: usize| found[place].and_then(|event| facts.get(&event)).copied();
        let sights = events.iter().zip(&questions.places).map(|(event, place)| {
            let visibility = fact(place.setting);
            let membership = fact(place.setting + 1);
            let before = Before {
                visibility: visibility.map_or_else(Visibility::default, Fact::visibility),
                membership: membership.map_or(Membership::Leave, Fact::membership),
                replaced: place.replaced.and_then(|place| found[place]),
            };
            self.judge(event, &before)
        });
        Ok(sights.collect())
    }

    fn judge(&self, event: &RoomEvent, before: &Before) -> Sight {
        let is_visibility = *event.pdu.event_type() == TimelineEventType::RoomHistoryVisibility
            && event.pdu.state_key() == Some("");
        let visibility = Around {
            before: before.visibility,
            after: if is_visibility {
                visibility_in(event)
            } else {
                before.visibility
            },
        };
        let membership = Around {
            before: before.membership,
            after: if event.is_member_event_of(&self.user) {
                membership_in(event)
            } else {
                before.membership
            },
        };
        let standing = Around {
            before: standing(membership.before),
            after: standing(membership.after),
        };
        Sight {
            visible: event.is_visible()
                && user_may_see(visibility, standing, self.joined_since(event)),
            membership: membership.after,
            replaces: before.replaced,
        }
    }
}

/// What the state before an event says.
struct Before {
    visibility: Visibility,
    membership: Membership,
    replaced: Option<EventHash>,
}

/// What is asked of the states before some events.
struct Questions {
    asked: Vec<(Root, StateTuple)>,
    /// Of each event.
    places: Vec<Asked>,
}

/// Where the questions about an event stand.
struct Asked {
    /// The room's visibility; right behind it the reader's membership.
    setting: usize,
    /// What the event replaced, if it is state.
    replaced: Option<usize>,
}

impl Questions {
    fn about(events: &[RoomEvent], reader: &UserId) -> Result<Self, Fault> {
        let setting = [visibility_tuple()?, member_tuple(reader)?];
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        let mut last = None;
        for event in events {
            let root = event.state_before();
            // Between two state events the state is the same.
            let place = match last {
                Some((same, place)) if same == root => place,
                _ => {
                    asked.extend(setting.clone().map(|tuple| (root, tuple)));
                    asked.len() - 2
                }
            };
            last = Some((root, place));
            let replaced = event.tuple().map(|tuple| {
                asked.push((root, tuple));
                asked.len() - 1
            });
            let setting = place;
            places.push(Asked { setting, replaced });
        }
        Ok(Self { asked, places })
    }
}

/// The latest stay of a user in a room, from the latest member event about them backward.
pub(crate) async fn last_stay(
    view: &mut RoomView<'_>,
    user: &UserId,
    latest: EventHash,
) -> Result<Option<Stay>, Fault> {
    let own = member_tuple(user)?;
    let mut later = None;
    let mut next = Some(latest);
    for _ in 0..MEMBERSHIP_STEPS_MAX {
        let Some(hash) = next else { break };
        let Some(event) = view.events(&[hash]).await?.pop() else {
            break;
        };
        if membership_in(&event) == Membership::Join {
            return Ok(Some(Stay {
                join: event,
                departure: later,
            }));
        }
        let asked = [(event.state_before(), own.clone())];
        next = view.lookup(&asked).await?.pop().flatten();
        later = Some(event);
    }
    Ok(None)
}

/// The tuple of a user's member event.
pub(crate) fn member_tuple(user: &UserId) -> Result<StateTuple, Fault> {
    StateTuple::member(user.as_str()).map_err(|_| belfry_data::ReadError::TooLarge.into())
}

pub(crate) fn visibility_tuple() -> Result<StateTuple, Fault> {
    plain_tuple("m.room.history_visibility")
}

/// The tuple of a type whose state key is empty.
pub(crate) fn plain_tuple(event_type: &str) -> Result<StateTuple, Fault> {
    StateTuple::new(event_type, "").map_err(|_| belfry_data::ReadError::TooLarge.into())
}

/// What a member event says; a membership that the spec does not know is as good as none.
pub(crate) fn membership_in(event: &RoomEvent) -> Membership {
    Membership::from_content(event.pdu.content_json()).unwrap_or(Membership::Leave)
}

/// What an `m.room.history_visibility` event says.
pub(crate) fn visibility_in(event: &RoomEvent) -> Visibility {
    serde_json::from_str::<&RawValue>(event.pdu.content_json())
        .map_or_else(|_| Visibility::default(), Visibility::of_content)
}

fn standing(membership: Membership) -> Standing {
    match membership {
        Membership::Join => Standing::Joined,
        Membership::Invite => Standing::Invited,
        Membership::Knock | Membership::Leave | Membership::Ban => Standing::Outside,
    }
}
