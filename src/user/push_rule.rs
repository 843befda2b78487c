//! Push rules: which events somebody wants to be told of (spec, "Push Rules").
//!
//! They are account data of the type `m.push_rules`, written when the account is made, so that a
//! sync shows them like any other. The server's own rules are brought up to date whenever they are
//! read. Knows nothing of how rules are evaluated.

use belfry_data::{
    ReadError, Snapshot,
    account::{self as rows, AccountDataRef, AccountDataRow, UserChange},
};
use belfry_policy::{Action, Denial};
use ruma_common::{
    UserId,
    push::{
        self, AnyPushRule, AnyPushRuleRef, InsertPushRuleError, NewPushRule, RemovePushRuleError,
        RuleKind, Ruleset,
    },
};
use serde_json::{Value, json};

use crate::{
    Requester, Users, account_data::ACCOUNT_DATA_BYTES_MAX, fault::Fault,
    server_rule::server_default, store::Tries,
};

/// The event type that the rules are stored as.
const EVENT_TYPE: &str = "m.push_rules";

/// Where a rule is put among those of its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RulePlace {
    /// Right before this one.
    pub before: Option<String>,
    /// Right behind this one.
    pub after: Option<String>,
}

/// Why a push rule was not found or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushRuleError {
    /// No rule of this kind has this ID, the one to be placed by included.
    #[error("there is no such push rule")]
    NotFound,
    /// The ID is reserved or impossible, or the place is.
    #[error("{0}")]
    Invalid(String),
    /// All rules together are beyond [`ACCOUNT_DATA_BYTES_MAX`].
    #[error("the push rules would be larger than {ACCOUNT_DATA_BYTES_MAX} bytes")]
    TooLarge,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for PushRuleError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<InsertPushRuleError> for PushRuleError {
    fn from(error: InsertPushRuleError) -> Self {
        match error {
            InsertPushRuleError::UnknownRuleId => Self::NotFound,
            error => Self::Invalid(error.to_string()),
        }
    }
}

impl Users {
    /// All rules of a user of this server, in order.
    pub async fn push_rules(&self, user_id: &UserId) -> Result<Ruleset, PushRuleError> {
        let snapshot = self.0.store.snapshot().await?;
        read(&*snapshot, user_id).await
    }

    /// One of the requester's rules.
    pub async fn push_rule(
        &self,
        requester: &Requester,
        kind: RuleKind,
        rule_id: &str,
    ) -> Result<AnyPushRule, PushRuleError> {
        self.allow(requester, Action::Read)?;
        let rules = self.push_rules(&requester.user_id).await?;
        let rule = rules.get(kind, rule_id).ok_or(PushRuleError::NotFound)?;
        Ok(rule.to_owned())
    }

    /// Adds a rule, or replaces the one of the same kind and ID, which keeps its place unless
    /// another is named, and stays disabled if it was.
    pub async fn set_push_rule(
        &self,
        requester: &Requester,
        rule: NewPushRule,
        place: RulePlace,
    ) -> Result<(), PushRuleError> {
        self.edit_push_rules(requester, |rules| insert(rules, rule.clone(), &place))
            .await
    }

    /// Deletes a rule that the requester made.
    pub async fn delete_push_rule(
        &self,
        requester: &Requester,
        kind: RuleKind,
        rule_id: &str,
    ) -> Result<(), PushRuleError> {
        let delete = |rules: &mut Ruleset| match rules.remove(kind.clone(), rule_id) {
            Ok(()) => Ok(()),
            Err(RemovePushRuleError::NotFound) => Err(PushRuleError::NotFound),
            Err(error) => Err(PushRuleError::Invalid(error.to_string())),
        };
        self.edit_push_rules(requester, delete).await
    }

    /// Enables or disables a rule.
    pub async fn enable_push_rule(
        &self,
        requester: &Requester,
        kind: RuleKind,
        rule_id: &str,
        enabled: bool,
    ) -> Result<(), PushRuleError> {
        let enable = |rules: &mut Ruleset| {
            let done = rules.set_enabled(kind.clone(), rule_id, enabled);
            done.map_err(|_| PushRuleError::NotFound)
        };
        self.edit_push_rules(requester, enable).await
    }

    /// Changes what a rule does.
    pub async fn set_push_actions(
        &self,
        requester: &Requester,
        kind: RuleKind,
        rule_id: &str,
        actions: Vec<push::Action>,
    ) -> Result<(), PushRuleError> {
        let set = |rules: &mut Ruleset| {
            let done = rules.set_actions(kind.clone(), rule_id, actions.clone());
            done.map_err(|_| PushRuleError::NotFound)
        };
        self.edit_push_rules(requester, set).await
    }

    async fn edit_push_rules(
        &self,
        requester: &Requester,
        edit: impl Fn(&mut Ruleset) -> Result<(), PushRuleError> + Send + Sync,
    ) -> Result<(), PushRuleError> {
        self.allow(requester, Action::ChangeSettings)?;
        let user_id = &requester.user_id;
        let mut tries = Tries::default();
        loop {
            let snapshot = self.0.store.snapshot().await?;
            let mut rules = read(&*snapshot, user_id).await?;
            edit(&mut rules)?;
            let change = UserChange::of(&*snapshot, user_id).await?;
            let mut change = change.ok_or(PushRuleError::NotFound)?;
            put(&*snapshot, &mut change, &rules).await?;
            if self.0.store.commit(change.finish(), &mut tries).await? {
                return Ok(());
            }
        }
    }
}

