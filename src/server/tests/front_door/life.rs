//! Start and stop: what is made, what is refused, what is told to the service manager.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    process::{Place, contents},
    rows::Rows,
};

fn mode(place: &Place, name: &str) -> u32 {
    fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_first_start_makes_everything_for_the_servers_user_only() {
    let place = Place::new();
    let server = place.start();
    assert_eq!(mode(&place, "data"), 0o700);
    assert_eq!(mode(&place, "data/db"), 0o700);
    assert_eq!(mode(&place, "data/signing.key"), 0o600);
    assert_eq!(mode(&place, "data/control.sock"), 0o600);
    server.stop();
}

#[test]
fn sigterm_and_sigint_end_it_at_once_and_well() {
    let place = Place::new();
    for signal in [Signal::TERM, Signal::INT] {
        let server = place.start();
        server.signal(signal);
        assert_eq!(server.notice(), "STOPPING=1");
        assert_eq!(server.end().code(), Some(0));
        assert!(!place.path("data/control.sock").exists());
        let log = fs::read_to_string(place.path("log")).unwrap();
        assert!(log.contains("the server has stopped"), "{log}");
    }
}

#[test]
fn sighup_changes_nothing() {
    let place = Place::new();
    let server = place.start();
    server.signal(Signal::HUP);
    place.run(&["status"]).printed(0, "localhost");
    server.stop();
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let place = Place::new();
    let server = place.start();
    place
        .run(&["serve"])
        .refused(2, "in use by another process");
    place.run(&["status"]).printed(0, "localhost");
    server.stop();
}

#[test]
fn the_signing_key_is_made_once_and_kept() {
    let place = Place::new();
    place.start().stop();
    let key = fs::read(place.path("data/signing.key")).unwrap();
    let server = place.start();
    let id = String::from_utf8(key.clone()).unwrap();
    let version = id.split(' ').nth(1).unwrap();
    place
        .run(&["status"])
        .printed(0, &format!("ed25519:{version}"));
    server.stop();
    assert_eq!(fs::read(place.path("data/signing.key")).unwrap(), key);
}

/// Two servers with the same configuration, hence with nothing but chance between them.
#[test]
fn auth_049_the_keys_of_two_servers_have_nothing_in_common() {
    let [one, other] = [(); 2].map(|()| {
        let place = Place::new();
        place.start().stop();
        let line = fs::read_to_string(place.path("data/signing.key")).unwrap();
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let [algorithm, id, seed] = words.try_into().unwrap();
        assert_eq!(algorithm, "ed25519");
        assert_eq!(seed.len(), 43, "32 bytes in base64 without padding");
        (id, seed)
    });
    assert_ne!(one.0, other.0);
    assert_ne!(one.1, other.1);
}

#[test]
fn a_lost_signing_key_is_not_replaced_in_silence() {
    let place = Place::new();
    place.start().stop();
    fs::remove_file(place.path("data/signing.key")).unwrap();
    place.run(&["serve"]).refused(2, "belfry key create");
    place.run(&["key", "create"]).printed(0, "ed25519:a_");
    place.start().stop();
}

#[test]
fn a_key_of_another_homeserver_is_used_from_where_it_is() {
    let place = Place::with("signing_key_file = \"town.signing.key\"");
    place.run(&["serve"]).refused(2, "town.signing.key");
    let seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let file = place.path("town.signing.key");
    fs::write(&file, format!("ed25519 a_RXGa {seed}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    place.run(&["serve"]).refused(2, "chmod 600");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let server = place.start();
    place.run(&["status"]).printed(0, "ed25519:a_RXGa");
    assert!(!server.log().contains(seed));
    assert!(!place.path("data/signing.key").exists());
    server.stop();
}

#[test]
fn a_database_of_another_server_name_is_refused_unchanged() {
    let place = Place::with("server_name = \"a.example\"");
    place.start().stop();
    place.configure("server_name = \"b.example\"");
    place.run(&["serve"]).refused(2, "a.example");
    place.run(&["db", "stats"]).refused(2, "a.example");
    place.configure("server_name = \"a.example\"");
    place.start().stop();
}

#[test]
fn a_database_of_a_newer_schema_is_refused_unchanged() {
    let place = Place::new();
    place.start().stop();
    let rows = Rows::open(&place);
    let (key, mut meta) = rows.first("meta");
    // Behind the row's version byte comes the schema's number.
    meta[1] += 1;
    rows.put(&key, &meta);
    rows.close();
    place
        .run(&["serve"])
        .refused(2, "written by a newer version");
    place
        .run(&["db", "stats"])
        .refused(2, "written by a newer version");
    let rows = Rows::open(&place);
    assert_eq!(rows.first("meta").1, meta);
    rows.close();
}

#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.start().stop();
    let database = place.path("data/db");
    let manifest = fs::read_dir(&database)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("MANIFEST"))
        .unwrap();
    let mut bytes = fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&manifest, &bytes).unwrap();
    let key = fs::read(place.path("data/signing.key")).unwrap();
    let ran = place.run(&["serve"]);
    ran.refused(2, "damaged");
    assert_eq!(fs::read(&manifest).unwrap(), bytes);
    assert_eq!(fs::read(place.path("data/signing.key")).unwrap(), key);
}

