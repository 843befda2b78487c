//! What an uploader says of a file: its type and its name. Knows no file.

use crate::error::MediaError;

/// Longest content type that is kept.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Longest filename that is kept; what is beyond it is cut off.
pub const FILENAME_BYTES_MAX: usize = 255;

/// Type and name of a file, fit for headers and for screens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Label {
    /// `image/png`, say; `None` if nothing was said.
    pub content_type: Option<Box<str>>,
    /// The name without any folder; `None` if there is none.
    pub filename: Option<Box<str>>,
}

impl Label {
    /// Takes what the uploader said. A name loses folders, control characters and those that turn
    /// the reading direction; a type that no header can carry is refused.
    pub fn new(content_type: Option<&str>, filename: Option<&str>) -> Result<Self, MediaError> {
        let content_type = content_type.map(str::trim).filter(|text| !text.is_empty());
        if content_type.is_some_and(|text| text.len() > CONTENT_TYPE_BYTES_MAX) {
            return Err(MediaError::BadLabel("the content type is too long"));
        }
        let printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if content_type.is_some_and(|text| !printable(text)) {
            return Err(MediaError::BadLabel("the content type is not a media type"));
        }
        Ok(Self {
            content_type: content_type.map(Box::from),
            filename: filename.and_then(plain_name),
        })
    }
}

/// The last part of a path, as it may be shown.
pub(crate) fn plain_name(text: &str) -> Option<Box<str>> {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = last.chars().filter(|c| !c.is_control() && !turns(*c));
    let mut name = String::new();
    for c in shown {
        if name.len() + c.len_utf8() > FILENAME_BYTES_MAX {
            break;
        }
        name.push(c);
    }
    let name = name.trim();
    (!name.is_empty() && name != "." && name != "..").then(|| name.into())
}

/// Characters that change the reading direction: `exe.gpj` shall not look like `jpg.exe`.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_folders_and_what_deceives() {
        let cases = [
            ("report.pdf", Some("report.pdf")),
            ("../../etc/passwd", Some("passwd")),
            (r"C:\letters\möbius.odt", Some("möbius.odt")),
            ("a\r\nSet-Cookie: x", Some("aSet-Cookie: x")),
            ("invoice\u{202e}fdp.exe", Some("invoicefdp.exe")),
            ("..", None),
            ("folder/", None),
            (" ", None),
        ];
        for (given, kept) in cases {
            assert_eq!(plain_name(given).as_deref(), kept, "{given:?}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let name = plain_name(&"é".repeat(200)).unwrap();
        assert_eq!(name.len(), 254);
    }

    #[test]
    fn types_that_no_header_carries_are_refused() {
        let of = |text| Label::new(Some(text), None);
        assert_eq!(
            of(" image/png ").unwrap().content_type.as_deref(),
            Some("image/png")
        );
        assert_eq!(of("").unwrap().content_type, None);
        assert!(of("image/png\r\nx: y").is_err());
        assert!(of(&"x".repeat(256)).is_err());
    }
}
