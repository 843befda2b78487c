//! Headers of a file's answer: what it is, how it may be shown, which part of it.

use belfry_media::{File, Label};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, InvalidHeaderValue},
};
use ruma_common::http_headers::{ContentDisposition, ContentDispositionType};

/// Types that no browser runs as a script (spec, "Serving inline content"). All others are saved,
/// not shown.
const INLINE: [&str; 26] = [
    "application/json",
    "application/ld+json",
    "audio/aac",
    "audio/flac",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/wave",
    "audio/webm",
    "audio/x-flac",
    "audio/x-pn-wav",
    "audio/x-wav",
    "image/apng",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/css",
    "text/csv",
    "text/plain",
    "video/mp4",
    "video/ogg",
    "video/quicktime",
    "video/webm",
];

/// What is served as something that only claims to be it.
pub(crate) const UNKNOWN_TYPE: &str = "application/octet-stream";

/// The same for every file. The policy is the spec's.
const FIXED: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
         style-src 'unsafe-inline'; object-src 'self';",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "cross-origin",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::ACCEPT_RANGES, "bytes"),
    // A URI's content never changes; whether one may read it can, so no shared cache keeps it.
    (header::CACHE_CONTROL, "private, max-age=86400, immutable"),
];

/// The headers of this file, `filename` going before its own.
pub(super) fn of_file(
    file: &File,
    filename: Option<String>,
) -> Result<HeaderMap, InvalidHeaderValue> {
    let mut headers: HeaderMap = FIXED
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect();
    let content_type = file.label.content_type.as_deref().unwrap_or(UNKNOWN_TYPE);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type)?);
    let disposition = disposition(&file.label, filename).to_string();
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_str(&disposition)?,
    );
    headers.insert(header::ETAG, HeaderValue::from_str(&etag(file))?);
    Ok(headers)
}

/// The content's hash: strong, for the content never changes.
pub(super) fn etag(file: &File) -> String {
    format!("\"{}\"", file.id)
}

/// Whether it is shown or saved, and under which name; `filename` goes before its own.
pub(crate) fn disposition(label: &Label, filename: Option<String>) -> ContentDisposition {
    let content_type = label.content_type.as_deref().unwrap_or(UNKNOWN_TYPE);
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    let inline = INLINE.iter().any(|safe| safe.eq_ignore_ascii_case(bare));
    let kind = if inline {
        ContentDispositionType::Inline
    } else {
        ContentDispositionType::Attachment
    };
    let filename = filename.or_else(|| label.filename.as_deref().map(str::to_owned));
    ContentDisposition::new(kind).with_filename(filename)
}

/// Which part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// From the first to the last byte, both counted from 0.
    Range(u64, u64),
    /// None that it has.
    Unsatisfiable,
    /// The client has it already.
    NotModified,
}

/// What `If-None-Match`, `Range` and `If-Range` ask of a file of that many bytes (RFC 9110). Several
/// ranges at once, and what is not understood, get the whole.
pub(super) fn part(asked: &HeaderMap, etag: &str, bytes: u64) -> Part {
    let text = |name| asked.get(name).and_then(|value| value.to_str().ok());
    let known = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == etag;
    if text(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|tag| known(tag.trim())))
    {
        return Part::NotModified;
    }
    let current = text(header::IF_RANGE).is_none_or(|tag| tag == etag);
    let Some(range) = text(header::RANGE).filter(|_| current) else {
        return Part::Whole;
    };
    let Ok(parsed) = http_range_header::parse_range_header(range) else {
        return Part::Whole;
    };
    match parsed.validate(bytes).as_deref() {
        Ok([one]) => Part::Range(*one.start(), *one.end()),
        Ok(_) => Part::Whole,
        Err(_) => Part::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"a\"";

    fn asked(headers: &[(HeaderName, &'static str)]) -> Part {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        part(&headers.collect(), TAG, 10)
    }

    #[test]
    fn ranges_are_those_of_the_file() {
        let cases = [
            ("bytes=0-0", Part::Range(0, 0)),
            ("bytes=2-", Part::Range(2, 9)),
            ("bytes=-3", Part::Range(7, 9)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes=x", Part::Whole),
        ];
        for (range, expected) in cases {
            assert_eq!(asked(&[(header::RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for tags in [TAG, "*", "\"x\", \"a\"", "W/\"a\""] {
            assert_eq!(asked(&[(header::IF_NONE_MATCH, tags)]), Part::NotModified);
        }
        assert_eq!(asked(&[(header::IF_NONE_MATCH, "\"x\"")]), Part::Whole);
        let range = (header::RANGE, "bytes=1-2");
        let of = |tag| asked(&[range.clone(), (header::IF_RANGE, tag)]);
        assert_eq!(of(TAG), Part::Range(1, 2));
        assert_eq!(of("\"x\""), Part::Whole);
    }
}
