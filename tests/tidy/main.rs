//! Rules of the house that no compiler knows, as plain tests over the text of the workspace: which
//! crate may depend on which, how long files and functions may be, what is named how, and that
//! nothing reaches for time, chance or threads behind `env`'s back.
//!
//! Each check is a function from a [`Tree`] to a list of [`Fault`]s. They know nothing of the disk,
//! so that the same checks run over `tests/data/broken`, where every rule is broken on purpose.

mod ambient;
mod layers;
mod manifest;
mod rules;
mod shape;
mod source;
mod tree;

use std::{collections::BTreeSet, io::Write, path::Path};

use rules::{Fault, Rule};
use source::Source;
use tree::Tree;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const BROKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/broken");

fn workspace() -> Tree {
    Tree::read(Path::new(ROOT)).expect("the checkout can be read")
}

fn assert_none(faults: &[Fault]) {
    let lines: Vec<_> = faults.iter().map(|fault| format!("  {fault}\n")).collect();
    assert!(lines.is_empty(), "untidy:\n{}", lines.concat());
}

#[test]
fn crates_depend_as_the_layer_table_says() {
    let tree = workspace();
    assert_none(&layers::edges(&tree, layers::LAYERS));
    assert_none(&layers::exclusive(&tree));
}

#[test]
fn the_layer_table_only_points_down() {
    assert_none(&layers::order(layers::LAYERS));
}

#[test]
fn the_readme_shows_the_layer_table() {
    assert_none(&layers::readme(&workspace(), layers::LAYERS));
}

#[test]
fn the_top_level_holds_what_belongs_there() {
    assert_none(&shape::top_level(&workspace()));
}

#[test]
fn files_and_functions_are_short() {
    let tree = workspace();
    let sources = Source::all(&tree);
    // Straight to the terminal: the figures are for reading, also when the test passes.
    writeln!(std::io::stderr(), "tidy: {}", shape::figures(&sources)).unwrap();
    assert_none(&shape::lengths(&sources));
}

#[test]
fn modules_say_why_they_exist() {
    assert_none(&shape::headers(&Source::all(&workspace())));
}

#[test]
fn names_say_something() {
    assert_none(&shape::names(&Source::all(&workspace())));
}

#[test]
fn nothing_ambient_outside_env() {
    assert_none(&ambient::uses(&Source::all(&workspace())));
}

#[test]
fn tests_do_not_sleep() {
    assert_none(&ambient::sleeping_tests(&Source::all(&workspace())));
}

/// Everything wrong with a tree.
fn faults(tree: &Tree, table: &[layers::Layer]) -> Vec<Fault> {
    let sources = Source::all(tree);
    [
        layers::edges(tree, table),
        layers::exclusive(tree),
        layers::order(table),
        layers::readme(tree, table),
        shape::top_level(tree),
        shape::lengths(&sources),
        shape::headers(&sources),
        shape::names(&sources),
        ambient::uses(&sources),
        ambient::sleeping_tests(&sources),
    ]
    .concat()
}

/// The broken tree with the two texts that are too long to keep: a file and a function.
fn broken() -> Tree {
    let mut tree = Tree::read(Path::new(BROKEN)).expect("the fixture can be read");
    let file = "//! Far too long a file.\n".to_owned() + &"\n".repeat(shape::FILE_LINES_MAX);
    tree.add("src/kv/long_file.rs", file);
    let body = "    ();\n".repeat(shape::FUNCTION_LINES_MAX - 1);
    let function = format!("//! Far too long a function.\nfn long() {{\n{body}}}\n");
    tree.add("src/kv/long_function.rs", function);
    tree
}

/// The table that the broken tree breaks: `gone` is no crate there, `env` may not know `kv`.
const BROKEN_TABLE: &[layers::Layer] = &[
    layers::Layer::new(0, "env", &["kv"], &[]),
    layers::Layer::new(0, "kv", &[], &[]),
    layers::Layer::new(1, "gone", &[], &[]),
];

#[test]
fn every_broken_rule_is_reported_and_nothing_else() {
    let expected = std::fs::read_to_string(format!("{BROKEN}.txt")).unwrap();
    let expected: BTreeSet<_> = expected.lines().map(str::to_owned).collect();
    let found = faults(&broken(), BROKEN_TABLE);
    let reported: BTreeSet<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(reported, expected);
    let rules: BTreeSet<_> = found.iter().map(|fault| fault.rule).collect();
    assert_eq!(rules, Rule::ALL.iter().copied().collect());
}

#[test]
fn a_length_at_the_limit_is_no_fault() {
    let mut tree = Tree::default();
    let file = "//! As long as allowed.\n".to_owned() + &"\n".repeat(shape::FILE_LINES_MAX - 1);
    tree.add("src/kv/file.rs", file);
    let body = "    ();\n".repeat(shape::FUNCTION_LINES_MAX - 2);
    let function = format!("//! As long as allowed.\nfn long() {{\n{body}}}\n");
    tree.add("src/kv/function.rs", function);
    assert_none(&shape::lengths(&Source::all(&tree)));
}
