//! One run of three servers that a seed decides: who says what when, what the network loses, who is
//! cut off, who loses power, whose clock jumps; and what must hold once all that has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use belfry_env::Random;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    member::RETRY_MAX,
    net::Weather,
    trace::Trace,
    world::{World, shared_room},
};

/// Steps of a run, at least and at most.
const STEPS: (u64, u64) = (30, 80);
/// Room versions that runs take place in.
const VERSIONS: [&str; 4] = ["6", "10", "11", "12"];
/// The farthest that a clock goes wrong.
const SKEW_MAX_MS: u64 = 10 * 60 * 1_000;
/// Lines of a failing run's trace that are shown.
const TAIL_LINES: usize = 60;

/// What happened how often.
pub(super) type Tally = BTreeMap<&'static str, usize>;

struct Run {
    world: World,
    random: Random,
    room: String,
    /// Events that somebody was told are sent.
    acked: BTreeSet<String>,
    /// What each user's client was shown.
    seen: Vec<BTreeSet<String>>,
    /// Who is not in the room now.
    out: BTreeSet<usize>,
    said: u64,
    tally: Tally,
    traced: bool,
    trace: Vec<String>,
}

/// Runs a seed in a runtime of its own. If it is `traced`, everything is told as it happens.
///
/// # Errors
/// What did not hold, with the end of the trace.
pub(super) fn run(seed: u64, traced: bool) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(Run::of(seed, traced))
}

impl Run {
    async fn of(seed: u64, traced: bool) -> Result<Tally, String> {
        let random = Random::seeded(seed ^ 0x5eed);
        let skew = || i64::try_from(random.below(SKEW_MAX_MS)).unwrap();
        let world = World::seeded(seed, [skew(), skew(), -skew()]).await;
        let version = VERSIONS[pick(&random, VERSIONS.len())];
        let room = shared_room(&world, version).await;
        let trace = traced.then(|| tracing::subscriber::set_default(Trace(world.clock.clone())));
        let mut run = Self {
            world,
            random,
            room,
            acked: BTreeSet::new(),
            seen: vec![BTreeSet::new(); 3],
            out: BTreeSet::new(),
            said: 0,
            tally: Tally::new(),
            traced,
            trace: Vec::new(),
        };
        let outcome = run.all().await;
        drop(trace);
        if traced && outcome.is_err() {
            for member in &run.world.members {
                eprintln!("{}", member.graph(&run.room).await);
            }
        }
        let tail = run.trace.len().saturating_sub(TAIL_LINES);
        let told = run.trace[tail..].join("\n");
        run.world.stop().await;
        match outcome {
            Ok(()) => Ok(run.tally),
            Err(why) => Err(format!("seed {seed}, version {version}: {why}\n{told}")),
        }
    }

    async fn all(&mut self) -> Result<(), String> {
        let steps = STEPS.0 + self.random.below(STEPS.1 - STEPS.0);
        for step in 0..steps {
            self.step(step).await;
            for number in 0..self.world.members.len() {
                self.listen(number).await?;
            }
        }
        self.note("calm", "");
        self.world.net.heal();
        self.world.net.set_weather(Weather::default());
        self.world.pass(RETRY_MAX * 2).await;
        let returned = self.out.clone();
        for number in &returned {
            self.come_or_go(*number).await;
        }
        if !self.out.is_empty() {
            return Err(format!("{:?} cannot come back", self.out));
        }
        self.world.converge(&self.room).await?;
        if !returned.is_empty() {
            // Who was away is told of a branch of that time by the event that joins it to the
            // others: nobody tells a server what came before it was in the room.
            self.say(0).await;
            self.world.converge(&self.room).await?;
        }
        for number in 0..self.world.members.len() {
            self.listen(number).await?;
            self.check(number).await?;
        }
        // Looking at history changes nothing of the present.
        self.world.converge(&self.room).await
    }

    fn note(&mut self, what: &'static str, more: &str) {
        *self.tally.entry(what).or_default() += 1;
        let at = self.world.clock.now().since(belfry_env::Moment::default());
        let mut line = format!("{:>10.3} {what}", at.as_secs_f64());
        write!(line, " {more}").unwrap();
        if self.traced {
            eprintln!("{line}");
        }
        self.trace.push(line);
    }

    async fn step(&mut self, step: u64) {
        let number = pick(&self.random, 3);
        match self.random.below(100) {
            0..55 => self.say(number).await,
            55..70 => self.set_state(number, step).await,
            70..80 => self.change_ways(),
            80..86 => self.change_weather(),
            86..91 => {
                let survive = self.random.below(1_001);
                self.note("crash", &format!("{number} {survive}"));
                self.world.members[number].crash(survive).await;
            }
            91..94 => {
                self.note("stop", &number.to_string());
                self.world.members[number].stop_and_start().await;
            }
            94..96 => self.come_or_go(1 + pick(&self.random, 2)).await,
            96..98 => {
                let by = i64::try_from(self.random.below(2 * SKEW_MAX_MS)).unwrap();
                let by = by - i64::try_from(SKEW_MAX_MS).unwrap();
                self.note("clock", &format!("{number} {by}"));
                self.world.members[number].wall.jump_ms(by);
            }
            _ => {
                self.note("wait", "");
                let hours = self.random.below(40);
                self.world.pass(Duration::from_hours(hours)).await;
            }
        }
        let pause_ms = match self.random.below(3) {
            0 => 0,
            1 => self.random.below(500),
            _ => self.random.below(60_000),
        };
        self.world.pass(Duration::from_millis(pause_ms)).await;
    }

