//! What events and joins of other servers cost: a linear chain that is sent in full transactions,
//! and the join of a large room by way of a server that has it.
//!
//! Run with `cargo bench -p belfry-tests --bench federation [-- MEMBERS]`. The measured server is
//! whole: its router, and `RocksDB` with synced writes. The other one has everything signed and
//! written out before, and answers from memory. This knows nothing of sockets and of TLS.
#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement reads the time, and its figures are small"
)]

#[path = "federation/away.rs"]
mod away;
#[path = "federation/here.rs"]
mod here;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use belfry_env::Env;
use belfry_event::EventHash;
use belfry_remote::{PDUS_MAX, Signer};
use bytes::Bytes;
use http::{Method, Request};
use ruma_common::RoomId;
use serde_json::{Value, json, value::to_raw_value};

use crate::away::{Away, KEY_SERVERS, SENDER, Story, key_of, server};
use crate::here::{Here, RECEIVER};

const MEMBERS: usize = 10_000;
const CHAIN: usize = 5_000;
/// One event in so many is state.
const STATE_EVERY: usize = 20;

fn main() {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let members = asked.unwrap_or(MEMBERS);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-federation");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("the folder can be made");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(&folder, members));
    drop(fs::remove_dir_all(&folder));
}

async fn measure(folder: &Path, members: usize) {
    let env = Env::system(tokio::runtime::Handle::current()).expect("randomness");
    let now_ms = env.clock.wall_ms();
    let away = Away::new(now_ms);
    let here = Here::start(folder, &env, &away).await;
    join(&away, &here, (members, now_ms)).await;
    chain(&away, &here, now_ms).await;
    here.stop().await;
}

/// A room with many members, whose servers nobody here heard of, is joined by way of one of them.
async fn join(away: &Arc<Away>, here: &Here, (members, now_ms): (usize, u64)) {
    let mut story = Story::begin(now_ms);
    for number in 0..members {
        story.let_in(number, now_ms);
    }
    let room = away.tell(&story, here.user());
    away.forget_costs();
    let (cpu, started) = (cpu_time(), Instant::now());
    here.join(&room).await;
    let (took, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
    let (asked, spent) = away.costs();
    println!(
        "join of a room of {members} members of {KEY_SERVERS} servers with cold keys: {:?}, {cpu:?} CPU; \
         the other servers answered {asked} requests in {spent:?}",
        took.saturating_sub(spent)
    );
}

/// Events of a room that both are in, one after the other.
async fn chain(away: &Arc<Away>, here: &Here, now_ms: u64) {
    let mut story = Story::begin(now_ms);
    let room = away.tell(&story, here.user());
    here.join(&room).await;
    story.follow(&away.joined());
    let events: Vec<_> = (0..CHAIN)
        .map(|number| story.say(number, number % STATE_EVERY == 0, now_ms))
        .collect();
    let last = story.last();
    let chunks = events.chunks(PDUS_MAX).enumerate();
    let requests: Vec<_> = chunks
        .map(|(number, pdus)| transaction(number, pdus, now_ms))
        .collect();
    let (cpu, started) = (cpu_time(), Instant::now());
    for request in requests {
        here.ask(request).await;
    }
    let answered = started.elapsed();
    wait_for(here, &room, last).await;
    let (took, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
    println!(
        "inbound: {CHAIN} PDUs in {took:?} (answered in {answered:?}): {:.0} PDUs/s, {:?} CPU each",
        CHAIN as f64 / took.as_secs_f64(),
        cpu / u32::try_from(CHAIN).unwrap_or(u32::MAX),
    );
}

/// A full transaction, signed.
fn transaction(number: usize, pdus: &[Value], now_ms: u64) -> Request<Bytes> {
    let signer = Signer {
        server: server(SENDER),
        key: key_of(&server(SENDER)),
    };
    let body = json!({"origin": SENDER, "origin_server_ts": now_ms, "pdus": pdus});
    let body = to_raw_value(&body).expect("JSON");
    let path = format!("/_matrix/federation/v1/send/{number}");
    signer
        .request(Method::PUT, &path, &server(RECEIVER), Some(&body))
        .expect("a request")
}

/// Until the event is part of the room.
async fn wait_for(here: &Here, room: &RoomId, last: EventHash) {
    while !here.has(room, last).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// CPU time of this process so far, all threads.
fn cpu_time() -> Duration {
    let ticks: u64 = fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| {
            let fields: Vec<_> = stat.rsplit(')').next()?.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        })
        .unwrap_or_default();
    Duration::from_millis(ticks * 10)
}