/// The rules of a new account, so that its first sync shows them.
pub(crate) async fn put_default(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
) -> Result<(), Fault> {
    let rules = server_default(change.id());
    put(snapshot, change, &rules)
        .await
        .map_err(|error| match error {
            PushRuleError::Fault(fault) => fault,
            error => Fault::Broken(error.to_string()),
        })
}

pub(crate) async fn read(
    snapshot: &dyn Snapshot,
    user_id: &UserId,
) -> Result<Ruleset, PushRuleError> {
    let default = server_default(user_id);
    let Some(row) = rows::account_data(snapshot, user_id, "", EVENT_TYPE).await? else {
        return Ok(default);
    };
    let damaged = |error: serde_json::Error| Fault::Broken(format!("stored push rules: {error}"));
    let mut content: Value = serde_json::from_str(&row.content).map_err(damaged)?;
    let rules = serde_json::from_value::<Ruleset>(content["global"].take());
    let mut rules = rules.map_err(damaged)?;
    rules.update_with_server_default(default);
    Ok(rules)
}

pub(crate) async fn put(
    snapshot: &dyn Snapshot,
    change: &mut UserChange,
    rules: &Ruleset,
) -> Result<(), PushRuleError> {
    let content = json!({ "global": rules }).to_string();
    if content.len() > ACCOUNT_DATA_BYTES_MAX {
        return Err(PushRuleError::TooLarge);
    }
    let at = AccountDataRef {
        room: "".into(),
        event_type: EVENT_TYPE.into(),
    };
    let row = AccountDataRow {
        content: content.into(),
    };
    Ok(change.put_account_data(snapshot, at, &row).await?)
}

fn insert(rules: &mut Ruleset, rule: NewPushRule, place: &RulePlace) -> Result<(), PushRuleError> {
    let (kind, rule_id) = (rule.kind(), rule.rule_id().to_owned());
    let by = [place.before.as_deref(), place.after.as_deref()];
    // Ruma's ruleset panics if a rule is to be put behind itself, or behind the last one while it
    // is there already.
    if by.contains(&Some(&*rule_id)) {
        let text = "a push rule cannot be placed by itself".to_owned();
        return Err(PushRuleError::Invalid(text));
    }
    let before = rules.get(kind.clone(), &rule_id);
    let enabled = before.is_none_or(AnyPushRuleRef::enabled);
    if by != [None, None] && !rule_id.starts_with('.') {
        let _was_there = rules.remove(kind.clone(), &rule_id);
    }
    rules.insert(rule, place.after.as_deref(), place.before.as_deref())?;
    let done = rules.set_enabled(kind, &rule_id, enabled);
    done.map_err(|_| PushRuleError::NotFound)
}

#[cfg(test)]
mod tests {
    use ruma_common::{
        push::{NewPatternedPushRule, PredefinedOverrideRuleId},
        user_id,
    };

    use super::*;

    fn keyword(rule_id: &str) -> NewPushRule {
        let (pattern, actions) = (rule_id.to_owned(), vec![push::Action::Notify]);
        NewPushRule::Content(NewPatternedPushRule::new(
            rule_id.to_owned(),
            pattern,
            actions,
        ))
    }

    fn place(before: Option<&str>, after: Option<&str>) -> RulePlace {
        RulePlace {
            before: before.map(ToOwned::to_owned),
            after: after.map(ToOwned::to_owned),
        }
    }

    fn order(rules: &Ruleset) -> Vec<&str> {
        let ids = rules.content.iter().map(|rule| rule.rule_id.as_str());
        ids.filter(|id| !id.starts_with('.')).collect()
    }

    #[test]
    fn rules_are_placed_by_others_and_moved() {
        let mut rules = Ruleset::server_default(user_id!("@a:b"));
        insert(&mut rules, keyword("one"), &RulePlace::default()).unwrap();
        insert(&mut rules, keyword("two"), &RulePlace::default()).unwrap();
        assert_eq!(order(&rules), ["two", "one"]);
        insert(&mut rules, keyword("two"), &place(None, Some("one"))).unwrap();
        assert_eq!(order(&rules), ["one", "two"]);
        insert(&mut rules, keyword("three"), &place(Some("two"), None)).unwrap();
        assert_eq!(order(&rules), ["one", "three", "two"]);
        for by in [place(Some("none"), None), place(None, Some("none"))] {
            let refused = insert(&mut rules.clone(), keyword("two"), &by);
            assert_eq!(refused, Err(PushRuleError::NotFound));
        }
        for by in [place(Some("two"), None), place(None, Some("two"))] {
            let refused = insert(&mut rules.clone(), keyword("two"), &by);
            assert!(matches!(refused, Err(PushRuleError::Invalid(_))));
        }
    }

    #[test]
    fn replaced_rule_keeps_its_place_and_stays_disabled() {
        let mut rules = Ruleset::server_default(user_id!("@a:b"));
        insert(&mut rules, keyword("one"), &RulePlace::default()).unwrap();
        insert(&mut rules, keyword("two"), &RulePlace::default()).unwrap();
        rules.set_enabled(RuleKind::Content, "one", false).unwrap();
        insert(&mut rules, keyword("one"), &RulePlace::default()).unwrap();
        assert_eq!(order(&rules), ["two", "one"]);
        assert!(!rules.get(RuleKind::Content, "one").unwrap().enabled());
    }

    #[test]
    fn reserved_and_impossible_ids_are_refused() {
        let mut rules = Ruleset::server_default(user_id!("@a:b"));
        let master = PredefinedOverrideRuleId::Master.to_string();
        for id in [".m.rule.mine", &*master, "a/b", "a\\b"] {
            let refused = insert(&mut rules, keyword(id), &RulePlace::default());
            assert!(matches!(refused, Err(PushRuleError::Invalid(_))), "{id}");
        }
    }
}
