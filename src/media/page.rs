//! What a page says of itself: `OpenGraph` properties, its title, its picture.
//!
//! Pure. Only the tags are read, one after another, and no tree is built: a hostile page costs what
//! its length costs. Knows nothing of where pages come from. (The `OpenGraph` protocol, ogp.me.)

use std::{cell::RefCell, collections::BTreeMap};

use encoding_rs::{Encoding, UTF_8};
use html5ever::{
    Attribute,
    tendril::StrTendril,
    tokenizer::{
        BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
        states::RawKind,
    },
};

/// Properties that are taken of one page.
pub(crate) const PROPERTIES_MAX: usize = 50;
/// Characters of one of them; what is longer is cut off.
pub(crate) const VALUE_CHARS_MAX: usize = 1_000;
/// Bytes of one tag or comment; nothing is read behind a longer one. The tokenizer compares every
/// attribute with all others of its tag, so that a tag as long as a page would take minutes.
const TAG_BYTES_MAX: usize = 32 << 10;
/// How much is read before that is looked at again.
const PIECE_BYTES: usize = 4 << 10;
/// Bytes of a page in which it may say how its letters are written.
const CHARSET_BYTES_MAX: usize = 1_024;

/// Pages that are read.
pub(crate) fn is_page(content_type: &str) -> bool {
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(bare))
}

/// What the page says: `OpenGraph`'s names and values, the first of each. What it does not say there
/// is taken from where pages say it otherwise.
pub(crate) fn read(content: &[u8], content_type: &str) -> BTreeMap<String, String> {
    let text = decoded(content, content_type);
    let reader = Reader::default();
    let tokenizer = Tokenizer::new(reader, TokenizerOpts::default());
    let input = BufferQueue::default();
    let mut rest = text.as_str();
    while !rest.is_empty() && tokenizer.sink.goes_on() {
        let (piece, later) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        rest = later;
        tokenizer.sink.note_piece(piece);
        input.push_back(StrTendril::from_slice(piece));
        // It stops at the end of scripts, which nobody runs here.
        while !input.is_empty() {
            drop(tokenizer.feed(&input));
        }
    }
    tokenizer.end();
    tokenizer.sink.0.into_inner().properties()
}

/// The text, by what its server says, else the page, else as UTF-8.
fn decoded(content: &[u8], content_type: &str) -> String {
    let said = content_type.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"').to_owned())
    });
    let label = said.or_else(|| charset_inside(content));
    let encoding = label.and_then(|label| Encoding::for_label(label.as_bytes()));
    encoding.unwrap_or(UTF_8).decode(content).0.into_owned()
}

/// `charset=` near the start of a page.
fn charset_inside(content: &[u8]) -> Option<String> {
    let start = content.get(..CHARSET_BYTES_MAX).unwrap_or(content);
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let (_, rest) = start.split_once("charset=")?;
    let rest = rest.trim_start_matches(['"', '\'', ' ']);
    let label = rest.split(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c)));
    label.into_iter().next().map(str::to_owned)
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    open_graph: BTreeMap<String, String>,
    otherwise: BTreeMap<&'static str, String>,
    title: Option<String>,
    in_title: bool,
    /// Bytes that were read and have not become a token.
    pending_bytes: usize,
}

#[derive(Debug, Default)]
struct Reader(RefCell<Found>);

impl Reader {
    fn note_piece(&self, piece: &str) {
        self.0.borrow_mut().pending_bytes += piece.len();
    }

    fn goes_on(&self) -> bool {
        self.0.borrow().pending_bytes <= TAG_BYTES_MAX
    }
}

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut found = self.0.borrow_mut();
        if !matches!(token, Token::ParseError(_)) {
            found.pending_bytes = 0;
        }
        match token {
            Token::TagToken(tag) => found.take_tag(&tag),
            Token::CharacterTokens(text) => {
                found.take_text(&text);
                TokenSinkResult::Continue
            }
            _ => TokenSinkResult::Continue,
        }
    }
}

impl Found {
    fn take_tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let begins = tag.kind == TagKind::StartTag;
        let name: &str = &tag.name;
        match name {
            "title" => self.in_title = begins && self.title.is_none(),
            "meta" if begins => self.take_meta(&tag.attrs),
            "link" if begins => self.take_link(&tag.attrs),
            _ => {}
        }
        if !begins {
            return TokenSinkResult::Continue;
        }
        // Inside of these, what looks like a tag is none.
        match name {
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
                TokenSinkResult::RawData(RawKind::Rawtext)
            }
            "script" => TokenSinkResult::RawData(RawKind::ScriptData),
            _ => TokenSinkResult::Continue,
        }
    }

    fn take_text(&mut self, text: &str) {
        if self.in_title {
            let title = self.title.get_or_insert_default();
            let lacks = VALUE_CHARS_MAX.saturating_sub(title.len());
            title.extend(text.chars().take(lacks));
        }
    }

    fn take_meta(&mut self, attributes: &[Attribute]) {
        let of = |name: &str| value(attributes, name);
        let (Some(name), Some(content)) = (of("property").or_else(|| of("name")), of("content"))
        else {
            return;
        };
        let name = name.trim().to_ascii_lowercase();
        let content = clean(content);
        if content.is_empty() {
            return;
        }
        if name.starts_with("og:") {
            let room = self.open_graph.len() < PROPERTIES_MAX && name.len() <= VALUE_CHARS_MAX;
            if room {
                self.open_graph.entry(name).or_insert(content);
            }
            return;
        }
        let other = match name.as_str() {
            "description" | "twitter:description" => "og:description",
            "twitter:title" => "og:title",
            "twitter:image" | "twitter:image:src" => "og:image",
            _ => return,
        };
        self.otherwise.entry(other).or_insert(content);
    }

    fn take_link(&mut self, attributes: &[Attribute]) {
        let rel = value(attributes, "rel").unwrap_or_default();
        let href = value(attributes, "href").map(clean).unwrap_or_default();
        if rel.eq_ignore_ascii_case("image_src") && !href.is_empty() {
            self.otherwise.entry("og:image").or_insert(href);
        }
    }

    fn properties(mut self) -> BTreeMap<String, String> {
        let mut all = self.open_graph;
        for alias in ["og:image:secure_url", "og:image:url"] {
            if let Some(url) = all.remove(alias) {
                all.entry("og:image".to_owned()).or_insert(url);
            }
        }
        let title = self.title.take().map(|title| clean(&title));
        if let Some(title) = title.filter(|title| !title.is_empty()) {
            self.otherwise.entry("og:title").or_insert(title);
        }
        for (name, value) in self.otherwise {
            all.entry(name.to_owned()).or_insert(value);
        }
        all
    }
}

