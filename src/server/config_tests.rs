//! Reading: every problem at once, each with its line; the sample file equals the keys.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use super::{value::Whole, *};
use crate::text::{Language, Text};

fn read_text(text: &str) -> Result<Config, Invalid> {
    parse(text, Path::new("belfry.toml"), Path::new("/etc/belfry"))
}

fn problems(text: &str) -> Vec<String> {
    match read_text(text) {
        Err(Invalid::Problems(problems)) => {
            let words = Text::new(Language::English);
            problems.iter().map(|problem| words.say(problem)).collect()
        }
        other => panic!("no problem: {other:?}"),
    }
}

#[test]
fn nothing_written_means_every_default() {
    let config = read_text("").unwrap();
    assert_eq!(config.general.server_name, "localhost");
    assert_eq!(config.general.data_folder, Path::new("/etc/belfry/data"));
    assert_eq!(config.database_folder(), Path::new("/etc/belfry/data/db"));
    assert_eq!(config.general.worker_threads, None);
    assert_eq!(config.log.level, Level::Info);
    let here = std::env::current_dir().unwrap();
    assert_eq!(load(None).unwrap().general.data_folder, here.join("data"));
}

#[test]
fn values_are_taken() {
    let config = read_text(
        "server_name = 'town.example:8448'\ndata_folder = '/var/lib/belfry'\n\
         worker_threads = 3\nlog.level = 'debug'\n[storage]\nblock_cache_mib = 0x80\n",
    )
    .unwrap();
    assert_eq!(config.general.server_name, "town.example:8448");
    assert_eq!(
        config.signing_key_file(),
        Path::new("/var/lib/belfry/signing.key")
    );
    assert_eq!(config.general.worker_threads.map(Whole::get), Some(3));
    assert_eq!(config.log.level, Level::Debug);
    assert_eq!(config.storage.block_cache_mib.get(), 128);
}

#[test]
fn lists_and_paces_are_taken() {
    let config = read_text(
        "listen.addresses = ['127.0.0.1:1', '[::1]:2']\n\
         listen.trusted_proxies = ['10.0.0.0/8', '::1']\n\
         [rate_limits]\nmessage = { burst = 7, interval_ms = 40 }\nregistration = 'off'\n\
         [rate_limits.join_room]\ninterval_ms = 1\nburst = 2\n",
    )
    .unwrap();
    assert_eq!(config.listen.addresses[1], "[::1]:2".parse().unwrap());
    assert_eq!(
        config.listen.trusted_proxies[0],
        "10.0.0.0/8".parse().unwrap()
    );
    assert_eq!(config.listen.trusted_proxies[1], "::1/128".parse().unwrap());
    let pace = |interval_ms, burst| RateLimit(Some((Duration::from_millis(interval_ms), burst)));
    assert_eq!(config.rate_limits.message, pace(40, 7));
    assert_eq!(config.rate_limits.registration, RateLimit(None));
    assert_eq!(config.rate_limits.join_room, pace(1, 2));
    let many = vec!["'127.0.0.1:1'"; 101].join(", ");
    assert!(problems(&format!("listen.addresses = [{many}]"))[0].contains("at most 100"));
}

#[test]
fn an_unknown_key_names_the_nearest_one_and_its_line() {
    for (text, expected) in [
        (
            "\nserver_nam = 'x'",
            "line 2: there is no key server_nam; did you mean server_name?",
        ),
        (
            "[log]\nlvel = 'x'",
            "line 2: there is no key log.lvel; did you mean log.level?",
        ),
        (
            "[logs]\nlevel = 'info'",
            "line 2: there is no key logs.level; did you mean log.level?",
        ),
        (
            "level = 'info'",
            "line 1: there is no key level; did you mean log.level?",
        ),
        (
            "[storge]",
            "line 1: there is no key storge; did you mean [storage]?",
        ),
    ] {
        assert_eq!(
            problems(text),
            [format!("belfry.toml, {expected}")],
            "{text}"
        );
    }
}

