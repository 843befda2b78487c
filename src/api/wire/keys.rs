//! `POST /keys/upload` and the JSON in it as text: what is `null` or no object must be refused, not
//! left out.

use std::collections::BTreeMap;

use http::Method;
use ruma_client_api::keys::upload_keys::v3 as upload;
use ruma_common::api::{IncomingRequest, Metadata, error::DeserializationError};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Keys as they came; see [`belfry_user::KeyUpload`].
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the spec's names")]
pub(crate) struct UploadKeys {
    #[serde(default, deserialize_with = "whatever")]
    pub(crate) device_keys: Option<String>,
    #[serde(default, deserialize_with = "texts")]
    pub(crate) one_time_keys: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "texts")]
    pub(crate) fallback_keys: BTreeMap<String, String>,
}

/// What is there, even if it is `null`.
fn whatever<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(Some(String::from(Box::<str>::from(raw))))
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let raw = BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
    let raw = raw.into_iter();
    Ok(raw
        .map(|(name, value)| (name, String::from(Box::<str>::from(value))))
        .collect())
}

impl Metadata for UploadKeys {
    const METHOD: Method = upload::Request::METHOD;
    const RATE_LIMITED: bool = upload::Request::RATE_LIMITED;
    type Authentication = <upload::Request as Metadata>::Authentication;
    type PathBuilder = <upload::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = upload::Request::PATH_BUILDER;
}

impl IncomingRequest for UploadKeys {
    type EndpointError = <upload::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = <upload::Request as IncomingRequest>::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(serde_json::from_slice(request.body())?)
    }
}
