//! The ports of this crate: whoever brings other servers' files, and pages of the web.
//!
//! Exists so that the way to other machines is an argument. Knows nothing of requests, signatures
//! and addresses: who implements these sees to all of that.

use std::time::Duration;

use belfry_blob::BoxFuture;
use bytes::Bytes;
use ruma_common::OwnedServerName;

use crate::picture::Size;

/// A file that is asked of the server whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromOrigin {
    /// Whose it is.
    pub server: OwnedServerName,
    /// The media ID: letters, digits, `-` and `_` only.
    pub id: String,
    /// How long that server may wait for a file that has not been uploaded yet.
    pub wait: Duration,
    /// A smaller picture of it instead.
    pub small: Option<Size>,
}

/// What comes.
pub struct Delivery {
    /// Its type, as that server says, unchecked.
    pub content_type: Option<String>,
    /// Its name, as that server says, unchecked.
    pub filename: Option<String>,
    /// Its length, if that is told before.
    pub bytes: Option<u64>,
    /// It itself.
    pub pieces: Box<dyn Pieces>,
}

/// A file that comes piece by piece. Dropped before its end, it is given up.
pub trait Pieces: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>>;
}

/// Why a file does not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// That server has none.
    #[error("there is no such file at that server")]
    NotFound,
    /// That server waits for it itself.
    #[error("it has not been uploaded yet")]
    NotYetUploaded,
    /// That server finds it too large to be sent.
    #[error("that server does not send files as large as this")]
    TooLarge,
    /// Nobody answered, or not what the spec says. The text is the operator's.
    #[error("{0}")]
    Failed(String),
}

/// Whoever brings other servers' files.
pub trait Origin: Send + Sync {
    /// Asks for a file.
    fn open<'a>(&'a self, wanted: &'a FromOrigin) -> BoxFuture<'a, Result<Delivery, OriginError>>;
}

/// What one question to the web may cost.
#[derive(Debug, Clone, Copy)]
pub struct WebLimits {
    /// Bytes that are read of something of this type; what is longer is cut off there.
    pub bytes_max: fn(content_type: Option<&str>) -> usize,
    /// From the question to the last byte.
    pub time_max: Duration,
}

/// What the web answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebAnswer {
    /// A page or a file.
    Page(Page),
    /// It is elsewhere: the `Location`, as it stands.
    Moved(String),
}

/// Something of the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its type, as its server says.
    pub content_type: Option<String>,
    /// The first bytes of it.
    pub content: Bytes,
    /// Whether they are all.
    pub is_whole: bool,
}

/// Why the web gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WebError(pub String);

impl std::fmt::Debug for dyn Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Web")
    }
}

/// Whoever fetches pages: to public addresses only, judged after names are resolved.
pub trait Web: Send + Sync {
    /// Fetches what is there, without following it elsewhere.
    fn get<'a>(
        &'a self,
        url: &'a str,
        limits: WebLimits,
    ) -> BoxFuture<'a, Result<WebAnswer, WebError>>;
}
