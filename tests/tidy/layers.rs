//! The architecture as a table, and the checks that hold the workspace to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    manifest::Manifest,
    rules::{Fault, Rule},
    tree::Tree,
};

/// One crate of the architecture, by the name of its folder.
#[derive(Debug)]
pub(crate) struct Layer {
    /// `None` for the tests, which stand beside.
    pub(crate) number: Option<u8>,
    pub(crate) name: &'static str,
    /// Crates that it may depend on: no others.
    pub(crate) may: &'static [&'static str],
    /// Crates that its tests may use besides.
    pub(crate) dev: &'static [&'static str],
}

impl Layer {
    pub(crate) const fn new(
        number: u8,
        name: &'static str,
        may: &'static [&'static str],
        dev: &'static [&'static str],
    ) -> Self {
        Self {
            number: Some(number),
            name,
            may,
            dev,
        }
    }
}

/// Every crate that exists. A new edge is the change to think about longest: does the lower crate
/// belong in the sentence that says what the upper one is for? `src/README.md` shows this table.
pub(crate) const LAYERS: &[Layer] = &[
    Layer::new(0, "env", &[], &[]),
    Layer::new(0, "kv", &[], &[]),
    Layer::new(0, "blob", &[], &[]),
    Layer::new(0, "event", &[], &[]),
    Layer::new(0, "policy", &[], &[]),
    Layer::new(1, "kv-rocks", &["kv"], &[]),
    Layer::new(2, "data", &["event", "kv"], &[]),
    Layer::new(3, "user", &["data", "env", "event", "policy"], &["kv"]),
    Layer::new(3, "room", &["data", "env", "event", "policy"], &["kv"]),
    Layer::new(
        3,
        "sync",
        &["data", "env", "event", "policy"],
        &["kv", "kv-rocks", "room"],
    ),
    Layer::new(3, "media", &["blob", "data", "env", "policy"], &["kv"]),
    Layer::new(
        4,
        "flow",
        &["data", "env", "policy", "room", "user"],
        &["event", "kv"],
    ),
    Layer::new(
        4,
        "remote",
        &["data", "env", "event", "media", "policy", "room", "user"],
        &["kv"],
    ),
    Layer::new(
        5,
        "api",
        &[
            "env", "event", "flow", "media", "policy", "room", "sync", "user",
        ],
        &["blob", "data", "kv"],
    ),
    Layer::new(
        6,
        "node",
        &[
            "api", "blob", "data", "env", "event", "flow", "media", "policy", "remote", "room",
            "sync", "user",
        ],
        &["kv"],
    ),
    // The types of its options come from the crates that they are for.
    Layer::new(
        7,
        "server",
        &[
            "api", "blob", "data", "env", "event", "flow", "kv", "kv-rocks", "media", "node",
            "policy", "remote", "user",
        ],
        &[],
    ),
    Layer {
        number: None,
        name: "tests",
        may: &[
            "api", "blob", "data", "env", "event", "kv", "media", "node", "policy", "room", "user",
        ],
        dev: &["kv-rocks", "remote", "server"],
    },
];

/// Heavy or delicate dependencies, and the only crates that may have them, also for tests.
const EXCLUSIVE: &[(&[&str], &[&str])] = &[
    (&["rocksdb", "librocksdb-sys"], &["kv-rocks"]),
    (&["ruma-signatures", "ruma-state-res"], &["event"]),
    (
        &["axum", "tower", "tower-http"],
        &["api", "web", "node", "server", "tests"],
    ),
    (
        &[
            "ruma-client-api",
            "ruma-federation-api",
            "ruma-appservice-api",
        ],
        &["api", "remote", "tests"],
    ),
    (
        &["hickory-resolver", "lettre", "rustls-native-certs"],
        &["remote"],
    ),
    // The node's tests answer as push gateways do.
    (&["rustls", "tokio-rustls"], &["remote", "server", "node"]),
    (&["encoding_rs", "html5ever", "image"], &["media"]),
    (&["rand", "rand_chacha", "getrandom"], &["env"]),
    (&["argon2"], &["user"]),
    (&["anyhow", "clap", "tracing-subscriber"], &["server"]),
    // The umbrella crate would pull every API into every layer.
    (&["ruma"], &[]),
];

