//! Making an account, changing its password, closing it.

use belfry_data::{
    FlowAct, ReadError,
    account::{self as rows, Deactivation, StandingRow, UserChange, UserRow},
};
use belfry_policy::{Action, Denial, MEMBER};
use ruma_common::{OwnedUserId, UserId};

use crate::{
    Registration, Requester, Users,
    account_data::forget_devices,
    fault::Fault,
    invitation, name,
    password::Unfit,
    push_rule,
    session::{NewDevice, Session},
    store::Tries,
};

/// What is wanted of a new account.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// The localpart; the server makes one up if there is none.
    pub username: Option<String>,
    /// The password; an account without one cannot sign in by password.
    pub password: Option<String>,
    /// The registration token that a stage of user-interactive authentication was proven with.
    pub token: Option<String>,
    /// The first session; `None` if the client wants none.
    pub device: Option<NewDevice>,
}

/// Why no account was made, or no other password set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Nobody may make an account.
    #[error("this server makes no accounts; ask its administrator for one")]
    Closed,
    /// Outside the grammar of user IDs.
    #[error("use small letters, digits, and . _ = - / + in the name")]
    InvalidName,
    /// Somebody has it, or had it.
    #[error("this name is taken; choose another")]
    NameTaken,
    /// The password is too long or too short.
    #[error("{0}")]
    Password(#[from] Unfit),
    /// The registration token was used up or expired meanwhile.
    #[error("the registration token is no longer good; ask for another")]
    TokenNotGood,
    /// The device ID or name is impossible.
    #[error("the device's ID or name is empty or too long")]
    InvalidDevice,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for RegisterError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// Whether this name could be registered now.
    pub async fn check_name(&self, username: &str) -> Result<OwnedUserId, RegisterError> {
        let user_id = name::new_user_id(username, &self.0.options.server_name)?;
        let snapshot = self.0.store.snapshot().await?;
        match rows::user(&*snapshot, &user_id).await? {
            Some(_) => Err(RegisterError::NameTaken),
            None => Ok(user_id),
        }
    }

    /// Refuses what registration would refuse, before anybody is asked to prove anything.
    pub async fn check_new(&self, account: &NewAccount) -> Result<(), RegisterError> {
        if self.0.options.registration == Registration::Closed {
            return Err(RegisterError::Closed);
        }
        if let Some(password) = &account.password {
            self.0.passwords.judge(password)?;
        }
        match &account.username {
            Some(username) => self.check_name(username).await.map(drop),
            None => Ok(()),
        }
    }

    /// Makes an account, with its first session if one is wanted. Whoever calls has seen to the
    /// stages of user-interactive authentication.
    pub async fn register(
        &self,
        account: NewAccount,
    ) -> Result<(OwnedUserId, Option<Session>), RegisterError> {
        self.check_new(&account).await?;
        let username = account.username.clone();
        let username = username.unwrap_or_else(|| name::generated(&self.0.env.random));
        let user_id = name::new_user_id(&username, &self.0.options.server_name)?;
        let password = match &account.password {
            Some(password) => Some(self.0.passwords.hash(password).await?),
            None => None,
        };
        self.create(&user_id, password, &account).await
    }

    async fn create(
        &self,
        user_id: &UserId,
        password: Option<String>,
        account: &NewAccount,
    ) -> Result<(OwnedUserId, Option<Session>), RegisterError> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            if rows::user(&*snapshot, user_id).await?.is_some() {
                return Err(RegisterError::NameTaken);
            }
            let mut row = self.new_row(password.clone());
            let token = match &account.token {
                Some(token) => Some((token, rows::registration_token(&*snapshot, token).await?)),
                None => None,
            };
            if let Some((_, seen)) = &token {
                let good = seen.row.as_ref();
                let good = good.filter(|row| invitation::is_good(row, self.0.env.clock.age_ms()));
                row.role = good.ok_or(RegisterError::TokenNotGood)?.role.clone();
            }
            let mut change = UserChange::new(user_id, row);
            push_rule::put_default(&*snapshot, &mut change).await?;
            if let Some((token, seen)) = &token {
                change.use_registration_token(token, seen);
            }
            let session = match &account.device {
                Some(device) => Some(self.first_session(&mut change, device)?),
                None => None,
            };
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok((user_id.to_owned(), session));
            }
        }
    }

    /// The row of an account that nothing is known of yet.
    pub(crate) fn new_row(&self, password: Option<String>) -> UserRow {
        UserRow {
            revision: 0,
            created_ts: self.0.env.clock.wall_ms(),
            role: MEMBER.into(),
            standing: StandingRow::Active,
            password: password.map(Into::into),
            deactivated: None,
            filters: 0,
        }
    }

    /// Sets another password. With `others_out` every other device is signed out.
    pub async fn change_password(
        &self,
        requester: &Requester,
        password: &str,
        others_out: bool,
    ) -> Result<(), RegisterError> {
        self.allow(requester, Action::ManageKeys)?;
        let keep = requester.device_id.as_str();
        let done = self.set_password(&requester.user_id, password, others_out, Some(keep));
        if done.await? {
            Ok(())
        } else {
            Err(Fault::Broken("the requester has no account".to_owned()).into())
        }
    }

    /// Whether there is such an account, open; it then has this password.
    pub(crate) async fn set_password(
        &self,
        user_id: &UserId,
        password: &str,
        others_out: bool,
        keep: Option<&str>,
    ) -> Result<bool, RegisterError> {
        self.0.passwords.judge(password)?;
        let hash = self.0.passwords.hash(password).await?;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let Some(mut change) = UserChange::of(&*snapshot, user_id).await? else {
                return Ok(false);
            };
            if change.user.deactivated.is_some() {
                return Ok(false);
            }
            change.user.password = Some(hash.as_str().into());
            if others_out {
                let mut gone = Vec::new();
                for (id, device, _) in rows::devices(&*snapshot, user_id).await? {
                    if keep != Some(id.as_str()) {
                        change.delete_device(&id, &device);
                        gone.push(id);
                    }
                }
                forget_devices(&*snapshot, &mut change, &gone).await?;
            }
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(true);
            }
        }
    }

    /// Closes the requester's own account for ever: no password, no devices, no data of their own.
    /// It leaves its rooms by a flow that this begins.
    pub async fn deactivate(
        &self,
        requester: &Requester,
        erase: bool,
    ) -> Result<(), RegisterError> {
        self.allow(requester, Action::Deactivate)?;
        Ok(self.close(&requester.user_id, erase).await.map(drop)?)
    }

    /// Whether there is such an account; it is closed then, if it was not before.
    pub(crate) async fn close(&self, user_id: &UserId, erase: bool) -> Result<bool, Fault> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let Some(mut change) = UserChange::of(&*snapshot, user_id).await? else {
                return Ok(false);
            };
            let before = change.user.deactivated;
            change.user.deactivated = Some(Deactivation {
                ts: before.map_or_else(|| self.0.env.clock.wall_ms(), |before| before.ts),
                erase: erase || before.is_some_and(|before| before.erase),
            });
            change.user.password = None;
            for (id, device, _) in rows::devices(&*snapshot, user_id).await? {
                change.delete_device(&id, &device);
            }
            Self::drop_dehydrated(&*snapshot, &mut change, user_id).await?;
            change.delete_data();
            let user = user_id.to_owned();
            change.start_flow(FlowAct::LeaveRooms { user });
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(true);
            }
        }
    }
}
