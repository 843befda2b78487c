//! Matrix over HTTP: routes, the extractor behind them, handlers, and the table of errors.
//!
//! Handlers translate: they take a parsed [`edge::Call`], ask a domain crate, and answer with the
//! endpoint's response type. They hold no rules of their own. Knows nothing of tables or engines.
//!
//! # How to add an endpoint
//!
//! 1. Find its request type in `ruma_client_api` (paths, method, fields and authentication are
//!    there). If there is none, or its parser is too lax, implement `Metadata` and
//!    `IncomingRequest` for one of our own in a file of `wire`.
//! 2. Write the handler in the file of its group below `client`: an async function of the handles
//!    that it needs (anything that `FromRef` gets from the state) and the call.
//!
//!    ```ignore
//!    use ruma_client_api::account::whoami::v3 as whoami;
//!
//!    /// `GET /account/whoami`.
//!    pub(crate) async fn whoami(call: Call<whoami::Request>) -> Result<whoami::Response, ApiError> {
//!        let mut answer = whoami::Response::new(call.auth.user_id, false);
//!        answer.device_id = Some(call.auth.device_id);
//!        Ok(answer)
//!    }
//!    ```
//! 3. Add its line to the table in `routes.rs`, with the body that it takes.
//! 4. If the domain call can fail in a new way, give the variant a row in `error`.
//! 5. Test it through the router, with answers parsed by ruma's client types. (`hostile_tests` sends
//!    nonsense to every line of the table by itself.)
//!
//! # How it is served
//!
//! [`router`] makes the whole service of an [`Api`]. Whoever accepts connections puts an
//! [`edge::Peer`] into each request's extensions: without one, a request counts as coming from
//! this machine. Limits on connections, headers and idle time are the listener's.

mod about;
mod admin;
mod client;
mod consent;
pub mod edge;
mod elsewhere;
pub mod error;
pub mod federation;
mod notice;
mod partner;
pub mod rate;
mod routes;
mod state;
mod wire;

#[cfg(test)]
mod admin_tests;
#[cfg(test)]
mod coverage_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod malformed_tests;
#[cfg(test)]
mod notice_tests;

pub use about::{Turn, WellKnown};
pub use routes::{UNSTABLE_FEATURES, VERSIONS, router};
pub use state::{About, Api, Handles};
