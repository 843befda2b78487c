//! Accounts made by whoever knows the secret that the configuration names: for scripts and tests
//! that set servers up, also where registration is closed.
//!
//! The protocol is the one that Synapse documents in its administration API ("Register users"), so
//! that the tools written for it work here: ask for a nonce, then send the account with the
//! HMAC-SHA1 of nonce, name, password and kind under the secret. The secret itself never travels.
//! Knows nothing of paths and JSON.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use belfry_data::{
    ReadError,
    account::{ProfileRow, UserChange, UserRow},
};
use belfry_env::{Moment, Random};
use belfry_policy::{ADMIN, MEMBER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ruma_common::OwnedUserId;
use serde_json::Value;
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::{
    Users,
    account::RegisterError,
    fault::Fault,
    push_rule,
    session::{NewDevice, Session},
    store::Tries,
};

/// How long a nonce is good.
pub const NONCE_LIFE: Duration = Duration::from_mins(1);
/// Nonces that are good at once; the oldest gives way.
pub const NONCES_MAX: usize = 1_000;
/// Longest display name that is taken with the account.
pub const DISPLAY_NAME_BYTES_MAX: usize = 2_048;

/// Letters of a nonce: 190 random bits.
const NONCE_LENGTH: usize = 32;
/// Bytes of an HMAC-SHA1.
const MAC_BYTES: usize = 20;

/// The secret of the configuration. No `{:?}` shows it.
#[derive(Clone)]
pub struct SharedSecret(Zeroizing<Vec<u8>>);

impl SharedSecret {
    /// `None` if it is empty: everybody knows that one.
    pub fn new(secret: &str) -> Option<Self> {
        (!secret.is_empty()).then(|| Self(Zeroizing::new(secret.as_bytes().to_vec())))
    }

    /// The HMAC-SHA1 of a text under the secret; `None` never, for keys may be of any length.
    pub(crate) fn mac(&self, text: &[u8]) -> Option<impl AsRef<[u8]> + use<>> {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).ok()?;
        mac.update(text);
        Some(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

/// An account, and the proof that whoever wants it knows the secret.
#[derive(Clone)]
pub struct ProvenAccount {
    /// One that was given out by [`Users::registration_nonce`]; it is used up by this try.
    pub nonce: String,
    /// The localpart.
    pub username: String,
    /// What the account is called, if it is to be called anything.
    pub display_name: Option<String>,
    /// The password.
    pub password: String,
    /// Whether it is to be an administrator.
    pub admin: bool,
    /// The kind of account that the proof names. There are no kinds here: it is refused.
    pub kind: Option<String>,
    /// 40 hexadecimal digits.
    pub mac: String,
}

/// Why no account was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvenAccountError {
    /// No secret is configured.
    #[error("this server makes no accounts by a shared secret")]
    Off,
    /// Never given out, used, or too old.
    #[error("this nonce is unknown, used up or older than a minute; ask for another")]
    NonceUnknown,
    /// Somebody who does not know the secret.
    #[error("the mac is wrong; check the secret and the order of what it is made over")]
    WrongMac,
    /// Neither bots nor support staff are marked here.
    #[error("accounts have no type here; leave user_type out")]
    KindUnknown,
    /// Longer than a profile.
    #[error("a display name has at most {DISPLAY_NAME_BYTES_MAX} bytes")]
    DisplayNameTooLong,
    /// What every registration refuses.
    #[error("{0}")]
    Refused(#[from] RegisterError),
}

impl From<Fault> for ProvenAccountError {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault.into())
    }
}

impl From<ReadError> for ProvenAccountError {
    fn from(error: ReadError) -> Self {
        Self::Refused(error.into())
    }
}

/// The secret, and the nonces that may still be used with it.
pub(crate) struct SecretDoor {
    secret: SharedSecret,
    nonces: Mutex<Nonces>,
}

impl SecretDoor {
    pub(crate) fn new(secret: SharedSecret, random: Random) -> Self {
        let nonces = Mutex::new(Nonces::new(random));
        Self { secret, nonces }
    }

    /// A panic while the lock was held leaves whole nonces behind: go on with them.
    fn with_nonces<T>(&self, act: impl FnOnce(&mut Nonces) -> T) -> T {
        act(&mut self.nonces.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the proof is good. The comparison takes as long whatever is wrong.
    fn verify(&self, account: &ProvenAccount) -> bool {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&self.secret.0) else {
            return false;
        };
        let admin = if account.admin { "admin" } else { "notadmin" };
        let fields = [&*account.nonce, &account.username, &account.password, admin];
        mac.update(fields.join("\0").as_bytes());
        if let Some(kind) = &account.kind {
            mac.update(b"\0");
            mac.update(kind.as_bytes());
        }
        unhex(&account.mac).is_some_and(|given| mac.verify_slice(&given).is_ok())
    }
}

/// What was given out and not come back yet.
struct Nonces {
    random: Random,
    /// The oldest first.
    open: VecDeque<(Moment, String)>,
}

impl Nonces {
    fn new(random: Random) -> Self {
        let open = VecDeque::new();
        Self { random, open }
    }

    fn give(&mut self, now: Moment) -> String {
        self.forget_old(now);
        if self.open.len() >= NONCES_MAX {
            self.open.pop_front();
        }
        let nonce = self.random.token(NONCE_LENGTH);
        self.open.push_back((now, nonce.clone()));
        nonce
    }

    /// Whether it was good. It is not any more.
    fn take(&mut self, nonce: &str, now: Moment) -> bool {
        self.forget_old(now);
        let at = self.open.iter().position(|(_, open)| open == nonce);
        at.and_then(|at| self.open.remove(at)).is_some()
    }

    fn forget_old(&mut self, now: Moment) {
        while self
            .open
            .front()
            .is_some_and(|(given, _)| *given + NONCE_LIFE <= now)
        {
            self.open.pop_front();
        }
    }
}

impl Users {
    /// Whether accounts are made by a shared secret at all.
    pub fn has_shared_secret(&self) -> bool {
        self.0.secret_door.is_some()
    }

    /// A nonce for one [`Self::register_proven`] within [`NONCE_LIFE`].
    pub fn registration_nonce(&self) -> Result<String, ProvenAccountError> {
        let door = self.0.secret_door.as_ref().ok_or(ProvenAccountError::Off)?;
        Ok(door.with_nonces(|nonces| nonces.give(self.0.env.clock.now())))
    }

    /// Makes an account for somebody who knows the secret, with its first session.
    pub async fn register_proven(
        &self,
        wanted: &ProvenAccount,
    ) -> Result<(OwnedUserId, Session), ProvenAccountError> {
        let door = self.0.secret_door.as_ref().ok_or(ProvenAccountError::Off)?;
        let now = self.0.env.clock.now();
        if !door.with_nonces(|nonces| nonces.take(&wanted.nonce, now)) {
            return Err(ProvenAccountError::NonceUnknown);
        }
        if !door.verify(wanted) {
            return Err(ProvenAccountError::WrongMac);
        }
        if wanted.kind.is_some() {
            return Err(ProvenAccountError::KindUnknown);
        }
        self.create_proven(wanted).await
    }

    async fn create_proven(
        &self,
        wanted: &ProvenAccount,
    ) -> Result<(OwnedUserId, Session), ProvenAccountError> {
        let profile = profile(wanted.display_name.as_deref())?;
        let user_id = self.check_name(&wanted.username).await?;
        let passwords = &self.0.passwords;
        passwords
            .judge(&wanted.password)
            .map_err(RegisterError::from)?;
        let password = passwords.hash(&wanted.password).await?;
        let role = if wanted.admin { ADMIN } else { MEMBER };
        let row = UserRow {
            role: role.into(),
            ..self.new_row(Some(password))
        };
        let mut change = UserChange::new(&user_id, row);
        let snapshot = self.0.store.snapshot().await?;
        push_rule::put_default(&*snapshot, &mut change).await?;
        if let Some(profile) = &profile {
            change.put_profile(&ProfileRow::default(), profile);
        }
        let session = self.first_session(&mut change, &NewDevice::default())?;
        let made = self
            .0
            .store
            .commit(change.finish(), &mut Tries::default())
            .await?;
        // Nobody writes to an account that is not there, but whoever makes it.
        made.then_some((user_id, session))
            .ok_or_else(|| RegisterError::NameTaken.into())
    }
}

fn profile(display_name: Option<&str>) -> Result<Option<ProfileRow>, ProvenAccountError> {
    let Some(name) = display_name.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    if name.len() > DISPLAY_NAME_BYTES_MAX {
        return Err(ProvenAccountError::DisplayNameTooLong);
    }
    let json = Value::from(name).to_string().into();
    Ok(Some(ProfileRow {
        fields: vec![("displayname".into(), json)],
    }))
}

/// Bytes from hexadecimal digits of either case.
fn unhex(text: &str) -> Option<[u8; MAC_BYTES]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| digit.try_into().ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() == 2 * MAC_BYTES)?;
    let mut bytes = [0; MAC_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
    }
    Some(bytes)
}
