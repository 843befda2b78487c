//! What clients that wait cost the program itself, over sockets: one room whose thousand members all
//! wait, ten thousand who wait for nothing, and the sliding sync of accounts with many rooms.
//!
//! Build the program first (`cargo build --release`), then run
//! `cargo bench -p belfry-tests --bench polls [-- fanout|idle|sliding]...`. The server's processor
//! time is read from `/proc`; the clients share its processors. It knows nothing of what is inside
//! the server.
#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement reads the time and waits, and its figures are small"
)]

#[path = "polls/client.rs"]
mod client;
#[path = "polls/program.rs"]
mod program;

use std::sync::Arc;
use std::time::{Duration, Instant};

use belfry_env::Env;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::client::Client;
use crate::program::Program;

/// Members of the room, all of whom wait.
const MEMBERS: usize = 1_000;
/// Messages into it, one after another.
const MESSAGES: usize = 15;
/// Who waits for nothing.
const IDLE: usize = 10_000;
/// Accounts made at the same time.
const MAKERS: usize = 8;
const ROOMS_FEW: usize = 20;
const ROOMS_MANY: usize = 2_000;
/// First sliding syncs, each on a connection of its own.
const FIRST_RUNS: usize = 50;
/// Sliding syncs that find nothing new.
const QUIET_RUNS: usize = 1_000;
/// Between two messages, so that all wait again.
const PAUSE: Duration = Duration::from_secs(1);

fn main() {
    let asked: Vec<String> = std::env::args().collect();
    let parts = ["fanout", "idle", "sliding"];
    let named = parts.iter().any(|part| asked.iter().any(|one| one == part));
    let wanted = |part: &str| !named || asked.iter().any(|one| one == part);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let env = Env::system(tokio::runtime::Handle::current()).expect("randomness");
        if wanted("fanout") {
            fan_out(&env).await;
        }
        if wanted("idle") {
            idle(&env).await;
        }
        if wanted("sliding") {
            sliding(&env).await;
        }
    });
}

/// Accounts on a server that has been started anew since: what making them took is gone.
async fn accounts(env: &Env, program: &mut Program, count: usize) -> Vec<Client> {
    let address = program.address;
    let mut makers = Vec::new();
    for maker in 0..MAKERS {
        let own = env.clone();
        let made = async move {
            let mut tokens = Vec::new();
            let mut client = Client::connect(&own, address).await;
            for number in (maker..count).step_by(MAKERS) {
                tokens.push((number, client.register(&format!("user{number}")).await));
            }
            tokens
        };
        makers.push(env.tasks.spawn("maker", made));
    }
    let mut tokens = Vec::new();
    for maker in makers {
        tokens.extend(maker.await.expect("accounts"));
    }
    tokens.sort();
    program.restart();
    let mut clients = Vec::new();
    for (_, token) in tokens {
        let mut client = Client::connect(env, program.address).await;
        client.token = token;
        clients.push(client);
    }
    clients
}

