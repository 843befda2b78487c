//! The program under test, built on first use.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// The path of `belfry`, of the same profile as this test and no older than its sources.
pub(crate) fn program() -> &'static Path {
    PROGRAM.get_or_init(build)
}

fn build() -> PathBuf {
    // target/PROFILE/deps/crash-HASH
    let own = env::current_exe().unwrap();
    let profile = own.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--package", "belfry", "--bin", "belfry"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(
        cargo.status().unwrap().success(),
        "the program does not build"
    );
    profile.join("belfry")
}
