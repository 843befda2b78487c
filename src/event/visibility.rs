//! History visibility: who may see an event that is already in a room.
//!
//! It exists so that every reader (sync, messages, context, search, federation) asks one function
//! with the facts in hand: what the state said at the event, and whether the reader came later
//! (Client-Server API, "Room History Visibility"). It knows nothing of where those facts are
//! kept, of ignored users, or of rejected and soft-failed events, which nobody sees.

use std::borrow::Cow;

use ruma_events::room::member::MembershipState;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The `history_visibility` of a room at some event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// For anyone, joined or not.
    WorldReadable,
    /// For whoever is or comes to be a member: also what a room without the setting, or with one
    /// that nobody understands, has.
    #[default]
    Shared,
    /// For members from their invitation on.
    Invited,
    /// For members from their joining on.
    Joined,
}

impl Visibility {
    /// What the content of an `m.room.history_visibility` event sets.
    pub fn of_content(content: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(borrow)]
            history_visibility: Cow<'a, str>,
        }
        let content = serde_json::from_str::<Content<'_>>(content.get());
        match content
            .as_ref()
            .map(|content| content.history_visibility.as_ref())
        {
            Ok("world_readable") => Self::WorldReadable,
            Ok("invited") => Self::Invited,
            Ok("joined") => Self::Joined,
            _ => Self::Shared,
        }
    }
}

/// A user's place in a room at some event, as far as visibility tells places apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Never there, left, banned, or knocking.
    #[default]
    Outside,
    /// Invited.
    Invited,
    /// Joined.
    Joined,
}

impl From<&MembershipState> for Standing {
    fn from(membership: &MembershipState) -> Self {
        match membership {
            MembershipState::Join => Self::Joined,
            MembershipState::Invite => Self::Invited,
            _ => Self::Outside,
        }
    }
}

/// Something that state says before and after an event: the same unless the event changed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Around<T> {
    /// In the state before the event.
    pub before: T,
    /// In the state after it.
    pub after: T,
}

impl<T: Copy> Around<T> {
    /// What the event did not change.
    pub const fn unchanged(value: T) -> Self {
        Self {
            before: value,
            after: value,
        }
    }

    fn either(self, allows: impl Fn(T) -> bool) -> bool {
        allows(self.before) || allows(self.after)
    }
}

/// Whether an event is visible by what is known without looking up anybody's membership at the
/// event; `None` if that must be known too.
///
/// `joined_since` as in [`user_may_see`].
pub fn visible_at_once(visibility: Around<Visibility>, joined_since: bool) -> Option<bool> {
    let at_once = |visibility| match visibility {
        Visibility::WorldReadable => true,
        Visibility::Shared => joined_since,
        Visibility::Invited | Visibility::Joined => false,
    };
    visibility.either(at_once).then_some(true)
}

/// Whether a user may see an event.
///
/// `visibility` differs before and after only for an `m.room.history_visibility` event, and
/// `standing`, the user's own, only for an `m.room.member` event about the user: either side
/// allowing it is enough. A redacted, rejected or soft-failed event changes nothing; for the last
/// two pass the state before on both sides.
///
/// `joined_since` is whether the user joined at any point after the event: true for whoever is
/// joined now, and for whoever left again, if the latest of their joins came after the event in
/// the room's timeline.
pub fn user_may_see(
    visibility: Around<Visibility>,
    standing: Around<Standing>,
    joined_since: bool,
) -> bool {
    visible_at_once(visibility, joined_since).unwrap_or_else(|| {
        visibility.either(|visibility| standing.either(|standing| shows(visibility, standing)))
    })
}

/// The rules that depend on who the user was at the event.
fn shows(visibility: Visibility, standing: Standing) -> bool {
    match standing {
        Standing::Joined => true,
        Standing::Invited => visibility == Visibility::Invited,
        Standing::Outside => false,
    }
}

