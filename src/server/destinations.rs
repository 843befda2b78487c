//! How it stands with other servers, for operators: the list, and having one tried again.
//!
//! It exists so that the command line and monitoring tell the same. It knows nothing of the socket,
//! of words, and of how servers are told things.

use belfry_api::federation::{Destination, Federation};
use ruma_common::ServerName;
use serde::{Deserialize, Serialize};

use crate::{message::Message, operation::Answer};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DestinationRequest {
    /// All of them.
    List,
    /// That this one is tried again now.
    Reset { server: String },
}

/// One other server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) server: String,
    #[serde(flatten)]
    pub(crate) destination: Destination,
    /// How many seconds ago it was heard of last, if it was since the start.
    pub(crate) heard_s_ago: Option<u64>,
}

/// Does what is asked.
pub(crate) fn perform(
    federation: &Federation,
    now_ms: u64,
    request: DestinationRequest,
) -> Result<Answer, Message> {
    let off = || Message::new("federation-off");
    match request {
        DestinationRequest::List => standings(federation, now_ms)
            .map(Answer::Destinations)
            .ok_or_else(off),
        DestinationRequest::Reset { server } => {
            let Ok(name) = <&ServerName>::try_from(server.as_str()) else {
                return Err(Message::new("federation-server").with("server", server));
            };
            if !federation.retry(name) {
                return Err(off());
            }
            Ok(Answer::DestinationReset(server))
        }
    }
}

/// Every server that was spoken to lately or has something to be told, those that do not answer
/// first; `None` if rooms are not shared.
pub(crate) fn standings(federation: &Federation, now_ms: u64) -> Option<Vec<Standing>> {
    let destinations = federation.destinations()?.into_iter();
    let standing = |(server, destination): (_, Destination)| Standing {
        server: ToString::to_string(&server),
        heard_s_ago: destination
            .last_heard_ts
            .map(|heard_ms| now_ms.saturating_sub(heard_ms) / 1_000),
        destination,
    };
    Some(destinations.map(standing).collect())
}
