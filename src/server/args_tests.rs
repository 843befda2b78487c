//! What is understood, and that what is not is explained in each language.

use super::*;
use crate::accounts::AccountRequest;

fn parse_words(line: &str, language: Language) -> Result<Invocation, Unrun> {
    let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    parse(&words, &Text::new(language))
}

fn help(line: &str, language: Language) -> String {
    match parse_words(line, language) {
        Err(Unrun::Help(help)) => help,
        other => panic!("no help: {other:?}"),
    }
}

fn wrong(line: &str) -> String {
    match parse_words(line, Language::English) {
        Err(Unrun::Wrong(message)) => Text::new(Language::English).say(&message),
        other => panic!("understood: {other:?}"),
    }
}

#[test]
fn the_tree_is_sound_in_every_language() {
    for language in Language::ALL {
        tree(&Text::new(language)).debug_assert();
    }
}

#[test]
fn no_command_serves() {
    let asked = parse_words("belfry --config a.toml", Language::English).unwrap();
    assert_eq!(asked.command, Command::Serve);
    assert_eq!(asked.config, Some(PathBuf::from("a.toml")));
    assert!(!asked.json);
}

#[test]
fn global_options_stand_anywhere() {
    let expected = Invocation {
        config: Some(PathBuf::from("a.toml")),
        json: true,
        command: Command::DbStats,
    };
    for line in [
        "belfry db stats --json --config a.toml",
        "belfry --config=a.toml db --lang fr stats --json",
    ] {
        assert_eq!(
            parse_words(line, Language::English).unwrap(),
            expected,
            "{line}"
        );
    }
}

#[test]
fn a_folder_is_taken_and_required() {
    let asked = parse_words("belfry db backup /tmp/b", Language::English).unwrap();
    assert_eq!(asked.command, Command::DbBackup(PathBuf::from("/tmp/b")));
    assert!(wrong("belfry db backup").contains("<FOLDER>"));
}

#[test]
fn every_entry_is_reached_by_its_words() {
    for entry in ENTRIES {
        let is_operand = |kind: &Argument| {
            use Argument::{Folder, Name, Server, Token};
            matches!(kind, Folder | Name | Server | Token)
        };
        let needs_operand = entry.arguments.iter().any(is_operand);
        let says = |kind: &Argument| matches!(kind, Argument::Text);
        let operand = if needs_operand { " here" } else { "" };
        let text = if entry.arguments.iter().any(says) {
            " words"
        } else {
            ""
        };
        let line = format!("belfry {}{operand}{text}", entry.path.join(" "));
        assert!(parse_words(&line, Language::English).is_ok(), "{line}");
    }
}

#[test]
fn mistakes_are_explained_with_what_was_meant() {
    for (line, needle) in [
        ("belfry --confg a", "--config"),
        ("belfry db stat", "stats"),
        ("belfry db", "command is missing"),
        ("belfry xyzzy", "xyzzy"),
        ("belfry --lang xx", "\"xx\""),
        ("belfry db stats --json --json", "more than once"),
        ("belfry status extra", "extra"),
    ] {
        let said = wrong(line);
        assert!(said.contains(needle), "{line}: {said}");
    }
}

#[test]
fn help_speaks_the_language_throughout() {
    let english = help("belfry --help", Language::English);
    assert!(english.contains("Usage: belfry"), "{english}");
    let french = help("belfry db --help", Language::French);
    for word in ["Utilisation", "Commandes\u{a0}:", "Cherche des dégâts"] {
        assert!(french.contains(word), "{word}: {french}");
    }
    for word in ["Usage:", "Print", "Commands"] {
        assert!(!french.contains(word), "{word}: {french}");
    }
}

#[test]
fn the_language_is_found_before_anything_else() {
    let find = |line: &str| language(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
    assert_eq!(find("belfry --nonsense --lang fr"), Language::French);
    assert_eq!(find("belfry --lang=fr db"), Language::French);
    assert_eq!(find("belfry --lang=fr --lang en"), Language::English);
}

#[test]
fn numbers_are_counted_from_one() {
    let asked = parse_words(
        "belfry registration-token create --uses 3 --role admin",
        Language::English,
    );
    let request = AccountRequest::CreateToken {
        uses: Some(3),
        days: None,
        role: Some("admin".to_owned()),
    };
    assert_eq!(asked.unwrap().command, Command::Account(request));
    for wrong_number in ["0", "-1", "x", "5000000000"] {
        let line = format!("belfry registration-token create --uses={wrong_number}");
        assert!(wrong(&line).contains("--uses"), "{line}");
    }
}

#[test]
fn a_password_is_never_taken_from_the_command_line() {
    let asked = parse_words("belfry user create ada --password-stdin", Language::English);
    let request = AccountRequest::Create {
        name: "ada".to_owned(),
        role: None,
        password: None,
    };
    let asked = asked.unwrap().command;
    assert_eq!(asked, Command::AccountWithPassword(request));
    assert!(wrong("belfry user create ada --password x").contains("--password"));
}

#[test]
fn a_notice_has_somebody_and_a_text() {
    let asked = parse_words("belfry notice send ada hello", Language::English);
    let request = NoticeRequest {
        name: "ada".to_owned(),
        text: "hello".to_owned(),
    };
    assert_eq!(asked.unwrap().command, Command::Notice(request));
    assert!(wrong("belfry notice send ada").contains("<TEXT>"));
    assert!(wrong("belfry notice").contains("command is missing"));
}
