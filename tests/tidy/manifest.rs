//! What a `Cargo.toml` says that its crate depends on.

use toml::{Table, Value};

/// Names of packages, as the registry or the workspace knows them.
pub(crate) struct Manifest {
    /// Of `[dependencies]` and `[build-dependencies]`, for every target.
    pub(crate) dependencies: Vec<String>,
    /// Of `[dev-dependencies]`, for every target.
    pub(crate) dev_dependencies: Vec<String>,
}

impl Manifest {
    /// # Panics
    /// If the text is no TOML: cargo would have said so before.
    pub(crate) fn parse(text: &str) -> Self {
        let root: Table = text.parse().expect("cargo reads it");
        let targets = root.get("target").and_then(Value::as_table);
        let targets = targets.into_iter().flat_map(|targets| targets.values());
        let tables: Vec<&Table> = std::iter::once(&root)
            .chain(targets.filter_map(Value::as_table))
            .collect();
        let named = |keys: &[&str]| {
            let sections = tables
                .iter()
                .flat_map(|table| keys.iter().filter_map(|key| table.get(*key)?.as_table()));
            sections.flat_map(packages).collect()
        };
        Self {
            dependencies: named(&["dependencies", "build-dependencies"]),
            dev_dependencies: named(&["dev-dependencies"]),
        }
    }
}

fn packages(section: &Table) -> Vec<String> {
    let renamed = |value: &Value| Some(value.get("package")?.as_str()?.to_owned());
    section
        .iter()
        .map(|(key, value)| renamed(value).unwrap_or_else(|| key.clone()))
        .collect()
}
