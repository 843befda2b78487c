//! The key that signs this server's events: made at first start, kept in a file of its own.
//!
//! It lies outside the database, so that neither a copy of the database nor a support bundle holds
//! it. The file is one line in the form that other homeservers use too, so that a key can be moved:
//!
//! ```text
//! ed25519 a_AbCd <seed: 32 bytes, base64, with or without padding>
//! ```
//!
//! `a_AbCd` is the key's version; its whole name, as others see it, is `ed25519:a_AbCd`
//! (server-server API, "Publishing keys"). The file is written whole or not at all and never
//! replaced. This module knows nothing of what is signed.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use belfry_env::Random;
use belfry_event::{SEED_BYTES, SigningKey};
use zeroize::Zeroizing;

use crate::{config::Secret, message::Message};

/// The only algorithm that the specification has.
const ALGORITHM: &str = "ed25519";
/// Random characters in the version of a new key.
const VERSION_CHARS: usize = 6;
/// Longest version that is read.
const VERSION_CHARS_MAX: usize = 64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the file.
pub(crate) fn load(file: &Path) -> Result<SigningKey, Message> {
    let secret = Secret::read(file)?;
    let mut lines = secret
        .expose()
        .lines()
        .filter(|line| !line.trim().is_empty());
    let key = lines
        .next()
        .and_then(Line::parse)
        .and_then(|line| line.key());
    match (key, lines.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(Message::new("key-several").with("file", file)),
        (None, _) => Err(Message::new("key-malformed").with("file", file)),
    }
}

/// Makes a key and writes it, readable by its owner only; if the file is there, reads it.
pub(crate) fn load_or_create(file: &Path, random: &Random) -> Result<SigningKey, Message> {
    if file.exists() {
        return load(file);
    }
    let line = Line {
        version: format!("a_{}", random.token(VERSION_CHARS)),
        seed: Zeroizing::new(random.bytes()),
    };
    match line.write(file) {
        // Another process was faster; its key counts.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Message::new("key-unwritable")
                .with("file", file)
                .with_text("cause", &error))
        }
        _ => load(file),
    }
}

/// What the file's line says.
struct Line {
    version: String,
    seed: Zeroizing<[u8; SEED_BYTES]>,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (algorithm, version, seed) = (words.next()?, words.next()?, words.next()?);
        if algorithm != ALGORITHM || version.len() > VERSION_CHARS_MAX || words.next().is_some() {
            return None;
        }
        let bytes = Zeroizing::new(BASE64.decode(seed).ok()?);
        Some(Self {
            version: version.to_owned(),
            seed: Zeroizing::new(bytes.as_slice().try_into().ok()?),
        })
    }

    /// `None` if the version is none.
    fn key(&self) -> Option<SigningKey> {
        SigningKey::from_seed(&self.seed, &self.version).ok()
    }

    /// Writes beside the file, syncs, renames without replacing, syncs the folder.
    fn write(&self, file: &Path) -> io::Result<()> {
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        let mut unnamed = tempfile::Builder::new()
            .prefix(".signing-key-")
            .tempfile_in(folder)?;
        let seed = Zeroizing::new(BASE64.encode(self.seed.as_slice()));
        let line = Zeroizing::new(format!("{ALGORITHM} {} {}\n", self.version, *seed));
        unnamed.write_all(line.as_bytes())?;
        unnamed.as_file().sync_all()?;
        unnamed
            .persist_noclobber(file)
            .map_err(|refused| refused.error)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
#[path = "signing_key_tests.rs"]
mod tests;
