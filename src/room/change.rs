//! What a request wants to happen in a room, before it is an event.
//!
//! It exists so that the worker plans every kind of request in one way: a change names its type,
//! its state key and what its content will be, given the state it meets. It knows nothing of
//! storage, of hashes and of where the request came from.

use belfry_data::FlowAct;
use belfry_event::Pdu;
use ruma_common::{OwnedEventId, OwnedUserId, UserId};
use ruma_events::{TimelineEventType, room::member::MembershipState};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The key of the user by whom a join is authorised.
const AUTHORISED_VIA: &str = "join_authorised_via_users_server";
/// What a removal says that takes the target's events away, in the draft's words too.
const REDACT_EVENTS: [&str; 2] = ["redact_events", "org.matrix.msc4293.redact_events"];

/// An event to be, without its place in the room.
#[derive(Debug, Clone)]
pub enum Change {
    /// A message-like event.
    Message {
        /// The event's type.
        kind: TimelineEventType,
        /// The event's content, a JSON object.
        content: Box<RawValue>,
    },
    /// A state event. If the state already holds this very content, nothing is sent and the event
    /// that holds it is the answer.
    State {
        /// The event's type.
        kind: TimelineEventType,
        /// The event's state key.
        state_key: String,
        /// The event's content, a JSON object.
        content: Box<RawValue>,
    },
    /// A change of somebody's membership.
    Member(Membership),
    /// A redaction (Client-Server API, "Redactions"): the content of an event of this room is
    /// taken away. The sender's own, or with enough power anybody's.
    Redaction {
        /// The event to be redacted.
        redacts: OwnedEventId,
        /// The redaction's content, without the target: that is put where the room version has it.
        content: Box<RawValue>,
    },
}

/// A membership change asked for by a person, as opposed to a raw state event.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Whose membership.
    pub target: OwnedUserId,
    /// What is to be done.
    pub act: MemberAct,
    /// Why, for people.
    pub reason: Option<String>,
    /// The target's public profile, for acts that show it (join, invite, knock).
    pub profile: Profile,
    /// Whether the invite is to a direct chat.
    pub is_direct: bool,
    /// Of a join that needs no invite because of another room: the user of this server who could
    /// have invited. Room version 8, "Restricted rooms".
    pub authorised_via: Option<OwnedUserId>,
    /// Whether a kick or ban takes away what the target wrote (MSC4293).
    pub redact_events: bool,
    /// What follows from the act: begun in the commit that holds the event.
    pub flow: Option<FlowAct>,
}

impl Membership {
    /// The act on `target`, without reason or profile.
    pub fn new(target: impl Into<OwnedUserId>, act: MemberAct) -> Self {
        Self {
            target: target.into(),
            act,
            reason: None,
            profile: Profile::default(),
            is_direct: false,
            authorised_via: None,
            redact_events: false,
            flow: None,
        }
    }
}

/// What member events show of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The display name, if there is one.
    pub displayname: Option<String>,
    /// The avatar's `mxc:` URI, if there is one.
    pub avatar_url: Option<String>,
}

/// The membership endpoints of the Client-Server API ("Room membership").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberAct {
    /// The sender joins.
    Join,
    /// The sender leaves, declines an invite or takes back a knock.
    Leave,
    /// The sender knocks.
    Knock,
    /// The sender invites the target.
    Invite,
    /// The sender removes the target, who is joined, invited or knocking.
    Kick,
    /// The sender bans the target.
    Ban,
    /// The sender lifts the target's ban.
    Unban,
    /// The sender, who is joined, shows another name and avatar.
    Show,
}

impl MemberAct {
    /// The membership that the event will say.
    pub const fn membership(self) -> &'static str {
        match self {
            Self::Join | Self::Show => "join",
            Self::Leave | Self::Kick | Self::Unban => "leave",
            Self::Knock => "knock",
            Self::Invite => "invite",
            Self::Ban => "ban",
        }
    }
}

/// What becomes of a membership change in the state it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// An event is to be sent.
    Send,
    /// It is so already: the present member event is the answer.
    Already,
    /// The act makes no sense here; the text says why.
    Misfit(&'static str),
}

