//! What other servers look up: the program's version, profiles, aliases.

use axum::extract::Request;
use http::StatusCode;
use ruma_common::{OwnedRoomAliasId, OwnedUserId, api::error::ErrorKind};
use serde_json::{Map, json};

use super::ask::{self, Ask, invalid};
use crate::{
    edge::{Ctx, JsonText},
    error::{ApiError, Refusal},
    state::Api,
};

/// `GET /_matrix/federation/v1/version`.
pub(crate) async fn version(_: Api, _: Ctx, _: Request) -> Result<JsonText, ApiError> {
    ask::json(&json!({
        "server": {"name": "Belfry", "version": env!("CARGO_PKG_VERSION")},
    }))
}

/// `GET /_matrix/federation/v1/query/profile`.
pub(crate) async fn profile(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let user: OwnedUserId = ask.needed("user_id")?;
    if user.server_name() != api.federation.server() {
        return Err(invalid("the user is not of this server"));
    }
    let fields = api.users.profile(&user).await?;
    let wanted = ask.parameter("field");
    let mut answer = Map::new();
    for (name, value) in fields {
        if wanted.is_none_or(|wanted| wanted == name) {
            answer.insert(name, value);
        }
    }
    ask::json(&answer)
}

/// `GET /_matrix/federation/v1/query/directory`.
pub(crate) async fn directory(api: Api, ask: Ask) -> Result<JsonText, ApiError> {
    let alias: OwnedRoomAliasId = ask.needed("room_alias")?;
    if alias.server_name() != api.federation.server() {
        let text = "the alias is not of this server";
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, text).into());
    }
    let room = api.rooms.resolve_alias(&alias).await?;
    ask::json(&json!({"room_id": room, "servers": [api.federation.server()]}))
}
