//! Whom a user ignores (Client-Server API, "Ignoring Users").
//!
//! It exists so that all readers leave out the same events: all but state by ignored senders. It
//! knows nothing of invites' answers.

use std::collections::BTreeSet;

use belfry_data::{Snapshot, Stamp, account};
use belfry_event::Pdu;
use ruma_common::UserId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{error::Fault, views::Shared};

/// Ignored users that are remembered for one user between requests; whoever ignores more has the
/// list read anew.
pub const IGNORED_REMEMBERED_MAX: usize = 100;

const EVENT_TYPE: &str = "m.ignored_user_list";

impl Shared {
    /// Whom the user ignores, as of a snapshot that goes to `until`; the notifier knows that far.
    pub(crate) async fn ignored(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        until: Stamp,
    ) -> Result<Ignored, Fault> {
        if let Some(known) = self.notifier.ignored(user, until) {
            return Ok(known);
        }
        let ignored = Ignored::of(snapshot, user).await?;
        self.notifier.note_ignored(user, until, &ignored);
        Ok(ignored)
    }
}

/// The users that one user ignores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ignored(BTreeSet<String>);

impl Ignored {
    pub(crate) async fn of(snapshot: &dyn Snapshot, user: &UserId) -> Result<Self, Fault> {
        let row = account::account_data(snapshot, user, "", EVENT_TYPE).await?;
        Ok(row.map_or_else(Self::default, |row| Self::read(&row.content, user)))
    }

    fn read(content: &str, user: &UserId) -> Self {
        #[derive(Deserialize)]
        struct Content {
            ignored_users: Map<String, Value>,
        }
        // What a client wrote there is its own affair; what makes no sense ignores nobody.
        let content = serde_json::from_str::<Content>(content);
        let users = content.map(|content| content.ignored_users.into_iter().map(|(user, _)| user));
        let others = users
            .into_iter()
            .flatten()
            .filter(|other| other != user.as_str());
        Self(others.collect())
    }

    /// Whether the user does not want to hear from this sender.
    pub(crate) fn holds(&self, sender: &UserId) -> bool {
        self.0.contains(sender.as_str())
    }

    /// Whether the list may be remembered.
    pub(crate) fn is_small(&self) -> bool {
        self.0.len() <= IGNORED_REMEMBERED_MAX
    }

    /// Whether anybody is ignored.
    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether the event is to be left out.
    pub(crate) fn hides(&self, event: &Pdu) -> bool {
        !self.0.is_empty() && event.state_key().is_none() && self.holds(event.sender())
    }
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;

    use super::*;

    #[test]
    fn lists_are_read_leniently_and_nobody_ignores_themselves() {
        let me = user_id!("@me:x");
        let content = r#"{"ignored_users":{"@a:x":{},"@b:x":null,"@me:x":{}}}"#;
        let ignored = Ignored::read(content, me);
        assert!(ignored.holds(user_id!("@a:x")) && ignored.holds(user_id!("@b:x")));
        assert!(!ignored.holds(me));
        for nonsense in ["{}", "[]", r#"{"ignored_users":[]}"#] {
            assert!(Ignored::read(nonsense, me).0.is_empty(), "{nonsense}");
        }
    }
}