async fn fan_out(env: &Env) {
    let mut program = Program::start();
    let mut clients = accounts(env, &mut program, MEMBERS + 1).await;
    let mut sender = clients.pop().expect("a sender");
    let made = json!({"preset": "public_chat"});
    let made = sender.post("/v3/createRoom", &made).await;
    let room = made["room_id"].as_str().expect("a room").to_owned();
    for client in &mut clients {
        client.post(&format!("/v3/join/{room}"), &json!({})).await;
        client.first_sync().await;
    }
    // Everybody, the sender too, before and after each message.
    let barrier = Arc::new(Barrier::new(MEMBERS + 1));
    let mut waiting = Vec::new();
    for mut client in clients {
        let barrier = Arc::clone(&barrier);
        let member = async move {
            let mut told = Vec::new();
            for _ in 0..MESSAGES {
                client.poll_for("good morning").await;
                told.push(Instant::now());
                barrier.wait().await;
            }
            told
        };
        waiting.push(env.tasks.spawn("member", member));
    }
    let (mut sent, mut before) = (Vec::new(), Duration::ZERO);
    for number in 0..MESSAGES {
        tokio::time::sleep(PAUSE).await;
        // The first one warms what is remembered.
        if number == 1 {
            before = program.cpu();
        }
        sent.push(Instant::now());
        let body = json!({"msgtype": "m.text", "body": "good morning"});
        let path = format!("/v3/rooms/{room}/send/m.room.message/{number}");
        sender.put(&path, &body).await;
        barrier.wait().await;
    }
    let used = program.cpu().saturating_sub(before);
    let mut times = Vec::new();
    for member in waiting {
        let told = member.await.expect("a member");
        times.extend(
            told.iter()
                .zip(&sent)
                .skip(1)
                .map(|(told, sent)| *told - *sent),
        );
    }
    times.sort_unstable();
    let cpu_ms = used.as_secs_f64() * 1e3 / times.len() as f64 * 1e3;
    println!("{MEMBERS} waiting: {cpu_ms:.1} CPU-ms per 1,000 deliveries");
    println!(
        "from send to told: p50 {:.1?}, p99 {:.1?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
    program.stop();
}

async fn idle(env: &Env) {
    let mut program = Program::start();
    let clients = accounts(env, &mut program, IDLE).await;
    let (empty, pss) = (program.memory_mib(), program.shared_memory_mib());
    println!("{IDLE} connections: {empty:.1} MiB resident, {pss:.1} MiB proportional");
    let mut polls = Vec::new();
    for mut client in clients {
        // A connection that says nothing is closed after a while.
        client.reconnect(env, program.address).await;
        client.first_sync().await;
        let poll = async move { client.poll().await };
        polls.push(env.tasks.spawn("poll", poll));
    }
    tokio::time::sleep(5 * PAUSE).await;
    let before = program.cpu();
    tokio::time::sleep(5 * PAUSE).await;
    let spent = program.cpu().saturating_sub(before) / 5;
    let (memory, pss) = (program.memory_mib(), program.shared_memory_mib());
    println!("{IDLE} idle polls: {memory:.1} MiB resident, {pss:.1} MiB proportional");
    println!("{IDLE} idle polls: {spent:?} CPU a second");
    for poll in polls {
        poll.abort();
    }
    program.kill();
}

async fn sliding(env: &Env) {
    let mut program = Program::start();
    let mut clients = accounts(env, &mut program, 2).await.into_iter();
    let mut few = clients.next().expect("an account");
    let mut many = clients.next().expect("an account");
    rooms(&mut few, ROOMS_FEW).await;
    rooms(&mut many, ROOMS_MANY).await;
    program.restart();
    let mut quiet = Vec::new();
    for (client, rooms) in [(&mut few, ROOMS_FEW), (&mut many, ROOMS_MANY)] {
        client.reconnect(env, program.address).await;
        for path in ["/unstable/org.matrix.simplified_msc3575/sync", "/v4/sync"] {
            let each = slide(&program, client, (path, rooms)).await;
            quiet.push(each.as_secs_f64());
        }
    }
    for (shape, at) in [("draft", 0), ("accepted", 1)] {
        let ratio = quiet[at + 2] / quiet[at];
        println!("nothing new, {ROOMS_MANY} rooms to {ROOMS_FEW}, {shape} shape: {ratio:.2}");
    }
    program.stop();
}

async fn rooms(client: &mut Client, count: usize) {
    for number in 0..count {
        let wanted = json!({"name": format!("Room {number}")});
        let made = client.post("/v3/createRoom", &wanted).await;
        let room = made["room_id"].as_str().expect("a room");
        let messages = if count - number <= 20 { 20 } else { 0 };
        for message in 0..messages {
            let body = json!({"msgtype": "m.text", "body": "Good morning, town hall!"});
            let path = format!("/v3/rooms/{room}/send/m.room.message/{message}");
            client.put(&path, &body).await;
        }
    }
}

/// First syncs, and then such that find nothing new: CPU time of one of these.
async fn slide(program: &Program, client: &mut Client, (path, rooms): (&str, usize)) -> Duration {
    let accepted = path.starts_with("/v4");
    let wanted = |name: String, pos: Option<&Value>| {
        let state = ["m.room.name", "m.room.create", "m.room.encryption"];
        let mut list = json!({"timeline_limit": 20});
        if accepted {
            let include = state.map(|kind| json!({"type": kind, "state_key": ""}));
            list["range"] = json!([0, 19]);
            list["required_state"] = json!({"include": include, "lazy_members": true});
        } else {
            let mut named: Vec<_> = state.map(|kind| json!([kind, ""])).into();
            named.push(json!(["m.room.member", "$LAZY"]));
            list["ranges"] = json!([[0, 19]]);
            list["required_state"] = json!(named);
        }
        let mut body = json!({"conn_id": name, "lists": {"rooms": list}});
        if let Some(pos) = pos.filter(|_| accepted) {
            body["pos"] = pos.clone();
        }
        body
    };
    client
        .post(&format!("{path}?timeout=0"), &wanted("warm".into(), None))
        .await;
    let (before, begun) = (program.cpu(), Instant::now());
    let mut told = Value::Null;
    for run in 0..FIRST_RUNS {
        let body = wanted(format!("c{run}"), None);
        told = client.post(&format!("{path}?timeout=0"), &body).await;
    }
    let runs = u32::try_from(FIRST_RUNS).expect("a number");
    let (cpu, wall) = (
        program.cpu().saturating_sub(before) / runs,
        begun.elapsed() / runs,
    );
    let shown = told["rooms"].as_object().map_or(0, serde_json::Map::len);
    println!(
        "first sliding sync, {rooms} rooms, {path}: {cpu:?} CPU, {wall:.1?}, {shown} rooms told"
    );
    let name = format!("c{}", FIRST_RUNS - 1);
    let (before, begun) = (program.cpu(), Instant::now());
    for _ in 0..QUIET_RUNS {
        let pos = told["pos"].as_str().expect("a position").to_owned();
        let at = format!("{path}?timeout=0&pos={pos}");
        let at = if accepted { path.to_owned() } else { at };
        told = client
            .post(&at, &wanted(name.clone(), Some(&json!(pos))))
            .await;
    }
    let runs = u32::try_from(QUIET_RUNS).expect("a number");
    let (cpu, wall) = (
        program.cpu().saturating_sub(before) / runs,
        begun.elapsed() / runs,
    );
    println!("nothing new, {rooms} rooms, {path}: {cpu:?} CPU, {wall:.1?}");
    cpu
}
