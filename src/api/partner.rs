//! Other servers, for administrators: the agreement with each, which is in force at once, and how it
//! stands with each.

use belfry_user::{Partner, PartnerError, Users};
use http::StatusCode;
use ruma_common::api::error::ErrorKind;
use serde_json::{Map, json};

use crate::{
    edge::{Call, JsonText, Routes, Rule},
    elsewhere::Elsewhere,
    error::{ApiError, Refusal},
    state::Api,
    wire::partner::{EndPartner, ListDestinations, ListPartners, RetryDestination, SetPartner},
};

/// Adds the endpoints.
pub(crate) fn routes(routes: Routes<Api>) -> Routes<Api> {
    routes
        .serve(Rule::NONE, list)
        .serve(Rule::FORM, set)
        .serve(Rule::OPTIONAL, end)
        .serve(Rule::NONE, destinations)
        .serve(Rule::OPTIONAL, retry)
}

/// `GET /_belfry/admin/v1/partners`.
async fn list(users: Users, call: Call<ListPartners>) -> Result<JsonText, ApiError> {
    let mut partners = Map::new();
    for (server, partner) in users.partners(&call.auth).await? {
        let rights = json!({
            "inbound": partner.rights.inbound,
            "outbound": partner.rights.outbound,
            "note": partner.note,
        });
        partners.insert(server.to_string(), rights);
    }
    Ok(JsonText(json!({"partners": partners}).to_string()))
}

/// `PUT /_belfry/admin/v1/partners/{serverName}`.
async fn set(users: Users, call: Call<SetPartner>) -> Result<JsonText, ApiError> {
    let SetPartner {
        server,
        rights,
        note,
    } = call.request;
    let partner = Partner { rights, note };
    users
        .set_partner(&call.auth, &server, Some(&partner))
        .await?;
    Ok(JsonText("{}".to_owned()))
}

/// `DELETE /_belfry/admin/v1/partners/{serverName}`.
async fn end(users: Users, call: Call<EndPartner>) -> Result<JsonText, ApiError> {
    let server = &call.request.server;
    users.set_partner(&call.auth, server, None).await?;
    Ok(JsonText("{}".to_owned()))
}

/// `GET /_belfry/admin/v1/destinations`: what waits for each server, since when it does not answer,
/// when it is tried again, and when it was heard of last.
async fn destinations(
    elsewhere: Elsewhere,
    call: Call<ListDestinations>,
) -> Result<JsonText, ApiError> {
    let federation = elsewhere.administer(&call.auth)?;
    let told = federation.gateway()?.destinations().into_iter();
    let told: Map<_, _> = told
        .map(|(server, it)| (server.to_string(), json!(it)))
        .collect();
    Ok(JsonText(json!({"destinations": told}).to_string()))
}

/// `POST /_belfry/admin/v1/destinations/{serverName}/retry`: it is tried again now.
async fn retry(elsewhere: Elsewhere, call: Call<RetryDestination>) -> Result<JsonText, ApiError> {
    let federation = elsewhere.administer(&call.auth)?;
    federation.gateway()?.heard_of(&call.request.server);
    Ok(JsonText("{}".to_owned()))
}

impl From<PartnerError> for ApiError {
    fn from(error: PartnerError) -> Self {
        use PartnerError as E;
        let text = error.to_string();
        let kind = match error {
            E::OwnServer | E::NoteTooLong => ErrorKind::InvalidParam,
            E::TooMany => ErrorKind::Unknown,
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(StatusCode::BAD_REQUEST, kind, text).into()
    }
}
