//! What the server is and can.

use belfry_event::RoomRules;
use ruma_client_api::discovery::{
    get_capabilities::v3::{self as capabilities, Capabilities},
    get_supported_versions as versions,
};

use serde_json::json;

use super::{administration, delayed::capability};
use crate::{
    edge::{Call, JsonText},
    error::ApiError,
    routes::{UNSTABLE_FEATURES, VERSIONS},
    state::{About, RoomDoor},
};

/// `GET /versions`.
pub(crate) async fn versions(_: Call<versions::Request>) -> Result<versions::Response, ApiError> {
    let owned = VERSIONS.iter().map(|version| (*version).to_owned());
    let mut answer = versions::Response::new(owned.collect());
    let features = UNSTABLE_FEATURES
        .iter()
        .map(|name| ((*name).to_owned(), true));
    answer.unstable_features = features.collect();
    Ok(answer)
}

/// `GET /capabilities`.
pub(crate) async fn capabilities(
    about: About,
    door: RoomDoor,
    call: Call<capabilities::Request>,
) -> Result<JsonText, ApiError> {
    let stable = capabilities::RoomVersionStability::Stable;
    let versions = RoomRules::all().map(|rules| (rules.version().clone(), stable.clone()));
    let mut answer = Capabilities::new();
    answer.room_versions =
        capabilities::RoomVersionsCapability::new(about.default_room_version, versions.collect());
    answer.profile_fields = Some(capabilities::ProfileFieldsCapability::new(true));
    answer.thirdparty_id_changes = capabilities::ThirdPartyIdChangesCapability::new(false);
    answer.account_moderation = administration::capability(&door.rules, &call.auth);
    let mut answer = serde_json::to_value(&answer).map_err(ApiError::fault)?;
    // What is as the specification has it without a word is left out by ruma, and missed by some.
    answer["m.change_password"] = json!({"enabled": true});
    for name in ["m.delayed_events", "org.matrix.msc4140.delayed_events"] {
        answer[name] = capability();
    }
    Ok(JsonText(json!({"capabilities": answer}).to_string()))
}
