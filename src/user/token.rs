//! Access and refresh tokens: how they are made, recognised and stored.
//!
//! A token is `bfa_` or `bfr_`, 32 letters and digits (190 random bits), `_`, and six letters that
//! are a checksum, so that scanners recognise a leaked one and a mistyped one costs no lookup.
//! Stored is only its SHA-256: whoever reads the database cannot sign in with what is there.
//! (190 bits need no salt and no slow hash.) Knows nothing of whose token it is.

use std::fmt;

use belfry_env::Random;
use sha2::{Digest as _, Sha256};

/// What is stored of a token.
pub(crate) type TokenHash = [u8; 32];

const RANDOM_LENGTH: usize = 32;
const CHECKSUM_LENGTH: usize = 6;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// `bfa_`: sent with every request.
    Access,
    /// `bfr_`: exchanged for a new pair.
    Refresh,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "bfa_",
            Self::Refresh => "bfr_",
        }
    }
}

/// A token in clear, on its way to the client. Not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one.
    pub(crate) fn mint(kind: TokenKind, random: &Random) -> Self {
        let body = format!("{}{}", kind.prefix(), random.token(RANDOM_LENGTH));
        let check = checksum(&body);
        Self(format!("{body}_{check}"))
    }

    /// For the answer to the client, and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored.
    pub(crate) fn hash(&self) -> TokenHash {
        Sha256::digest(&self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The hash to look up; `None` if the text cannot be a token of ours of this kind.
pub(crate) fn recognise(kind: TokenKind, text: &str) -> Option<TokenHash> {
    let (body, check) = text.rsplit_once('_')?;
    let random = body.strip_prefix(kind.prefix())?;
    let well_formed = random.len() == RANDOM_LENGTH && check == checksum(body);
    well_formed.then(|| Sha256::digest(text).into())
}

/// Six letters of the SHA-256.
fn checksum(body: &str) -> String {
    let hash: TokenHash = Sha256::digest(body).into();
    hash.iter()
        .take(CHECKSUM_LENGTH)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn auth_048_ten_thousand_tokens_differ_and_are_recognised() {
        let random = Random::seeded(48);
        let mut seen = BTreeSet::new();
        for _ in 0..10_000 {
            let token = Token::mint(TokenKind::Access, &random);
            assert_eq!(token.reveal().len(), 4 + 32 + 1 + 6);
            let hash = recognise(TokenKind::Access, token.reveal());
            assert_eq!(hash, Some(token.hash()));
            assert_eq!(recognise(TokenKind::Refresh, token.reveal()), None);
            assert!(seen.insert(token.reveal().to_owned()));
        }
    }

    #[test]
    fn anything_else_is_not_looked_up() {
        let token = Token::mint(TokenKind::Access, &Random::seeded(1));
        let mistyped = token
            .reveal()
            .replacen(|c: char| c.is_ascii_digit(), "x", 1);
        for text in [
            "",
            "garbage",
            "bfa_",
            "bfa__",
            "bfa_é_",
            &mistyped,
            &"a".repeat(1 << 20),
        ] {
            assert_eq!(recognise(TokenKind::Access, text), None, "{text:.40}");
        }
    }

    #[test]
    fn debug_does_not_show_it() {
        let token = Token::mint(TokenKind::Refresh, &Random::seeded(1));
        assert!(!format!("{token:?}").contains("bfr_"));
    }
}
