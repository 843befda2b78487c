//! The command line: which commands there are, and what was asked for.
//!
//! To add a command: a variant of [`Command`], an entry in `args/entries.rs`, its sentence `help-PATH` in
//! each `text/*.ftl`, and an arm where `main.rs` runs commands. It knows nothing of what they do.

mod entries;

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgAction,
    builder::RangedU64ValueParser,
    error::{ContextKind, ErrorKind},
    value_parser,
};

use entries::{Argument, ENTRIES, Entry};

use crate::{
    accounts::AccountRequest,
    destinations::DestinationRequest,
    message::Message,
    notices::NoticeRequest,
    text::{Language, Text},
};

/// What the program is called in its own texts.
const PROGRAM: &str = "belfry";

/// What can be asked of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Run the server.
    Serve,
    /// Say what is wrong with the configuration.
    ConfigCheck,
    /// Print every key with its default.
    ConfigDefault,
    /// Look for damage in the database.
    DbCheck,
    /// Show what is in the database.
    DbStats,
    /// Copy the database into a new folder.
    DbBackup(PathBuf),
    /// Put a backup in the place of an absent database.
    DbRestore(PathBuf),
    /// Do something to accounts.
    Account(AccountRequest),
    /// The same, with a password on standard input.
    AccountWithPassword(AccountRequest),
    /// Tell a user something in the server's name.
    Notice(NoticeRequest),
    /// How it stands with other servers.
    Destinations(DestinationRequest),
    /// Make the key that signs events.
    KeyCreate,
    /// Show how the running server does.
    Status,
    /// Stop the running server.
    Stop,
    /// Print the version.
    Version,
}

/// The command line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// The configuration file, if one is named.
    pub(crate) config: Option<PathBuf>,
    /// Whether the answer is for programs.
    pub(crate) json: bool,
    pub(crate) command: Command,
}

/// The command line, not to be run.
#[derive(Debug)]
pub(crate) enum Unrun {
    /// Help was asked for: print it.
    Help(String),
    /// It makes no sense: say so.
    Wrong(Message),
}

/// The language asked for with `--lang`, needed before anything can be said about the rest.
pub(crate) fn language(arguments: &[OsString]) -> Language {
    let mut words = arguments.iter().filter_map(|word| word.to_str());
    let mut asked = None;
    while let Some(word) = words.next() {
        if word == "--lang" {
            asked = words.next();
        } else if let Some(value) = word.strip_prefix("--lang=") {
            asked = Some(value);
        }
    }
    Language::choose(asked)
}

/// Understands the command line; its first word is the program's name.
pub(crate) fn parse(arguments: &[OsString], text: &Text) -> Result<Invocation, Unrun> {
    let matches = tree(text)
        .try_get_matches_from(arguments)
        .map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Unrun::Help(error.render().to_string())
            }
            _ => Unrun::Wrong(explain(&error)),
        })?;
    let mut path = Vec::new();
    let mut leaf = &matches;
    while let Some((name, inner)) = leaf.subcommand() {
        path.push(name);
        leaf = inner;
    }
    let entry = ENTRIES.iter().find(|entry| entry.path == path);
    Ok(Invocation {
        config: leaf.get_one("config").cloned(),
        json: matches!(leaf.try_get_one("json"), Ok(Some(true))),
        command: entry.map_or(Command::Serve, |entry| (entry.command)(leaf)),
    })
}

/// The parsing library's tree, in the catalogue's words.
fn tree(text: &Text) -> clap::Command {
    let root = command(PROGRAM, "help", text)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(flag("config", text).value_parser(value_parser!(PathBuf)))
        .arg(
            flag("lang", text)
                .value_name(Language::ALL.map(Language::code).join("|"))
                .value_parser(Language::ALL.map(Language::code))
                .hide_possible_values(true),
        )
        .arg(flag("help", text).short('h').action(ArgAction::Help))
        .arg(
            flag("version", text)
                .short('V')
                .action(ArgAction::Version)
                .global(false),
        );
    ENTRIES.iter().fold(root, |root, entry| {
        insert(root, entry.path, "help", entry, text)
    })
}

