//! Text as searches compare it: without case, accents and other marks, and compatibility forms.
//!
//! It exists so that «Muller» finds «Müller» and «STRASSE» finds «Straße», in index and query alike.
//! It knows nothing of languages.

use icu_normalizer::{
    DecomposingNormalizerBorrowed, properties::CanonicalCombiningClassMapBorrowed,
};

/// The text, folded.
pub(crate) fn folded(text: &str) -> String {
    let normalizer = DecomposingNormalizerBorrowed::new_nfkd();
    let classes = CanonicalCombiningClassMapBorrowed::new();
    let bare = normalizer
        .normalize_iter(text.chars())
        .filter(|character| classes.get_u8(*character) == 0);
    // Upper case first: it knows that ß is two letters and that there is one sigma.
    let upper = bare.flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

/// Its words: runs of letters and digits.
pub(crate) fn words(folded: &str) -> impl Iterator<Item = &str> {
    let apart = |character: char| !character.is_alphanumeric();
    folded.split(apart).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_compatibility_forms_do_not_matter() {
        for (text, expected) in [
            ("Müller", "muller"),
            ("MU\u{308}LLER", "muller"),
            ("Straße", "strasse"),
            ("ΟΔΥΣΣΕΎΣ", "οδυσσευσ"),
            ("οδυσσεύς", "οδυσσευσ"),
            ("ﬁnance", "finance"),
            ("Ｆｕｌｌ", "full"),
            ("Čeněk", "cenek"),
            ("佐藤", "佐藤"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn words_are_letters_and_digits() {
        let found: Vec<_> = words("anne-marie  o'neil (2)").collect();
        assert_eq!(found, ["anne", "marie", "o", "neil", "2"]);
        assert_eq!(words(" -- ").count(), 0);
    }
}
