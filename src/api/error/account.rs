//! What accounts refuse.

use std::time::Duration;

use belfry_user::{
    AccountDataError, AdminError, DeviceError, Fault, FilterError, PresenceError, ProfileError,
    PushRuleError, PusherError, RegisterError, SignInError, TokenError, UiaError, Unfit,
};
use http::StatusCode as S;
use ruma_common::api::error::{ErrorKind as K, UnknownTokenErrorData};

use super::{ApiError, Refusal};
use crate::rate::Wait;

/// How long to wait when too much work is waiting.
const BUSY: Duration = Duration::from_secs(1);

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Busy => Wait(BUSY).into(),
            Fault::Unavailable(cause) | Fault::Unsure(cause) => Self::unavailable(cause),
            Fault::Broken(cause) => Self::fault(cause),
        }
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        use RegisterError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::Closed => (S::FORBIDDEN, K::Forbidden),
            E::InvalidName => (S::BAD_REQUEST, K::InvalidUsername),
            E::NameTaken => (S::BAD_REQUEST, K::UserInUse),
            E::Password(Unfit::TooShort(_)) => (S::BAD_REQUEST, K::WeakPassword),
            E::TokenNotGood => (S::UNAUTHORIZED, K::Unauthorized),
            E::Password(Unfit::TooLong) | E::InvalidDevice => (S::BAD_REQUEST, K::InvalidParam),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        use AdminError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotFound | E::Deactivated => (S::NOT_FOUND, K::NotFound),
            E::InvalidName => (S::BAD_REQUEST, K::InvalidUsername),
            E::NameTaken => (S::BAD_REQUEST, K::UserInUse),
            E::Password(_) => (S::BAD_REQUEST, K::WeakPassword),
            E::RoleUnknown => (S::BAD_REQUEST, K::InvalidParam),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        use SignInError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::Wrong | E::TooManyDevices => (S::FORBIDDEN, K::Forbidden),
            E::TooLong | E::InvalidDevice => (S::BAD_REQUEST, K::InvalidParam),
            E::Deactivated => (S::FORBIDDEN, K::UserDeactivated),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let text = error.to_string();
        match error {
            TokenError::Unknown { soft } => {
                let mut data = UnknownTokenErrorData::new();
                data.soft_logout = soft;
                Refusal::new(S::UNAUTHORIZED, K::UnknownToken(data), text).into()
            }
            TokenError::Fault(fault) => fault.into(),
        }
    }
}

impl From<UiaError> for ApiError {
    fn from(error: UiaError) -> Self {
        let text = error.to_string();
        match error {
            UiaError::OtherOperation => Refusal::new(S::FORBIDDEN, K::Forbidden, text).into(),
            UiaError::Fault(fault) => fault.into(),
        }
    }
}

impl From<DeviceError> for ApiError {
    fn from(error: DeviceError) -> Self {
        use DeviceError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::NameTooLong => (S::BAD_REQUEST, K::TooLarge),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        use ProfileError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::NotYours => (S::FORBIDDEN, K::Forbidden),
            E::InvalidName | E::NotShowable => (S::BAD_REQUEST, K::InvalidParam),
            E::NameTooLong => (S::BAD_REQUEST, K::KeyTooLarge),
            E::TooLarge => (S::BAD_REQUEST, K::ProfileTooLarge),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<AccountDataError> for ApiError {
    fn from(error: AccountDataError) -> Self {
        use AccountDataError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::NotYours => (S::FORBIDDEN, K::Forbidden),
            E::Managed => (S::METHOD_NOT_ALLOWED, K::BadJson),
            E::TypeTooLong => (S::BAD_REQUEST, K::InvalidParam),
            E::TooLarge | E::TooMany => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<PushRuleError> for ApiError {
    fn from(error: PushRuleError) -> Self {
        use PushRuleError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::Invalid(_) => (S::BAD_REQUEST, K::InvalidParam),
            E::TooLarge => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        use FilterError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotFound => (S::NOT_FOUND, K::NotFound),
            E::NotYours | E::TooMany => (S::FORBIDDEN, K::Forbidden),
            E::TooLarge => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<PresenceError> for ApiError {
    fn from(error: PresenceError) -> Self {
        use PresenceError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::NotYours => (S::FORBIDDEN, K::Forbidden),
            E::StatusTooLong => (S::PAYLOAD_TOO_LARGE, K::TooLarge),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}

impl From<PusherError> for ApiError {
    fn from(error: PusherError) -> Self {
        use PusherError as E;
        let text = error.to_string();
        let (status, kind) = match error {
            E::Invalid(_) => (S::BAD_REQUEST, K::InvalidParam),
            E::TooMany => (S::FORBIDDEN, K::Forbidden),
            E::Denied(denial) => return denial.into(),
            E::Fault(fault) => return fault.into(),
        };
        Refusal::new(status, kind, text).into()
    }
}
