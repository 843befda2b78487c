//! Whether a membership is changed here or by way of another server.
//!
//! It exists so that whoever joins, knocks, leaves or invites need not know where the room is. It
//! knows nothing of how other servers are asked.

use belfry_data::{RoomReader, invite};
use belfry_policy::{Account, Purpose, Request, Requester, Rules};
use ruma_common::{OwnedServerName, RoomId, ServerName};
use serde::Deserialize;

use crate::change::{Change, MemberAct, Membership};
use crate::error::RoomError;
use crate::job::Append;
use crate::permission::{action, permit};
use crate::remote_join::Remote;
use crate::residence::is_in_room;
use crate::rooms::Rooms;

#[derive(Deserialize)]
struct Invitation {
    sender: ruma_common::OwnedUserId,
}

impl Rooms {
    /// Changes a membership as an account of this server, if policy allows it: here if this server
    /// is in the room, else by way of the inviter's server, of those in `via`, and of the one that
    /// the room's ID names.
    ///
    /// # Errors
    /// Those of [`Rooms::append`], [`Rooms::join_remote`] and [`Rooms::invite_remote`].
    pub async fn move_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        room_id: &RoomId,
        change: Membership,
        via: Vec<OwnedServerName>,
    ) -> Result<(), RoomError> {
        let append = Append {
            sender: account.id.to_owned(),
            change: Change::Member(change.clone()),
            txn: None,
            timestamp_ms: None,
        };
        let own = &self.0.identity.server_name;
        if change.act == MemberAct::Invite && change.target.server_name() != own {
            permit(rules, account, room_id, &append.change)?;
            return self.invite_remote(room_id, &append).await.map(drop);
        }
        let moves = matches!(
            change.act,
            MemberAct::Join | MemberAct::Leave | MemberAct::Knock
        );
        if change.act == MemberAct::Leave {
            permit(rules, account, room_id, &append.change)?;
        }
        let resident = match self.is_resident(room_id).await {
            Err(error) => return self.give_up(room_id, &change, error).await,
            Ok(resident) => resident,
        };
        if !moves || resident {
            return match self.append_as(rules, account, room_id, append).await {
                Err(error) => self.give_up(room_id, &change, error).await,
                Ok(_) => Ok(()),
            };
        }
        permit(rules, account, room_id, &append.change)?;
        let remote = Remote {
            room_id: room_id.to_owned(),
            via: self
                .ways(rules, account, room_id, &append.change, via)
                .await?,
            change,
        };
        if remote.via.is_empty() && remote.change.act != MemberAct::Leave {
            return Err(RoomError::UnknownRoom);
        }
        match remote.change.act {
            MemberAct::Join => {
                self.join_remote(&remote).await?;
                self.has_joined(room_id, account.id).await
            }
            MemberAct::Knock => self.knock_remote(&remote).await.map(drop),
            _ => self.leave_remote(&remote).await,
        }
    }

    /// A damaged room lets its users go, if it cannot do anything else for them.
    async fn give_up(
        &self,
        room_id: &RoomId,
        change: &Membership,
        error: RoomError,
    ) -> Result<(), RoomError> {
        if change.act != MemberAct::Leave || !matches!(error, RoomError::Fault(_)) {
            return Err(error);
        }
        let user = &change.target;
        tracing::warn!(%room_id, %user, %error, "a damaged room is left, and is not told");
        self.0.abandon(room_id, change).await
    }

    /// Whether this server is in the room.
    pub async fn is_resident(&self, room_id: &RoomId) -> Result<bool, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        match reader.head().await? {
            None => Ok(false),
            Some(head) => is_in_room(&reader, &head, &self.0.identity.server_name, true).await,
        }
    }

    /// The servers to go by, the likeliest first, as far as policy lets us ask them.
    async fn ways(
        &self,
        rules: &Rules,
        account: Account<'_>,
        room_id: &RoomId,
        change: &Change,
        via: Vec<OwnedServerName>,
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let known = invite(&*snapshot, account.id, room_id).await?;
        // The inviter's server; of a knock, those whose users made the room what it is.
        let told = known.iter();
        let told = told.flat_map(|row| [&row.event].into_iter().chain(&row.state));
        let told = told.filter_map(|json| serde_json::from_str::<Invitation>(json).ok());
        let told: Vec<_> = told
            .map(|event| event.sender.server_name().to_owned())
            .collect();
        let named = named_in(room_id);
        let mut ways: Vec<OwnedServerName> = Vec::new();
        let own = &self.0.identity.server_name;
        for server in told.into_iter().chain(via).chain(named) {
            let may = || may_ask(rules, account, change, &server);
            if server != *own && !ways.contains(&server) && may() {
                ways.push(server);
            }
        }
        Ok(ways)
    }
}

/// Whether policy lets the account go by that server.
fn may_ask(rules: &Rules, account: Account<'_>, change: &Change, server: &ServerName) -> bool {
    let purpose = match change {
        Change::Member(change) if change.act == MemberAct::Join => Purpose::Join,
        Change::Member(change) if change.act == MemberAct::Knock => Purpose::Knock,
        _ => Purpose::Exchange,
    };
    let asking = Request::new(Requester::Account(account), action(change));
    belfry_policy::decide(rules, &asking.with_peer(server, purpose))
        .into_result()
        .is_ok()
}

/// The server whose name a room ID of before version 12 ends in. What only looks like one is passed
/// over: room IDs come from strangers.
fn named_in(room_id: &RoomId) -> Option<OwnedServerName> {
    let (_, name) = room_id.as_str().split_once(':')?;
    OwnedServerName::try_from(name).ok()
}
