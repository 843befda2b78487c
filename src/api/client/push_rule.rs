//! Push rules. Knows nothing of how they are stored or evaluated.

use belfry_user::{RulePlace, Users};
use ruma_client_api::push::{
    PushRule, delete_pushrule::v3 as delete, get_pushrule::v3 as get,
    get_pushrule_actions::v3 as get_actions, get_pushrule_enabled::v3 as get_enabled,
    get_pushrules_all::v3 as all, get_pushrules_global_scope::v3 as global,
    set_pushrule::v3 as set, set_pushrule_actions::v3 as set_actions,
    set_pushrule_enabled::v3 as set_enabled,
};

use crate::{edge::Call, error::ApiError};

/// `GET /pushrules/`.
pub(crate) async fn all(users: Users, call: Call<all::Request>) -> Result<all::Response, ApiError> {
    let rules = users.push_rules(&call.auth.user_id).await?;
    Ok(all::Response::new(rules))
}

/// `GET /pushrules/global/`.
pub(crate) async fn global(
    users: Users,
    call: Call<global::Request>,
) -> Result<global::Response, ApiError> {
    let rules = users.push_rules(&call.auth.user_id).await?;
    Ok(global::Response::new(rules))
}

/// `GET /pushrules/global/{kind}/{ruleId}`.
pub(crate) async fn get(users: Users, call: Call<get::Request>) -> Result<get::Response, ApiError> {
    let request = call.request;
    let rule = users
        .push_rule(&call.auth, request.kind, &request.rule_id)
        .await?;
    Ok(get::Response::new(PushRule::from(rule)))
}

/// `PUT /pushrules/global/{kind}/{ruleId}`.
pub(crate) async fn set(users: Users, call: Call<set::Request>) -> Result<set::Response, ApiError> {
    let request = call.request;
    let place = RulePlace {
        before: request.before,
        after: request.after,
    };
    users.set_push_rule(&call.auth, request.rule, place).await?;
    Ok(set::Response::new())
}

/// `DELETE /pushrules/global/{kind}/{ruleId}`.
pub(crate) async fn delete(
    users: Users,
    call: Call<delete::Request>,
) -> Result<delete::Response, ApiError> {
    let request = call.request;
    users
        .delete_push_rule(&call.auth, request.kind, &request.rule_id)
        .await?;
    Ok(delete::Response::new())
}

/// `GET /pushrules/global/{kind}/{ruleId}/enabled`.
pub(crate) async fn get_enabled(
    users: Users,
    call: Call<get_enabled::Request>,
) -> Result<get_enabled::Response, ApiError> {
    let request = call.request;
    let rule = users
        .push_rule(&call.auth, request.kind, &request.rule_id)
        .await?;
    Ok(get_enabled::Response::new(rule.enabled()))
}

/// `PUT /pushrules/global/{kind}/{ruleId}/enabled`.
pub(crate) async fn set_enabled(
    users: Users,
    call: Call<set_enabled::Request>,
) -> Result<set_enabled::Response, ApiError> {
    let (requester, request) = (&call.auth, call.request);
    users
        .enable_push_rule(requester, request.kind, &request.rule_id, request.enabled)
        .await?;
    Ok(set_enabled::Response::new())
}

/// `GET /pushrules/global/{kind}/{ruleId}/actions`.
pub(crate) async fn get_actions(
    users: Users,
    call: Call<get_actions::Request>,
) -> Result<get_actions::Response, ApiError> {
    let request = call.request;
    let rule = users
        .push_rule(&call.auth, request.kind, &request.rule_id)
        .await?;
    Ok(get_actions::Response::new(rule.actions().to_vec()))
}

/// `PUT /pushrules/global/{kind}/{ruleId}/actions`.
pub(crate) async fn set_actions(
    users: Users,
    call: Call<set_actions::Request>,
) -> Result<set_actions::Response, ApiError> {
    let (requester, request) = (&call.auth, call.request);
    users
        .set_push_actions(requester, request.kind, &request.rule_id, request.actions)
        .await?;
    Ok(set_actions::Response::new())
}
