//! Which threads a user follows, as far as it changed (MSC4308): an extension of sliding sync, and the
//! page of what did not fit into it.

use std::collections::BTreeMap;

use belfry_data::{
    Direction, STAMP_FIRST, STAMP_LAST, Snapshot, Stamp, SubscriptionEntry, ThreadState,
    subscription_changes,
};
use ruma_common::{OwnedEventId, OwnedUserId, UserId};

use super::{ByRoom, Slide};
use crate::{
    error::{Fault, ViewError},
    json::Object,
    views::{Shared, Views},
    window::before,
};

/// Changes of one answer.
pub const THREAD_SUBSCRIPTIONS_MAX: usize = 100;

type ByThread<T> = ByRoom<BTreeMap<OwnedEventId, T>>;

/// Changed subscriptions, each thread once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadSubscriptions {
    /// Whether by a mention or the like, and the counter that orders changes.
    subscribed: ByThread<(bool, u64)>,
    /// The same counter.
    unsubscribed: ByThread<u64>,
    /// From where older ones go on, if there are.
    more: Option<String>,
}

/// A page of changes, the latest first.
#[derive(Debug, Clone)]
pub struct ThreadSubscriptionsRequest {
    /// Whose.
    pub user_id: OwnedUserId,
    /// The token that the page before ended with; without it the page begins with the latest.
    pub from: Option<String>,
    /// The `pos` behind which changes are wanted.
    pub to: Option<String>,
    /// At most so many.
    pub limit: Option<u64>,
}

impl ThreadSubscriptions {
    /// Its name among the extensions.
    pub(crate) const NAME: &'static str = "io.element.msc4308.thread_subscriptions";

    pub(crate) fn is_empty(&self) -> bool {
        self.subscribed.is_empty() && self.unsubscribed.is_empty()
    }

    fn add(&mut self, entry: SubscriptionEntry) {
        let SubscriptionEntry {
            room, root, bump, ..
        } = entry;
        let automatic = match entry.state {
            ThreadState::Automatic => true,
            ThreadState::Manual => false,
            ThreadState::Unsubscribed => {
                let threads = self.unsubscribed.entry(room).or_default();
                threads.insert(root, bump);
                return;
            }
        };
        let threads = self.subscribed.entry(room).or_default();
        threads.insert(root, (automatic, bump));
    }

    fn write_members(&self, answer: &mut Object<'_>) {
        if !self.subscribed.is_empty() {
            let mut rooms = Object::new(answer.member("subscribed"));
            for (room, threads) in &self.subscribed {
                let mut by_root = Object::new(rooms.member(room.as_str()));
                for (root, (automatic, bump)) in threads {
                    let mut thread = Object::new(by_root.member(root.as_str()));
                    thread.plain("automatic", automatic);
                    thread.plain("bump_stamp", bump);
                    thread.end();
                }
                by_root.end();
            }
            rooms.end();
        }
        if !self.unsubscribed.is_empty() {
            let mut rooms = Object::new(answer.member("unsubscribed"));
            for (room, threads) in &self.unsubscribed {
                let mut by_root = Object::new(rooms.member(room.as_str()));
                for (root, bump) in threads {
                    let mut thread = Object::new(by_root.member(root.as_str()));
                    thread.plain("bump_stamp", bump);
                    thread.end();
                }
                by_root.end();
            }
            rooms.end();
        }
    }

    /// As an extension.
    pub(crate) fn write(&self, out: &mut String) {
        let mut answer = Object::new(out);
        self.write_members(&mut answer);
        if let Some(token) = &self.more {
            answer.string("prev_batch", token);
        }
        answer.end();
    }

    fn to_page(&self) -> String {
        let mut out = String::new();
        let mut answer = Object::new(&mut out);
        self.write_members(&mut answer);
        if let Some(token) = &self.more {
            answer.string("end", token);
        }
        answer.end();
        out
    }
}

impl Slide<'_> {
    /// What changed since the last answer, the latest changes only.
    pub(super) async fn thread_subscriptions(
        &self,
        snapshot: &dyn Snapshot,
        since: Option<Stamp>,
        limit: u64,
    ) -> Result<ThreadSubscriptions, Fault> {
        let span = (since.unwrap_or(STAMP_FIRST), self.until);
        let user = &*self.request.user_id;
        self.shared
            .changed_threads(snapshot, user, span, Some(limit))
            .await
    }
}

impl Views {
    /// A page of changed subscriptions, as JSON.
    ///
    /// # Errors
    /// [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn thread_subscriptions(
        &self,
        request: &ThreadSubscriptionsRequest,
    ) -> Result<String, ViewError> {
        let shared = &*self.0;
        let place = |token: &Option<String>| {
            let token = token.as_deref();
            token.map(|token| shared.tokens.since(token)).transpose()
        };
        let until = place(&request.from)?.unwrap_or(STAMP_LAST);
        let after = place(&request.to)?.unwrap_or(STAMP_FIRST);
        let snapshot = shared.snapshot().await?;
        let (user, span) = (&*request.user_id, (after, until));
        let found = shared.changed_threads(&*snapshot, user, span, request.limit);
        Ok(found.await?.to_page())
    }
}

impl Shared {
    async fn changed_threads(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        span: (Stamp, Stamp),
        limit: Option<u64>,
    ) -> Result<ThreadSubscriptions, Fault> {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(THREAD_SUBSCRIPTIONS_MAX);
        let limit = limit.clamp(1, THREAD_SUBSCRIPTIONS_MAX);
        let page = subscription_changes(snapshot, user, span, Direction::Backward, limit).await?;
        let last = page.entries.last().map(|(at, _)| *at);
        let mut found = ThreadSubscriptions {
            more: last
                .filter(|_| page.more)
                .map(|at| self.tokens.sync(before(at))),
            ..ThreadSubscriptions::default()
        };
        for (_, entry) in page.entries {
            found.add(entry);
        }
        Ok(found)
    }
}
