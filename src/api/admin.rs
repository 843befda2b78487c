//! What administrators' tools ask for over HTTP, under the paths that such tools know.
//!
//! Handlers translate, as in `client`. Served only where the configuration says so: see `routes`.

use belfry_user::{ProvenAccount, Users};
use serde_json::json;

use crate::{
    edge::{Call, Edge, JsonText},
    error::ApiError,
    rate::Limit,
    wire::shared_secret::{AskNonce, RegisterBySecret},
};

/// `GET /_synapse/admin/v1/register`.
pub(crate) async fn registration_nonce(
    users: Users,
    _call: Call<AskNonce>,
) -> Result<JsonText, ApiError> {
    let nonce = users.registration_nonce()?;
    Ok(JsonText(json!({"nonce": nonce}).to_string()))
}

/// `POST /_synapse/admin/v1/register`.
pub(crate) async fn register(
    edge: Edge,
    users: Users,
    call: Call<RegisterBySecret>,
) -> Result<JsonText, ApiError> {
    let Call { request, ctx, .. } = call;
    // Also for wrong proofs: nobody shall try secrets faster than names.
    edge.charge(Limit::Registration, ctx.network())?;
    let wanted = ProvenAccount {
        nonce: request.nonce,
        username: request.username,
        display_name: request.displayname,
        password: request.password,
        admin: request.admin,
        kind: request.user_type,
        mac: request.mac,
    };
    let (user_id, session) = users.register_proven(&wanted).await?;
    let answer = json!({
        "user_id": user_id,
        "home_server": user_id.server_name(),
        "access_token": session.tokens.access.reveal(),
        "device_id": session.device_id,
    });
    Ok(JsonText(answer.to_string()))
}