fn value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    let mut named = attributes.iter().filter(|it| &*it.name.local == name);
    named.next().map(|attribute| &*attribute.value)
}

/// One line without control characters, and not too long.
fn clean(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    let shown = line.chars().filter(|c| !c.is_control());
    shown.take(VALUE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(page: &str) -> Vec<(String, String)> {
        read(page.as_bytes(), "text/html").into_iter().collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        expected.iter().map(owned).collect()
    }

    #[test]
    fn open_graph_goes_before_everything_else() {
        let page = "<!DOCTYPE html><html><head><title>a page</title>\
            <meta property='og:title' content='  A\n  title &amp; more '>\
            <meta name=description content=plain>\
            <META PROPERTY=og:image:secure_url CONTENT='/a.png'>\
            <meta property=og:title content=second></head><body>";
        let expected = [
            ("og:description", "plain"),
            ("og:image", "/a.png"),
            ("og:title", "A title & more"),
        ];
        assert_eq!(of(page), pairs(&expected));
    }

    #[test]
    fn a_plain_page_has_its_title() {
        let page = "<title>Plain &lt;page&gt;</title><p>text";
        assert_eq!(of(page), pairs(&[("og:title", "Plain <page>")]));
        assert_eq!(of("no page at all"), []);
        assert_eq!(of("<svg><title>x</svg>"), pairs(&[("og:title", "x</svg>")]));
    }

    #[test]
    fn what_stands_in_scripts_is_no_tag() {
        let page = "<script>'<meta property=og:title content=no>'</script>\
            <style><meta property=og:title content=no></style>\
            <meta property=og:title content=yes>";
        assert_eq!(of(page), pairs(&[("og:title", "yes")]));
    }

    #[test]
    fn letters_are_read_as_they_are_written() {
        let latin = b"<title>Pr\xe9fecture</title>";
        let expected = "Pr\u{e9}fecture";
        let by = |page: &[u8], kind| read(page, kind).remove("og:title").unwrap();
        assert_eq!(by(latin, "text/html; charset=ISO-8859-1"), expected);
        let said = [&b"<meta charset=\"windows-1252\">"[..], latin].concat();
        assert_eq!(by(&said, "text/html"), expected);
        assert_eq!(by("<title>Préfecture".as_bytes(), "text/html"), expected);
        assert_eq!(by(latin, "text/html"), "Pr\u{fffd}fecture");
    }

    #[test]
    fn no_page_says_more_than_is_read() {
        let mut page = String::new();
        for number in 0..1_000 {
            let value = "y".repeat(2_000);
            page.extend([
                "<meta property=og:x",
                &number.to_string(),
                " content=",
                &value,
                ">",
            ]);
        }
        let found = of(&page);
        assert_eq!(found.len(), PROPERTIES_MAX);
        assert!(
            found
                .iter()
                .all(|(_, value)| value.len() == VALUE_CHARS_MAX)
        );
    }

    #[test]
    fn behind_a_tag_that_does_not_end_nothing_is_read() {
        // As many attributes as a page has room for: all compared with each other, they take minutes.
        let page = |attributes: usize| {
            let names = (0..attributes).map(|number| format!("a{number:x} a0=1 "));
            let tag = names.collect::<String>();
            format!("<title>a</title><p {tag}><meta name=description content=b>")
        };
        assert_eq!(of(&page(100_000)), pairs(&[("og:title", "a")]));
        let both = pairs(&[("og:description", "b"), ("og:title", "a")]);
        assert_eq!(of(&page(1_000)), both);
        // Long texts are no tags.
        let text = format!("<p>{}<title>a</title>", "text ".repeat(TAG_BYTES_MAX));
        assert_eq!(of(&text), pairs(&[("og:title", "a")]));
    }

    #[test]
    fn a_deep_page_costs_no_more_than_a_long_one() {
        let deep = "<b><a><table>".repeat(50_000) + "<title>end</title>";
        assert_eq!(of(&deep), pairs(&[("og:title", "end")]));
    }
}
