//! What is said to people, before it is said: a name from the catalogue and what fills its gaps.
//!
//! It exists so that no sentence is written where something happens: a failure travels as a value
//! (also over the control socket) and becomes words only in front of its reader, in their language.
//! It knows nothing of languages.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

/// A sentence of the catalogue with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Which entry of `text/*.ftl`.
    pub(crate) id: Cow<'static, str>,
    /// What fills the entry's `{ $gaps }`, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) gaps: BTreeMap<Cow<'static, str>, Gap>,
}

/// What stands in one gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Gap {
    /// A number, which may choose between singular and plural.
    Number(u64),
    /// Words that are the same in every language: a path, a key, a name.
    Text(String),
    /// Words of the catalogue.
    Message(Box<Message>),
}

impl Message {
    /// The sentence `id`, its gaps still open.
    pub(crate) fn new(id: &'static str) -> Self {
        Self {
            id: Cow::Borrowed(id),
            gaps: BTreeMap::new(),
        }
    }

    /// Fills the gap `name`.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, gap: impl Into<Gap>) -> Self {
        self.gaps.insert(Cow::Borrowed(name), gap.into());
        self
    }

    /// Fills the gap `name` with what the value displays: a path, or the cause that a library gave
    /// (those speak English).
    #[must_use]
    pub(crate) fn with_text(self, name: &'static str, text: &(impl ToString + ?Sized)) -> Self {
        self.with(name, text.to_string())
    }
}

impl From<&str> for Gap {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Gap {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Path> for Gap {
    fn from(path: &Path) -> Self {
        Self::Text(path.display().to_string())
    }
}

impl From<u64> for Gap {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Gap {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<Message> for Gap {
    fn from(message: Message) -> Self {
        Self::Message(Box::new(message))
    }
}
