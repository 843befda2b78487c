//! Signing keys: ours, and others' that we vouch for.

use axum::extract::Request;
use http::StatusCode;
use ruma_common::{OwnedServerName, ServerName, api::error::ErrorKind};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::ask::invalid;
use crate::{
    edge::{Ctx, JsonText, Rule, check_object, segments},
    error::{ApiError, EdgeError, Refusal},
    state::Api,
};

/// Servers that one question may name.
const SERVERS_MAX: usize = 100;

/// `GET /_matrix/key/v2/server`.
pub(crate) async fn own(api: Api, _: Ctx, _: Request) -> Result<JsonText, ApiError> {
    let document = api.federation.gateway()?.own();
    document
        .map(JsonText)
        .ok_or_else(|| ApiError::fault("our own key document cannot be signed"))
}

/// `GET /_matrix/key/v2/query/{serverName}`.
pub(crate) async fn query_one(api: Api, _: Ctx, request: Request) -> Result<JsonText, ApiError> {
    let (mut parts, _) = request.into_parts();
    let found = segments(&api, &mut parts).await?;
    let name = found.first().map_or("", String::as_str);
    let server = named(name).ok_or_else(|| invalid("not the name of a server"))?;
    let query = parts.uri.query().unwrap_or_default();
    let minimum = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "minimum_valid_until_ts")
        .map(|(_, value)| value.parse());
    let minimum_ms = match minimum {
        None => api.edge.clock().wall_ms(),
        Some(number) => number.map_err(|_| invalid("minimum_valid_until_ts is no number"))?,
    };
    answer(&api, vec![(server, minimum_ms)]).await
}

#[derive(Deserialize)]
struct Question {
    server_keys: BTreeMap<String, Value>,
}

/// `POST /_matrix/key/v2/query`.
pub(crate) async fn query_many(api: Api, _: Ctx, request: Request) -> Result<JsonText, ApiError> {
    let (parts, body) = request.into_parts();
    let body = Rule::FORM
        .read(api.edge.clock(), &parts.headers, body)
        .await?;
    check_object(&body).map_err(EdgeError::from)?;
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| EdgeError::BadJson(error.to_string()))?;
    if question.server_keys.len() > SERVERS_MAX {
        let text = format!("Ask for at most {SERVERS_MAX} servers at a time");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, text).into());
    }
    let now_ms = api.edge.clock().wall_ms();
    let wanted = question
        .server_keys
        .iter()
        .filter_map(|(server, criteria)| {
            // The longest that is asked for any key: the document is one.
            let each = criteria
                .as_object()
                .into_iter()
                .flat_map(|keys| keys.values());
            let minimums = each.filter_map(|key| key.get("minimum_valid_until_ts")?.as_u64());
            Some((named(server)?, minimums.max().unwrap_or(now_ms)))
        });
    answer(&api, wanted.collect()).await
}

fn named(text: &str) -> Option<OwnedServerName> {
    let server = <&ServerName>::try_from(text).ok()?;
    (server.port() != Some(0)).then(|| server.to_owned())
}

async fn answer(api: &Api, wanted: Vec<(OwnedServerName, u64)>) -> Result<JsonText, ApiError> {
    let documents = api.federation.gateway()?.notarise(wanted).await;
    Ok(JsonText(format!(
        "{{\"server_keys\":[{}]}}",
        documents.join(",")
    )))
}
