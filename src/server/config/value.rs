//! What a value may be: the types of the keys, each with the sentence that says what it expects.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use belfry_event::RoomRules;
use ipnet::IpNet;
use ruma_common::{OwnedServerName, RoomVersionId};
use toml::de::DeValue;

use crate::message::Message;

/// Longest list.
const LIST_MAX: usize = 100;

/// What values are read in the light of.
pub(super) struct Context<'a> {
    /// Where relative paths count from.
    pub(super) folder: &'a Path,
}

/// A value as a file has it, or a default.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    /// A string.
    Text(&'a str),
    /// A whole number.
    Number(u64),
    /// Several values.
    List(&'a [Raw<'a>]),
    /// A pace: an inline table of these two keys.
    Rate { interval_ms: u64, burst: u64 },
    /// A default only: the key may be left out. `example` is what the sample file shows.
    Unset {
        /// A value that the key could have, as TOML.
        example: &'static str,
    },
    /// What the file says.
    Toml(&'a DeValue<'a>),
}

impl<'a> Raw<'a> {
    /// The text, if it is one.
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Toml(value) => value.as_str(),
            _ => None,
        }
    }

    /// The number, if it is one and not negative.
    fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Toml(value) => {
                let number = value.as_integer()?;
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
            _ => None,
        }
    }

    /// The values, if they are several.
    fn list(self) -> Option<Vec<Raw<'a>>> {
        match self {
            Self::List(list) => Some(list.to_vec()),
            Self::Toml(value) => {
                let list = value.as_array()?.iter();
                Some(list.map(|item| Self::Toml(item.get_ref())).collect())
            }
            _ => None,
        }
    }

    /// Interval in milliseconds and burst, if it is these two and nothing else.
    fn rate(self) -> Option<(u64, u64)> {
        match self {
            Self::Rate { interval_ms, burst } => Some((interval_ms, burst)),
            Self::Toml(value) => {
                let table = value.as_table().filter(|table| table.len() == 2)?;
                let field = |name: &str| {
                    let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
                    Self::Toml(value.get_ref()).number()
                };
                Some((field("interval_ms")?, field("burst")?))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Raw<'_> {
    /// As TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Number(number) => write!(f, "{number}"),
            Self::List(list) => {
                let items: Vec<_> = list.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Rate { interval_ms, burst } => {
                write!(f, "{{ interval_ms = {interval_ms}, burst = {burst} }}")
            }
            Self::Unset { example } => f.write_str(example),
            Self::Toml(value) => write!(f, "{value:?}"),
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

/// A path, made to count from the context's folder.
impl Setting for PathBuf {
    fn read(raw: Raw<'_>, context: &Context<'_>) -> Result<Self, Message> {
        raw.text()
            .filter(|path| !path.is_empty() && !path.contains('\0'))
            .map(|path| context.folder.join(path))
            .ok_or_else(|| Message::new("expected-path"))
    }
}

impl Setting for OwnedServerName {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        raw.text()
            .and_then(|name| name.try_into().ok())
            .ok_or_else(|| Message::new("expected-server-name"))
    }
}

/// A version that this build can create rooms of.
impl Setting for RoomVersionId {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        raw.text()
            .and_then(|version| Self::try_from(version).ok())
            .filter(|version| RoomRules::new(version).is_some())
            .ok_or_else(|| Message::new("expected-room-version"))
    }
}

impl Setting for SocketAddr {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        raw.text()
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| Message::new("expected-addresses"))
    }
}

/// A network, or a single address.
impl Setting for IpNet {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        let parse = |text: &str| {
            let single = || text.parse::<IpAddr>().ok().map(Self::from);
            text.parse().ok().or_else(single)
        };
        raw.text()
            .and_then(parse)
            .ok_or_else(|| Message::new("expected-networks"))
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(raw: Raw<'_>, context: &Context<'_>) -> Result<Self, Message> {
        let items = raw.list().ok_or_else(|| Message::new("expected-list"))?;
        if items.len() > LIST_MAX {
            return Err(Message::new("expected-shorter").with("max", LIST_MAX));
        }
        let items = items.into_iter();
        items.map(|item| T::read(item, context)).collect()
    }
}

/// How often something may happen: one more every so often, at most so many at once; `None` if it
/// is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimit(pub(crate) Option<(Duration, u32)>);

impl Setting for RateLimit {
    fn read(raw: Raw<'_>, _: &Context<'_>) -> Result<Self, Message> {
        if raw.text() == Some("off") {
            return Ok(Self(None));
        }
        raw.rate()
            .and_then(|(interval_ms, burst)| {
                let burst = u32::try_from(burst).ok().filter(|burst| *burst > 0)?;
                let interval_ms = (interval_ms > 0).then_some(interval_ms)?;
                Some(Self(Some((Duration::from_millis(interval_ms), burst))))
            })
            .ok_or_else(|| Message::new("expected-rate"))
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
        raw.number()
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| {
                Message::new("expected-number")
                    .with("min", MIN)
                    .with("max", MAX)
            })
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
                match raw.text() {
                    $( Some($word) => Ok(Self::$variant), )*
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

words! {
    /// Whether something is done at all.
    Switch {
        /// It is.
        On = "on",
        /// It is not.
        Off = "off",
    }
}

words! {
    /// Who may make an account.
    Registration {
        /// Nobody but administrators.
        Closed = "closed",
        /// Whoever holds a registration token.
        Token = "token",
        /// Everybody.
        Open = "open",
    }
}

words! {
    /// What is done with a request that the spec advises against.
    Refusing {
        /// It is answered.
        Allow = "allow",
        /// It is refused.
        Refuse = "refuse",
    }
}

words! {
    /// Who may show rooms in the directory and give them aliases.
    Publishing {
        /// Every account, of rooms in which it has the power to.
        Everybody = "everybody",
        /// Administrators.
        Administrators = "administrators",
        /// Nobody.
        Nobody = "nobody",
    }
}
