//! How long things are, what they are called, and whether they say why they exist.

use crate::{
    rules::{Fault, Rule},
    source::Source,
    tree::Tree,
};

/// Longest file, in lines: what one can still read in one go.
pub(crate) const FILE_LINES_MAX: usize = 500;
/// Longest function, in lines: what one can still see at once.
pub(crate) const FUNCTION_LINES_MAX: usize = 90;

/// Names at the top level; the workspace's purpose is below `src`.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".github",
    ".gitignore",
    ".gitattributes",
    ".editorconfig",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "GOVERNANCE.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "complement",
    "conf",
    "debian",
    "deny.toml",
    "docs",
    "publiccode.yml",
    "rustfmt.toml",
    "src",
    "tests",
];

/// Words that say nothing of what is inside.
const EMPTY_WORDS: &[&str] = &[
    "common", "core", "helper", "helpers", "manager", "misc", "util", "utils", "utility",
];

/// Stray files and folders at the top level.
pub(crate) fn top_level(tree: &Tree) -> Vec<Fault> {
    let stray = tree
        .top
        .iter()
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()));
    let text = "move it below src, tests or docs";
    stray
        .map(|name| Fault::new(Rule::TopLevel, name.as_str(), text))
        .collect()
}

/// Files and functions beyond their limits.
pub(crate) fn lengths(sources: &[Source<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            let text = format!("{lines} lines; at most {FILE_LINES_MAX}");
            faults.push(Fault::new(Rule::FileLength, source.path, text));
        }
        for function in source
            .functions
            .iter()
            .filter(|one| one.lines > FUNCTION_LINES_MAX)
        {
            let (name, lines) = (&function.name, function.lines);
            let text = format!("{name} has {lines} lines; at most {FUNCTION_LINES_MAX}");
            faults.push(Fault::new(
                Rule::FunctionLength,
                at(source, function.line),
                text,
            ));
        }
    }
    faults
}

/// Sizes in one line: how files and functions are distributed.
pub(crate) fn figures(sources: &[Source<'_>]) -> String {
    let files = sorted(sources.iter().map(|source| source.text.lines().count()));
    let functions = sources.iter().flat_map(|source| &source.functions);
    let functions = sorted(functions.map(|function| function.lines));
    let shares = |sizes: &[usize]| {
        let (median, p99) = (percentile(sizes, 50), percentile(sizes, 99));
        let most = sizes.last().copied().unwrap_or_default();
        format!(
            "{}, lines: median {median}, p99 {p99}, longest {most}",
            sizes.len()
        )
    };
    format!("files {}; functions {}", shares(&files), shares(&functions))
}

/// Files that do not open with a sentence of `//!`. The tests of a module, beside it in a file of
/// their own (`room_tests.rs`), are covered by that module's.
pub(crate) fn headers(sources: &[Source<'_>]) -> Vec<Fault> {
    let text = "open with `//!`: why the module exists, and what it knows nothing of";
    let bare = sources.iter().filter(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("//!").unwrap_or_default();
        words.split_whitespace().count() < 3 && !source.path.ends_with("_tests.rs")
    });
    bare.map(|source| Fault::new(Rule::Header, source.path, text))
        .collect()
}

/// Files, folders, modules and types whose name says nothing.
pub(crate) fn names(sources: &[Source<'_>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        let stem = source.path.trim_end_matches(".rs");
        let parts = stem.split('/').filter(|part| is_empty_name(part));
        faults.extend(parts.map(|part| empty_name(source.path.to_owned(), part)));
        let declared = source.names.iter().filter(|(name, _)| is_empty_name(name));
        faults.extend(declared.map(|(name, line)| empty_name(at(source, *line), name)));
    }
    faults
}

/// File and line.
pub(crate) fn at(source: &Source<'_>, line: usize) -> String {
    format!("{}:{line}", source.path)
}

fn empty_name(place: String, name: &str) -> Fault {
    let text = format!("{name} says nothing of what is inside; name the thing");
    Fault::new(Rule::Name, place, text)
}

fn is_empty_name(name: &str) -> bool {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            spaced.push('_');
        }
        spaced.push(letter.to_ascii_lowercase());
    }
    spaced
        .split(['_', '-'])
        .any(|word| EMPTY_WORDS.contains(&word))
}

fn sorted(sizes: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut sizes: Vec<_> = sizes.collect();
    sizes.sort_unstable();
    sizes
}

/// The smallest size that at least `percent` of all do not exceed.
fn percentile(sorted: &[usize], percent: usize) -> usize {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_sizes() {
        let sizes: Vec<_> = (1..=100).collect();
        assert_eq!((percentile(&sizes, 50), percentile(&sizes, 99)), (50, 99));
        assert_eq!((percentile(&[7], 50), percentile(&[], 99)), (7, 0));
    }

    #[test]
    fn words_are_found_in_every_spelling() {
        for name in ["utils", "string_utils", "RoomManager", "kv-core", "Helper"] {
            assert!(is_empty_name(name), "{name}");
        }
        for name in ["score", "commonwealth", "RoomWorker", "encore"] {
            assert!(!is_empty_name(name), "{name}");
        }
    }
}
