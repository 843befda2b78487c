//! How many events per second one thread builds, reads, verifies and serves.
//!
//! Run with `cargo bench -p belfry-event`. It knows nothing of storage or of rooms.

use std::hint::black_box;
use std::time::{Duration, Instant};

use belfry_event::{ClientFormat, Draft, EventHash, Inbound, KeyRing, Pdu, RoomRules, SigningKey};
use ruma_common::{MilliSecondsSinceUnixEpoch, RoomVersionId, room_id, server_name, user_id};

const CONTENT: &str = r#"{"msgtype":"m.text","body":"Bitte den Antrag bis Freitag prüfen und an die Kämmerei weitergeben.","m.mentions":{"user_ids":["@kaemmerei:example.org"]},"m.relates_to":{"rel_type":"m.thread","event_id":"$hoQ1ceN5XTrIoVOyuSGWwNLyq1fJAJJwN0YTwY2Qmco","is_falling_back":true,"m.in_reply_to":{"event_id":"$hoQ1ceN5XTrIoVOyuSGWwNLyq1fJAJJwN0YTwY2Qmco"}}}"#;

static PREV: [EventHash; 1] = [EventHash::new([1; 32])];
static AUTH: [EventHash; 3] = [
    EventHash::new([2; 32]),
    EventHash::new([3; 32]),
    EventHash::new([4; 32]),
];

fn main() {
    let rules = RoomRules::new(&RoomVersionId::V11).expect("version 11 is supported");
    let key = SigningKey::from_seed(&[7; 32], "1").expect("a seed is a key");
    let server = server_name!("example.org");
    let draft = Draft {
        rules,
        room_id: Some(room_id!("!abcdefghijklmnopqr:example.org")),
        sender: user_id!("@sachbearbeitung:example.org"),
        event_type: "m.room.message",
        state_key: None,
        content: CONTENT,
        redacts: None,
        prev_events: &PREV,
        auth_events: &AUTH,
        depth: 4711,
        origin_server_ts: MilliSecondsSinceUnixEpoch(1_700_000_000_u32.into()),
    };
    let pdu = draft.sign(server, &key).expect("the draft is sound");
    let mut ring = KeyRing::default();
    let for_ever = MilliSecondsSinceUnixEpoch(u32::MAX.into());
    ring.insert(
        server.to_owned(),
        "ed25519:1",
        key.public_key().clone(),
        for_ever,
    )
    .expect("the key has not leaked");
    let inbound = Inbound::parse(rules, pdu.json().as_bytes()).expect("the event is sound");
    println!("one event of {} bytes, one thread", pdu.json().len());
    report("build, hash and sign", || draft.sign(server, &key).is_ok());
    report("parse from storage", || {
        Pdu::from_stored(rules, pdu.hash(), pdu.json().as_bytes()).is_ok()
    });
    report("parse from the wire", || {
        Inbound::parse(rules, pdu.json().as_bytes()).is_ok()
    });
    report("verify", || inbound.verify(&ring).is_ok());
    report("redact", || pdu.redact().is_ok());
    let mut out = String::new();
    report("write for a client", || {
        out.clear();
        pdu.write_client_json(ClientFormat::default(), &mut out);
        !out.is_empty()
    });
}

/// Runs `work` for a second, after a tenth of one for warming up.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn report(name: &str, mut work: impl FnMut() -> bool) {
    let mut run = |time: Duration| {
        let start = Instant::now();
        let mut count = 0_u32;
        while start.elapsed() < time {
            for _ in 0..100 {
                assert!(black_box(work()), "{name}");
            }
            count += 100;
        }
        start.elapsed() / count
    };
    run(Duration::from_millis(100));
    let each = run(Duration::from_secs(1));
    println!(
        "{name:22} {each:>12?} {:>10.0} events/s",
        1.0 / each.as_secs_f64()
    );
}
