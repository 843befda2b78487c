//! Canonical JSON (appendices, "Canonical JSON"): one text for one value, on every server.
//!
//! It exists because hashes and signatures are taken over text. Text from outside is read once
//! into a tree that borrows from it, and written back in the one form that is stored, signed and
//! authorised. It knows nothing of events.

use std::borrow::Cow;

use crate::json_parser;
use crate::rules::Numbers;

/// Most levels of arrays and objects within one another, the outermost included.
///
/// The appendices name no limit. This is where `serde_json` stops by default, so that whatever
/// is accepted here is readable everywhere else in the server. Some servers accept deeper events;
/// those are dropped here.
pub const JSON_NESTING_MAX: usize = 127;

/// Text that is not JSON, or JSON that has no canonical form. Positions are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The bytes are not UTF-8.
    #[error("not UTF-8 from byte {at}: send JSON encoded as UTF-8")]
    NotUtf8 {
        /// Where the first invalid sequence starts.
        at: usize,
    },
    /// Not JSON: a syntax error, `NaN`, `Infinity`, text after the value, or an early end.
    #[error("not JSON at byte {at}: check the syntax there")]
    Syntax {
        /// Where reading stopped.
        at: usize,
    },
    /// Half of a surrogate pair, which is no character.
    #[error("an escaped surrogate without its other half at byte {at}: send whole characters")]
    LoneSurrogate {
        /// Where the escape starts.
        at: usize,
    },
    /// More than [`JSON_NESTING_MAX`] levels.
    #[error("more than {JSON_NESTING_MAX} levels of nesting at byte {at}: flatten the value")]
    TooDeep {
        /// Where the level too many starts.
        at: usize,
    },
    /// A fraction or an exponent where the room version has integers only.
    #[error("a number that is not an integer at byte {at}: send an integer or a string")]
    NotAnInteger {
        /// Where the number starts.
        at: usize,
    },
    /// An integer beyond 2^53 - 1 either way, or a float beyond what binary64 holds.
    #[error("a number out of range at byte {at}: send a smaller number or a string")]
    OutOfRange {
        /// Where the number starts.
        at: usize,
    },
    /// A JSON value, but not an object.
    #[error("not a JSON object: send an object")]
    NotAnObject,
}

/// A JSON value that has a canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The canonical text.
    Number(Cow<'a, str>),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// A JSON object: its members in the order of their names' code points, no name twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// Rewrites `json`, one JSON value with any white space around it, as canonical JSON.
///
/// Of members with the same name the last one counts, as in what most servers read with.
/// Characters keep their identity: nothing is normalised, and U+0000 is as good as any.
///
/// # Errors
/// If the text is no JSON, or has no canonical form under `numbers`.
pub fn canonical_json(json: &[u8], numbers: Numbers) -> Result<String, JsonError> {
    let value = json_parser::parse(json, numbers)?;
    let mut out = String::with_capacity(json.len());
    value.write(&mut out);
    Ok(out)
}

impl<'a> Value<'a> {
    /// A string.
    pub(crate) fn string(text: impl Into<Cow<'a, str>>) -> Self {
        Self::String(text.into())
    }

    /// An integer, which the caller knows to be within the limits.
    pub(crate) fn integer(integer: impl Into<i64>) -> Self {
        Self::Number(Cow::Owned(integer.into().to_string()))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Writes the canonical text.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(text) => out.push_str(text),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => write_array(items, out),
            Self::Object(object) => object.write(out),
        }
    }
}

impl<'a> Object<'a> {
    /// Reads an object from JSON text.
    pub(crate) fn parse(json: &'a [u8], numbers: Numbers) -> Result<Self, JsonError> {
        match json_parser::parse(json, numbers)? {
            Value::Object(object) => Ok(object),
            _ => Err(JsonError::NotAnObject),
        }
    }

    /// Members in any order; of those with the same name the last one counts.
    pub(crate) fn from_members(mut members: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        if !members.is_sorted_by(|(a, _), (b, _)| a < b) {
            // Stable, and UTF-8 keeps the order of code points.
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            members.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        Self(members)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.position(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Sets a member, replacing one of the same name.
    pub(crate) fn insert(&mut self, name: impl Into<Cow<'a, str>>, value: Value<'a>) {
        let name = name.into();
        match self.position(&name) {
            Ok(at) => {
                if let Some((_, old)) = self.0.get_mut(at) {
                    *old = value;
                }
            }
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Value<'a>> {
        let at = self.position(name).ok()?;
        Some(self.0.remove(at).1)
    }

    /// The members in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Writes the canonical text.
    pub(crate) fn write(&self, out: &mut String) {
        self.write_without(&[], out);
    }

    /// Writes the canonical text of the object without some of its members.
    pub(crate) fn write_without(&self, names: &[&str], out: &mut String) {
        let mut writer = ObjectWriter::new(out);
        for (name, value) in self.iter().filter(|(name, _)| !names.contains(name)) {
            value.write(writer.member(name));
        }
        writer.end();
    }

    /// The canonical text.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(other, _)| other.as_ref().cmp(name))
    }
}

/// Writes an object member by member; the caller keeps the order of names.
pub(crate) struct ObjectWriter<'o> {
    out: &'o mut String,
    separator: char,
}

impl<'o> ObjectWriter<'o> {
    pub(crate) fn new(out: &'o mut String) -> Self {
        Self {
            out,
            separator: '{',
        }
    }

    /// Starts a member; its value must be written to what is returned.
    pub(crate) fn member(&mut self, name: &str) -> &mut String {
        self.out.push(self.separator);
        self.separator = ',';
        write_string(name, self.out);
        self.out.push(':');
        self.out
    }

    pub(crate) fn end(self) {
        if self.separator == '{' {
            self.out.push('{');
        }
        self.out.push('}');
    }
}

fn write_array(items: &[Value<'_>], out: &mut String) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item.write(out);
    }
    out.push(']');
}

/// Writes a string with the escapes of the appendices' grammar and no others.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(needs_escape) {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = escaped.chars();
        if let Some(character) = characters.next() {
            write_escape(character, out);
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escape(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        control => {
            let code = u32::from(control);
            out.push_str("\\u00");
            out.extend(
                [code / 16, code % 16].map(|digit| char::from_digit(digit, 16).unwrap_or('0')),
            );
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
