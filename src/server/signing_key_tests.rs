//! Made once, read again, never replaced; other homeservers' files are read.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::*;

/// The seed and public key of RFC 8032, section 7.1, test 1.
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn file_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signing.key");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    (folder, file)
}

#[test]
fn a_key_is_made_once_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signing.key");
    let made = load_or_create(&file, &Random::seeded(1)).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = fs::read_to_string(&file).unwrap();
    let again = load_or_create(&file, &Random::seeded(2)).unwrap();
    assert_eq!(
        (made.key_id(), made.public_key().to_base64()),
        (again.key_id(), again.public_key().to_base64())
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn writing_never_replaces_a_file_that_appeared_meanwhile() {
    let (_folder, file) = file_with("someone else's");
    let key = Line::parse(&format!("ed25519 a_1 {SEED}")).unwrap();
    let refused = key.write(&file).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&file).unwrap(), "someone else's");
}

#[test]
fn a_key_of_another_homeserver_is_read() {
    for line in [
        format!("ed25519 a_RXGa {SEED}\n"),
        format!("ed25519 a_RXGa {SEED}=\n\n"),
        format!("  ed25519  a_RXGa\t{SEED}"),
    ] {
        let (_folder, file) = file_with(&line);
        let key = load(&file).unwrap();
        assert_eq!(key.key_id(), "ed25519:a_RXGa");
        assert_eq!(key.public_key().to_base64(), PUBLIC);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    for line in [
        String::new(),
        format!("rsa a_1 {SEED}"),
        format!("ed25519 a-1 {SEED}"),
        format!("ed25519 a_1 {SEED} more"),
        format!("ed25519 {} {SEED}", "a".repeat(VERSION_CHARS_MAX + 1)),
        "ed25519 a_1".to_owned(),
        "ed25519 a_1 c2hvcnQ".to_owned(),
        "ed25519 a_1 !!!".to_owned(),
    ] {
        let (_folder, file) = file_with(&line);
        assert_eq!(load(&file).unwrap_err().id, "key-malformed", "{line}");
    }
    let (_folder, file) = file_with(&format!("ed25519 a_1 {SEED}\ned25519 a_2 {SEED}\n"));
    assert_eq!(load(&file).unwrap_err().id, "key-several");
}