/// Whether a server may see an event: if any of its users may. What it may not see is not sent to
/// it, or only in redacted form (Server-Server API, backfill and missing events).
///
/// `standings` are those of the server's users, as in [`user_may_see`]; users who were never there
/// need not be told, and nothing is asked for once the answer is known. `joined_since` is whether
/// any user of the server joined after the event or is joined now.
pub fn server_may_see(
    visibility: Around<Visibility>,
    standings: impl IntoIterator<Item = Around<Standing>>,
    joined_since: bool,
) -> bool {
    visible_at_once(visibility, joined_since).unwrap_or_else(|| {
        standings
            .into_iter()
            .any(|standing| user_may_see(visibility, standing, joined_since))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    const VISIBILITIES: [Visibility; 4] = [
        Visibility::WorldReadable,
        Visibility::Shared,
        Visibility::Invited,
        Visibility::Joined,
    ];
    const STANDINGS: [Standing; 3] = [Standing::Outside, Standing::Invited, Standing::Joined];

    fn sees(visibility: Visibility, standing: Standing, joined_since: bool) -> bool {
        user_may_see(
            Around::unchanged(visibility),
            Around::unchanged(standing),
            joined_since,
        )
    }

    /// The specification's five rules as a table: per visibility, what each standing sees without
    /// and with a later join.
    #[test]
    fn ordinary_events_follow_the_table() {
        use Visibility::{Invited, Joined, Shared, WorldReadable};
        #[rustfmt::skip]
        let table = [
            // visibility    outside         invited         joined
            (WorldReadable, [(true, true),   (true, true),   (true, true)]),
            (Shared,        [(false, true),  (false, true),  (true, true)]),
            (Invited,       [(false, false), (true, true),   (true, true)]),
            (Joined,        [(false, false), (false, false), (true, true)]),
        ];
        for (visibility, row) in table {
            for (standing, (never_after, later)) in STANDINGS.into_iter().zip(row) {
                let case = format!("{visibility:?} {standing:?}");
                assert_eq!(sees(visibility, standing, false), never_after, "{case}");
                assert_eq!(
                    sees(visibility, standing, true),
                    later,
                    "{case}, joined later"
                );
            }
        }
    }

    #[test]
    fn a_change_of_visibility_is_seen_by_who_sees_either_side() {
        for before in VISIBILITIES {
            for after in VISIBILITIES {
                for standing in STANDINGS {
                    for joined_since in [false, true] {
                        let change = Around { before, after };
                        let seen = user_may_see(change, Around::unchanged(standing), joined_since);
                        let either = sees(before, standing, joined_since)
                            || sees(after, standing, joined_since);
                        assert_eq!(seen, either, "{change:?} {standing:?} {joined_since}");
                    }
                }
            }
        }
    }

    #[test]
    fn opening_and_closing_a_room_to_the_world_is_seen_by_strangers() {
        use Visibility::{Joined, WorldReadable};
        let stranger = Around::unchanged(Standing::Outside);
        let closing = Around {
            before: WorldReadable,
            after: Joined,
        };
        let opening = Around {
            before: Joined,
            after: WorldReadable,
        };
        assert!(user_may_see(closing, stranger, false));
        assert!(user_may_see(opening, stranger, false));
        assert!(!user_may_see(Around::unchanged(Joined), stranger, false));
    }

    #[test]
    fn ones_own_membership_events_follow_the_table() {
        use Standing::{Invited, Joined, Outside};
        use Visibility as V;
        // What happened, and under which visibilities it is seen without joining later.
        let table = [
            ("joining", Outside, Joined, &VISIBILITIES[..]),
            ("leaving", Joined, Outside, &VISIBILITIES[..]),
            (
                "being banned from within",
                Joined,
                Outside,
                &VISIBILITIES[..],
            ),
            ("a new display name", Joined, Joined, &VISIBILITIES[..]),
            (
                "accepting an invitation",
                Invited,
                Joined,
                &VISIBILITIES[..],
            ),
            (
                "being invited",
                Outside,
                Invited,
                &[V::WorldReadable, V::Invited][..],
            ),
            (
                "declining an invitation",
                Invited,
                Outside,
                &[V::WorldReadable, V::Invited][..],
            ),
            ("knocking", Outside, Outside, &[V::WorldReadable][..]),
            (
                "being banned from without",
                Outside,
                Outside,
                &[V::WorldReadable][..],
            ),
        ];
        for (what, before, after, seen) in table {
            for visibility in VISIBILITIES {
                let standing = Around { before, after };
                let sees = user_may_see(Around::unchanged(visibility), standing, false);
                assert_eq!(sees, seen.contains(&visibility), "{what}, {visibility:?}");
            }
        }
    }

    #[test]
    fn between_leaving_and_rejoining_only_shared_history_is_seen() {
        for visibility in VISIBILITIES {
            let expected = matches!(visibility, Visibility::WorldReadable | Visibility::Shared);
            assert_eq!(
                sees(visibility, Standing::Outside, true),
                expected,
                "{visibility:?}"
            );
        }
    }

    #[test]
    fn what_came_after_leaving_for_good_is_not_seen() {
        for visibility in [Visibility::Shared, Visibility::Invited, Visibility::Joined] {
            assert!(
                !sees(visibility, Standing::Outside, false),
                "{visibility:?}"
            );
        }
    }

    #[test]
    fn an_invited_user_sees_shared_history_only_after_joining() {
        assert!(!sees(Visibility::Shared, Standing::Invited, false));
        assert!(sees(Visibility::Shared, Standing::Invited, true));
    }

    #[test]
    fn a_server_sees_what_any_of_its_users_sees() {
        for visibility in VISIBILITIES {
            for one in STANDINGS {
                for other in STANDINGS {
                    let users = [one, other].map(Around::unchanged);
                    let seen = server_may_see(Around::unchanged(visibility), users, false);
                    let any = sees(visibility, one, false) || sees(visibility, other, false);
                    assert_eq!(seen, any, "{visibility:?} {one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn a_server_without_users_at_the_event_sees_by_joining_later() {
        use Visibility::{Invited, Joined, Shared, WorldReadable};
        for (visibility, absent, later) in [
            (WorldReadable, true, true),
            (Shared, false, true),
            (Invited, false, false),
            (Joined, false, false),
        ] {
            let around = Around::unchanged(visibility);
            assert_eq!(server_may_see(around, [], false), absent, "{visibility:?}");
            assert_eq!(server_may_see(around, [], true), later, "{visibility:?}");
        }
    }

    #[test]
    fn memberships_are_not_asked_for_in_vain() {
        let unasked = std::iter::from_fn(|| -> Option<Around<Standing>> { unreachable!() });
        assert!(server_may_see(
            Around::unchanged(Visibility::Shared),
            unasked,
            true
        ));
    }

    #[test]
    fn unknown_visibility_is_shared() {
        for (content, visibility) in [
            (
                r#"{"history_visibility":"world_readable"}"#,
                Visibility::WorldReadable,
            ),
            (r#"{"history_visibility":"shared"}"#, Visibility::Shared),
            (r#"{"history_visibility":"invited"}"#, Visibility::Invited),
            (
                r#"{"history_visibility":"joined","x":1}"#,
                Visibility::Joined,
            ),
            (
                r#"{"history_visibility":"org.example.other"}"#,
                Visibility::Shared,
            ),
            (r#"{"history_visibility":["joined"]}"#, Visibility::Shared),
            ("{}", Visibility::Shared),
        ] {
            let json: serde_json::Value = serde_json::from_str(content).unwrap();
            let raw = to_raw_value(&json).unwrap();
            assert_eq!(Visibility::of_content(&raw), visibility, "{content}");
        }
    }

    #[test]
    fn knocking_and_banned_users_are_outside() {
        use MembershipState::{Ban, Invite, Join, Knock, Leave};
        for (membership, standing) in [
            (Join, Standing::Joined),
            (Invite, Standing::Invited),
            (Leave, Standing::Outside),
            (Ban, Standing::Outside),
            (Knock, Standing::Outside),
        ] {
            assert_eq!(Standing::from(&membership), standing);
        }
    }
}
