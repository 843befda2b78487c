//! Accounts, sessions, devices, profiles and account data: whatever belongs to one local user.
//!
//! Every act asks policy, reads one snapshot, decides, and commits; an act that met another in
//! between reads again and decides anew. What is answered is on disk. Knows nothing of rooms'
//! internals, of HTTP, and of how often somebody may try.

mod account;
mod account_data;
mod admin;
mod backup;
mod bearer;
mod consent;
mod dehydrated;
mod device;
mod fault;
mod filter;
mod idle;
#[cfg(test)]
mod idle_tests;
mod inheritance;
mod invitation;
mod keys;
mod name;
mod old_message;
mod openid;
mod partner;
mod password;
mod presence;
mod presence_elsewhere;
mod profile;
mod proof;
mod push_rule;
mod pusher;
mod read_marker;
mod report;
mod requester;
mod server_rule;
mod session;
mod shared_secret;
mod store;
mod system;
mod tag;
mod to_device;
#[cfg(test)]
mod to_device_tests;
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
pub use admin::{AccountInfo, AdminError, Restrictions};
pub use backup::{
    AUTH_DATA_BYTES_MAX, BACKUP_ALGORITHM_BYTES_MAX, BACKUP_KEYS_MAX, BACKUP_UPLOAD_MAX,
    BACKUP_VERSIONS_MAX, Backup, BackupError, BackupKey, BackupKeys, BackupProgress, BackupScope,
    SESSION_DATA_BYTES_MAX, SESSION_NAME_BYTES_MAX,
};
pub use bearer::{TokenError, Tokens};
pub use dehydrated::{DEHYDRATED_BYTES_MAX, DEHYDRATED_PAGE_MAX, DehydratedEvents};
pub use device::{DEVICE_NAME_BYTES_MAX, Device, DeviceError};
pub use fault::Fault;
pub use filter::{FILTER_BYTES_MAX, FILTERS_MAX, FilterError};
pub use idle::{IDLE_PAGE_MAX, IdleStep};
pub use invitation::{Invitation, InvitationError, InvitationInfo};
pub use keys::{
    ALGORITHMS_MAX, CLAIM_DEVICES_MAX, CLAIMED_KEY_MEMORY, ClaimedKeys, ClaimedOf,
    DEVICE_KEYS_BYTES_MAX, DeviceList, DeviceUpdate, KEY_NAME_BYTES_MAX, KEY_WAIT_MAX, KeyError,
    KeyUpload, KeyViewer, NoRemoteKeys, ONE_TIME_KEY_BYTES_MAX, ONE_TIME_KEYS_MAX, QUERY_USERS_MAX,
    QueriedKeys, RESYNCS_MAX, RemoteKeys, SIGNATURES_MAX, SIGNING_KEY_BYTES_MAX, SignatureFailure,
    SignatureFailures, SignedKeys, SigningKeys, TRACKED_LIST_BYTES_MAX, WantedDevices, WantedKeys,
    keys_for_servers,
};
pub use old_message::{OLD_PAGE_MAX, OldMessages};
pub use openid::{OPENID_LIFE, OpenIdError};
pub use partner::{PARTNER_NOTE_BYTES_MAX, Partner, PartnerError};
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_MEMORY_KEPT_KIB_MAX, PasswordOptions, Unfit};
pub use presence::{PresenceError, PresenceState, STATUS_BYTES_MAX};
pub use presence_elsewhere::PresenceUpdate;
pub use profile::{FIELD_NAME_BYTES_MAX, PROFILE_BYTES_MAX, ProfileError, SHOWN_BYTES_MAX};
pub use proof::{Attempt, Challenge, Objection, Outcome, Proof, UiaError};
pub use push_rule::{PushRuleError, RulePlace};
pub use pusher::{PUSHER_BYTES_MAX, PUSHERS_MAX, PusherError, SetPusher};
pub use report::{REPORT_REASON_CHARS_MAX, ReportError, ReportTarget};
pub use requester::Requester;
pub use session::{DEVICE_ID_BYTES_MAX, DEVICES_MAX, NewDevice, Session, SignInError};
pub use shared_secret::{
    DISPLAY_NAME_BYTES_MAX, NONCE_LIFE, NONCES_MAX, ProvenAccount, ProvenAccountError, SharedSecret,
};
pub use tag::{TAG_BYTES_MAX, TAGS_MAX, TagError};
pub use to_device::{
    INBOX_MESSAGES_MAX, Messages, TO_DEVICE_BYTES_MAX, TO_DEVICE_LIFE, TO_DEVICE_RECIPIENTS_MAX,
    TO_DEVICE_TYPE_BYTES_MAX, ToDeviceError,
};
pub use token::Token;
pub use turn::{TurnCredentials, turn_credentials};
pub use uia::{Operation, Stage, UIA_LIFE, UIA_SESSIONS_MAX};

use crate::{
    keys::{Asked, ClaimDesk},
    password::Passwords,
    shared_secret::SecretDoor,
    store::Store,
    uia::Sessions,
};

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
    /// How long a device may be silent before it is signed out; `None`: for ever.
    pub idle_device_life: Option<Duration>,
    /// What passwords cost.
    pub password: PasswordOptions,
    /// Whether to keep who is there.
    pub presence: bool,
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
pub struct Users(Arc<Inner>, Arc<dyn RemoteKeys>);

struct Inner {
    store: Store,
    env: Env,
    rules: Arc<Rules>,
    options: UserOptions,
    passwords: Passwords,
    sessions: Mutex<Sessions>,
    claims: ClaimDesk,
    asked: Asked,
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
        let inner = Inner {
            store: Store::new(engine),
            env,
            rules,
            options,
            passwords,
            sessions,
            claims: ClaimDesk::default(),
            asked: Asked::default(),
            secret_door,
        };
        Ok(Self(Arc::new(inner), Arc::new(NoRemoteKeys)))
    }

    /// The same accounts with a way to ask other servers for keys.
    #[must_use]
    pub fn with_remote_keys(self, remote: Arc<dyn RemoteKeys>) -> Self {
        Self(self.0, remote)
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
