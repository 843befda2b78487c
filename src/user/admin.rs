//! What administrators do to accounts, from the command line or an administration API.
//!
//! Who may is asked by whoever offers it: the command line is the operator's own.

use belfry_data::{
    ReadError,
    account::{self as rows, StandingRow, UserChange, UserRow},
};
use belfry_policy::Standing;
use ruma_common::{OwnedUserId, UserId};

use crate::{
    Users,
    account::RegisterError,
    device::{Device, of_rows},
    fault::Fault,
    name,
    password::Unfit,
    push_rule,
    session::standing,
    store::Tries,
};

/// An account as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInfo {
    /// Its ID.
    pub user_id: OwnedUserId,
    /// A name in policy's rules.
    pub role: String,
    /// Whether it is restricted.
    pub standing: Standing,
    /// Whether it is closed for ever.
    pub deactivated: bool,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ts: u64,
}

/// How an account is restricted, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restrictions {
    /// Reads, and does little else.
    pub suspended: bool,
    /// Only signs out.
    pub locked: bool,
}

/// Why nothing was done to an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No such account here.
    #[error("there is no such account")]
    NotFound,
    /// Outside the grammar of user IDs.
    #[error("use small letters, digits, and . _ = - / + in the name")]
    InvalidName,
    /// Somebody has it, or had it.
    #[error("there is such an account already")]
    NameTaken,
    /// The password is too long or too short.
    #[error("{0}")]
    Password(#[from] Unfit),
    /// No such role in the rules.
    #[error("the rules have no such role")]
    RoleUnknown,
    /// Closed accounts stay as they are.
    #[error("this account was deactivated")]
    Deactivated,
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for AdminError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<RegisterError> for AdminError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::InvalidName => Self::InvalidName,
            RegisterError::NameTaken => Self::NameTaken,
            RegisterError::Password(unfit) => Self::Password(unfit),
            RegisterError::Fault(fault) => Self::Fault(fault),
            error => Self::Fault(Fault::Broken(error.to_string())),
        }
    }
}

impl Users {
    /// Makes an account, also where registration is closed.
    pub async fn create_account(
        &self,
        username: &str,
        password: Option<&str>,
        role: &str,
    ) -> Result<OwnedUserId, AdminError> {
        self.known_role(role)?;
        let user_id = self.check_name(username).await?;
        let password = match password {
            Some(password) => {
                self.0.passwords.judge(password)?;
                Some(self.0.passwords.hash(password).await?)
            }
            None => None,
        };
        let row = UserRow {
            role: role.into(),
            ..self.new_row(password)
        };
        let mut change = UserChange::new(&user_id, row);
        let snapshot = self.0.store.snapshot().await?;
        push_rule::put_default(&*snapshot, &mut change).await?;
        let made = self
            .0
            .store
            .commit(change.finish(), &mut Tries::default())
            .await?;
        made.then_some(user_id).ok_or(AdminError::NameTaken)
    }

