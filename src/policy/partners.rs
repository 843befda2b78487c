//! Agreements with other servers that are changed while the server runs.
//!
//! Exists so that an administration shuts a server out, or lets it in, without a restart: whoever
//! decides by the rules goes by the agreement as it is at that moment. Knows nothing of where
//! agreements are kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use ruma_common::{OwnedServerName, ServerName};

use crate::rules::ServerRights;

/// Agreements that are held at the same time.
pub const PARTNERS_MAX: usize = 10_000;

/// The agreements of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Partners(Arc<RwLock<BTreeMap<OwnedServerName, ServerRights>>>);

impl Partners {
    /// What this server may do by its agreement, if it has one.
    pub fn of(&self, server: &ServerName) -> Option<ServerRights> {
        let partners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        partners.get(server).cloned()
    }

    /// Every agreement, by name.
    pub fn all(&self) -> BTreeMap<OwnedServerName, ServerRights> {
        let partners = self.0.read();
        partners.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets a server's agreement, or ends it: the rules that hold for every server hold for it
    /// again. In force at once. `false` if there are [`PARTNERS_MAX`] others.
    pub fn set(&self, server: &ServerName, rights: Option<ServerRights>) -> bool {
        let mut partners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(rights) = rights else {
            partners.remove(server);
            return true;
        };
        if partners.len() >= PARTNERS_MAX && !partners.contains_key(server) {
            return false;
        }
        partners.insert(server.to_owned(), rights);
        true
    }
}

impl PartialEq for Partners {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.all() == other.all()
    }
}

impl Eq for Partners {}

#[cfg(test)]
mod tests {
    use ruma_common::server_name;

    use super::*;
    use crate::{Action, Purpose, Request, Requester, Rules, decide};

    #[test]
    fn an_agreement_is_in_force_at_once_and_ends_at_once() {
        let rules = Rules::default();
        let held = rules.clone();
        let partner = server_name!("partner.example");
        let may = || {
            let request = Request::new(Requester::Homeserver, Action::Federate);
            let request = request.with_peer(partner, Purpose::Exchange);
            decide(&held, &request).into_result().is_ok()
        };
        assert!(may());
        assert!(rules.partners.set(partner, Some(ServerRights::none())));
        assert!(!may());
        assert!(rules.partners.set(partner, None));
        assert!(may());
    }
}