#[test]
fn a_killed_server_starts_again() {
    let place = Place::new();
    let server = place.start();
    server.signal(Signal::KILL);
    assert_eq!(server.end().code(), None);
    assert!(
        place.path("data/control.sock").exists(),
        "a kill leaves the socket behind"
    );
    let server = place.start();
    place.run(&["status"]).printed(0, "localhost");
    server.stop();
}

/// The program under a limit of open files.
fn limited(place: &Place, files: u32) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -n {files} && exec \"$0\" --config belfry.toml serve");
    shell
        .args(["-c", &script, env!("CARGO_BIN_EXE_belfry")])
        .current_dir(place.path(""))
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    shell
}

#[test]
fn a_low_limit_of_open_files_gives_a_small_server() {
    let place = Place::new();
    let server = place.start_as(limited(&place, 256));
    assert!(
        server.log().contains("limit of open files is low"),
        "{}",
        server.log()
    );
    server.stop();
}

#[test]
fn too_low_a_limit_of_open_files_is_refused() {
    let place = Place::new();
    let output = limited(&place, 100).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("LimitNOFILE"), "{said}");
    assert!(!place.path("data").exists());
}

#[test]
fn the_log_can_be_json_and_tells_no_secret() {
    let place = Place::with("[log]\nformat = \"json\"\nlevel = \"trace\"\n");
    let server = place.start();
    server.stop();
    let log = fs::read_to_string(place.path("log")).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line["message"] == "the server has started"),
        "{log}"
    );
    let key = fs::read_to_string(place.path("data/signing.key")).unwrap();
    assert!(!log.contains(key.trim().rsplit(' ').next().unwrap()));
}

#[test]
fn the_watchdog_is_kept_quiet() {
    let place = Place::new();
    let mut command = place.command(&[]);
    command.env("WATCHDOG_USEC", "100000");
    let server = place.start_as(command);
    assert_eq!(server.notice(), "WATCHDOG=1");
    assert_eq!(server.notice(), "WATCHDOG=1");
    server.stop();
}

#[test]
fn an_idle_server_is_small() {
    let place = Place::new();
    let server = place.start();
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    // What it has taken for itself. The rest of what is resident is the program's own file, which
    // without optimisation is several times what an administration installs.
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .unwrap();
    let taken_kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(taken_kib < 16 * 1024, "{taken_kib} KiB");
    server.stop();
}

#[test]
fn a_data_folder_in_which_anybody_may_write_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("data")).unwrap();
    fs::set_permissions(place.path("data"), fs::Permissions::from_mode(0o777)).unwrap();
    place.run(&["serve"]).refused(2, "chmod o-w");
    assert!(contents(&place.path("data")).is_empty());
}
