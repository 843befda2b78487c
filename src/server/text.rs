//! The catalogue: every sentence that the program says to people, in each language it speaks.
//!
//! It exists so that a language is one more file below `text/`, and a sentence one entry in each.
//! It knows nothing of what the sentences are about. The log is not here: it is for tools and for
//! whoever maintains the program, and stays English.

use std::env;

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

use crate::message::{Gap, Message};

/// A language that the catalogue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    French,
}

impl Language {
    /// Every language, in the order in which `--help` names them.
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::French];

    /// The two letters of ISO 639-1.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    const fn catalogue(self) -> &'static str {
        match self {
            Self::English => include_str!("text/en.ftl"),
            Self::French => include_str!("text/fr.ftl"),
        }
    }

    /// The language of a locale name such as `fr`, `fr_CH.UTF-8` or `fr-FR`.
    fn of_locale(locale: &str) -> Option<Self> {
        let code = locale.split(['_', '-', '.', '@']).next()?;
        Self::ALL
            .into_iter()
            .find(|language| code.eq_ignore_ascii_case(language.code()))
    }

    /// The language asked for on the command line, else that of the environment (the first of
    /// `LC_ALL`, `LC_MESSAGES`, `LANG` that is set, as POSIX has it), else English.
    #[expect(
        clippy::disallowed_methods,
        reason = "the terminal's language is in the environment, not in the configuration"
    )]
    pub(crate) fn choose(asked: Option<&str>) -> Self {
        let environment = || {
            ["LC_ALL", "LC_MESSAGES", "LANG"]
                .into_iter()
                .filter_map(|name| env::var(name).ok())
                .find(|locale| !locale.is_empty())
        };
        asked
            .map(str::to_owned)
            .or_else(environment)
            .and_then(|locale| Self::of_locale(&locale))
            .unwrap_or(Self::English)
    }
}

/// The catalogue in one language.
pub(crate) struct Text {
    bundle: FluentBundle<FluentResource>,
}

impl Text {
    /// Opens the catalogue.
    pub(crate) fn new(language: Language) -> Self {
        // What does not parse is left out, and the tests below fail.
        let resource = FluentResource::try_new(language.catalogue().to_owned())
            .unwrap_or_else(|(partial, _)| partial);
        let locale: LanguageIdentifier = language.code().parse().unwrap_or_default();
        let mut bundle = FluentBundle::new(vec![locale]);
        // The marks that keep right-to-left words apart would be stray bytes in a terminal.
        bundle.set_use_isolating(false);
        bundle.add_resource_overriding(resource);
        Self { bundle }
    }

    /// The sentence. One that this catalogue lacks (a newer server answered) shows its name and
    /// its arguments.
    pub(crate) fn say(&self, message: &Message) -> String {
        let mut arguments = FluentArgs::new();
        for (name, gap) in &message.gaps {
            arguments.set(name.clone(), self.fill(gap));
        }
        let pattern = self
            .bundle
            .get_message(&message.id)
            .and_then(|entry| entry.value());
        let Some(pattern) = pattern else {
            return format!("{} {:?}", message.id, message.gaps);
        };
        // A gap without argument shows as its name; a test keeps the entries' gaps equal.
        let mut errors = Vec::new();
        self.bundle
            .format_pattern(pattern, Some(&arguments), &mut errors)
            .into_owned()
    }

    /// A sentence without gaps.
    pub(crate) fn plain(&self, id: &'static str) -> String {
        self.say(&Message::new(id))
    }

    /// The sentence whose name was put together from a command's or a key's name; `None` if there
    /// is none.
    pub(crate) fn named(&self, id: &str) -> Option<String> {
        let pattern = self.bundle.get_message(id)?.value()?;
        let mut errors = Vec::new();
        Some(
            self.bundle
                .format_pattern(pattern, None, &mut errors)
                .into_owned(),
        )
    }

    fn fill<'a>(&self, gap: &'a Gap) -> FluentValue<'a> {
        match gap {
            Gap::Number(number) => FluentValue::from(*number),
            Gap::Text(text) => FluentValue::from(text.as_str()),
            Gap::Message(message) => FluentValue::from(self.say(message)),
        }
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
