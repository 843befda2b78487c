//! `multipart/mixed` with two parts, of which the second comes piece by piece.
//!
//! Exists because files of other servers come so (Server-Server API, "Content Repository";
//! RFC 2046, section 5.1). Whatever comes, only the first headers and one piece are held. Knows
//! nothing of files.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;

use crate::{flow::Flow, network::NetworkError};

/// Longest boundary (RFC 2046).
pub(crate) const BOUNDARY_BYTES_MAX: usize = 70;
/// Bytes of what stands before the first part, and of the headers of one part.
pub(crate) const PART_HEAD_BYTES_MAX: usize = 8 << 10;
/// Bytes of the first part, which is JSON.
pub(crate) const FIRST_PART_BYTES_MAX: usize = 64 << 10;
/// Headers of one part.
const PART_HEADERS_MAX: usize = 32;

/// Why it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MultipartError {
    /// It broke off.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// It is not two parts of this kind.
    #[error("not a multipart answer of two parts: {0}")]
    Malformed(&'static str),
}

const fn malformed(what: &'static str) -> MultipartError {
    MultipartError::Malformed(what)
}

/// The boundary in a content type, if it is `multipart/mixed` with one.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';');
    let kind = parts.next()?.trim();
    if !kind.eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let value = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let named = name.trim().eq_ignore_ascii_case("boundary");
        named.then(|| value.trim().trim_matches('"'))
    })?;
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&value.len());
    let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (fits && plain).then(|| value.to_owned())
}

/// The second part, under way.
#[derive(Debug)]
pub(crate) struct SecondPart {
    source: Flow,
    /// What has come and was not handed on.
    held: BytesMut,
    /// What ends a part.
    delimiter: Vec<u8>,
    is_over: bool,
}

/// Reads up to the content of the second part, whose headers are given.
pub(crate) async fn open(
    source: Flow,
    boundary: &str,
) -> Result<(HeaderMap, SecondPart), MultipartError> {
    let mut part = SecondPart {
        source,
        // A delimiter begins with a line end, which the first one need not have.
        held: BytesMut::from(&b"\r\n"[..]),
        delimiter: format!("\r\n--{boundary}").into_bytes(),
        is_over: false,
    };
    part.skip_part(PART_HEAD_BYTES_MAX).await?;
    part.begin_part().await?;
    part.headers().await?;
    part.skip_part(FIRST_PART_BYTES_MAX).await?;
    part.begin_part().await?;
    let headers = part.headers().await?;
    Ok((headers, part))
}

