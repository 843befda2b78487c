//! What a node is told: the options of each crate, in one place, none with a default.

use std::sync::Arc;

use belfry_api::{About, edge::EdgeOptions};
use belfry_blob::Blobs;
use belfry_event::SigningKey;
use belfry_media::{MediaOptions, Web};
use belfry_policy::Rules;
use belfry_remote::{PushGateways, RemoteOptions};
use belfry_user::UserOptions;

/// Everything that differs from one server to another.
#[derive(Debug)]
pub struct NodeOptions {
    /// What the server signs its events with.
    pub signing_key: SigningKey,
    /// What policy decides by.
    pub rules: Rules,
    /// Accounts; names the server.
    pub users: UserOptions,
    /// Where files are kept.
    pub blobs: Arc<dyn Blobs>,
    /// Limits of files.
    pub media: MediaOptions,
    /// Proxies and rate limits.
    pub edge: EdgeOptions,
    /// Other servers; `None` if this one keeps to itself.
    pub federation: Option<RemoteOptions>,
    /// The way to push gateways; `None` if nothing is pushed.
    pub push: Option<PushGateways>,
    /// The way to pages of which previews are shown; `None` if none are.
    pub web: Option<Arc<dyn Web>>,
    /// What clients are told of the server.
    pub about: About,
}
