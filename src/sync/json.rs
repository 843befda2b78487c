//! Answers as JSON text, put together without reading events again.
//!
//! It exists so that serving an event copies its text once, into the answer. It knows nothing of
//! what the answers say.

use std::fmt::Write as _;

/// Bytes after which a list goes on in another piece.
const PIECE_BYTES: usize = 64 * 1024;

/// JSON objects, one after another, to become an array. Kept in pieces: growing one text to the
/// size of a large room's members would take three times its size on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventList {
    /// Pieces that are full; commas are between and in them.
    full: Vec<String>,
    last: String,
    count: usize,
}

impl EventList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The JSON array.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// Appends the JSON array.
    pub fn write(&self, out: &mut String) {
        out.push('[');
        for piece in &self.full {
            out.push_str(piece);
        }
        out.push_str(&self.last);
        out.push(']');
    }

    /// The elements' text, with commas between, in pieces.
    pub fn into_pieces(self) -> Vec<String> {
        let mut pieces = self.full;
        pieces.push(self.last);
        pieces
    }

    /// The same in one.
    pub(crate) fn into_text(self) -> String {
        if self.full.is_empty() {
            self.last
        } else {
            self.into_pieces().concat()
        }
    }

    /// Adds an element, which `write` appends.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut String)) {
        if self.count > 0 {
            self.last.push(',');
        }
        write(&mut self.last);
        self.count += 1;
        if self.last.len() >= PIECE_BYTES {
            let mut piece = std::mem::take(&mut self.last);
            // It has doubled as it grew: nearly half of it may be empty.
            piece.shrink_to_fit();
            self.full.push(piece);
        }
    }
}

/// An object in the making.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Takes up an object that was ended, to add members. It must have some.
    pub(crate) fn reopen(out: &'a mut String) -> Self {
        let closed = out.pop();
        debug_assert_eq!(closed, Some('}'), "only an object is taken up again");
        Self { out, empty: false }
    }

    /// Begins a member; its value goes into the answer.
    pub(crate) fn member(&mut self, name: &str) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        write_string(name, self.out);
        self.out.push(':');
        self.out
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        write_string(value, self.member(name));
    }

    /// A number or a truth value, whose text is JSON.
    pub(crate) fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        let out = self.member(name);
        // Writing to a string cannot fail.
        _ = write!(out, "{value}");
    }

    pub(crate) fn list(&mut self, name: &str, list: &EventList) {
        list.write(self.member(name));
    }

    /// `{"events": [...]}`, unless there are none.
    pub(crate) fn events(&mut self, name: &str, list: &EventList) {
        if !list.is_empty() {
            self.all_events(name, list);
        }
    }

    /// `{"events": [...]}`, also if there are none.
    pub(crate) fn all_events(&mut self, name: &str, list: &EventList) {
        let mut object = Object::new(self.member(name));
        object.list("events", list);
        object.end();
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }
}

/// Appends a string with its quotes.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => {
                _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn long_lists_are_the_same_in_pieces() {
        let mut list = EventList::default();
        for _ in 0..5 {
            list.push(|out| write_string(&"x".repeat(PIECE_BYTES / 2), out));
        }
        let whole = list.to_json();
        let found: Vec<String> = serde_json::from_str(&whole).unwrap();
        assert_eq!((found.len(), list.len()), (5, 5));
        let pieces = list.clone().into_pieces();
        assert_eq!(pieces.len(), 3);
        assert_eq!(format!("[{}]", pieces.concat()), whole);
        assert_eq!(format!("[{}]", list.into_text()), whole);
    }

    #[test]
    fn objects_and_lists_are_json() {
        let mut list = EventList::default();
        assert_eq!(list.to_json(), "[]");
        list.push(|out| out.push_str("{}"));
        list.push(|out| out.push('1'));
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.string("a\"\u{1}\\\n", "ä\u{7f}\"");
        object.plain("n", -5);
        object.events("none", &EventList::default());
        object.events("some", &list);
        object.end();
        let mut object = Object::reopen(&mut out);
        object.plain("more", true);
        object.end();
        let found: Value = serde_json::from_str(&out).unwrap();
        let expected = json!({
            "a\"\u{1}\\\n": "ä\u{7f}\"",
            "n": -5,
            "some": {"events": [{}, 1]},
            "more": true,
        });
        assert_eq!(found, expected);
        assert_eq!(list.len(), 2);
    }
}
