//! A server that is attacked by others, which sign with their own keys what no honest one sends.
//!
//! Every case enters where other servers do: by the router, or as the answer to a question of
//! ours. Each asserts what is answered, and that nothing else has changed. Knows nothing of how
//! the server behind the router is built.

mod answer_tests;
mod authorisation_tests;
mod event_tests;
pub(crate) mod forge;
mod handshake_tests;
mod passing_tests;
mod peer;
mod policy_server_tests;
mod reading_tests;
mod realm;
mod reset_tests;
mod room_tests;
mod scene;
mod third_party_tests;
mod transaction_tests;
