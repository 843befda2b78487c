//! Where clients and other servers find the server, and people its administrators (Client-Server
//! API, "Well-known URIs"; Server-Server API, "Server discovery"). Served as the configuration
//! says; without it there is nothing to be found.

use http::StatusCode;
use ruma_client_api::discovery::{
    discover_homeserver as client,
    discover_support::{self as support, Contact, ContactRole},
};
use ruma_common::api::error::ErrorKind;
use serde_json::json;

use crate::{
    edge::{Call, JsonText},
    error::{ApiError, Refusal},
    state::About,
    wire::FindServer,
};

/// `GET /.well-known/matrix/client`.
pub(crate) async fn client(
    about: About,
    _: Call<client::Request>,
) -> Result<client::Response, ApiError> {
    let base_url = about.well_known.client_base_url.ok_or_else(nothing)?;
    Ok(client::Response::new(client::HomeserverInfo::new(base_url)))
}

/// `GET /.well-known/matrix/server`.
pub(crate) async fn server(about: About, _: Call<FindServer>) -> Result<JsonText, ApiError> {
    let server = about.well_known.server.ok_or_else(nothing)?;
    Ok(JsonText(json!({"m.server": server}).to_string()))
}

/// `GET /.well-known/matrix/support`.
pub(crate) async fn support(
    about: About,
    _: Call<support::Request>,
) -> Result<support::Response, ApiError> {
    let known = about.well_known;
    let by_mail = known.support_email.map(|address| {
        let role = ContactRole::Admin;
        Contact::with_email_address(role, address)
    });
    let by_matrix = known.support_user.map(|user| {
        let role = ContactRole::Admin;
        Contact::with_matrix_id(role, user)
    });
    let contacts: Vec<_> = by_mail.into_iter().chain(by_matrix).collect();
    if contacts.is_empty() && known.support_page.is_none() {
        return Err(nothing());
    }
    let mut answer = support::Response::with_contacts(contacts);
    answer.support_page = known.support_page;
    Ok(answer)
}

fn nothing() -> ApiError {
    let text = "The administrators have not said this";
    Refusal::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, text).into()
}
