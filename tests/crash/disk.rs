//! A disk that fills up and has space again: OPS-006.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use belfry_env::Env;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{
    client::Client,
    place::{Place, Server},
    storm::runtime,
};

/// The data folder is a file system of its own, of 96 MiB.
const ON_A_SMALL_DISK: &str = r#"exec unshare -rm sh -c '
mkdir -p data && mount -t tmpfs -o size=96m,mode=700 none data && exec "$0" --config belfry.toml' "$0""#;
/// Nothing larger is filled.
const DISK_BYTES_MAX: u64 = 96 << 20;
/// What the ballast leaves of it: less than the server wants, more than its files need to go on.
const LEFT_BYTES: u64 = 12 << 20;
/// How long writes may take to return.
const RETURN_MAX: Duration = Duration::from_mins(1);
/// How often that is tried.
const RETRY: Duration = Duration::from_millis(100);

/// The data folder as only the server sees it.
fn inside(place: &Place, server: &Server, name: &str) -> PathBuf {
    let path = place.path("data").join(name);
    let root = format!("/proc/{}/root", server.pid());
    PathBuf::from(root).join(path.strip_prefix("/").unwrap())
}

/// Writes a file that leaves [`LEFT_BYTES`] of its disk.
fn fill(ballast: &Path) {
    let disk = rustix::fs::statvfs(ballast.parent().unwrap()).unwrap();
    let (size, free) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
    assert!(
        size <= DISK_BYTES_MAX,
        "this is not the small disk but one of {size} bytes"
    );
    let bytes = usize::try_from(free - LEFT_BYTES).unwrap();
    fs::write(ballast, vec![1; bytes]).unwrap();
}

async fn say(client: &mut Client, token: &str, room: &str, txn: &str) -> (StatusCode, Value) {
    let path = format!("/rooms/{room}/send/m.room.message/{txn}");
    let content = json!({"msgtype": "m.text", "body": txn});
    client.ask(("PUT", &path), token, &content).await.unwrap()
}

async fn scenario(env: &Env, place: &Place, server: &Server) {
    let mut client = Client::connect(env, server.address).await.unwrap();
    let token = client.register("alice").await.unwrap();
    let made = client
        .get(("POST", "/createRoom"), &token, &json!({}))
        .await;
    let room = made.unwrap()["room_id"].as_str().unwrap().to_owned();
    let (_, first) = say(&mut client, &token, &room, "1").await;

    let ballast = inside(place, server, "ballast");
    fill(&ballast);
    // What the server knows of the disk may be a moment old.
    let mut txn = 2;
    let refused = loop {
        let (status, answer) = say(&mut client, &token, &room, &txn.to_string()).await;
        if status != StatusCode::OK {
            break (status, answer);
        }
        txn += 1;
        assert!(txn < 100_000, "writes go on although the disk is full");
    };
    assert_eq!(refused.0, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.1);
    let who = client
        .get(("GET", "/account/whoami"), &token, &json!(null))
        .await;
    assert_eq!(who.unwrap()["user_id"], "@alice:localhost", "reads go on");
    let (status, again) = say(&mut client, &token, &room, "1").await;
    assert_eq!(
        (status, &again),
        (StatusCode::OK, &first),
        "nothing is to be written"
    );

    fs::remove_file(&ballast).unwrap();
    let deadline = env.clock.now() + RETURN_MAX;
    while say(&mut client, &token, &room, &txn.to_string()).await.0 != StatusCode::OK {
        assert!(env.clock.now() < deadline, "writes do not return");
        env.clock.sleep(RETRY).await;
    }
}

#[test]
fn ops_006_a_full_disk_refuses_writes_and_not_reads_until_it_has_space() {
    let spaces = Command::new("unshare").args(["-rm", "true"]).status();
    if !spaces.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no user namespaces");
        return;
    }
    let runtime = runtime();
    runtime.block_on(async {
        let env = Env::system(runtime.handle().clone()).unwrap();
        let place = Place::new();
        let server = place.start_in(ON_A_SMALL_DISK);
        scenario(&env, &place, &server).await;
        server.stop();
    });
}
