//! What the query of a media request asks. Unknown parameters are ignored, wrong ones refused.

use std::{str::FromStr, time::Duration};

use belfry_media::{Method, Size};

use crate::error::EdgeError;

/// How long a file is waited for that has not been uploaded yet, unless the client says (spec).
const WAIT: Duration = Duration::from_secs(20);

/// The first value of a parameter.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

fn parsed<T: FromStr>(query: &str, name: &str) -> Result<Option<T>, EdgeError> {
    let Some(value) = parameter(query, name) else {
        return Ok(None);
    };
    let wrong = |_| EdgeError::InvalidParam(format!("{name} is not what it should be"));
    value.parse().map(Some).map_err(wrong)
}

/// `timeout_ms`.
pub(crate) fn wait(query: &str) -> Result<Duration, EdgeError> {
    let wait_ms = parsed(query, "timeout_ms")?;
    Ok(wait_ms.map_or(WAIT, Duration::from_millis))
}

/// `animated`: whether a picture that moves is to move.
pub(crate) fn animated(query: &str) -> Result<bool, EdgeError> {
    Ok(parsed(query, "animated")?.unwrap_or(false))
}

/// `allow_remote`: whether other servers may be asked.
pub(crate) fn allow_remote(query: &str) -> Result<bool, EdgeError> {
    Ok(parsed(query, "allow_remote")?.unwrap_or(true))
}

/// `width`, `height`, `method`.
pub(crate) fn size(query: &str) -> Result<Size, EdgeError> {
    let pixels = |name| {
        let missing = || EdgeError::InvalidParam(format!("{name} is missing or zero"));
        parsed::<u32>(query, name)?
            .filter(|pixels| *pixels > 0)
            .ok_or_else(missing)
    };
    let method = match parameter(query, "method").as_deref() {
        None | Some("scale") => Method::Scale,
        Some("crop") => Method::Crop,
        Some(_) => {
            let text = "method is neither scale nor crop";
            return Err(EdgeError::InvalidParam(text.to_owned()));
        }
    };
    Ok(Size {
        width: pixels("width")?,
        height: pixels("height")?,
        method,
    })
}