    /// At most `limit` accounts behind `after`, by user ID, at most 1,000.
    pub async fn accounts(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<AccountInfo>, AdminError> {
        let snapshot = self.0.store.snapshot().await?;
        let page = rows::users(&*snapshot, after, limit).await?;
        Ok(page
            .into_iter()
            .map(|(user_id, row)| info(user_id, row))
            .collect())
    }

    /// One account.
    pub async fn account(&self, user_id: &UserId) -> Result<AccountInfo, AdminError> {
        let snapshot = self.0.store.snapshot().await?;
        let row = rows::user(&*snapshot, user_id).await?;
        row.map(|row| info(user_id.to_owned(), row))
            .ok_or(AdminError::NotFound)
    }

    /// Restricts an account, or lifts the restriction.
    pub async fn set_standing(&self, user_id: &UserId, to: Standing) -> Result<(), AdminError> {
        let to = match to {
            Standing::Active => StandingRow::Active,
            Standing::Suspended => StandingRow::Suspended,
            Standing::Locked => StandingRow::Locked,
        };
        self.edit(user_id, |user| user.standing = to).await
    }

    /// How an account is restricted.
    pub async fn restrictions(&self, user_id: &UserId) -> Result<Restrictions, AdminError> {
        let snapshot = self.0.store.snapshot().await?;
        let row = rows::user(&*snapshot, user_id).await?;
        let row = row.ok_or(AdminError::NotFound)?;
        if row.deactivated.is_some() {
            return Err(AdminError::Deactivated);
        }
        Ok(Restrictions {
            suspended: row.standing.is_suspended(),
            locked: row.standing.is_locked(),
        })
    }

    /// Suspends an account or ends that, whether it is locked or not.
    pub async fn set_suspended(&self, user_id: &UserId, to: bool) -> Result<(), AdminError> {
        let edit = |user: &mut UserRow| {
            user.standing = StandingRow::of(to, user.standing.is_locked());
        };
        self.edit(user_id, edit).await
    }

    /// Locks an account or unlocks it, whether it is suspended or not.
    pub async fn set_locked(&self, user_id: &UserId, to: bool) -> Result<(), AdminError> {
        let edit = |user: &mut UserRow| {
            user.standing = StandingRow::of(user.standing.is_suspended(), to);
        };
        self.edit(user_id, edit).await
    }

    /// The devices of an account, by ID.
    pub async fn devices_of(&self, user_id: &UserId) -> Result<Vec<Device>, AdminError> {
        let snapshot = self.0.store.snapshot().await?;
        let devices = rows::devices(&*snapshot, user_id).await?;
        Ok(devices.into_iter().map(of_rows).collect())
    }

    /// Gives an account another role.
    pub async fn set_role(&self, user_id: &UserId, role: &str) -> Result<(), AdminError> {
        self.known_role(role)?;
        self.edit(user_id, |user| user.role = role.into()).await
    }

    /// Sets another password and signs every device out.
    pub async fn reset_password(&self, user_id: &UserId, password: &str) -> Result<(), AdminError> {
        let done = self.set_password(user_id, password, true, None).await?;
        done.then_some(()).ok_or(AdminError::NotFound)
    }

    /// Signs every device of an account out.
    pub async fn sign_out_account(&self, user_id: &UserId) -> Result<(), AdminError> {
        self.account(user_id).await?;
        Ok(self.drop_devices(user_id, |_| true).await?)
    }

    /// Closes an account for ever. It leaves its rooms by a flow that this begins.
    pub async fn close_account(&self, user_id: &UserId, erase: bool) -> Result<(), AdminError> {
        let done = self.close(user_id, erase).await?;
        done.then_some(()).ok_or(AdminError::NotFound)
    }

    async fn edit(
        &self,
        user_id: &UserId,
        edit: impl Fn(&mut UserRow) + Send + Sync,
    ) -> Result<(), AdminError> {
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let change = UserChange::of(&*snapshot, user_id).await?;
            let mut change = change.ok_or(AdminError::NotFound)?;
            if change.user.deactivated.is_some() {
                return Err(AdminError::Deactivated);
            }
            edit(&mut change.user);
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }

    fn known_role(&self, role: &str) -> Result<(), AdminError> {
        let known = self.0.rules.roles.contains_key(role);
        known.then_some(()).ok_or(AdminError::RoleUnknown)
    }

    /// An account's ID from what an operator types: a localpart or a whole user ID.
    pub fn parse_name(&self, name: &str) -> Result<OwnedUserId, AdminError> {
        name::existing_user_id(name, &self.0.options.server_name).ok_or(AdminError::InvalidName)
    }
}

fn info(user_id: OwnedUserId, row: UserRow) -> AccountInfo {
    AccountInfo {
        user_id,
        role: row.role.into(),
        standing: standing(row.standing),
        deactivated: row.deactivated.is_some(),
        created_ts: row.created_ts,
    }
}