impl SecondPart {
    /// The next piece; `None` at the end, behind which there is nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, MultipartError> {
        if self.is_over {
            return Ok(None);
        }
        loop {
            if let Some(at) = memmem::find(&self.held, &self.delimiter) {
                if at > 0 {
                    return Ok(Some(self.held.split_to(at).freeze()));
                }
                self.end().await?;
                self.is_over = true;
                return Ok(None);
            }
            // The start of a delimiter may be among the last bytes.
            let sure = (self.held.len() + 1).saturating_sub(self.delimiter.len());
            if sure > 0 {
                return Ok(Some(self.held.split_to(sure).freeze()));
            }
            self.more().await?;
        }
    }

    /// Behind the last delimiter: two dashes, or, as some write it, nothing.
    async fn end(&mut self) -> Result<(), MultipartError> {
        drop(self.held.split_to(self.delimiter.len()));
        while self.held.len() < 2 {
            match self.source.next().await? {
                Some(piece) => self.held.extend_from_slice(&piece),
                None => break,
            }
        }
        let rest: &[u8] = &self.held;
        if rest.starts_with(b"--") || rest.is_empty() {
            return Ok(());
        }
        let only_space = rest.iter().all(u8::is_ascii_whitespace);
        if only_space && self.source.next().await?.is_none() {
            return Ok(());
        }
        Err(malformed("there are more parts"))
    }

    async fn more(&mut self) -> Result<(), MultipartError> {
        let piece = self.source.next().await?;
        let piece = piece.ok_or(malformed("it breaks off"))?;
        self.held.extend_from_slice(&piece);
        Ok(())
    }

    /// Skips up to the next delimiter and over it.
    async fn skip_part(&mut self, bytes_max: usize) -> Result<(), MultipartError> {
        loop {
            if let Some(at) = memmem::find(&self.held, &self.delimiter) {
                drop(self.held.split_to(at + self.delimiter.len()));
                return Ok(());
            }
            if self.held.len() > bytes_max {
                return Err(malformed("a part that is not the file is too long"));
            }
            self.more().await?;
        }
    }

    /// The rest of a delimiter's line.
    async fn begin_part(&mut self) -> Result<(), MultipartError> {
        let line = self.until(b"\r\n").await?;
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            Ok(())
        } else {
            Err(malformed("there are fewer parts"))
        }
    }

    async fn headers(&mut self) -> Result<HeaderMap, MultipartError> {
        let mut headers = HeaderMap::new();
        let mut left = PART_HEAD_BYTES_MAX;
        loop {
            let line = self.until(b"\r\n").await?;
            if line.is_empty() {
                return Ok(headers);
            }
            left = left.saturating_sub(line.len());
            if left == 0 || headers.len() >= PART_HEADERS_MAX {
                return Err(malformed("a part has too many headers"));
            }
            let (name, value) = header(&line).ok_or(malformed("a header is none"))?;
            headers.append(name, value);
        }
    }

    async fn until(&mut self, end: &[u8]) -> Result<Bytes, MultipartError> {
        loop {
            if let Some(at) = memmem::find(&self.held, end) {
                let line = self.held.split_to(at).freeze();
                drop(self.held.split_to(end.len()));
                return Ok(line);
            }
            if self.held.len() > PART_HEAD_BYTES_MAX {
                return Err(malformed("a line of a part's head is too long"));
            }
            self.more().await?;
        }
    }
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    let name = HeaderName::from_bytes(name.trim_ascii()).ok()?;
    let value = value.strip_prefix(b":")?.trim_ascii();
    Some((name, HeaderValue::from_bytes(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<(HeaderMap, String), MultipartError> {
        let source = Flow::whole(Bytes::copy_from_slice(text.as_bytes()));
        let (headers, mut part) = open(source, "b").await?;
        let mut content = Vec::new();
        while let Some(piece) = part.next().await? {
            content.extend_from_slice(&piece);
        }
        Ok((headers, String::from_utf8(content).unwrap()))
    }

    #[tokio::test]
    async fn the_second_part_is_read() {
        for text in [
            "--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n-\r\n--\r\n--b--",
            "preamble\r\n--b  \r\n\r\n{}\r\n--b\r\ncontent-type:text/plain\r\n\r\nx\r\n-\r\n--\r\n--b\r\n",
            "\r\n--b\r\n\r\n{}\r\n--b\r\nCONTENT-TYPE: text/plain \r\n\r\nx\r\n-\r\n--\r\n--b--\r\nbehind",
        ] {
            let (headers, content) = read(text).await.unwrap();
            assert_eq!(headers["content-type"], "text/plain", "{text}");
            assert_eq!(content, "x\r\n-\r\n--", "{text}");
        }
        let (headers, content) = read("--b\r\n\r\n\r\n--b\r\n\r\n\r\n--b--").await.unwrap();
        assert!(headers.is_empty() && content.is_empty());
    }

    /// MEDIA-027
    #[tokio::test]
    async fn what_is_not_two_parts_is_refused() {
        let many = "--b\r\n\r\nx\r\n".repeat(10_000) + "--b--";
        let preamble = "x".repeat(PART_HEAD_BYTES_MAX + 1);
        let json = format!("--b\r\n\r\n{}", "x".repeat(FIRST_PART_BYTES_MAX + 1));
        let head = "--b\r\n\r\n{}\r\n--b\r\n".to_owned() + &"a: b\r\n".repeat(33);
        let line = format!("--b\r\nx: {}", "y".repeat(PART_HEAD_BYTES_MAX + 1));
        for text in [
            "",
            "no parts at all",
            "--b--",
            "--b\r\n\r\n{}\r\n--b--",
            "--b\r\n\r\n{}\r\n--b\r\n\r\nit breaks off",
            "--b\r\n\r\n{}\r\n--b\r\n\r\nit breaks off\r\n--",
            "--b\r\n\r\n{}\r\n--b\r\nno header\r\n\r\nx\r\n--b--",
            &many,
            &preamble,
            &json,
            &head,
            &line,
        ] {
            let refused = read(text).await;
            let is_refused = matches!(refused, Err(MultipartError::Malformed(_)));
            assert!(is_refused, "{text:.60}: {refused:?}");
        }
    }

    #[test]
    fn boundaries_are_those_of_the_header() {
        let long = format!("multipart/mixed; boundary={}", "x".repeat(71));
        for (content_type, expected) in [
            ("multipart/mixed; boundary=abc", Some("abc")),
            ("Multipart/Mixed;charset=x; Boundary=\"a b\"", Some("a b")),
            ("multipart/mixed", None),
            ("multipart/mixed; boundary=", None),
            ("multipart/form-data; boundary=abc", None),
            ("application/json", None),
            (&long, None),
        ] {
            assert_eq!(
                boundary(content_type).as_deref(),
                expected,
                "{content_type}"
            );
        }
    }
}
