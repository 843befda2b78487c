//! Where calls find a way through firewalls (Client-Server API, "Voice over IP").

use std::time::Duration;

use belfry_user::turn_credentials;
use ruma_client_api::voip::get_turn_server_info::v3 as turn_server;
use serde_json::json;

use crate::{
    edge::{Call, Edge, JsonText},
    error::ApiError,
    state::About,
};

/// `GET /voip/turnServer`. Without a TURN server, an empty object, as clients expect.
pub(crate) async fn turn_server(
    about: About,
    edge: Edge,
    call: Call<turn_server::Request>,
) -> Result<JsonText, ApiError> {
    let Some(turn) = &about.turn else {
        return Ok(JsonText("{}".to_owned()));
    };
    let life_s = turn.credentials_life.as_secs();
    let now_s = Duration::from_millis(edge.clock().wall_ms()).as_secs();
    let until_s = now_s.saturating_add(life_s);
    let made = turn_credentials(&turn.secret, &call.auth.user_id, until_s);
    let answer = json!({
        "username": made.username,
        "password": made.password,
        "uris": turn.uris,
        "ttl": life_s,
    });
    Ok(JsonText(answer.to_string()))
}
