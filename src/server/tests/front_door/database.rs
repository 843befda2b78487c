//! `belfry db`, `status` and `stop`: the same with a running server and with a stopped one.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::{process::Place, rows::Rows};

fn json(place: &Place, arguments: &[&str]) -> serde_json::Value {
    let ran = place.run(&[arguments, &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

/// The names of the tables in `db stats`.
fn tables(place: &Place) -> Vec<String> {
    let stats = json(place, &["db", "stats"]);
    let tables = stats["stats"]["tables"].as_array().unwrap();
    tables
        .iter()
        .map(|table| table["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn stats_are_the_same_by_the_socket_and_by_the_file() {
    let place = Place::new();
    let server = place.start();
    let by_socket = tables(&place);
    server.stop();
    assert_eq!(tables(&place), by_socket);
    assert!(
        by_socket.iter().any(|name| name == "event"),
        "{by_socket:?}"
    );
    place.run(&["db", "stats"]).printed(0, "Journal on disk");
    place
        .run(&["db", "stats", "--lang", "fr"])
        .printed(0, "Journal sur le disque");
}

#[test]
fn a_sound_database_has_no_findings_by_the_socket_and_by_the_file() {
    let place = Place::new();
    let server = place.start();
    let by_socket = json(&place, &["db", "check"]);
    server.stop();
    let by_file = json(&place, &["db", "check"]);
    assert_eq!(by_file["check"]["findings"], serde_json::json!([]));
    assert_eq!(by_file["check"]["findings"], by_socket["check"]["findings"]);
    place.run(&["db", "check"]).printed(0, "No damage found");
}

#[test]
fn findings_are_shown_and_counted_by_the_socket_and_by_the_file() {
    let place = Place::new();
    place.start().stop();
    let rows = Rows::open(&place);
    rows.put_new("event", b"no key of an event", b"no event");
    rows.close();
    place.run(&["db", "check"]).printed(1, "finding");
    let server = place.start();
    place.run(&["db", "check"]).printed(1, "event");
    place
        .run(&["db", "check", "--lang", "fr"])
        .printed(1, "dégât");
    let ran = place.run(&["db", "check", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let findings = found["check"]["findings"].as_array().unwrap();
    assert!(!findings.is_empty() && ran.code == Some(1), "{ran:?}");
    server.stop();
}

/// Backs up with this place's database, restores into a new place and starts a server there.
fn backup_restores(place: &Place, name: &str) {
    place.run(&["db", "backup", name]).printed(0, name);
    let backup = place.path(name);
    let mode = fs::metadata(&backup).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "a backup is nobody else's business");
    let other = Place::new();
    other
        .run(&["db", "restore", backup.to_str().unwrap()])
        .printed(0, "signing key");
    assert!(!other.path("data/db.restoring").exists());
    other.run(&["serve"]).refused(2, "belfry key create");
    fs::copy(
        place.path("data/signing.key"),
        other.path("data/signing.key"),
    )
    .unwrap();
    other.start().stop();
    other.run(&["db", "check"]).printed(0, "No damage found");
    other
        .run(&["db", "restore", backup.to_str().unwrap()])
        .refused(2, "already");
}

#[test]
fn a_backup_made_by_a_running_server_restores() {
    let place = Place::new();
    let server = place.start();
    backup_restores(&place, "backup");
    server.stop();
}

#[test]
fn a_backup_made_of_a_stopped_servers_database_restores() {
    let place = Place::new();
    place.start().stop();
    backup_restores(&place, "backup");
}

#[test]
fn a_backup_never_writes_into_a_folder_that_exists() {
    let place = Place::new();
    fs::create_dir(place.path("taken")).unwrap();
    let server = place.start();
    place
        .run(&["db", "backup", "taken"])
        .refused(2, "exists already");
    place
        .run(&["db", "backup", "/nonexistent/backup"])
        .refused(2, "cannot be written");
    server.stop();
    place
        .run(&["db", "backup", "taken"])
        .refused(2, "exists already");
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let place = Place::new();
    place.run(&["db", "restore", "absent"]).refused(2, "absent");
    fs::create_dir(place.path("empty")).unwrap();
    place.run(&["db", "restore", "empty"]).refused(2, "empty");
    assert!(!place.path("data/db").exists());
}

/// Turns a byte in the middle of each table file; how many there were.
fn damage_tables(folder: &Path) -> usize {
    let mut damaged = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let mut bytes = fs::read(&path).unwrap();
            // The first block: the end of the file is read at opening.
            bytes[8] ^= 0xff;
            fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    damaged
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let place = Place::new();
    place.start().stop();
    place.run(&["db", "backup", "backup"]).printed(0, "backup");
    assert!(damage_tables(&place.path("backup")) > 0);
    let other = Place::new();
    let backup = place.path("backup");
    other
        .run(&["db", "restore", backup.to_str().unwrap()])
        .refused(2, "damaged");
    assert!(!other.path("data/db").exists());
    assert!(!other.path("data/db.restoring").exists());
}

#[test]
fn nothing_is_made_where_there_is_no_database() {
    let place = Place::new();
    for command in ["check", "stats"] {
        place.run(&["db", command]).refused(2, "no database");
    }
    place
        .run(&["db", "backup", "backup"])
        .refused(2, "no database");
    assert!(!place.path("data").exists());
}

#[test]
fn a_restore_under_a_running_server_is_refused() {
    let place = Place::new();
    let server = place.start();
    place.run(&["db", "backup", "backup"]).printed(0, "backup");
    place
        .run(&["db", "restore", "backup"])
        .refused(2, "Stop it first");
    server.stop();
}

#[test]
fn status_and_stop_need_a_running_server() {
    let place = Place::new();
    for command in ["status", "stop"] {
        place.run(&[command]).refused(2, "No server runs");
    }
    let server = place.start();
    let status = json(&place, &["status"]);
    assert_eq!(status["status"]["pid"], server.pid());
    assert_eq!(status["status"]["panics"], 0);
    place.run(&["stop"]).printed(0, "stopped");
    assert_eq!(server.end().code(), Some(0));
    place.run(&["stop"]).refused(2, "No server runs");
}
