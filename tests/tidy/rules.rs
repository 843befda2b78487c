//! The rules by name, and how a breach of one is reported.

use std::fmt;

/// A rule that a tree can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A crate without a row in the layer table.
    Crate,
    /// A row without a crate.
    StaleRow,
    /// A dependency that the table does not list.
    Edge,
    /// The same among `[dev-dependencies]`.
    DevEdge,
    /// A row that lists a crate of its own layer or above.
    Order,
    /// A heavy dependency outside the crate that isolates it.
    Exclusive,
    /// `src/README.md` shows another table.
    Readme,
    /// A stray file or folder at the top level.
    TopLevel,
    /// A file that is too long.
    FileLength,
    /// A function that is too long.
    FunctionLength,
    /// A module that does not say why it exists.
    Header,
    /// A name that says nothing.
    Name,
    /// `#[allow]` instead of `#[expect]`.
    Allow,
    /// Time, chance or threads behind `env`'s back.
    Ambient,
    /// `select!` that polls in random order.
    Select,
    /// A test that waits in real time.
    Sleep,
}

impl Rule {
    /// Every one.
    pub(crate) const ALL: &[Self] = &[
        Self::Crate,
        Self::StaleRow,
        Self::Edge,
        Self::DevEdge,
        Self::Order,
        Self::Exclusive,
        Self::Readme,
        Self::TopLevel,
        Self::FileLength,
        Self::FunctionLength,
        Self::Header,
        Self::Name,
        Self::Allow,
        Self::Ambient,
        Self::Select,
        Self::Sleep,
    ];
}

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Which rule.
    pub(crate) rule: Rule,
    /// The file, with a line where there is one.
    pub(crate) place: String,
    /// What is wrong, and what to do.
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(rule: Rule, place: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            rule,
            place: place.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.place, self.rule, self.text)
    }
}
