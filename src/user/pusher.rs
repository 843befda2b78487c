//! Where users want to be notified (spec, "Push Notifications").
//!
//! A pusher is kept as the client described it. Knows nothing of gateways, nor of what is pushed.

use belfry_data::{
    Commit, ReadError,
    pusher::{self as rows, PusherKey, PusherRow},
};
use belfry_policy::{Action, Denial};
use serde_json::{Map, Value};

use crate::{Requester, Users, fault::Fault, store::Tries};

pub use belfry_data::pusher::PUSHERS_MAX;

/// Longest `app_id` (spec).
const APP_ID_BYTES_MAX: usize = 64;
/// Longest `pushkey` (spec).
const PUSHKEY_BYTES_MAX: usize = 512;
/// Largest pusher, as JSON.
pub const PUSHER_BYTES_MAX: usize = 16 * 1024;
/// The path that gateways are asked at (Push Gateway API).
const GATEWAY_PATH: &str = "/_matrix/push/v1/notify";

/// A change of somebody's pushers.
#[derive(Debug, Clone)]
pub struct SetPusher {
    /// `app_id`
    pub app_id: String,
    /// `pushkey`
    pub pushkey: String,
    /// The pusher as it is listed; `None` removes it.
    pub pusher: Option<Map<String, Value>>,
    /// Whether others may have pushers of this key.
    pub append: bool,
}

/// Why pushers were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PusherError {
    /// Something is missing, too long, or of the wrong kind.
    #[error("{0}")]
    Invalid(String),
    /// Beyond [`PUSHERS_MAX`].
    #[error("you have {PUSHERS_MAX} pushers; remove one first")]
    TooMany,
    /// Policy says no.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Not the caller's doing.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl From<ReadError> for PusherError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Users {
    /// The requester's pushers, as JSON objects.
    pub async fn pushers(&self, requester: &Requester) -> Result<Vec<String>, PusherError> {
        self.allow(requester, Action::Read)?;
        let snapshot = self.0.store.snapshot().await?;
        let found = rows::pushers(&*snapshot, &requester.user_id).await?;
        Ok(found.into_iter().map(|(_, row)| row.json.into()).collect())
    }

    /// Adds, replaces or removes one of the requester's pushers. Unless it is to be appended, those
    /// of others with the same key are removed: the telephone changed hands.
    pub async fn set_pusher(
        &self,
        requester: &Requester,
        wanted: SetPusher,
    ) -> Result<(), PusherError> {
        self.allow(requester, Action::ChangeSettings)?;
        check(&wanted)?;
        let user = &*requester.user_id;
        let key = PusherKey {
            app_id: wanted.app_id,
            pushkey: wanted.pushkey,
        };
        let snapshot = self.0.store.snapshot().await?;
        let mut commit = Commit::synced();
        let Some(pusher) = wanted.pusher else {
            rows::delete_pusher(&mut commit, user, &key);
            return self.store_pushers(commit).await;
        };
        let known = rows::pushers(&*snapshot, user).await?;
        let is_new = !known.iter().any(|(other, _)| *other == key);
        if known.len() >= PUSHERS_MAX && is_new {
            return Err(PusherError::TooMany);
        }
        if !wanted.append {
            let others = rows::users_of_pushkey(&*snapshot, &key).await?.into_iter();
            for other in others.filter(|other| *other != user) {
                rows::delete_pusher(&mut commit, &other, &key);
            }
        }
        let row = PusherRow {
            json: Value::Object(pusher).to_string().into(),
            device: requester.device_id.as_str().into(),
            set_ts: self.0.env.clock.wall_ms(),
        };
        rows::put_pusher(&mut commit, user, &key, &row, is_new);
        self.store_pushers(commit).await
    }

    async fn store_pushers(&self, commit: Commit) -> Result<(), PusherError> {
        let stored = self.0.store.commit(commit, &mut Tries::default()).await;
        Ok(stored.map(drop)?)
    }
}

fn check(wanted: &SetPusher) -> Result<(), PusherError> {
    let refuse = |text: &str| Err(PusherError::Invalid(text.to_owned()));
    if wanted.app_id.len() > APP_ID_BYTES_MAX || wanted.app_id.is_empty() {
        return refuse("app_id has 1 to 64 bytes");
    }
    if wanted.pushkey.len() > PUSHKEY_BYTES_MAX || wanted.pushkey.is_empty() {
        return refuse("pushkey has 1 to 512 bytes");
    }
    let Some(pusher) = &wanted.pusher else {
        return Ok(());
    };
    if Value::Object(pusher.clone()).to_string().len() > PUSHER_BYTES_MAX {
        return refuse("the pusher is larger than 16 KiB");
    }
    if pusher.get("kind").and_then(Value::as_str) != Some("http") {
        return refuse("only pushers of the kind http are served");
    }
    let url = pusher.get("data").and_then(|data| data["url"].as_str());
    let Some(rest) = url.and_then(|url| url.strip_prefix("https://")) else {
        return refuse("data.url is no https URL");
    };
    match rest.split_once('/') {
        Some((host, path)) if !host.is_empty() && GATEWAY_PATH.strip_prefix('/') == Some(path) => {
            Ok(())
        }
        _ => refuse("the path of data.url is /_matrix/push/v1/notify"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: &str, url: &str) -> SetPusher {
        let pusher = json!({"kind": kind, "data": {"url": url}});
        SetPusher {
            app_id: "app".to_owned(),
            pushkey: "key".to_owned(),
            pusher: pusher.as_object().cloned(),
            append: false,
        }
    }

    #[test]
    fn gateways_are_asked_over_https_at_their_own_path() {
        let good = "https://push.example/_matrix/push/v1/notify";
        assert_eq!(check(&of("http", good)), Ok(()));
        for (kind, url) in [
            ("email", good),
            ("http", "http://push.example/_matrix/push/v1/notify"),
            ("http", "https://push.example/"),
            ("http", "https:///_matrix/push/v1/notify"),
            ("http", "file:///etc/passwd"),
            ("http", ""),
        ] {
            let refused = check(&of(kind, url));
            assert!(matches!(refused, Err(PusherError::Invalid(_))), "{url}");
        }
    }

    #[test]
    fn keys_have_the_lengths_of_the_spec() {
        let mut wanted = of("http", "https://push.example/_matrix/push/v1/notify");
        wanted.pushkey = "x".repeat(PUSHKEY_BYTES_MAX + 1);
        assert!(check(&wanted).is_err());
        wanted.pushkey = "x".repeat(PUSHKEY_BYTES_MAX);
        assert!(check(&wanted).is_ok());
        wanted.app_id = "x".repeat(APP_ID_BYTES_MAX + 1);
        assert!(check(&wanted).is_err());
    }
}
