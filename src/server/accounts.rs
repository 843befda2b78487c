//! What operators do to accounts and registration tokens, by the running server or by a command
//! that has started a node on the database itself.
//!
//! It exists so that both ways are one. It knows nothing of the socket, and nothing of how answers
//! are shown.

use std::{fmt, time::Duration};

use belfry_env::Random;
use belfry_policy::{ADMIN, MEMBER, Standing};
use belfry_user::{
    AdminError, Fault, Invitation, InvitationError, PASSWORD_BYTES_MAX, Unfit, Users,
};
use serde::{Deserialize, Serialize};

use crate::message::Message;

/// Accounts or tokens in one answer; there may be more behind them.
const LIST_MAX: usize = 1_000;
/// Letters of a password that is made up: 119 bits.
const PASSWORD_LENGTH: usize = 20;
const DAY: Duration = Duration::from_hours(24);

/// A password on its way. Not printed by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What is asked. A `name` is the part of a user ID before the colon, or all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountRequest {
    /// Make an account; without a password one is made up.
    Create {
        name: String,
        role: Option<String>,
        password: Option<Password>,
    },
    /// List accounts by user ID, those behind this one.
    List { after: Option<String> },
    /// Set another password and sign out; without a password one is made up.
    ResetPassword {
        name: String,
        password: Option<Password>,
    },
    /// Change something of an account.
    Change { name: String, change: Change },
    /// Close an account for ever.
    Deactivate { name: String, erase: bool },
    /// Make a registration token.
    CreateToken {
        uses: Option<u32>,
        days: Option<u32>,
        role: Option<String>,
    },
    /// List registration tokens, those behind this one.
    ListTokens { after: Option<String> },
    /// Revoke a registration token.
    RevokeToken { token: String },
}

/// What can be changed of an account and changed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Lock,
    Suspend,
    /// Neither locked nor suspended.
    Restore,
    /// Sign every device out.
    Logout,
    /// Make an administrator of it.
    Promote,
    /// Make a member of it.
    Demote,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountAnswer {
    /// The account has been made; with its password, if that was made up.
    Created {
        user_id: String,
        password: Option<Password>,
    },
    PasswordReset {
        user_id: String,
        password: Option<Password>,
    },
    Changed {
        user_id: String,
        change: Change,
    },
    Deactivated {
        user_id: String,
    },
    Accounts {
        accounts: Vec<Account>,
        more: bool,
    },
    TokenCreated {
        token: String,
    },
    Tokens {
        tokens: Vec<RegistrationToken>,
        more: bool,
    },
    TokenRevoked {
        token: String,
    },
}

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) user_id: String,
    pub(crate) role: String,
    pub(crate) state: State,
    /// Milliseconds since the Unix epoch.
    pub(crate) created_ts: u64,
}

/// What an account may do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Active,
    Suspended,
    Locked,
    Deactivated,
}

/// A registration token in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistrationToken {
    pub(crate) token: String,
    pub(crate) role: String,
    pub(crate) uses: u32,
    /// `None` for any number.
    pub(crate) uses_allowed: Option<u32>,
    /// Whether an account can still be made with it.
    pub(crate) good: bool,
}

/// Does what is asked.
pub(crate) async fn perform(
    users: &Users,
    random: &Random,
    request: AccountRequest,
) -> Result<AccountAnswer, Message> {
    use AccountRequest::{
        Change, Create, CreateToken, Deactivate, List, ListTokens, ResetPassword, RevokeToken,
    };
    match request {
        Create {
            name,
            role,
            password,
        } => create(users, random, &name, role, password).await,
        List { after } => list(users, after.as_deref()).await,
        ResetPassword { name, password } => reset(users, random, &name, password).await,
        Change { name, change } => apply(users, &name, change).await,
        Deactivate { name, erase } => deactivate(users, &name, erase).await,
        CreateToken { uses, days, role } => create_token(users, uses, days, role).await,
        ListTokens { after } => list_tokens(users, after.as_deref()).await,
        RevokeToken { token } => revoke_token(users, token).await,
    }
}

/// The password given, or one made up, which is also to be shown.
fn choose(random: &Random, given: Option<Password>) -> (Password, Option<Password>) {
    given.map_or_else(
        || {
            let made = Password(random.token(PASSWORD_LENGTH));
            (made.clone(), Some(made))
        },
        |given| (given, None),
    )
}

async fn create(
    users: &Users,
    random: &Random,
    name: &str,
    role: Option<String>,
    password: Option<Password>,
) -> Result<AccountAnswer, Message> {
    let role = role.unwrap_or_else(|| MEMBER.to_owned());
    let (chosen, password) = choose(random, password);
    let made = users.create_account(name, Some(&chosen.0), &role).await;
    let user_id = made.map_err(|error| refused(&error, name))?.to_string();
    Ok(AccountAnswer::Created { user_id, password })
}

async fn list(users: &Users, after: Option<&str>) -> Result<AccountAnswer, Message> {
    let after = after.map(|name| parse(users, name)).transpose()?;
    let found = users.accounts(after.as_deref(), LIST_MAX).await;
    let found = found.map_err(|error| refused(&error, ""))?;
    let more = found.len() == LIST_MAX;
    let account = |info: belfry_user::AccountInfo| Account {
        user_id: info.user_id.to_string(),
        state: match (info.deactivated, info.standing) {
            (true, _) => State::Deactivated,
            (_, Standing::Active) => State::Active,
            (_, Standing::Suspended) => State::Suspended,
            (_, Standing::Locked) => State::Locked,
        },
        role: info.role,
        created_ts: info.created_ts,
    };
    let accounts = found.into_iter().map(account).collect();
    Ok(AccountAnswer::Accounts { accounts, more })
}

