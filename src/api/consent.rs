//! Whether the invited wants to be invited, asked before any endpoint invites somebody (Client-Server
//! API, "Invite permission"). Knows nothing of the rule, which is `policy`'s.

use belfry_policy::Admission;
use belfry_room::{Change, MemberAct};
use belfry_user::Users;
use ruma_common::{OwnedUserId, UserId};
use ruma_events::{TimelineEventType, room::member::MembershipState};
use serde::Deserialize;

use crate::error::{ApiError, InviteBlocked};

/// Refuses an invite that the invited does not want.
pub(crate) async fn ask(users: &Users, invited: &UserId, by: &UserId) -> Result<(), ApiError> {
    match users.admits_invite(invited, by).await? {
        Admission::Blocked => Err(InviteBlocked.into()),
        Admission::Shown | Admission::Hidden => Ok(()),
    }
}

/// Refuses an invite that comes from another server: of a user who is not here, who wants none, or
/// who ignores whoever invites. A server that is told so need not show an invite that nobody sees.
pub(crate) async fn ask_for_other(
    users: &Users,
    invited: &UserId,
    by: &UserId,
) -> Result<(), ApiError> {
    users.profile(invited).await?;
    if users.ignores(invited, by).await? {
        return Err(InviteBlocked.into());
    }
    ask(users, invited, by).await
}

/// The user whom the change invites, by whichever endpoint.
pub(crate) fn invited(change: &Change) -> Option<OwnedUserId> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    match change {
        Change::Member(change) if change.act == MemberAct::Invite => Some(change.target.clone()),
        Change::State {
            kind: TimelineEventType::RoomMember,
            state_key,
            content,
        } => {
            let content: Content = serde_json::from_str(content.get()).ok()?;
            let user = state_key.as_str().try_into().ok()?;
            (content.membership == MembershipState::Invite).then_some(user)
        }
        _ => None,
    }
}
