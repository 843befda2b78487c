//! Asks push gateways over HTTP (Push Gateway API).
//!
//! Exists so that what a gateway answers is judged in one place: taken, refused, or to be tried
//! again. Knows nothing of who is pushed to, nor of when.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::fetch::{Fetcher, Limits};

/// What asking a gateway may cost.
pub const PUSH_LIMITS: Limits = Limits {
    bytes_max: 64 * 1024,
    time_max: Duration::from_secs(20),
    redirects_max: 0,
};

/// Why a gateway did not take a push.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It does not answer, or not now.
    #[error("{0}")]
    Unreachable(String),
    /// It does not take this push, or may not be asked; asking again soon changes nothing.
    #[error("{0}")]
    Refused(String),
}

/// The way to push gateways. Cheap to clone.
#[derive(Clone)]
pub struct PushGateways(Fetcher);

impl fmt::Debug for PushGateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PushGateways").finish_non_exhaustive()
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    rejected: Vec<String>,
}

impl PushGateways {
    /// By this fetcher.
    pub fn new(fetcher: Fetcher) -> Self {
        Self(fetcher)
    }

    /// Posts `body`, JSON, to `url`; the pushkeys that the gateway rejects for ever.
    pub async fn notify(&self, url: &str, body: String) -> Result<Vec<String>, PushError> {
        let Ok(url) = url.parse::<Uri>() else {
            return Err(PushError::Refused("not a URL; set the pusher again".into()));
        };
        let answered = self.0.post(&url, Bytes::from(body), PUSH_LIMITS).await;
        let answer = answered.map_err(|error| {
            let text = error.to_string();
            if error.is_refusal() {
                PushError::Refused(text)
            } else {
                PushError::Unreachable(text)
            }
        })?;
        let status = answer.status();
        if status != StatusCode::OK {
            let text = format!("the gateway answers {status}");
            let later = status.is_server_error()
                || status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::REQUEST_TIMEOUT;
            return Err(if later {
                PushError::Unreachable(text)
            } else {
                PushError::Refused(text)
            });
        }
        // Some gateways answer with nothing: they have taken it.
        let answer: Answer = serde_json::from_slice(answer.body()).unwrap_or_default();
        Ok(answer.rejected)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::fixture::{World, answer, redirect};

    const PATH: &str = "/_matrix/push/v1/notify";

    fn url(host: &str) -> String {
        format!("https://{host}{PATH}")
    }

    #[tokio::test(start_paused = true)]
    async fn push_is_posted_as_json_and_rejected_keys_come_back() {
        let world = World::new();
        world.internet.name("push.example", &["1.2.3.4"]);
        let got = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&got);
        world.homeserver("push.example", "1.2.3.4:443", move |request| {
            assert_eq!(request.method(), "POST");
            assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
            let path = request.uri().path().to_owned();
            seen.lock().unwrap().push((path, request.into_body()));
            answer(200, r#"{"rejected":["old"]}"#)
        });
        let gateways = PushGateways::new(world.fetcher(&[]));
        let rejected = gateways.notify(&url("push.example"), "{}".to_owned()).await;
        assert_eq!(rejected, Ok(vec!["old".to_owned()]));
        let got = got.lock().unwrap();
        assert_eq!(*got, [(PATH.to_owned(), Bytes::from("{}"))]);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_judged_by_whether_to_ask_again() {
        for (status, later) in [
            (500, true),
            (503, true),
            (429, true),
            (400, false),
            (404, false),
        ] {
            let world = World::new();
            world.internet.name("push.example", &["1.2.3.4"]);
            world.homeserver("push.example", "1.2.3.4:443", move |_| answer(status, ""));
            let gateways = PushGateways::new(world.fetcher(&[]));
            let refused = gateways.notify(&url("push.example"), "{}".to_owned()).await;
            let is_later = matches!(refused, Err(PushError::Unreachable(_)));
            assert!(
                refused.is_err() && is_later == later,
                "{status} {refused:?}"
            );
        }
        let world = World::new();
        world.internet.name("push.example", &["1.2.3.4"]);
        world.homeserver("push.example", "1.2.3.4:443", |_| {
            redirect("https://a.example/")
        });
        let gateways = PushGateways::new(world.fetcher(&[]));
        let refused = gateways.notify(&url("push.example"), "{}".to_owned()).await;
        assert!(matches!(refused, Err(PushError::Refused(_))), "{refused:?}");
        world.internet.silence("1.2.3.5:443");
        world.internet.name("silent.example", &["1.2.3.5"]);
        let late = gateways
            .notify(&url("silent.example"), "{}".to_owned())
            .await;
        assert!(matches!(late, Err(PushError::Unreachable(_))), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn ssrf_014_private_gateways_are_dialled_only_if_allowed() {
        let world = World::new();
        world.internet.name("push.intern", &["10.0.0.7"]);
        world.homeserver("push.intern", "10.0.0.7:5443", |_| answer(200, "{}"));
        let asked = url("push.intern:5443");
        let strict = PushGateways::new(world.fetcher(&[]));
        for target in [
            asked.clone(),
            url("10.0.0.7:5443"),
            url("169.254.169.254"),
            url("push.intern:22"),
            format!("http://push.intern{PATH}"),
            format!("https://a@push.intern{PATH}"),
            "nonsense".to_owned(),
        ] {
            let refused = strict.notify(&target, "{}".to_owned()).await;
            assert!(
                matches!(refused, Err(PushError::Refused(_))),
                "{target}: {refused:?}"
            );
        }
        assert_eq!(world.internet.dialled(), [""; 0]);
        let on_premises = PushGateways::new(world.fetcher(&["10.0.0.0/8"]));
        assert_eq!(
            on_premises.notify(&asked, "{}".to_owned()).await,
            Ok(vec![])
        );
    }
}