#[test]
fn a_wrong_value_says_what_was_found_and_what_is_expected() {
    for (text, found, expected) in [
        ("server_name = 'a b'", "'a b'", "a server name"),
        ("server_name = 7", "7", "a server name"),
        ("server_name = {}", "{}", "a server name"),
        ("data_folder = ''", "''", "a path"),
        ("worker_threads = 0", "0", "from 1 to 512"),
        ("worker_threads = -1", "-1", "from 1 to 512"),
        ("worker_threads = 1.5", "1.5", "from 1 to 512"),
        (
            "worker_threads = 99999999999999999999",
            "99999999999999999999",
            "from 1 to 512",
        ),
        (
            "log.level = 'loud'",
            "'loud'",
            "error, warn, info, debug, trace",
        ),
        ("log.format = true", "true", "text, json"),
        ("rooms.default_version = '2'", "'2'", "from \"3\" to \"12\""),
        (
            "listen.addresses = ['localhost:1']",
            "['localhost:1']",
            "with ports",
        ),
        (
            "listen.addresses = '127.0.0.1:1'",
            "'127.0.0.1:1'",
            "a list",
        ),
        (
            "listen.trusted_proxies = ['10.0.0.0/33']",
            "['10.0.0.0/33']",
            "networks",
        ),
        ("rate_limits.message = 5", "5", "burst"),
        ("rate_limits.message = {burst = 1}", "{burst = 1}", "burst"),
        (
            "rate_limits.message = {burst = 0, interval_ms = 1}",
            "{burst = 0, interval_ms = 1}",
            "burst",
        ),
    ] {
        let said = problems(text).join("\n");
        assert!(said.contains(&format!(" is {found}, ")), "{text}: {said}");
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_lines() {
    let said = problems("b = 1\nserver_name = 7\n[log]\nlevel = 'x'\na = 2\n");
    let lines: Vec<_> = said
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    let expected = [1, 2, 4, 5].map(|line| format!("belfry.toml, line {line}"));
    assert_eq!(lines, expected);
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    for (text, line) in [
        ("a = 1\nb =", "line 2"),
        ("x", "line 1"),
        ("a=1\na=2", "line 2"),
    ] {
        let said = problems(text).join("\n");
        assert!(said.contains(line), "{text}: {said}");
    }
}

#[test]
fn long_and_many_problems_are_cut() {
    let many: Vec<_> = (0..200).map(|number| format!("k{number} = 1")).collect();
    assert_eq!(problems(&many.join("\n")).len(), PROBLEMS_MAX);
    let long = format!("worker_threads = '{}'", "x".repeat(1_000));
    assert!(problems(&long).join("").len() < 300);
}

#[test]
fn a_file_that_is_missing_or_huge_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("belfry.toml");
    assert!(matches!(load(Some(&file)), Err(Invalid::Unreadable(_))));
    fs::write(&file, " ".repeat(1024 * 1024 + 1)).unwrap();
    assert!(matches!(load(Some(&file)), Err(Invalid::Unreadable(_))));
    fs::write(&file, "server_name = 'a.example'").unwrap();
    let config = load(Some(&file)).unwrap();
    assert_eq!(config.general.data_folder, folder.path().join("data"));
}

#[test]
fn the_sample_file_of_the_project_is_what_the_program_prints() {
    let printed = sample(&Text::new(Language::English));
    assert_eq!(
        include_str!("../../conf/belfry.toml"),
        printed,
        "run `belfry config default`"
    );
}

#[test]
fn the_sample_uncommented_is_valid_and_every_sentence_is_there() {
    for language in Language::ALL {
        let sample = sample(&Text::new(language));
        let bare: String = sample
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if !key.starts_with(' ') => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = read_text(&bare).unwrap();
        let default = read_text("").unwrap();
        assert_eq!(config.log, default.log);
        assert_eq!(config.rate_limits, default.rate_limits);
        assert_eq!(config.listen.addresses, default.listen.addresses);
        assert_eq!(config.listen.tls_addresses, default.listen.tls_addresses);
        assert_eq!(config.general.worker_threads.map(Whole::get), Some(4));
        assert!(
            !sample.contains("# config-"),
            "{language:?} lacks a sentence: {sample}"
        );
        assert!(sample.lines().all(|line| line.chars().count() <= 100));
    }
}

#[test]
fn a_secret_is_read_without_its_line_end_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, "hunter2\n").unwrap();
    for mode in [0o600, 0o400, 0o640, 0o440] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let secret = Secret::read(&file).unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}

#[test]
fn a_secret_that_others_may_read_or_that_is_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    assert_eq!(Secret::read(&file).unwrap_err().id, "secret-unreadable");
    fs::write(&file, "hunter2").unwrap();
    for mode in [0o644, 0o604, 0o601, 0o660, 0o620] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            Secret::read(&file).unwrap_err().id,
            "secret-exposed",
            "{mode:o}"
        );
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, [0xff, 0xfe]).unwrap();
    assert_eq!(Secret::read(&file).unwrap_err().id, "secret-unreadable");
    fs::write(&file, "x".repeat(64 * 1024 + 1)).unwrap();
    assert_eq!(Secret::read(&file).unwrap_err().id, "secret-too-large");
}
