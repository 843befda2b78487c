//! Tells push gateways of what notified somebody (Push Gateway API).
//!
//! It exists so that a push is lost by no crash and blocked by no other gateway: what notified is in
//! the rows that the projector writes, each pusher has a place in them (`courier`), and gateways that
//! fail are left alone for a while (`gates`). After a crash a push may come again, with the same
//! event ID. It knows nothing of HTTP: whoever does implements [`Gateway`].

mod courier;
mod gates;
mod queue;
mod told;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use belfry_data::BoxFuture;
use ruma_common::{OwnedUserId, UserId};
use tokio::sync::Notify;

use crate::views::Views;

pub use courier::{PUSHED_AT_ONCE_MAX, REFUSALS_MAX};
pub use gates::GATES_MAX;
pub use told::BADGE_NOTES_MAX;

/// Pushes of one pusher before somebody else has their turn.
pub const PUSHES_PER_TURN_MAX: usize = 20;
/// What notified longer ago is not pushed any more.
pub const PUSH_AGE_MAX: Duration = Duration::from_hours(24);
/// Longest pause between two tries of a gateway that does not answer.
pub const PUSH_PAUSE_MAX: Duration = Duration::from_hours(1);
/// The first such pause; each is twice as long as the one before.
const PUSH_PAUSE: Duration = Duration::from_secs(10);

/// Why a gateway did not take a push.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// It does not answer, or not now: nobody is pushed to by it for a while.
    #[error("{0}")]
    Unreachable(String),
    /// It does not take this push, or may not be asked.
    #[error("{0}")]
    Refused(String),
}

/// Asks push gateways.
pub trait Gateway: Send + Sync {
    /// Posts `body` to `url`; the `rejected` keys of the answer. An error is tried again later.
    fn notify<'a>(
        &'a self,
        url: &'a str,
        body: String,
    ) -> BoxFuture<'a, Result<Vec<String>, GatewayError>>;
}

/// Who was notified, or has read, and was not looked after yet.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    users: Mutex<Users>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Users {
    due: BTreeSet<OwnedUserId>,
    /// Whose gateways show a badge that is not 0: it falls when they read.
    badged: BTreeSet<OwnedUserId>,
    /// Whether there is anybody who pushes.
    pushes: bool,
}

impl Noted {
    /// These users were notified.
    pub(crate) fn add(&self, users: BTreeSet<OwnedUserId>) {
        let mut noted = self.lock();
        if noted.pushes && !users.is_empty() {
            noted.due.extend(users);
            self.bell.notify_one();
        }
    }

    /// Whether it concerns a gateway that this user has less unread than before.
    pub(crate) fn shows_badge(&self, user: &UserId) -> bool {
        self.lock().badged.contains(user)
    }

    /// Whether it may concern a gateway that somebody has less unread than before.
    fn shows_badges(&self) -> bool {
        !self.lock().badged.is_empty()
    }

    /// Whether the user's gateways show a badge.
    fn set_badge(&self, user: &UserId, shown: bool) {
        let mut noted = self.lock();
        if shown {
            noted.badged.insert(user.to_owned());
        } else {
            noted.badged.remove(user);
        }
    }

    /// Somebody pushes from now on.
    fn begin(&self) {
        self.lock().pushes = true;
    }

    /// Who is to be looked after.
    fn take(&self) -> BTreeSet<OwnedUserId> {
        std::mem::take(&mut self.lock().due)
    }

    fn lock(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Views {
    /// Begins to push by this gateway; ends when the server stops. To be called once.
    pub fn push_by(&self, gateway: Arc<dyn Gateway>) {
        self.0.noted.begin();
        let courier = courier::Courier::new(Arc::clone(&self.0), gateway);
        self.0.env.tasks.spawn("push", courier.run());
    }
}
