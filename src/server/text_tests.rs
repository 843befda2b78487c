//! The catalogues hold the same sentences with the same gaps, and all that the program says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use fluent_bundle::FluentResource;

use super::*;

/// The entries of a catalogue: name to the names of its gaps, as written in the file.
fn entries(language: Language) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    let mut name = String::new();
    for line in language
        .catalogue()
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let (head, rest) = line.split_once(" =").unwrap_or(("", line));
        if !head.is_empty() && !head.contains(' ') {
            head.clone_into(&mut name);
            assert!(
                found.insert(name.clone(), BTreeSet::new()).is_none(),
                "{name} twice"
            );
        }
        let gaps = rest
            .split("{ $")
            .skip(1)
            .map(|gap| gap.split([' ', '}']).next().unwrap_or_default().to_owned());
        if let Some(known) = found.get_mut(&name) {
            known.extend(gaps);
        }
    }
    found
}

/// Every string literal of the crate's sources that names an entry.
fn named_in_sources(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named_in_sources(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(path).unwrap();
            names.extend(source.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
}

#[test]
fn every_catalogue_parses() {
    for language in Language::ALL {
        let errors = FluentResource::try_new(language.catalogue().to_owned())
            .err()
            .map(|(_, errors)| errors);
        assert!(errors.is_none(), "{language:?}: {errors:?}");
        let text = Text::new(language);
        for name in entries(language).keys() {
            assert!(text.bundle.has_message(name), "{language:?}: {name}");
        }
    }
}

#[test]
fn catalogues_have_the_same_entries_and_gaps() {
    for language in Language::ALL {
        assert_eq!(
            entries(language),
            entries(Language::English),
            "{language:?}"
        );
    }
}

#[test]
fn every_sentence_is_used() {
    let mut named = BTreeSet::new();
    named_in_sources(Path::new(env!("CARGO_MANIFEST_DIR")), &mut named);
    let composed = ["help", "config-"];
    let unused: Vec<_> = entries(Language::English)
        .into_keys()
        .filter(|name| !composed.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !named.contains(name))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn every_message_of_the_sources_has_a_sentence_with_its_gaps() {
    let mut checked = 0;
    let known = entries(Language::English);
    let mut sources = Vec::new();
    gather_messages(Path::new(env!("CARGO_MANIFEST_DIR")), &mut sources);
    for (name, gaps) in sources {
        let expected = known
            .get(&name)
            .unwrap_or_else(|| panic!("no sentence {name}"));
        assert!(
            gaps.is_subset(expected),
            "{name}: {gaps:?} but has {expected:?}"
        );
        checked += 1;
    }
    assert!(
        checked > 20,
        "only {checked} messages were found in the sources"
    );
}

/// Every `Message::new("…")` of the sources outside tests, with the gaps filled right behind it.
fn gather_messages(folder: &Path, found: &mut Vec<(String, BTreeSet<String>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() {
            gather_messages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !name.contains("tests")
        {
            let source = fs::read_to_string(path).unwrap();
            for statement in source.split("Message::new(\"").skip(1) {
                let (id, rest) = statement.split_once('"').unwrap();
                let rest = rest.split([';', '?']).next().unwrap_or_default();
                let gaps = rest
                    .split(".with")
                    .skip(1)
                    .filter_map(|call| call.split('"').nth(1))
                    .map(str::to_owned)
                    .collect();
                found.push((id.to_owned(), gaps));
            }
        }
    }
}

#[test]
fn a_sentence_is_filled_in_each_language() {
    let message = Message::new("config-value")
        .with("key", "log.level")
        .with("found", "3")
        .with(
            "expected",
            Message::new("expected-number")
                .with("min", 1_u64)
                .with("max", 9_u64),
        );
    assert_eq!(
        Text::new(Language::English).say(&message),
        "log.level is 3, but must be a whole number from 1 to 9."
    );
    assert_eq!(
        Text::new(Language::French).say(&message),
        "log.level vaut 3, mais doit être un nombre entier de 1 à 9."
    );
}

#[test]
fn a_message_of_a_newer_server_is_shown_by_its_name() {
    let message = Message {
        id: "moon-full".into(),
        gaps: BTreeMap::from([("day".into(), Gap::Number(3))]),
    };
    let said = Text::new(Language::English).say(&message);
    assert!(said.contains("moon-full") && said.contains('3'), "{said}");
}

#[test]
fn locales_choose_the_language() {
    for (locale, language) in [
        ("fr", Language::French),
        ("fr_CH.UTF-8", Language::French),
        ("FR-fr", Language::French),
        ("en_GB", Language::English),
        ("C", Language::English),
        ("frisian", Language::English),
    ] {
        assert_eq!(Language::choose(Some(locale)), language, "{locale}");
    }
}
