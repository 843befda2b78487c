//! What is asked: a requester, an act, and the facts about the place that the rules look at. The
//! caller reads these facts; nothing here looks anything up.

use ruma_common::{RoomId, ServerName, UserId};
use serde::{Deserialize, Serialize};

/// May this be done?
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub requester: Requester<'a>,
    /// For what.
    pub action: Action,
    /// The room in which it happens; for [`Action::CreateRoom`] none, or the class wanted.
    pub room: Option<Room<'a>>,
    /// The other server that is asked: the invited user's, the one to join through, the one that
    /// holds what is looked up. None for [`Requester::Server`], which is the other server.
    pub peer: Option<Peer<'a>>,
    /// The account that it is done to, for acts on accounts.
    pub target: Option<Account<'a>>,
}

impl<'a> Request<'a> {
    /// A request that concerns no room, no other server and no other account.
    pub fn new(requester: Requester<'a>, action: Action) -> Self {
        Self {
            requester,
            action,
            room: None,
            peer: None,
            target: None,
        }
    }

    /// The same, in this room.
    #[must_use]
    pub fn in_room(self, room: Room<'a>) -> Self {
        Self {
            room: Some(room),
            ..self
        }
    }

    /// The same, with this server asked for this.
    #[must_use]
    pub fn with_peer(self, server: &'a ServerName, purpose: Purpose) -> Self {
        Self {
            peer: Some(Peer { server, purpose }),
            ..self
        }
    }

    /// The same, done to this account.
    #[must_use]
    pub fn on_account(self, target: Account<'a>) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub enum Requester<'a> {
    /// An account of this server.
    Account(Account<'a>),
    /// Another server, by a signed request.
    Server(Peer<'a>),
    /// This server on its own account: sending what was committed, fetching what is missing.
    Homeserver,
}

/// Another server and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Its name, as in user IDs.
    pub server: &'a ServerName,
    /// What the two servers do together.
    pub purpose: Purpose,
}

/// What the rules look at in an account of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account<'a> {
    /// Its user ID.
    pub id: &'a UserId,
    /// A name in [`crate::Rules::roles`].
    pub role: &'a str,
    /// Whether an administrator has restricted it.
    pub standing: Standing,
}

/// Whether an account is restricted (client-server API, «Account moderation»).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not restricted.
    #[default]
    Active,
    /// May read, leave, and look after its own security and data.
    Suspended,
    /// May only log out.
    Locked,
}

/// What the rules look at in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room<'a> {
    /// Its ID; `None` if the room is yet to be created.
    pub id: Option<&'a RoomId>,
    /// A name in [`crate::Rules::classes`].
    pub class: &'a str,
}

/// Declares an enum of plain names together with the list of all of them.
macro_rules! names {
    ($(#[$of_enum:meta])* $name:ident { $($(#[$of_variant:meta])* $variant:ident,)* }) => {
        $(#[$of_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$of_variant])* $variant,)* }

        impl $name {
            /// Every one, in the order declared.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
        }
    };
}

names! {
    /// What can be asked for. One variant wherever an administration may want a different answer.
    Action {
        /// Start a session.
        LogIn,
        /// End a session of one's own, or delete a device.
        LogOut,
        /// Sync, read messages, profiles, media; send private receipts.
        Read,
        /// Verify devices, write cross-signing data and key backups.
        ManageKeys,
        /// Change account data, push rules, filters.
        ChangeSettings,
        /// Change display name, avatar, other profile fields, presence.
        ChangeProfile,
        /// Add an e-mail address or telephone number, or change one.
        AddContact,
        /// Remove one.
        RemoveContact,
        /// Deactivate one's own account.
        Deactivate,
        /// Create a room or space.
        CreateRoom,
        /// Join a room; accept an invite.
        Join,
        /// Knock on a room.
        Knock,
        /// Invite somebody.
        Invite,
        /// Leave a room, reject an invite, take back a knock.
        Leave,
        /// Send an event, type, react, show a receipt, message another's devices.
        Send,
        /// Redact an event of one's own.
        RedactOwn,
        /// Redact somebody else's event.
        RedactOther,
        /// Kick, ban, change a room's settings.
        Moderate,
        /// Show a room in the public directory; give it an alias.
        Publish,
        /// Upload media.
        Upload,
        /// Report an event, a room, a user.
        Report,
        /// Look something up at another server for oneself: profile, directory, media, keys.
        LookUp,
        /// Take part in what servers do together; the purpose tells what.
        Federate,
        /// Use the administration API and console.
        Administer,
        /// Lock or unlock another account.
        LockAccount,
        /// Suspend or unsuspend another account.
        SuspendAccount,
    }
}

names! {
    /// What two servers do with each other, each of which an agreement may grant by itself.
    Purpose {
        /// A user of one joins a room of the other.
        Join,
        /// A user of one knocks on a room of the other.
        Knock,
        /// A user of one is invited by a user of the other.
        Invite,
        /// Events, receipts and typing of rooms that both are in.
        Exchange,
        /// Names and avatars of users.
        Profile,
        /// Device lists, one-time keys, to-device messages.
        Keys,
        /// The public room directory, aliases, space hierarchies.
        Directory,
        /// Avatars, pictures, files.
        Media,
    }
}

/// Who asks whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// They ask us.
    Inbound,
    /// We ask them.
    Outbound,
}
