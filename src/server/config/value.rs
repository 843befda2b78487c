//! What a value may be: the types of the keys, each with the sentence that says what it expects.

use std::path::{Path, PathBuf};

use ruma_common::OwnedServerName;
use toml::de::DeValue;

use crate::message::Message;

/// What values are read in the light of.
pub(super) struct Context<'a> {
    /// Where relative paths count from.
    pub(super) folder: &'a Path,
}

/// A value as TOML has it, or a default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Raw<'a> {
    /// A string.
    Text(&'a str),
    /// An integer; beyond `u64` or negative ones are [`Raw::Other`].
    Number(u64),
    /// A default only: the key may be left out. `example` is what the sample file shows.
    Unset {
        /// A value that the key could have, as TOML.
        example: &'static str,
    },
    /// What no key takes.
    Other,
}

impl<'a> Raw<'a> {
    /// What the file says.
    pub(super) fn of(value: &'a DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other, Self::Number),
            _ => Self::Other,
        }
    }
}

/// A type that a key can have.
pub(super) trait Setting: Sized {
    /// The value, or the sentence that says what was expected.
    fn read(raw: Raw<'_>, context: &Context<'_>) -> Result<Self, Message>;
}

impl<T: Setting> Setting for Option<T> {
    fn read(raw: Raw<'_>, context: &Context<'_>) -> Result<Self, Message> {
        match raw {
            Raw::Unset { .. } => Ok(None),
            given => T::read(given, context).map(Some),
        }
    }
}

/// A path, made to count from the present folder.
impl Setting for PathBuf {
    fn read(raw: Raw<'_>, context: &Context<'_>) -> Result<Self, Message> {
        match raw {
            Raw::Text(path) if !path.is_empty() && !path.contains('\0') => {
                Ok(context.folder.join(path))
            }
            _ => Err(Message::new("expected-path")),
        }
    }
}

impl Setting for OwnedServerName {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        let expected = || Message::new("expected-server-name");
        match raw {
            Raw::Text(name) => name.try_into().map_err(|_| expected()),
            _ => Err(expected()),
        }
    }
}

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// The number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> Setting for Whole<MIN, MAX> {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        match raw {
            Raw::Number(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(Message::new("expected-number")
                .with("min", MIN)
                .with("max", MAX)),
        }
    }
}

/// Declares a type whose values are one of a few words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $( $(#[$variant_meta])* $variant ),* }

        impl Setting for $name {
            fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
                match raw {
                    $( Raw::Text($word) => Ok(Self::$variant), )*
                    _ => {
                        let words: &[&str] = &[$($word),*];
                        Err(Message::new("expected-word").with("words", words.join(", ")))
                    }
                }
            }
        }
    };
}

words! {
    /// How much the log tells; each level includes those before it.
    Level {
        /// What an administrator must act on.
        Error = "error",
        /// What may need action.
        Warn = "warn",
        /// What the server does, a few lines per start and per day.
        Info = "info",
        /// What it does per request, without content.
        Debug = "debug",
        /// Everything, without content.
        Trace = "trace",
    }
}

words! {
    /// The form of a log line.
    Format {
        /// For people.
        Text = "text",
        /// One JSON object per line, for collectors.
        Json = "json",
    }
}
