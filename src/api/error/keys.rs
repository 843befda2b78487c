//! What is refused of keys, messages to devices and backups.

use belfry_user::{BackupError, KeyError, ToDeviceError};
use http::StatusCode as S;
use ruma_common::api::error::{ErrorKind as K, WrongRoomKeysVersionErrorData};
use serde_json::json;

use super::{ApiError, Refusal};

/// `M_INVALID_SIGNATURE`, which ruma has no name for.
pub(crate) fn invalid_signature() -> K {
    let kind = json!({"errcode": "M_INVALID_SIGNATURE"});
    serde_json::from_value(kind).unwrap_or(K::InvalidParam)
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        use KeyError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::Shape(_) => (S::BAD_REQUEST, K::BadJson),
            E::Mismatch(_) | E::TooMany(..) => (S::BAD_REQUEST, K::InvalidParam),
            E::Signature(_) => (S::BAD_REQUEST, invalid_signature()),
            E::KnownId(_) => (S::BAD_REQUEST, K::Unknown),
            E::TooLarge(..) => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::NoDevice => (S::NOT_FOUND, K::NotFound),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<ToDeviceError> for ApiError {
    fn from(error: ToDeviceError) -> Self {
        use ToDeviceError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::TooLarge | E::TooMany => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::NotAnObject(_) => (S::BAD_REQUEST, K::BadJson),
            E::Type => (S::BAD_REQUEST, K::InvalidParam),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        use BackupError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::WrongVersion(current) => {
                let current = current.to_string();
                let data = WrongRoomKeysVersionErrorData::new(current);
                (S::FORBIDDEN, K::WrongRoomKeysVersion(data))
            }
            E::OtherAlgorithm => (S::BAD_REQUEST, K::InvalidParam),
            E::TooLarge(..) | E::TooMany(_) => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::Shape(_) => (S::BAD_REQUEST, K::BadJson),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}
