//! What policy is asked before a user's request reaches a room.
//!
//! It exists so that every change has one name in policy's words. It knows no policy, and nothing
//! of what the room's own rules say.

use belfry_policy::{
    Account, Action, DEFAULT_CLASS, Denial, Purpose, Request, Requester, Room, Rules,
};
use ruma_common::{OwnedRoomId, RoomId, UserId};

use crate::change::{Change, MemberAct};
use crate::create::CreateRoom;
use crate::error::RoomError;
use crate::job::{Append, Appended};
use crate::rooms::Rooms;

impl Rooms {
    /// [`Rooms::append`] for an account of this server, if policy allows it.
    pub async fn append_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        room_id: &RoomId,
        mut append: Append,
    ) -> Result<Appended, RoomError> {
        permit(rules, account, room_id, &append.change)?;
        self.check_content(room_id, &append.change).await?;
        if let Change::Member(change) = &mut append.change
            && change.act == MemberAct::Join
        {
            self.prepare_join(room_id, change).await?;
        }
        self.append(room_id, append).await
    }

    /// [`Rooms::create`] for an account of this server, if policy allows it and its invites. Users
    /// of other servers are invited when the room is there, as their servers must sign; one whose
    /// server does not is left out, as the room cannot be unmade.
    pub async fn create_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        request: CreateRoom,
    ) -> Result<OwnedRoomId, RoomError> {
        let requester = Requester::Account(account);
        let class = Room {
            id: None,
            class: DEFAULT_CLASS,
        };
        let wanted = Request::new(requester, Action::CreateRoom).in_room(class);
        belfry_policy::decide(rules, &wanted).into_result()?;
        if request.alias.is_some() || request.published {
            let publish = Request::new(requester, Action::Publish).in_room(class);
            belfry_policy::decide(rules, &publish).into_result()?;
        }
        for user in &request.invite {
            let invite = Request::new(requester, Action::Invite).in_room(class);
            belfry_policy::decide(rules, &towards(invite, account, user)).into_result()?;
        }
        let invites: Vec<_> = request.invites_elsewhere().collect();
        let room_id = self.create(request).await?;
        for invite in invites {
            let user = invite.target.clone();
            let told = self.move_as(rules, account, &room_id, invite, Vec::new());
            if let Err(error) = told.await {
                tracing::info!(%room_id, %user, %error, "a user was not invited to a new room");
            }
        }
        Ok(room_id)
    }
}

/// Asks whether the account may make this change in this room.
pub(crate) fn permit(
    rules: &Rules,
    account: Account<'_>,
    room_id: &RoomId,
    change: &Change,
) -> Result<(), Denial> {
    let room = Room {
        id: Some(room_id),
        class: DEFAULT_CLASS,
    };
    let request = Request::new(Requester::Account(account), action(change)).in_room(room);
    let request = match change {
        Change::Member(change) if change.act == MemberAct::Invite => {
            towards(request, account, &change.target)
        }
        _ => request,
    };
    belfry_policy::decide(rules, &request).into_result()
}

/// The request, which concerns this user of whatever server.
fn towards<'a>(request: Request<'a>, account: Account<'_>, user: &'a UserId) -> Request<'a> {
    if user.server_name() == account.id.server_name() {
        request
    } else {
        request.with_peer(user.server_name(), Purpose::Invite)
    }
}

/// What a change is called in policy's words.
pub(crate) fn action(change: &Change) -> Action {
    match change {
        Change::Message { .. } => Action::Send,
        Change::State { .. } => Action::Moderate,
        Change::Redaction { .. } => Action::RedactOwn,
        Change::Member(change) => match change.act {
            MemberAct::Join => Action::Join,
            MemberAct::Leave => Action::Leave,
            MemberAct::Knock => Action::Knock,
            MemberAct::Invite => Action::Invite,
            MemberAct::Kick | MemberAct::Ban | MemberAct::Unban => Action::Moderate,
            MemberAct::Show => Action::ChangeProfile,
        },
    }
}
