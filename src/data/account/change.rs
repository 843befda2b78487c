//! Commits about one user.

use std::collections::BTreeSet;

use belfry_kv::{Commit, ReadError, Seen, Snapshot, Stamp};
use ruma_common::{OwnedUserId, UserId};

use super::{
    profile_log,
    rows::{
        AccountDataRef, AccountDataRow, DeviceRow, DeviceSeenRow, FilterRow, ProfileRow,
        RegistrationTokenRow, TokenHash, TokenRow, UserRow,
    },
    tables::{
        ACCOUNT_DATA, ACCOUNT_DATA_COUNT, ACCOUNT_DATA_LOG, DEVICE, DEVICE_SEEN, FILTER, PROFILE,
        REGISTRATION_TOKEN, TOKEN, USER,
    },
};
use crate::{
    column::UserKey,
    connection,
    flow::{self, FlowAct},
    keys,
    pusher::{self, PusherKey},
    rows::GlobalRow,
    stale::mark_user,
    subscription::delete_subscriptions,
    tables::GLOBAL_LOG,
};

/// A commit about one user under construction. It applies only if nobody else changed the user
/// since they were read; reads that it depends on must be of the same snapshot.
#[derive(Debug)]
pub struct UserChange {
    id: OwnedUserId,
    /// The user as they will be. The revision is written by [`Self::finish`].
    pub user: UserRow,
    pub(crate) commit: Commit,
    /// Which of the user's devices others are to look at anew; `None`: their cross-signing keys.
    noted: BTreeSet<Option<Box<str>>>,
}

impl UserChange {
    /// A change of a user that exists; `None` if there is none.
    pub async fn of(snapshot: &dyn Snapshot, id: &UserId) -> Result<Option<Self>, ReadError> {
        let key = (UserKey::from(id),);
        let seen = USER.get_seen(snapshot, &key).await?;
        let mut commit = Commit::synced();
        USER.check_unchanged(&mut commit, &key, &seen);
        Ok(seen.row.map(|user| Self {
            id: id.to_owned(),
            user,
            commit,
            noted: BTreeSet::new(),
        }))
    }

    /// A user who must not exist yet.
    pub fn new(id: &UserId, user: UserRow) -> Self {
        let mut commit = Commit::synced();
        USER.check_absent(&mut commit, &(UserKey::from(id),));
        mark_user(&mut commit, id);
        Self {
            id: id.to_owned(),
            user,
            commit,
            noted: BTreeSet::new(),
        }
    }

    /// Whose change it is.
    pub fn id(&self) -> &UserId {
        &self.id
    }

    /// Adds a device or changes it.
    pub fn put_device(&mut self, device: &str, row: &DeviceRow) {
        let key = self.device_key(device);
        DEVICE.put(&mut self.commit, &key, row);
    }

    /// Notes that others are to look at this device anew.
    pub fn note_device(&mut self, device: &str) {
        self.noted.insert(Some(device.into()));
    }

    /// Notes that others are to look at the cross-signing keys anew.
    pub fn note_signing(&mut self) {
        self.noted.insert(None);
    }

    /// Deletes a device with its tokens, keys and messages.
    pub fn delete_device(&mut self, device: &str, row: &DeviceRow) {
        let key = self.device_key(device);
        DEVICE.delete(&mut self.commit, &key);
        DEVICE_SEEN.delete(&mut self.commit, &key);
        row.hashes().for_each(|hash| self.delete_token(&hash));
        keys::delete_device(&mut self.commit, &self.id, device);
        connection::delete_connections(&mut self.commit, &self.id, device);
        self.note_device(device);
    }

    /// Deletes a pusher.
    pub fn delete_pusher(&mut self, key: &PusherKey) {
        pusher::delete_pusher(&mut self.commit, &self.id, key);
    }

    /// Stores a token.
    pub fn put_token(&mut self, hash: &TokenHash, row: &TokenRow) {
        TOKEN.put(&mut self.commit, &(*hash,), row);
    }

    /// Revokes a token.
    pub fn delete_token(&mut self, hash: &TokenHash) {
        TOKEN.delete(&mut self.commit, &(*hash,));
    }

    /// Sets the profile, which was `before`. Those who share a room are told of what differs.
    pub fn put_profile(&mut self, before: &ProfileRow, row: &ProfileRow) {
        let key = (self.key(),);
        PROFILE.put(&mut self.commit, &key, row);
        mark_user(&mut self.commit, &self.id);
        profile_log::note(&mut self.commit, &self.id, row.differing(before));
    }