/// Crates without a row, rows without a crate, and dependencies that are not listed.
pub(crate) fn edges(tree: &Tree, table: &[Layer]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, text) in tree.crates() {
        let place = manifest_path(name);
        let Some(row) = table.iter().find(|row| row.name == name) else {
            let text = "add the crate to the layer table, or make it a module";
            faults.push(Fault::new(Rule::Crate, place, text));
            continue;
        };
        seen.insert(name);
        let manifest = Manifest::parse(text);
        let with_dev = [row.may, row.dev].concat();
        faults.extend(forbidden(
            Rule::Edge,
            &place,
            &manifest.dependencies,
            row.may,
        ));
        faults.extend(forbidden(
            Rule::DevEdge,
            &place,
            &manifest.dev_dependencies,
            &with_dev,
        ));
    }
    let stale = table.iter().filter(|row| !seen.contains(row.name));
    faults.extend(stale.map(|row| {
        let text = "take the row out of the layer table: there is no such crate";
        Fault::new(Rule::StaleRow, manifest_path(row.name), text)
    }));
    faults
}

/// Heavy dependencies outside the crate that isolates them.
pub(crate) fn exclusive(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, text) in tree.crates() {
        let manifest = Manifest::parse(text);
        let all = manifest
            .dependencies
            .iter()
            .chain(&manifest.dev_dependencies);
        for dependency in all.collect::<BTreeSet<_>>() {
            let row = EXCLUSIVE
                .iter()
                .find(|(heavy, _)| heavy.contains(&dependency.as_str()));
            if let Some((_, owners)) = row.filter(|(_, owners)| !owners.contains(&name)) {
                let text = format!("{dependency} belongs to {owners:?} alone");
                faults.push(Fault::new(Rule::Exclusive, manifest_path(name), text));
            }
        }
    }
    faults
}

/// Rows that list a crate which does not stand below.
pub(crate) fn order(table: &[Layer]) -> Vec<Fault> {
    let numbers: BTreeMap<_, _> = table.iter().map(|row| (row.name, row.number)).collect();
    let mut faults = Vec::new();
    for row in table {
        for below in row.may {
            let number = numbers.get(below).copied().flatten();
            let stands_below =
                number.is_some_and(|number| row.number.is_none_or(|own| number < own));
            if !stands_below {
                let text = format!("{below} does not stand below {}", row.name);
                faults.push(Fault::new(Rule::Order, "the layer table", text));
            }
        }
    }
    faults
}

/// Differences between the table and the one that `src/README.md` shows.
pub(crate) fn readme(tree: &Tree, table: &[Layer]) -> Vec<Fault> {
    let place = "src/README.md";
    let text = tree.files.get(place).map_or("", String::as_str);
    let shown: BTreeSet<_> = text.lines().filter_map(shown_row).collect();
    let wanted: BTreeSet<_> = table.iter().map(wanted_row).collect();
    let missing = wanted.difference(&shown).map(|row| ("add", row));
    let stale = shown.difference(&wanted).map(|row| ("take out", row));
    let fault = |(what, (layer, name, may)): (&str, &(String, String, Vec<String>))| {
        let text = format!("{what} the row: {layer} | {name} | {}", may.join(", "));
        Fault::new(Rule::Readme, place, text)
    };
    missing.chain(stale).map(fault).collect()
}

/// Layer, crate and permitted dependencies of a table row with five columns; the heading and the
/// rule below it have no backticked crate.
fn shown_row(line: &str) -> Option<(String, String, Vec<String>)> {
    let cells: Vec<_> = line
        .strip_prefix('|')?
        .strip_suffix('|')?
        .split('|')
        .collect();
    let [layer, name, _purpose, may, _nothing_of] = cells[..] else {
        return None;
    };
    let name = name.trim().strip_prefix('`')?.strip_suffix('`')?;
    let may = may.split(',').map(|one| one.trim().trim_matches('`'));
    let mut may: Vec<_> = may.filter(|one| *one != "–").map(str::to_owned).collect();
    may.sort_unstable();
    Some((layer.trim().to_owned(), name.to_owned(), may))
}

fn wanted_row(row: &Layer) -> (String, String, Vec<String>) {
    let layer = row
        .number
        .map_or("–".to_owned(), |number| number.to_string());
    let mut may: Vec<_> = row.may.iter().map(|&one| one.to_owned()).collect();
    may.sort_unstable();
    (layer, row.name.to_owned(), may)
}

fn forbidden(rule: Rule, place: &str, packages: &[String], may: &[&str]) -> Vec<Fault> {
    let internal = packages.iter().filter_map(|package| folder(package));
    let unlisted = internal.filter(|name| !may.contains(name));
    let fault = |name| Fault::new(rule, place, format!("must not depend on {name}"));
    unlisted.map(fault).collect()
}

/// The folder of one of our packages.
fn folder(package: &str) -> Option<&str> {
    match package {
        "belfry" => Some("server"),
        other => other.strip_prefix("belfry-"),
    }
}

fn manifest_path(name: &str) -> String {
    match name {
        "tests" => "tests/Cargo.toml".to_owned(),
        other => format!("src/{other}/Cargo.toml"),
    }
}
