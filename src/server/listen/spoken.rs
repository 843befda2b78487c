//! Which HTTP a connection speaks, known before anything is read of it.
//!
//! It exists because a protocol that has to find out by itself reads the first bytes apart, and a
//! connection then keeps twice the buffer for as long as it lives. It knows nothing of what is said.

use belfry_env::Env;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use super::activity::IDLE_MAX;

/// How every HTTP/2 connection begins (RFC 9113, 3.4). No method of HTTP/1 that a route takes begins
/// as its first three bytes do.
const PREFACE: &[u8] = b"PRI";
/// The name of HTTP/2 in a TLS handshake (RFC 7301).
const H2: &[u8] = b"h2";

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// What came so far could be either.
    Either,
}

impl Spoken {
    /// By what the peer says first, of which nothing is taken; `None` if it says nothing in
    /// [`IDLE_MAX`] or before the server stops.
    pub(super) async fn first(stream: &TcpStream, env: &Env) -> Option<Self> {
        let mut begin = [0; PREFACE.len()];
        let heard = env.clock.within(IDLE_MAX, stream.peek(&mut begin));
        let read = env.shutdown.unless(heard).await?.ok()?.ok()?;
        Some(Self::by(begin.get(..read)?))
    }

    fn by(begin: &[u8]) -> Self {
        if begin == PREFACE {
            Self::Http2
        } else if PREFACE.starts_with(begin) {
            Self::Either
        } else {
            Self::Http1
        }
    }

    /// By what both agreed on in a TLS handshake: HTTP/1.1 unless they say HTTP/2 (RFC 9113, 3.3).
    pub(super) fn agreed(name: Option<&[u8]>) -> Self {
        if name == Some(H2) {
            Self::Http2
        } else {
            Self::Http1
        }
    }

    /// The protocol for nothing else.
    pub(super) fn only<E>(self, protocol: auto::Builder<E>) -> auto::Builder<E> {
        match self {
            Self::Http1 => protocol.http1_only(),
            Self::Http2 => protocol.http2_only(),
            Self::Either => protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_version() {
        assert_eq!(Spoken::by(b"PRI"), Spoken::Http2);
        assert_eq!(Spoken::by(b"GET"), Spoken::Http1);
        assert_eq!(Spoken::by(b"PUT"), Spoken::Http1);
        assert_eq!(Spoken::by(b"G"), Spoken::Http1);
        assert_eq!(Spoken::by(b"P"), Spoken::Either);
        // The peer has closed its side.
        assert_eq!(Spoken::by(b""), Spoken::Either);
    }
}
