//! The configuration: which keys there are, how a file is read, what is wrong with it.
//!
//! It exists so that a key is declared in one place (`config/keys.rs`, and its sentence in
//! `text/*.ftl`) and everything else follows: reading, defaults, "did you mean", `conf/belfry.toml`.
//! Unlike a derived deserialiser it reports every problem of a file at once, each with its line, in
//! the reader's language. It knows nothing of what the values are used for.

mod address;
mod federation;
mod keys;
mod sample;
mod secret;
mod source;
mod value;

use std::{
    fs::File,
    io::{self, Read},
    path::{self, Path, PathBuf},
};

use self::source::Source;
pub(crate) use self::{
    address::HostPattern,
    keys::{Config, Log, RateLimits},
    sample::sample,
    secret::Secret,
    value::{Format, Level, Publishing, RateLimit, Refusing, Registration, Switch},
};
use crate::message::Message;

/// Longest configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Problems reported of one file.
const PROBLEMS_MAX: usize = 50;

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum Invalid {
    /// The file cannot be read.
    Unreadable(Message),
    /// What is wrong in it, in the order of its lines; never empty.
    Problems(Vec<Message>),
}

impl Config {
    /// The folder that is the database engine's alone.
    pub(crate) fn database_folder(&self) -> PathBuf {
        self.general.data_folder.join("db")
    }

    /// The folder of users' files.
    pub(crate) fn media_folder(&self) -> PathBuf {
        let own = || self.general.data_folder.join("media");
        self.media.folder.clone().unwrap_or_else(own)
    }

    /// Where the signing key is, or will be at first start.
    pub(crate) fn signing_key_file(&self) -> PathBuf {
        let general = &self.general;
        let own = || general.data_folder.join("signing.key");
        general.signing_key_file.clone().unwrap_or_else(own)
    }
}

/// Reads the file; without one, every key has its default. Relative paths count from the file's
/// folder, or from the present one.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, Invalid> {
    let Some(file) = file else {
        return parse("", Path::new("-"), &absolute(Path::new(".")));
    };
    let text = read(file).map_err(|cause| {
        Invalid::Unreadable(
            Message::new("config-unreadable")
                .with("file", file)
                .with_text("cause", &cause),
        )
    })?;
    let folder = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parse(&text, file, &absolute(folder.unwrap_or(Path::new("."))))
}

/// The folder's name from the root, so that messages can be acted on from anywhere.
fn absolute(folder: &Path) -> PathBuf {
    path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn parse(text: &str, file: &Path, folder: &Path) -> Result<Config, Invalid> {
    let mut source = Source::parse(text, folder);
    let config = Config::read(&mut source);
    let mut problems = source.finish();
    problems.truncate(PROBLEMS_MAX);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(Invalid::Problems(
            problems
                .into_iter()
                .map(|problem| problem.message(file))
                .collect(),
        )),
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let bytes = File::open(file)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > FILE_BYTES_MAX) {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 1 MiB",
        ));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
