//! Flows that do one thing in every room of a user: leaving them all, showing another profile.
//!
//! It exists so that the walk over somebody's rooms is written once. It knows nothing of why.

use belfry_data::{Membership as Is, UserRoom, user_rooms};
use belfry_room::{Change, MemberAct, Membership, Profile};
use belfry_user::ProfileError;
use futures_util::future::join_all;
use ruma_common::{RoomId, UserId};

use crate::runner::Inner;
use crate::step::{Halt, Next};

/// Rooms looked at in one step, at the same time.
pub const ROOMS_PER_STEP: usize = 16;

impl Inner {
    /// Leaves what is joined, declines what is invited to, takes back what is knocked on.
    pub(crate) async fn leave_rooms(&self, user: &UserId, after: &str) -> Result<Next, Halt> {
        let leave = Membership::new(user, MemberAct::Leave);
        let wanted = |is| matches!(is, Is::Join | Is::Invite | Is::Knock);
        self.in_rooms(user, after, wanted, &leave).await
    }

    /// Shows the user's name and avatar, as they are now, where the user is joined.
    pub(crate) async fn show_profile(&self, user: &UserId, after: &str) -> Result<Next, Halt> {
        let Some(profile) = self.profile_of(user).await? else {
            return Ok(Next::Done);
        };
        let mut show = Membership::new(user, MemberAct::Show);
        show.profile = profile;
        self.in_rooms(user, after, |is| is == Is::Join, &show).await
    }

    /// Makes the change in the next few rooms in which the user is what is wanted.
    async fn in_rooms(
        &self,
        user: &UserId,
        after: &str,
        wanted: impl Fn(Is) -> bool,
        change: &Membership,
    ) -> Result<Next, Halt> {
        let page = self.rooms_behind(user, after).await?;
        let rooms = page.iter().filter(|room| wanted(room.row.membership));
        let acts = rooms.map(|room| {
            let change = Change::Member(change.clone());
            self.act(&room.room_id, user, change)
        });
        join_all(acts)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        let last = page.last().filter(|_| page.len() == ROOMS_PER_STEP);
        Ok(last.map_or(Next::Done, |last| Next::At {
            stage: 0,
            cursor: last.room_id.to_string(),
        }))
    }

    async fn rooms_behind(&self, user: &UserId, after: &str) -> Result<Vec<UserRoom>, Halt> {
        let snapshot = self.engine.snapshot().await?;
        let after = <&RoomId>::try_from(after).ok();
        Ok(user_rooms(&*snapshot, user, after, ROOMS_PER_STEP).await?)
    }

    /// What member events show of the user; `None` if there is no such account any more.
    async fn profile_of(&self, user: &UserId) -> Result<Option<Profile>, Halt> {
        let fields = match self.users.profile(user).await {
            Ok(fields) => fields,
            Err(ProfileError::Fault(fault)) => return Err(fault.into()),
            Err(_) => return Ok(None),
        };
        let text = |name: &str| {
            let (_, value) = fields.iter().find(|(field, _)| field == name)?;
            value.as_str().map(str::to_owned)
        };
        Ok(Some(Profile {
            displayname: text("displayname"),
            avatar_url: text("avatar_url"),
        }))
    }
}
