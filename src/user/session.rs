//! Sessions: signing devices in and out.
//!
//! A session is a device; it lasts until it is signed out, whatever becomes of its tokens.

use belfry_data::{
    ReadError, Snapshot,
    account::{self as rows, DeviceRow, StandingRow, UserChange, UserRow},
    pusher::pushers,
};
use belfry_policy::{Account, Action, Denial, Request, Standing};
use ruma_common::{OwnedDeviceId, OwnedUserId, UserId};

use crate::{
    Requester, Users, account::RegisterError, account_data::forget_devices, bearer::Tokens,
    device::DEVICE_NAME_BYTES_MAX, fault::Fault, name, password::PASSWORD_BYTES_MAX, store::Tries,
};

/// Longest device ID that a client may choose.
pub const DEVICE_ID_BYTES_MAX: usize = 255;

/// Devices of one user.
pub const DEVICES_MAX: usize = 500;

/// Letters of a device ID that the server makes up.
const DEVICE_ID_LENGTH: usize = 10;

/// The device that signs in.
#[derive(Debug, Clone, Default)]
pub struct NewDevice {
    /// One that exists is signed in anew; the server makes one up if there is none.
    pub device_id: Option<OwnedDeviceId>,
    /// What a new device is called.
    pub display_name: Option<String>,
    /// Whether the client can refresh tokens.
    pub refresh: bool,
}

/// A device that has signed in.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Which.
    pub device_id: OwnedDeviceId,
    /// With what.
    pub tokens: Tokens,
}

