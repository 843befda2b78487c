//! A TOML text that is being taken apart: values by key, problems by line.

use std::{borrow::Cow, mem, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::{KEYS, Key},
    value::{Context, Raw, Setting},
};
use crate::message::Message;

/// Longest excerpt of the file that a message repeats, in characters.
const EXCERPT_CHARS_MAX: usize = 60;

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Problem {
    /// Where it begins, in bytes.
    at: usize,
    line: usize,
    what: Message,
}

impl Problem {
    /// The whole sentence.
    pub(super) fn message(self, file: &Path) -> Message {
        Message::new("config-problem")
            .with("file", file)
            .with("line", self.line)
            .with("what", self.what)
    }
}

/// A value that has not been asked for yet.
struct Entry<'a> {
    table: String,
    name: String,
    key_at: usize,
    value: Spanned<DeValue<'a>>,
}

/// The text, its values, and what was wrong so far.
pub(super) struct Source<'a> {
    text: &'a str,
    context: Context<'a>,
    entries: Vec<Entry<'a>>,
    problems: Vec<Problem>,
}

impl<'a> Source<'a> {
    /// Takes the text apart; what is not TOML becomes problems.
    pub(super) fn parse(text: &'a str, folder: &'a Path) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut source = Self {
            text,
            context: Context { folder },
            entries: Vec::new(),
            problems: Vec::new(),
        };
        for error in errors {
            let at = error.span().map_or(text.len(), |span| span.start);
            source.report(
                at,
                Message::new("config-syntax").with_text("cause", error.message()),
            );
        }
        for (key, value) in root.into_inner() {
            source.gather(key, value);
        }
        source
    }

    /// Notes a key of the root: a table's keys one by one. An empty table that no key stands in is
    /// kept as a key, so that it is reported.
    fn gather(&mut self, key: Spanned<Cow<'a, str>>, value: Spanned<DeValue<'a>>) {
        let (key_at, name) = (key.span().start, key.into_inner().into_owned());
        let at = value.span();
        let is_key = KEYS.iter().any(|key| dotted(key.table, key.name) == name);
        let is_table = KEYS.iter().any(|key| key.table == name);
        match value.into_inner() {
            DeValue::Table(table) if is_table || !(is_key || table.is_empty()) => {
                for (inner, value) in table {
                    self.entries.push(Entry {
                        table: name.clone(),
                        key_at: inner.span().start,
                        name: inner.into_inner().into_owned(),
                        value,
                    });
                }
            }
            other => self.entries.push(Entry {
                table: String::new(),
                name,
                key_at,
                value: Spanned::new(at, other),
            }),
        }
    }

    /// The value of `table.name`, or its default; `None` if it is wrong, which is then reported.
    pub(super) fn take<T: Setting>(
        &mut self,
        table: &str,
        name: &str,
        default: Raw<'_>,
    ) -> Option<T> {
        let position = self
            .entries
            .iter()
            .position(|entry| entry.table == table && entry.name == name);
        let Some(position) = position else {
            return T::read(default, &self.context).ok();
        };
        let value = self.entries.swap_remove(position).value;
        let span = value.span();
        match T::read(Raw::Toml(value.get_ref()), &self.context) {
            Ok(setting) => Some(setting),
            Err(expected) => {
                let found = excerpt(self.text.get(span.clone()).unwrap_or_default());
                self.report(
                    span.start,
                    Message::new("config-value")
                        .with("key", dotted(table, name))
                        .with("found", found)
                        .with("expected", expected),
                );
                None
            }
        }
    }

    /// Every problem in the order of the lines; a key that nobody asked for is one.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for entry in mem::take(&mut self.entries) {
            let key = dotted(&entry.table, &entry.name);
            let mut what = Message::new("config-unknown-key").with("key", key);
            if let Some(nearest) = nearest(&entry) {
                what = Message {
                    id: "config-unknown-key-near".into(),
                    ..what
                }
                .with("nearest", nearest);
            }
            self.report(entry.key_at, what);
        }
        self.problems.sort_by_key(|problem| problem.at);
        self.problems
    }

    fn report(&mut self, at: usize, what: Message) {
        let before = self.text.get(..at).unwrap_or(self.text);
        self.problems.push(Problem {
            at,
            line: before.matches('\n').count() + 1,
            what,
        });
    }
}

/// How a key is named in messages.
pub(super) fn dotted(table: &str, name: &str) -> String {
    if table.is_empty() {
        name.to_owned()
    } else {
        format!("{table}.{name}")
    }
}

/// The key that was probably meant: the most alike of the whole names, those of the same table
/// first among equals. For a table, the table.
fn nearest(entry: &Entry<'_>) -> Option<String> {
    let wrong = dotted(&entry.table, &entry.name);
    if entry.value.get_ref().is_table() {
        let likeness = |key: &Key| strsim::jaro_winkler(&wrong, key.table);
        return most_alike(likeness).map(|key| format!("[{}]", key.table));
    }
    let likeness = |key: &Key| {
        let whole = strsim::jaro_winkler(&wrong, &dotted(key.table, key.name));
        let last = strsim::jaro_winkler(&entry.name, key.name);
        whole.max(last) + if key.table == entry.table { 0.1 } else { 0.0 }
    };
    most_alike(likeness).map(|key| dotted(key.table, key.name))
}

fn most_alike(likeness: impl Fn(&Key) -> f64) -> Option<&'static Key> {
    KEYS.iter()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}

fn excerpt(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(EXCERPT_CHARS_MAX)
        .collect();
    if line.len() < text.len() {
        format!("{line}…")
    } else {
        line
    }
}