async fn reset(
    users: &Users,
    random: &Random,
    name: &str,
    password: Option<Password>,
) -> Result<AccountAnswer, Message> {
    let user_id = parse(users, name)?;
    let (chosen, password) = choose(random, password);
    let done = users.reset_password(&user_id, &chosen.0).await;
    done.map_err(|error| refused(&error, name))?;
    let user_id = user_id.to_string();
    Ok(AccountAnswer::PasswordReset { user_id, password })
}

async fn apply(users: &Users, name: &str, change: Change) -> Result<AccountAnswer, Message> {
    let user_id = parse(users, name)?;
    let done = match change {
        Change::Lock => users.set_locked(&user_id, true).await,
        Change::Suspend => users.set_suspended(&user_id, true).await,
        Change::Restore => users.set_standing(&user_id, Standing::Active).await,
        Change::Logout => users.sign_out_account(&user_id).await,
        Change::Promote => users.set_role(&user_id, ADMIN).await,
        Change::Demote => users.set_role(&user_id, MEMBER).await,
    };
    done.map_err(|error| refused(&error, name))?;
    let user_id = user_id.to_string();
    Ok(AccountAnswer::Changed { user_id, change })
}

async fn deactivate(users: &Users, name: &str, erase: bool) -> Result<AccountAnswer, Message> {
    let user_id = parse(users, name)?;
    let done = users.close_account(&user_id, erase).await;
    done.map_err(|error| refused(&error, name))?;
    let user_id = user_id.to_string();
    Ok(AccountAnswer::Deactivated { user_id })
}

async fn create_token(
    users: &Users,
    uses_allowed: Option<u32>,
    days: Option<u32>,
    role: Option<String>,
) -> Result<AccountAnswer, Message> {
    let wanted = Invitation {
        token: None,
        uses_allowed,
        life: days.map(|days| DAY.saturating_mul(days)),
        role,
    };
    let token = users.create_invitation(&wanted).await;
    let token = token.map_err(|error| token_refused(&error))?;
    Ok(AccountAnswer::TokenCreated { token })
}

async fn list_tokens(users: &Users, after: Option<&str>) -> Result<AccountAnswer, Message> {
    let found = users.invitations(after, LIST_MAX).await;
    let found = found.map_err(|error| token_refused(&error))?;
    let more = found.len() == LIST_MAX;
    let token = |info: belfry_user::InvitationInfo| RegistrationToken {
        token: info.token,
        role: info.role,
        uses: info.uses,
        uses_allowed: info.uses_allowed,
        good: info.good,
    };
    let tokens = found.into_iter().map(token).collect();
    Ok(AccountAnswer::Tokens { tokens, more })
}

async fn revoke_token(users: &Users, token: String) -> Result<AccountAnswer, Message> {
    let done = users.revoke_invitation(&token).await;
    done.map_err(|error| token_refused(&error))?;
    Ok(AccountAnswer::TokenRevoked { token })
}

/// The registration token to show at start: as long as there is no account and nobody may register
/// without one. The same at each start, until it is used.
pub(crate) async fn first_token(users: &Users) -> Result<Option<String>, Message> {
    let accounts = users.accounts(None, 1).await;
    let accounts = accounts.map_err(|error| refused(&error, ""))?;
    if users.registration() != belfry_user::Registration::Token || !accounts.is_empty() {
        return Ok(None);
    }
    let known = users.invitations(None, LIST_MAX).await;
    let known = known.map_err(|error| token_refused(&error))?;
    let once = known
        .into_iter()
        .find(|info| info.good && info.uses_allowed == Some(1));
    let wanted = Invitation {
        uses_allowed: Some(1),
        ..Invitation::default()
    };
    if let Some(info) = once {
        return Ok(Some(info.token));
    }
    let made = users.create_invitation(&wanted).await;
    made.map(Some).map_err(|error| token_refused(&error))
}

/// The user ID that an operator names.
pub(crate) fn parse(users: &Users, name: &str) -> Result<ruma_common::OwnedUserId, Message> {
    users
        .parse_name(name)
        .map_err(|error| refused(&error, name))
}

/// The refusal in the catalogue's words.
fn refused(error: &AdminError, name: &str) -> Message {
    match error {
        AdminError::NotFound => Message::new("account-absent").with("name", name),
        AdminError::InvalidName => Message::new("account-name").with("name", name),
        AdminError::NameTaken => Message::new("account-present").with("name", name),
        AdminError::Password(Unfit::TooLong) => {
            Message::new("password-long").with("max", PASSWORD_BYTES_MAX)
        }
        AdminError::Password(Unfit::TooShort(min)) => {
            Message::new("password-short").with("min", *min)
        }
        AdminError::RoleUnknown => Message::new("role-unknown"),
        AdminError::Deactivated => Message::new("account-deactivated-already").with("name", name),
        AdminError::Fault(fault) => unavailable(fault),
    }
}

fn token_refused(error: &InvitationError) -> Message {
    match error {
        InvitationError::Invalid => Message::new("token-invalid"),
        InvitationError::Exists => Message::new("token-present"),
        InvitationError::RoleUnknown => Message::new("role-unknown"),
        InvitationError::Fault(fault) => unavailable(fault),
    }
}

fn unavailable(fault: &Fault) -> Message {
    Message::new("accounts-unavailable").with_text("cause", fault)
}
