//! Accounts, sessions, devices, profiles and account data: whatever belongs to one local user.
//!
//! Every act asks policy, reads one snapshot, decides, and commits; an act that met another in
//! between reads again and decides anew. What is answered is on disk. Knows nothing of rooms'
//! internals, of HTTP, and of how often somebody may try.

mod account;
mod account_data;
mod admin;
mod bearer;
mod consent;
mod device;
mod fault;
mod filter;
mod inheritance;
mod invitation;
mod name;
mod openid;
mod password;
mod profile;
mod proof;
mod push_rule;
mod report;
mod read_marker;
mod requester;
mod session;
mod shared_secret;
mod store;
mod tag;
mod token;
mod turn;
mod uia;

#[cfg(test)]
mod durability_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod shared_secret_tests;
#[cfg(test)]
mod user_tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_data::Engine;
use belfry_env::Env;
use belfry_policy::{Action, Denial, Request, Rules};
use ruma_common::OwnedServerName;

pub use account::{NewAccount, RegisterError};
pub use account_data::{ACCOUNT_DATA_BYTES_MAX, AccountDataError};
pub use admin::{AccountInfo, AdminError};
pub use bearer::{TokenError, Tokens};
pub use device::{DEVICE_NAME_BYTES_MAX, Device, DeviceError};
pub use fault::Fault;
pub use filter::{FILTER_BYTES_MAX, FILTERS_MAX, FilterError};
pub use invitation::{Invitation, InvitationError, InvitationInfo};
pub use openid::{OPENID_LIFE, OpenIdError};
pub use password::{PASSWORD_BYTES_MAX, PasswordOptions, Unfit};
pub use profile::{FIELD_NAME_BYTES_MAX, PROFILE_BYTES_MAX, ProfileError, SHOWN_BYTES_MAX};
pub use proof::{Attempt, Challenge, Objection, Outcome, Proof, UiaError};
pub use push_rule::{PushRuleError, RulePlace};
pub use report::{REPORT_REASON_CHARS_MAX, ReportError, ReportTarget};
pub use requester::Requester;
pub use session::{DEVICE_ID_BYTES_MAX, DEVICES_MAX, NewDevice, Session, SignInError};
pub use shared_secret::{
    DISPLAY_NAME_BYTES_MAX, NONCE_LIFE, NONCES_MAX, ProvenAccount, ProvenAccountError, SharedSecret,
};
pub use tag::{TAG_BYTES_MAX, TAGS_MAX, TagError};
pub use token::Token;
pub use turn::{TurnCredentials, turn_credentials};
pub use uia::{Operation, Stage, UIA_LIFE, UIA_SESSIONS_MAX};

use crate::{password::Passwords, shared_secret::SecretDoor, store::Store, uia::Sessions};

/// What accounts are told by the configuration.
#[derive(Debug, Clone)]
pub struct UserOptions {
    /// The server's name, as in user IDs.
    pub server_name: OwnedServerName,
    /// Who may make an account.
    pub registration: Registration,
    /// How long the access tokens of clients that can refresh them are good; `None`: for ever, and
    /// no refresh tokens are given.
    pub access_token_life: Option<Duration>,
    /// What passwords cost.
    pub password: PasswordOptions,
    /// With what anybody may make accounts, also administrators'; `None`: nobody may.
    pub shared_secret: Option<SharedSecret>,
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Nobody; administrators make them.
    Closed,
    /// Whoever holds a registration token.
    Token,
    /// Everybody.
    Open,
}

/// The accounts of one server. Cheap to clone.
#[derive(Clone)]
pub struct Users(Arc<Inner>);

struct Inner {
    store: Store,
    env: Env,
    rules: Arc<Rules>,
    options: UserOptions,
    passwords: Passwords,
    sessions: Mutex<Sessions>,
    secret_door: Option<SecretDoor>,
}

impl Users {
    /// The accounts in this database. Fails if argon2 does not take the password options.
    pub fn new(
        engine: Arc<dyn Engine>,
        env: Env,
        rules: Arc<Rules>,
        options: UserOptions,
    ) -> Result<Self, Fault> {
        let passwords = Passwords::new(&env, &options.password)?;
        let sessions = Mutex::new(Sessions::new(env.random.fork()));
        let secret = options.shared_secret.clone();
        let secret_door = secret.map(|secret| SecretDoor::new(secret, env.random.fork()));
        Ok(Self(Arc::new(Inner {
            store: Store::new(engine),
            env,
            rules,
            options,
            passwords,
            sessions,
            secret_door,
        })))
    }

    /// Who may make an account.
    pub fn registration(&self) -> Registration {
        self.0.options.registration
    }

    /// Asks policy about an act that concerns nobody else.
    fn allow(&self, requester: &Requester, action: Action) -> Result<(), Denial> {
        let account = belfry_policy::Requester::Account(requester.account());
        belfry_policy::decide(&self.0.rules, &Request::new(account, action)).into_result()
    }

    /// A panic while the lock was held leaves whole sessions behind: go on with them.
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