    /// Sets one piece of account data; `room` is empty for global account data.
    pub async fn put_account_data(
        &mut self,
        snapshot: &dyn Snapshot,
        at: AccountDataRef,
        row: &AccountDataRow,
    ) -> Result<(), ReadError> {
        let key = (self.key(), at.room.to_string(), at.event_type.to_string());
        if let Some((stamp, _)) = ACCOUNT_DATA.get(snapshot, &key).await? {
            let logged = (self.key(), logged_before(stamp));
            ACCOUNT_DATA_LOG.delete(&mut self.commit, &logged);
        } else {
            let user = (self.key(),);
            ACCOUNT_DATA_COUNT.add(&mut self.commit, &user, 1);
        }
        // The log's entry takes the ordinal right before the row's: `logged_before` relies on it.
        let prefix = (self.key(),);
        ACCOUNT_DATA_LOG.append(&mut self.commit, &prefix, &at);
        ACCOUNT_DATA.stamp(&mut self.commit, &key, row);
        let user = self.id.as_str().into();
        GLOBAL_LOG.append(&mut self.commit, &(), &GlobalRow::AccountData { user });
        Ok(())
    }

    /// Deletes what the user kept for themselves: profile, account data, filters, key backups,
    /// cross-signing keys. Their devices must
    /// be gone, for a sync could not be told of it.
    pub fn delete_data(&mut self) {
        let user = (self.key(),);
        PROFILE.delete(&mut self.commit, &user);
        mark_user(&mut self.commit, &self.id);
        ACCOUNT_DATA.delete_prefix(&mut self.commit, &user);
        ACCOUNT_DATA_LOG.delete_prefix(&mut self.commit, &user);
        ACCOUNT_DATA_COUNT.delete(&mut self.commit, &user);
        FILTER.delete_prefix(&mut self.commit, &user);
        DEVICE_SEEN.delete_prefix(&mut self.commit, &user);
        keys::delete_user(&mut self.commit, &self.id);
        delete_subscriptions(&mut self.commit, &self.id);
        self.user.filters = 0;
    }

    /// Stores a filter.
    pub fn put_filter(&mut self, id: &str, row: &FilterRow) {
        let key = (self.key(), id.to_owned());
        FILTER.put(&mut self.commit, &key, row);
    }

    /// Counts a use of a registration token, if it is still as it was read.
    pub fn use_registration_token(&mut self, token: &str, seen: &Seen<RegistrationTokenRow>) {
        let key = (token.to_owned(),);
        REGISTRATION_TOKEN.check_unchanged(&mut self.commit, &key, seen);
        if let Some(mut row) = seen.row.clone() {
            row.uses = row.uses.saturating_add(1);
            REGISTRATION_TOKEN.put(&mut self.commit, &key, &row);
        }
    }

    /// Begins a flow that follows from the change.
    pub fn start_flow(&mut self, act: FlowAct) {
        flow::start_flow(&mut self.commit, act);
    }

    /// The commit.
    pub fn finish(mut self) -> Commit {
        self.user.revision = self.user.revision.saturating_add(1);
        let devices = self.noted.iter().map(Option::as_deref);
        keys::note_devices(&mut self.commit, &self.id, devices, self.user.revision);
        USER.put(&mut self.commit, &(UserKey(self.id),), &self.user);
        self.commit
    }

    fn key(&self) -> UserKey {
        UserKey::from(&*self.id)
    }

    fn device_key(&self, device: &str) -> (UserKey, String) {
        (self.key(), device.to_owned())
    }
}

/// Where the log's entry about a row stands; see [`UserChange::put_account_data`].
pub(crate) fn logged_before(row: Stamp) -> Stamp {
    Stamp {
        ordinal: row.ordinal.saturating_sub(1),
        ..row
    }
}

/// Notes when a device was last heard of. Lazy, and checks nothing: a device that is deleted at
/// the same moment may leave the note behind, which nobody reads and its next deletion takes.
pub fn note_seen(user: &UserId, device: &str, row: &DeviceSeenRow) -> Commit {
    let mut commit = Commit::lazy();
    let key = (UserKey::from(user), device.to_owned());
    DEVICE_SEEN.put(&mut commit, &key, row);
    commit
}

/// Creates a registration token that must not exist yet.
pub fn create_registration_token(token: &str, row: &RegistrationTokenRow) -> Commit {
    let mut commit = Commit::synced();
    let key = (token.to_owned(),);
    REGISTRATION_TOKEN.check_absent(&mut commit, &key);
    REGISTRATION_TOKEN.put(&mut commit, &key, row);
    commit
}

/// Deletes a registration token, whether it exists or not.
pub fn delete_registration_token(token: &str) -> Commit {
    let mut commit = Commit::synced();
    REGISTRATION_TOKEN.delete(&mut commit, &(token.to_owned(),));
    commit
}
