//! User-interactive authentication: sessions in which somebody proves, stage by stage, that they
//! may do one particular thing (spec, "User-Interactive Authentication API").
//!
//! Pure but for the bound on how many there are: which stages exist and how each is verified is
//! the caller's. A session is good for the operation that it was opened for and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_env::{Moment, Random};
use ruma_common::{OwnedDeviceId, OwnedUserId};

/// How long a session may be left before it must be begun again.
pub const UIA_LIFE: Duration = Duration::from_mins(15);

/// Sessions open at once; the oldest gives way. An abandoned one costs some hundred bytes.
pub const UIA_SESSIONS_MAX: usize = 10_000;

/// Longest session identifier that is looked up.
const SESSION_LENGTH: usize = 24;

/// What somebody wants to do. Two operations are the same if they are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Make an account.
    Register,
    /// Change the password of this account.
    ChangePassword(OwnedUserId),
    /// Deactivate this account.
    Deactivate(OwnedUserId),
    /// Delete these devices of this account, in any order.
    DeleteDevices(OwnedUserId, BTreeSet<OwnedDeviceId>),
    /// Replace the cross-signing keys of this account.
    ReplaceSigningKeys(OwnedUserId),
}

/// One step of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// `m.login.password`.
    Password,
    /// `m.login.registration_token`.
    RegistrationToken,
    /// `m.login.dummy`: nothing to prove.
    Dummy,
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The session's identifier.
    pub(crate) session: String,
    /// Stages proven.
    pub(crate) completed: BTreeSet<Stage>,
}

/// Why a session cannot be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionError {
    /// Never opened, expired, or used up.
    Unknown,
    /// Opened for something else.
    OtherOperation,
}

/// All open sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    random: Random,
    open: BTreeMap<String, Session>,
    // Identifiers by age, the oldest first, to find which to drop.
    order: BTreeSet<(Moment, String)>,
}

#[derive(Debug)]
struct Session {
    opened: Moment,
    operation: Operation,
    completed: BTreeSet<Stage>,
    token: Option<String>,
}

impl Sessions {
    /// None open yet.
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            open: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Opens one.
    pub(crate) fn open(&mut self, operation: Operation, now: Moment) -> Progress {
        self.expire(now);
        if self.open.len() >= UIA_SESSIONS_MAX {
            self.drop_oldest();
        }
        let session = self.random.token(SESSION_LENGTH);
        self.order.insert((now, session.clone()));
        let opened = Session {
            opened: now,
            operation,
            completed: BTreeSet::new(),
            token: None,
        };
        self.open.insert(session.clone(), opened);
        Progress {
            session,
            completed: BTreeSet::new(),
        }
    }

    /// Where it stands, if it was opened for this operation.
    pub(crate) fn resume(
        &mut self,
        session: &str,
        operation: &Operation,
        now: Moment,
    ) -> Result<Progress, SessionError> {
        self.expire(now);
        let found = self.open.get(session).ok_or(SessionError::Unknown)?;
        if found.operation != *operation {
            return Err(SessionError::OtherOperation);
        }
        Ok(Progress {
            session: session.to_owned(),
            completed: found.completed.clone(),
        })
    }

    /// Records a stage as proven; `token` is the registration token that proved it, if one did.
    pub(crate) fn complete(&mut self, session: &str, stage: Stage, token: Option<String>) {
        if let Some(found) = self.open.get_mut(session) {
            found.completed.insert(stage);
            found.token = token.or(found.token.take());
        }
    }

    /// The registration token that a stage was proven with.
    pub(crate) fn token(&self, session: &str) -> Option<String> {
        self.open.get(session)?.token.clone()
    }

    /// Closes a session whose operation was done.
    pub(crate) fn close(&mut self, session: &str) {
        if let Some(found) = self.open.remove(session) {
            self.order.remove(&(found.opened, session.to_owned()));
        }
    }

    fn expire(&mut self, now: Moment) {
        while let Some((opened, _)) = self.order.first() {
            if now.since(*opened) < UIA_LIFE {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, session)) = self.order.pop_first() {
            self.open.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma_common::owned_user_id;

    use super::*;

    fn sessions() -> Sessions {
        Sessions::new(Random::seeded(1))
    }

    fn at(seconds: u64) -> Moment {
        Moment::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn stages_add_up_until_it_is_closed() {
        let mut sessions = sessions();
        let id = sessions.open(Operation::Register, at(0)).session;
        sessions.complete(&id, Stage::Dummy, None);
        sessions.complete(&id, Stage::RegistrationToken, Some("t".to_owned()));
        let progress = sessions.resume(&id, &Operation::Register, at(1)).unwrap();
        assert_eq!(progress.completed.len(), 2);
        assert_eq!(sessions.token(&id).as_deref(), Some("t"));
        sessions.close(&id);
        let gone = sessions.resume(&id, &Operation::Register, at(1));
        assert_eq!(gone, Err(SessionError::Unknown));
        assert!(sessions.order.is_empty());
    }

    #[test]
    fn auth_024_session_is_bound_to_its_operation() {
        let mut sessions = sessions();
        let alice = owned_user_id!("@alice:hs1");
        let delete =
            |device: &str| Operation::DeleteDevices(alice.clone(), BTreeSet::from([device.into()]));
        let id = sessions.open(delete("A"), at(0)).session;
        for other in [
            delete("B"),
            Operation::ChangePassword(alice.clone()),
            Operation::DeleteDevices(owned_user_id!("@bob:hs1"), BTreeSet::from(["A".into()])),
        ] {
            let refused = sessions.resume(&id, &other, at(0));
            assert_eq!(refused, Err(SessionError::OtherOperation));
        }
        assert!(sessions.resume(&id, &delete("A"), at(0)).is_ok());
    }

    #[test]
    fn session_expires() {
        let mut sessions = sessions();
        let id = sessions.open(Operation::Register, at(0)).session;
        let life = UIA_LIFE.as_secs();
        assert!(
            sessions
                .resume(&id, &Operation::Register, at(life - 1))
                .is_ok()
        );
        let late = sessions.resume(&id, &Operation::Register, at(life));
        assert_eq!(late, Err(SessionError::Unknown));
    }

    #[test]
    fn oldest_gives_way_to_a_crowd() {
        let mut sessions = sessions();
        let first = sessions.open(Operation::Register, at(0)).session;
        let second = sessions.open(Operation::Register, at(1)).session;
        for _ in 0..UIA_SESSIONS_MAX - 1 {
            sessions.open(Operation::Register, at(2));
        }
        assert_eq!(sessions.open.len(), UIA_SESSIONS_MAX);
        assert_eq!(sessions.order.len(), UIA_SESSIONS_MAX);
        let gone = sessions.resume(&first, &Operation::Register, at(2));
        assert_eq!(gone, Err(SessionError::Unknown));
        assert!(
            sessions
                .resume(&second, &Operation::Register, at(2))
                .is_ok()
        );
    }
}