    async fn say(&mut self, number: usize) {
        // Now and then much at once.
        let count = if self.random.below(10) == 0 {
            self.random.below(80)
        } else {
            1 + self.random.below(4)
        };
        for _ in 0..count {
            self.said += 1;
            let path = format!("/rooms/{}/send/m.room.message/t{}", self.room, self.said);
            let content = json!({"msgtype": "m.text", "body": format!("m{}", self.said)});
            self.send(number, &path, content).await;
        }
        self.note("say", &format!("{number} {count}"));
    }

    async fn set_state(&mut self, number: usize, step: u64) {
        // Only the first may; what the others try is refused.
        let kind = ["m.room.topic", "m.room.name"][pick(&self.random, 2)];
        let key = if kind == "m.room.topic" {
            "topic"
        } else {
            "name"
        };
        let path = format!("/rooms/{}/state/{kind}", self.room);
        let allowed = self
            .send(number, &path, json!({key: step.to_string()}))
            .await;
        self.note(
            if allowed { "state" } else { "refusal" },
            &format!("{number} {kind}"),
        );
    }

    /// Whoever is in the room leaves it; whoever is not tries to come back. The first stays.
    async fn come_or_go(&mut self, number: usize) {
        let (member, room) = (&self.world.members[number], &self.room);
        let path = format!("/rooms/{room}/leave");
        if self.out.contains(&number) {
            let path = format!("/join/{room}?via=hs1&via=hs2&via=hs3");
            let (status, _) = member.ask("POST", &path, json!({})).await;
            if status == StatusCode::OK {
                self.out.remove(&number);
            }
            self.note("return", &format!("{number} {status}"));
            return;
        }
        let (status, answer) = member.ask("POST", &path, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        self.out.insert(number);
        self.note("leave", &number.to_string());
    }

    async fn send(&mut self, number: usize, path: &str, content: Value) -> bool {
        let (status, answer) = self.world.members[number].ask("PUT", path, content).await;
        if status != StatusCode::OK {
            assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
            return false;
        }
        let event_id = answer["event_id"].as_str().unwrap();
        self.acked.insert(event_id.to_owned());
        true
    }

    fn change_ways(&mut self) {
        let (one, other) = (pick(&self.random, 3), pick(&self.random, 3));
        match self.random.below(4) {
            0 => {
                self.world.net.heal();
                self.note("heal", "");
            }
            1 => {
                let (from, to) = (&self.world.members[one], &self.world.members[other]);
                self.world.net.cut(&from.server(), &to.server());
                self.note("cut one way", &format!("{one} {other}"));
            }
            _ => {
                self.world.part(one, other);
                self.note("cut", &format!("{one} {other}"));
            }
        }
    }

    fn change_weather(&mut self) {
        let weather = Weather {
            lost_permille: [0, 20, 300][pick(&self.random, 3)],
            delay_ms: [0, 200, 5_000][pick(&self.random, 3)],
        };
        self.world.net.set_weather(weather);
        self.note("weather", &format!("{weather:?}"));
    }

    /// A client's next sync: nothing is shown twice.
    async fn listen(&mut self, number: usize) -> Result<(), String> {
        let news = self.world.members[number].sync().await;
        if self.out.contains(&number) {
            // Whoever comes back is shown the room anew.
            self.seen[number].clear();
            return Ok(());
        }
        let timeline = &news["rooms"]["join"][&self.room]["timeline"]["events"];
        for event in timeline.as_array().into_iter().flatten() {
            let event_id = event["event_id"].as_str().unwrap().to_owned();
            if !self.seen[number].insert(event_id) {
                return Err(format!("hs{} is shown twice: {event}", number + 1));
            }
        }
        Ok(())
    }

    /// Everything that was acknowledged is there, once.
    async fn check(&mut self, number: usize) -> Result<(), String> {
        let member = &self.world.members[number];
        let mut found = BTreeSet::new();
        for event in member.history(&self.room).await {
            let event_id = event["event_id"].as_str().unwrap().to_owned();
            if !found.insert(event_id.clone()) {
                return Err(format!("{} has {event_id} twice", member.name));
            }
        }
        let lost = self.acked.iter().filter(|acked| !found.contains(*acked));
        let lost: Vec<_> = lost.collect();
        if lost.is_empty() {
            return Ok(());
        }
        let (count, of) = (lost.len(), self.acked.len());
        let mut why = format!("{} lacks {count} of {of}:", member.name);
        for event_id in &lost {
            let standing = member.standing(&self.room, event_id).await;
            write!(why, "\n{event_id}: {standing}").unwrap();
        }
        for other in &self.world.members {
            for event in other.history(&self.room).await {
                let event_id = event["event_id"].as_str().unwrap();
                if lost.iter().any(|lost| *lost == event_id) {
                    let (sender, at) = (&event["sender"], &event["origin_server_ts"]);
                    write!(why, "\n{} has {event_id} of {sender}, {at}", other.name).unwrap();
                }
            }
        }
        Err(why)
    }
}

fn pick(random: &Random, count: usize) -> usize {
    usize::try_from(random.below(u64::try_from(count).unwrap())).unwrap()
}
