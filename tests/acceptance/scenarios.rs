//! The lists of what was promised, `tests/data/scenarios_*.tsv`: scenario, file, test.
//!
//! A file that is no Rust source is a program that is run by itself; its test is called `-`. Knows
//! nothing of how many scenarios there should be: it is the lists that say what was promised.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{ROOT, rows, tests};

/// Every list: its name and its text.
fn lists() -> Vec<(String, String)> {
    let folder = Path::new(ROOT).join("tests/data");
    let names = fs::read_dir(&folder).expect("a checkout").map(|entry| {
        let name = entry.expect("a folder").file_name();
        name.into_string().expect("names in Unicode")
    });
    let is_table = |name: &str| Path::new(name).extension().is_some_and(|end| end == "tsv");
    let mut names: Vec<_> = names
        .filter(|name| name.starts_with("scenarios_") && is_table(name))
        .collect();
    names.sort_unstable();
    let read = |name: String| {
        let text = fs::read_to_string(folder.join(&name)).expect("a list");
        (name, text)
    };
    names.into_iter().map(read).collect()
}

/// Why this is no test; `None` if it is one.
fn objection(file: &str, test: &str) -> Option<String> {
    let path = Path::new(ROOT).join(file);
    if test == "-" {
        let runs = fs::metadata(&path).is_ok_and(|found| {
            let is_source = path.extension().is_some_and(|end| end == "rs");
            found.is_file() && !is_source && found.permissions().mode() & 0o100 != 0
        });
        return (!runs).then(|| format!("{file} is no program"));
    }
    let source = fs::read_to_string(&path).unwrap_or_default();
    let is_there = tests(&source).contains(test);
    (!is_there).then(|| format!("{file} has no test {test}"))
}

/// The rows that name no scenario, or a test that does not exist.
fn faults(list: &str) -> Vec<String> {
    let judged = rows(list).filter_map(|[scenario, file, test]| {
        let objection = match scenario.trim() {
            "" => Some("a row without a scenario".to_owned()),
            _ => objection(file, test),
        };
        objection.map(|objection| format!("{scenario}: {objection}"))
    });
    judged.collect()
}

#[test]
fn every_test_of_a_scenario_exists() {
    let lists = lists();
    assert!(!lists.is_empty(), "the lists are gone");
    for (name, list) in lists {
        assert!(rows(&list).next().is_some(), "{name} is empty");
        let faults = faults(&list);
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

#[test]
fn a_scenario_whose_test_is_gone_is_found() {
    let own = "tests/acceptance/scenarios.rs\ta_scenario_whose_test_is_gone_is_found";
    let script = "tests/media/run\t-";
    for (row, expected) in [
        (format!("it holds\t{own}"), 0),
        (format!("it holds\t{script}"), 0),
        (format!("# a remark\nit holds\t{own}"), 0),
        (format!(" \t{own}"), 1),
        (format!("it holds\t{own}_not"), 1),
        ("it holds\ttests/acceptance/scenarios.rs\t-".to_owned(), 1),
        ("it holds\ttests/media/page.html\t-".to_owned(), 1),
        ("it holds\ttests/absent\t-".to_owned(), 1),
    ] {
        assert_eq!(faults(&row).len(), expected, "{row}");
    }
}