/// The tree with one more command in it, its groups made where they are missing.
fn insert(
    parent: clap::Command,
    path: &[&'static str],
    parent_id: &str,
    entry: &Entry,
    text: &Text,
) -> clap::Command {
    let Some((name, rest)) = path.split_first() else {
        return parent;
    };
    let id = format!("{parent_id}-{name}");
    if rest.is_empty() {
        let leaf = command(name, &id, text);
        return parent.subcommand(leaf.args(entry.arguments.iter().map(|kind| kind.arg(text))));
    }
    let parent = if parent.find_subcommand(name).is_some() {
        parent
    } else {
        parent.subcommand(command(name, &id, text).subcommand_required(true))
    };
    parent.mut_subcommand(name, |group| insert(group, rest, &id, entry, text))
}

fn command(name: &'static str, id: &str, text: &Text) -> clap::Command {
    clap::Command::new(name)
        .about(text.named(id).unwrap_or_default())
        .help_template(format!(
            "{{about}}\n\n{} {{usage}}\n\n{{all-args}}\n",
            text.plain("help-usage")
        ))
        .subcommand_help_heading(text.plain("help-commands"))
        .subcommand_value_name(text.plain("help-command-name"))
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
}

/// An option that every command takes.
fn flag(name: &'static str, text: &Text) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(text.plain("help-file-name"))
        .help(
            text.named(&format!("help-option-{name}"))
                .unwrap_or_default(),
        )
        .help_heading(text.plain("help-options"))
        .global(true)
}

impl Argument {
    fn arg(&self, text: &Text) -> Arg {
        match self {
            Self::Json => switch("json", text),
            Self::PasswordStdin => switch("password-stdin", text),
            Self::Erase => switch("erase", text),
            Self::Folder => operand("folder", text).value_parser(value_parser!(PathBuf)),
            Self::Name => operand("name", text),
            Self::Token => operand("token", text),
            Self::Text => operand("text", text),
            Self::Server => operand("server", text),
            Self::After => option("after", "help-name-name", text),
            Self::Role => option("role", "help-role-name", text),
            Self::Uses => option("uses", "help-number-name", text).value_parser(positive()),
            Self::Days => option("days", "help-number-name", text).value_parser(positive()),
        }
    }
}

fn positive() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=u64::from(u32::MAX))
}

/// An option that some commands take, without a value.
fn switch(name: &'static str, text: &Text) -> Arg {
    flag(name, text).action(ArgAction::SetTrue).global(false)
}

/// An option that some commands take, with a value.
fn option(name: &'static str, value_name: &'static str, text: &Text) -> Arg {
    flag(name, text)
        .value_name(text.plain(value_name))
        .global(false)
}

/// What a command is about: required, by its place.
fn operand(name: &'static str, text: &Text) -> Arg {
    Arg::new(name)
        .required(true)
        .value_name(text.named(&format!("help-{name}-name")).unwrap_or_default())
        .help(
            text.named(&format!("help-argument-{name}"))
                .unwrap_or_default(),
        )
        .help_heading(text.plain("help-arguments"))
}

/// The error in the catalogue's words.
fn explain(error: &clap::Error) -> Message {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    let suggested = |id, near_id, kind, wrong: String| {
        let nearest = context(kind);
        let id = if nearest.is_empty() { id } else { near_id };
        let message = Message::new(id).with("wrong", wrong);
        if nearest.is_empty() {
            message
        } else {
            message.with("nearest", nearest)
        }
    };
    match error.kind() {
        ErrorKind::UnknownArgument => suggested(
            "usage-unknown-option",
            "usage-unknown-option-near",
            ContextKind::SuggestedArg,
            argument,
        ),
        ErrorKind::InvalidSubcommand => suggested(
            "usage-unknown-command",
            "usage-unknown-command-near",
            ContextKind::SuggestedSubcommand,
            context(ContextKind::InvalidSubcommand),
        ),
        ErrorKind::MissingSubcommand => Message::new("usage-missing-command"),
        ErrorKind::MissingRequiredArgument => {
            Message::new("usage-missing-argument").with("argument", argument)
        }
        ErrorKind::ArgumentConflict => {
            Message::new("usage-repeated-option").with("argument", argument)
        }
        _ => Message::new("usage-value")
            .with("argument", argument)
            .with("value", context(ContextKind::InvalidValue)),
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
