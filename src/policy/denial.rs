//! Why a request was denied, as a reason that the API, the log and people can each use.

use std::fmt;

/// Why a request was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denial {
    /// The account is locked.
    Locked,
    /// The account is suspended, and suspended accounts may not do this.
    Suspended,
    /// The account has a role that the rules do not know; nothing is granted.
    RoleUnknown,
    /// The account's role does not grant it.
    RoleLacks,
    /// Nobody locks or suspends their own account.
    OwnAccount,
    /// The other account is an administrator's.
    AdministratorAccount,
    /// The room has a class that the rules do not know; nothing is granted.
    ClassUnknown,
    /// The room's class keeps other servers out.
    ClassUnfederated,
    /// The room's class withholds it, from everybody or from the account's role.
    ClassWithholds,
    /// The agreement with the other server does not cover it.
    ServerLacks,
}

/// What kind of error a client is told; the API maps it to a status and an `errcode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// `M_USER_LOCKED`, with soft logout.
    UserLocked,
    /// `M_USER_SUSPENDED`.
    UserSuspended,
    /// `M_FORBIDDEN`.
    Forbidden,
}

impl Denial {
    /// Every one, for catalogues of texts.
    pub const ALL: &[Self] = &[
        Self::Locked,
        Self::Suspended,
        Self::RoleUnknown,
        Self::RoleLacks,
        Self::OwnAccount,
        Self::AdministratorAccount,
        Self::ClassUnknown,
        Self::ClassUnfederated,
        Self::ClassWithholds,
        Self::ServerLacks,
    ];

    /// What kind of error a client is told.
    pub fn code(self) -> Code {
        match self {
            Self::Locked => Code::UserLocked,
            Self::Suspended => Code::UserSuspended,
            _ => Code::Forbidden,
        }
    }

    /// The key of the text that tells people why and what to do, in each language's catalogue.
    pub fn text_key(self) -> &'static str {
        match self {
            Self::Locked => "policy-account-locked",
            Self::Suspended => "policy-account-suspended",
            Self::RoleUnknown => "policy-role-unknown",
            Self::RoleLacks => "policy-role-lacks",
            Self::OwnAccount => "policy-own-account",
            Self::AdministratorAccount => "policy-administrator-account",
            Self::ClassUnknown => "policy-class-unknown",
            Self::ClassUnfederated => "policy-class-unfederated",
            Self::ClassWithholds => "policy-class-withholds",
            Self::ServerLacks => "policy-server-lacks",
        }
    }
}

impl fmt::Display for Denial {
    /// For the log and for clients without a catalogue; English.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Locked => "This account is locked. Ask your administrator.",
            Self::Suspended => "This account is suspended. Ask your administrator.",
            Self::RoleUnknown => "This account has an unknown role. Ask your administrator.",
            Self::RoleLacks => "Your role does not include this.",
            Self::OwnAccount => "Ask another administrator to do this to your own account.",
            Self::AdministratorAccount => "Take away the other account's administrator role first.",
            Self::ClassUnknown => "This room has an unknown class. Ask your administrator.",
            Self::ClassUnfederated => "This room is closed to other servers.",
            Self::ClassWithholds => "Rooms of this class do not allow this.",
            Self::ServerLacks => "There is no agreement with the other server for this.",
        })
    }
}

impl std::error::Error for Denial {}