impl Membership {
    /// How the act fits the target's present membership (`None`: never was in the room).
    ///
    /// The authorisation rules would allow some acts that make no sense, such as kicking somebody
    /// who has left; the spec answers those with 403.
    pub fn fit(&self, present: Option<&MembershipState>, sender: &UserId) -> Fit {
        use MembershipState as Is;
        match (self.act, present) {
            (MemberAct::Join, Some(Is::Join)) if self.target == sender => Fit::Already,
            (MemberAct::Leave, Some(Is::Leave)) => Fit::Already,
            (MemberAct::Leave, None) => Fit::Misfit("you are not in this room"),
            (MemberAct::Show, present) if present != Some(&Is::Join) => {
                Fit::Misfit("you are not in this room")
            }
            (MemberAct::Kick, None | Some(Is::Leave)) => {
                Fit::Misfit("the user is not in this room")
            }
            (MemberAct::Kick, Some(Is::Ban)) => Fit::Misfit("the user is banned; lift the ban"),
            (MemberAct::Unban, present) if present != Some(&Is::Ban) => {
                Fit::Misfit("the user is not banned")
            }
            (MemberAct::Invite, Some(Is::Join)) => Fit::Misfit("the user is already in the room"),
            _ => Fit::Send,
        }
    }

    /// The member event's content.
    pub fn content(&self) -> Map<String, Value> {
        let mut content = Map::new();
        content.insert("membership".to_owned(), self.act.membership().into());
        let shown = matches!(
            self.act,
            MemberAct::Join | MemberAct::Invite | MemberAct::Knock | MemberAct::Show
        );
        let profile = shown.then_some(&self.profile);
        let mut put = |key: &str, value: Option<&String>| {
            if let Some(value) = value {
                content.insert(key.to_owned(), value.as_str().into());
            }
        };
        put(
            "displayname",
            profile.and_then(|profile| profile.displayname.as_ref()),
        );
        put(
            "avatar_url",
            profile.and_then(|profile| profile.avatar_url.as_ref()),
        );
        put("reason", self.reason.as_ref());
        if self.is_direct && self.act == MemberAct::Invite {
            content.insert("is_direct".to_owned(), true.into());
        }
        if let Some(user) = self
            .authorised_via
            .as_ref()
            .filter(|_| self.act == MemberAct::Join)
        {
            content.insert(AUTHORISED_VIA.to_owned(), user.as_str().into());
        }
        if self.redact_events && matches!(self.act, MemberAct::Kick | MemberAct::Ban) {
            for name in REDACT_EVENTS {
                content.insert(name.to_owned(), true.into());
            }
        }
        content
    }

    /// The content of [`MemberAct::Show`]: what the present event says beside name and avatar
    /// stays, but for what was about the moment of joining.
    pub(crate) fn shown_on(&self, present: &Pdu) -> Map<String, Value> {
        let mut content: Map<String, Value> =
            serde_json::from_str(present.content_json()).unwrap_or_default();
        for of_its_time in ["displayname", "avatar_url", "reason", AUTHORISED_VIA] {
            content.remove(of_its_time);
        }
        content.extend(self.content());
        content
    }
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;

    use super::*;

    fn fit(act: MemberAct, present: Option<&MembershipState>) -> Fit {
        let target = user_id!("@t:x");
        let sender = if matches!(act, MemberAct::Join | MemberAct::Leave | MemberAct::Knock) {
            target
        } else {
            user_id!("@s:x")
        };
        Membership::new(target, act).fit(present, sender)
    }

    #[test]
    fn acts_that_change_nothing_send_nothing() {
        assert_eq!(
            fit(MemberAct::Join, Some(&MembershipState::Join)),
            Fit::Already
        );
        assert_eq!(
            fit(MemberAct::Leave, Some(&MembershipState::Leave)),
            Fit::Already
        );
    }

    #[test]
    fn acts_that_make_no_sense_are_refused() {
        let misfits = [
            (MemberAct::Leave, None),
            (MemberAct::Kick, None),
            (MemberAct::Kick, Some(&MembershipState::Leave)),
            (MemberAct::Kick, Some(&MembershipState::Ban)),
            (MemberAct::Unban, Some(&MembershipState::Join)),
            (MemberAct::Unban, None),
            (MemberAct::Invite, Some(&MembershipState::Join)),
        ];
        for (act, present) in misfits {
            assert!(
                matches!(fit(act, present), Fit::Misfit(_)),
                "{act:?} {present:?}"
            );
        }
    }

    #[test]
    fn a_kick_does_not_show_the_profile_and_a_join_does() {
        let mut change = Membership::new(user_id!("@t:x"), MemberAct::Join);
        change.profile.displayname = Some("T".to_owned());
        assert_eq!(change.content()["displayname"], "T");
        change.act = MemberAct::Kick;
        assert!(!change.content().contains_key("displayname"));
    }
}