/// Why nobody was signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// No such account, or another password: the same answer, in the same time.
    #[error("the name or the password is wrong")]
    Wrong,
    /// No password is that long.
    #[error("passwords have at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// The account is closed for ever.
    #[error("this account was deactivated")]
    Deactivated,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// The device ID or name is empty or too long.
    #[error("the device's ID or name is empty or too long")]
    InvalidDevice,
    /// [`DEVICES_MAX`] are signed in already.
    #[error("too many devices are signed in; sign some out")]
    TooManyDevices,
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for SignInError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// The account that somebody means who signs in, whether it exists or not; `None` for names
    /// that no account here can have.
    pub fn account_named(&self, name: &str) -> Option<OwnedUserId> {
        name::existing_user_id(name, &self.0.options.server_name)
    }

    /// Signs a device in by password.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        device: &NewDevice,
    ) -> Result<Session, SignInError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(SignInError::TooLong);
        }
        let user_id = self.verify_password(name, password).await?;
        self.open_session(&user_id, device).await
    }

    /// Whose name and password these are.
    pub(crate) async fn verify_password(
        &self,
        name: &str,
        password: &str,
    ) -> Result<OwnedUserId, SignInError> {
        let user_id = self.account_named(name);
        let user = match &user_id {
            Some(user_id) => rows::user(&*self.0.store.snapshot().await?, user_id).await?,
            None => None,
        };
        if user.as_ref().is_some_and(|user| user.deactivated.is_some()) {
            return Err(SignInError::Deactivated);
        }
        let stored = user.as_ref().and_then(|user| user.password.as_deref());
        let same = self.0.passwords.verify(password, stored).await?;
        user_id.filter(|_| same).ok_or(SignInError::Wrong)
    }

    /// Signs a device in whose user has proven who they are.
    pub async fn open_session(
        &self,
        user_id: &UserId,
        device: &NewDevice,
    ) -> Result<Session, SignInError> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user_id).await?;
            let mut change = change.ok_or(SignInError::Wrong)?;
            self.may_sign_in(user_id, &change.user)?;
            let device_id = self.device_id(device).ok_or(SignInError::InvalidDevice)?;
            let before = rows::device(&*snapshot, user_id, device_id.as_str()).await?;
            if before.is_none() && is_full(&*snapshot, user_id).await? {
                return Err(SignInError::TooManyDevices);
            }
            let tokens = self.put_session(&mut change, &device_id, before, device);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(Session {
                    user_id: user_id.to_owned(),
                    device_id,
                    tokens,
                });
            }
        }
    }

    /// The session that comes with a new account.
    pub(crate) fn first_session(
        &self,
        change: &mut UserChange,
        device: &NewDevice,
    ) -> Result<Session, RegisterError> {
        let device_id = self.device_id(device).ok_or(RegisterError::InvalidDevice)?;
        let tokens = self.put_session(change, &device_id, None, device);
        Ok(Session {
            user_id: change.id().to_owned(),
            device_id,
            tokens,
        })
    }

    /// Signs the requester's device out.
    pub async fn sign_out(&self, requester: &Requester) -> Result<(), SignInError> {
        self.allow(requester, Action::LogOut)?;
        let device = requester.device_id.as_str();
        Ok(self
            .drop_devices(&requester.user_id, |id| id == device)
            .await?)
    }

    /// Signs all of the requester's devices out.
    pub async fn sign_out_everywhere(&self, requester: &Requester) -> Result<(), SignInError> {
        self.allow(requester, Action::LogOut)?;
        Ok(self.drop_devices(&requester.user_id, |_| true).await?)
    }

    /// Deletes those devices of a user that are chosen; those that are not there are deleted
    /// already.
    pub(crate) async fn drop_devices(
        &self,
        user_id: &UserId,
        chosen: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<(), Fault> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let Some(mut change) = UserChange::of(&*snapshot, user_id).await? else {
                return Ok(());
            };
            remove_devices(&*snapshot, &mut change, &chosen).await?;
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }

    fn may_sign_in(&self, user_id: &UserId, user: &UserRow) -> Result<(), SignInError> {
        if user.deactivated.is_some() {
            return Err(SignInError::Deactivated);
        }
        let account = belfry_policy::Requester::Account(Account {
            id: user_id,
            role: &user.role,
            standing: standing(user.standing),
        });
        let request = Request::new(account, Action::LogIn);
        Ok(belfry_policy::decide(&self.0.rules, &request).into_result()?)
    }

    /// The ID asked for, or a new one; `None` if it or the name is impossible.
    fn device_id(&self, device: &NewDevice) -> Option<OwnedDeviceId> {
        let name = device.display_name.as_deref().unwrap_or_default();
        if name.len() > DEVICE_NAME_BYTES_MAX {
            return None;
        }
        let Some(id) = &device.device_id else {
            let id = self.0.env.random.token(DEVICE_ID_LENGTH);
            return Some(id.to_ascii_uppercase().into());
        };
        let possible = (1..=DEVICE_ID_BYTES_MAX).contains(&id.as_str().len());
        possible.then(|| id.clone())
    }

    /// Gives a device new tokens and takes all old ones back.
    fn put_session(
        &self,
        change: &mut UserChange,
        id: &OwnedDeviceId,
        before: Option<DeviceRow>,
        device: &NewDevice,
    ) -> Tokens {
        let refresh = device.refresh && self.0.options.access_token_life.is_some();
        let (tokens, pair) = self.mint(refresh);
        let mut row = DeviceRow {
            display_name: device.display_name.as_deref().map(Into::into),
            created_ts: self.0.env.clock.wall_ms(),
            current: pair,
            next: None,
        };
        if before.is_none() {
            change.note_device(id.as_str());
        }
        if let Some(before) = before {
            before.hashes().for_each(|hash| change.delete_token(&hash));
            row.display_name = before.display_name.or(row.display_name);
            row.created_ts = before.created_ts;
        }
        self.put_pair(change, id.as_str(), &tokens, &pair, false);
        change.put_device(id.as_str(), &row);
        change.note_heard(id.as_str(), self.0.env.clock.age_ms());
        tokens
    }
}

/// Makes the change delete those of the user's devices that are chosen, with all that they have.
pub(crate) async fn remove_devices(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    chosen: impl Fn(&str) -> bool + Send + Sync,
) -> Result<(), Fault> {
    let user_id = change.id().to_owned();
    let mut gone = Vec::new();
    for (id, device, _) in rows::devices(snapshot, &user_id).await? {
        if chosen(&id) {
            change.delete_device(&id, &device);
            gone.push(id);
        }
    }
    forget_devices(snapshot, change, &gone).await?;
    for (key, pusher) in pushers(snapshot, &user_id).await? {
        if chosen(&pusher.device) {
            change.delete_pusher(&key);
        }
    }
    Ok(())
}

async fn is_full(snapshot: &dyn Snapshot, user_id: &UserId) -> Result<bool, ReadError> {
    Ok(rows::devices(snapshot, user_id).await?.len() >= DEVICES_MAX)
}

/// The row's standing in policy's terms.
pub(crate) fn standing(row: StandingRow) -> Standing {
    match row {
        StandingRow::Active => Standing::Active,
        StandingRow::Suspended => Standing::Suspended,
        StandingRow::Locked | StandingRow::SuspendedAndLocked => Standing::Locked,
    }
}
