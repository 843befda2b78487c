//! Reads a request's body as far as its route allows, and no byte further.
//!
//! Knows nothing of what the bytes mean; [`super::json`] looks at those.

use std::time::Duration;

use axum::body::Body;
use belfry_env::Clock;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::error::EdgeError;

/// A body that takes longer than this to arrive is given up.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// What a route takes as a body, and from whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    bytes_max: usize,
    empty: Empty,
    locked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    Passes,
    NotJson,
}

impl Rule {
    /// Nothing is read, whatever was sent: most GET and DELETE requests.
    pub const NONE: Self = Self::new(0, Empty::Passes);
    /// An object, or nothing, which stands for `{}`: requests whose fields are all optional.
    pub const OPTIONAL: Self = Self::new(2 * 1024 * 1024, Empty::Passes);
    /// An object: forms of a few fields, with room for a list of them.
    pub const FORM: Self = Self::new(2 * 1024 * 1024, Empty::NotJson);
    /// An event's content: 64 KiB as canonical JSON, which escapes may make six times as long.
    pub const EVENT: Self = Self::new(512 * 1024, Empty::NotJson);

    /// A transaction of another server: 50 events and 100 EDUs of 64 KiB, with escapes.
    pub const TRANSACTION: Self = Self::new(16 * 1024 * 1024, Empty::NotJson);

    const fn new(bytes_max: usize, empty: Empty) -> Self {
        Self {
            bytes_max,
            empty,
            locked: false,
        }
    }

    /// The same, also for accounts that are locked: to sign out, and for nothing else (spec,
    /// "Account locking").
    #[must_use]
    pub const fn even_locked(self) -> Self {
        Self {
            locked: true,
            ..self
        }
    }

    /// Whether locked accounts may.
    pub(super) fn takes_locked(self) -> bool {
        self.locked
    }

    /// Whether `{}` may be left out.
    pub(crate) fn takes_empty(self) -> bool {
        self.empty == Empty::Passes
    }

    /// Reads the body, or says why not before it has all arrived.
    pub(crate) async fn read(
        self,
        clock: &Clock,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Bytes, EdgeError> {
        if self.bytes_max == 0 {
            return Ok(Bytes::new());
        }
        check_coding(headers)?;
        if announced_bytes(headers).is_some_and(|bytes| bytes > self.bytes_max) {
            return Err(EdgeError::TooLarge(self.bytes_max));
        }
        let whole = Limited::new(body, self.bytes_max).collect();
        match clock.within(BODY_TIME_MAX, whole).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(EdgeError::TooLarge(self.bytes_max))
            }
            Ok(Err(_)) => Err(EdgeError::BodyBroken),
            Err(_) => Err(EdgeError::BodySlow),
        }
    }
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    // More digits than fit are more bytes than any rule takes.
    Some(text.parse().unwrap_or(usize::MAX))
}

/// A compressed body could grow without end and no client sends one; forms with files are for
/// browsers. Any other type is read as JSON, since scripts often name none or a wrong one.
fn check_coding(headers: &HeaderMap) -> Result<(), EdgeError> {
    for coding in headers.get_all(header::CONTENT_ENCODING) {
        if !coding.as_bytes().eq_ignore_ascii_case(b"identity") {
            return Err(EdgeError::ContentEncoding);
        }
    }
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let multipart = kind
        .and_then(|kind| kind.get(.."multipart/".len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    if multipart {
        Err(EdgeError::ContentType)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use belfry_env::SimulatedWall;
    use http::HeaderName;

    use super::*;

    async fn read(
        rule: Rule,
        header: (HeaderName, &'static str),
        body: Body,
    ) -> Result<Bytes, EdgeError> {
        let clock = Clock::simulated(&SimulatedWall::at(0));
        let headers = [(header.0, HeaderValue::from_static(header.1))];
        rule.read(&clock, &headers.into_iter().collect(), body)
            .await
    }

    const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

    /// A body of which each byte arrives a second after the one before.
    fn dripping() -> Body {
        let clock = Clock::simulated(&SimulatedWall::at(0));
        Body::from_stream(futures_util::stream::unfold(clock, async |clock| {
            clock.sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), clock))
        }))
    }

    /// A body that never ends, and fails the test if more than 4 MiB are asked for.
    fn endless() -> Body {
        let chunk = Bytes::from(vec![b' '; 64 * 1024]);
        Body::from_stream(futures_util::stream::unfold(0, move |chunks| {
            assert!(chunks < 64, "the body was read beyond its limit");
            let chunk = chunk.clone();
            async move { Some((Ok::<_, std::io::Error>(chunk), chunks + 1)) }
        }))
    }

    #[tokio::test]
    async fn whole_body_is_read() {
        let body = read(Rule::FORM, JSON, Body::from("{}")).await;
        assert_eq!(body.unwrap(), "{}");
    }

    #[tokio::test]
    async fn announced_excess_is_refused_unread() {
        let header = (header::CONTENT_LENGTH, "20971520");
        let error = read(Rule::FORM, header, Body::new(unreadable())).await;
        assert_eq!(error.unwrap_err(), EdgeError::TooLarge(2 * 1024 * 1024));
        let header = (header::CONTENT_LENGTH, "99999999999999999999999999");
        let error = read(Rule::FORM, header, Body::new(unreadable())).await;
        assert_eq!(error.unwrap_err(), EdgeError::TooLarge(2 * 1024 * 1024));
    }

    #[tokio::test]
    async fn body_without_end_is_cut_at_the_limit() {
        let error = read(Rule::FORM, JSON, endless()).await;
        assert_eq!(error.unwrap_err(), EdgeError::TooLarge(2 * 1024 * 1024));
    }

    #[tokio::test(start_paused = true)]
    async fn dripping_body_is_given_up() {
        let error = read(Rule::FORM, JSON, dripping()).await;
        assert_eq!(error.unwrap_err(), EdgeError::BodySlow);
    }

    #[tokio::test]
    async fn compressed_and_multipart_bodies_are_refused_unread() {
        let gzip = (header::CONTENT_ENCODING, "gzip");
        let error = read(Rule::FORM, gzip, Body::new(unreadable())).await;
        assert_eq!(error.unwrap_err(), EdgeError::ContentEncoding);
        let multipart = (header::CONTENT_TYPE, "Multipart/form-data; boundary=x");
        let error = read(Rule::FORM, multipart, Body::new(unreadable())).await;
        assert_eq!(error.unwrap_err(), EdgeError::ContentType);
    }

    #[tokio::test]
    async fn route_without_a_body_reads_none() {
        let body = read(Rule::NONE, JSON, Body::new(unreadable())).await;
        assert_eq!(body.unwrap(), "");
    }

    /// A body that fails the test when it is read.
    fn unreadable() -> http_body_util::StreamBody<
        impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, std::io::Error>>,
    > {
        http_body_util::StreamBody::new(futures_util::stream::poll_fn(|_| {
            panic!("the body was read")
        }))
    }
}
