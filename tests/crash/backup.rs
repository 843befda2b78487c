//! Backups under load, and restoring them: OPS-011, OPS-012.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;

use crate::{
    client::Client,
    place::Place,
    program::program,
    stored::Stored,
    storm::{Storm, runtime},
};

/// Acknowledgements before the backup, and after it.
const ACKNOWLEDGED: usize = 300;

fn restore(backup: &Path) -> Place {
    let place = Place::new();
    let (code, said) = place.run(&["db", "restore", backup.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    place
}

#[test]
fn ops_011_a_backup_under_load_holds_what_was_acknowledged_before_it() {
    let runtime = runtime();
    runtime.block_on(async {
        let mut storm = Storm::new(&runtime, 11).await;
        let mut load = storm.begin();
        load.wait_for(ACKNOWLEDGED).await;
        let before = load.acknowledged();
        let (code, said) = storm.place.run_beside(&["db", "backup", "backup"]).await;
        assert_eq!(code, Some(0), "{said}");
        load.wait_for(load.acknowledged().len() + ACKNOWLEDGED)
            .await;
        storm.end(load).await;
        let original = storm.check().await;

        let other = restore(&storm.place.path("backup"));
        let restored = Stored::read(&other.path("data/db")).await;
        restored.check_prefix(&original);
        let markers = restored.markers();
        for marker in &before {
            let is_event = original.markers().contains(marker);
            assert!(!is_event || markers.contains(marker), "{marker} is lost");
        }
        assert!(restored.events() < original.events(), "the load went on");

        // Another history of the same server, which goes on where the backup ended.
        let key = storm.place.path("data/signing.key");
        fs::copy(key, other.path("data/signing.key")).unwrap();
        let server = other.start();
        let mut client = Client::connect(&storm.env, server.address).await.unwrap();
        for actor in &storm.actors {
            let who = client.get(("GET", "/account/whoami"), &actor.token, &json!(null));
            assert_eq!(who.await.unwrap()["user_id"], actor.user);
        }
        drop(client);
        server.stop();
        let checked = other.json(&["db", "check", "--json"]);
        assert_eq!(checked["check"]["findings"], json!([]));
    });
}

/// What the program asked of the system while it restored: syncs and renames, in order, each with
/// the path of what it was done to.
fn syncs_and_renames(place: &Place, backup: &Path) -> Vec<String> {
    let trace = place.path("trace");
    let mut command = place.command(Path::new("strace"));
    command
        .args([
            "-f",
            "-y",
            "-e",
            "trace=fsync,fdatasync,rename,renameat,renameat2",
            "-o",
        ])
        .arg(&trace)
        .arg(program())
        .args(["--config", "belfry.toml", "db", "restore"])
        .arg(backup);
    assert!(command.status().unwrap().success());
    let text = fs::read_to_string(trace).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn ops_012_a_restored_database_is_on_disk_before_it_has_its_name() {
    let source = Place::new();
    source.start().stop();
    let (code, said) = source.run(&["db", "backup", "backup"]);
    assert_eq!(code, Some(0), "{said}");
    let backup = source.path("backup");
    let place = Place::new();
    let traced = place.command(Path::new("strace")).arg("--version").output();
    if !traced.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no strace");
        return;
    }
    let lines = syncs_and_renames(&place, &backup);
    let renames = |line: &String| line.contains("rename") && line.contains("data/db\"");
    let rename = lines.iter().position(renames).expect("it gets its name");
    let (before, after) = lines.split_at(rename);
    let synced = |lines: &[String], path: &str| {
        let end = format!("{path}>)");
        let mut lines = lines.iter();
        lines.any(|line| line.contains("sync(") && line.contains(&end))
    };
    let names = fs::read_dir(&backup).unwrap();
    let names: BTreeSet<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let path = format!("data/db.restoring/{}", name.to_str().unwrap());
        assert!(synced(before, &path), "{path} is not synced: {before:#?}");
    }
    assert!(synced(before, "data/db.restoring"), "{before:#?}");
    assert!(synced(after, "/data"), "{after:#?}");
    place.json(&["db", "check", "--json"]);
}
