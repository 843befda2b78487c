//! The text of a workspace as a value, so that a check reads no disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

/// What git does not hold at the top level.
const IGNORED: [&str; 3] = [".git", "data", "target"];
/// Trees that exist to be broken.
const FIXTURES: &str = "tests/data";
/// Packages that are no part of the workspace.
const OUTSIDE: [&str; 1] = ["tests/clients/sdk"];

/// File texts by their path from the workspace's root, with `/`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Rust files, manifests and `src/README.md`.
    pub(crate) files: BTreeMap<String, String>,
    /// Names at the top level.
    pub(crate) top: BTreeSet<String>,
}

impl Tree {
    /// Reads what the checks look at.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        for name in names(root)? {
            if !IGNORED.contains(&name.as_str()) {
                tree.top.insert(name);
            }
        }
        for name in ["Cargo.toml", "src", "tests"] {
            if tree.top.contains(name) {
                tree.read_below(root, name)?;
            }
        }
        Ok(tree)
    }

    /// Adds a text as if it had been read.
    pub(crate) fn add(&mut self, path: &str, text: String) {
        self.files.insert(path.to_owned(), text);
    }

    /// Folder names of the workspace's crates, with the text of their manifests.
    pub(crate) fn crates(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| {
            let folder = path.strip_suffix("/Cargo.toml")?;
            if OUTSIDE.contains(&folder) {
                return None;
            }
            Some((folder.strip_prefix("src/").unwrap_or(folder), text.as_str()))
        })
    }

    fn read_below(&mut self, root: &Path, path: &str) -> io::Result<()> {
        let full = root.join(path);
        if full.is_dir() {
            for name in names(&full)? {
                let below = format!("{path}/{name}");
                if below != FIXTURES {
                    self.read_below(root, &below)?;
                }
            }
        } else if is_checked(path) {
            self.add(path, fs::read_to_string(full)?);
        }
        Ok(())
    }
}

/// Whether the path names a Rust file.
pub(crate) fn is_rust(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs")
}

fn is_checked(path: &str) -> bool {
    let is_manifest = path.rsplit('/').next() == Some("Cargo.toml");
    is_rust(path) || is_manifest || path == "src/README.md"
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
