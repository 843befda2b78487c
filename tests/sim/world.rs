//! One run: a server and its clients, from the first start to the last stop.
//!
//! It exists to put the parts together and to run the checkers at the right moments. It knows
//! nothing of what is right. Nothing in here draws but by the seed, and no time passes but the
//! runtime's, which is paused: a run takes as long as its work.

use std::sync::Arc;
use std::time::Duration;

use belfry_data::Engine;
use belfry_env::{Clock, Env, Moment, SimulatedWall, Stopped};
use belfry_kv::{Memory, Position, Recorded};
use ruma_common::OwnedUserId;
use tokio::runtime::Builder;
use tokio::select;

use crate::board::Board;
use crate::checks::{self, Complaint, Evidence};
use crate::client::{Client, Entered};
use crate::dice::Dice;
use crate::digest::Digest;
use crate::disk::{Disk, Fate, Parts};
use crate::door::{Door, Link};
use crate::excuse::excused;
use crate::history::{Diary, History};
use crate::logs::Logs;
use crate::plan::{Doom, Plan, Point};
use crate::server::{Life, Server};
use crate::setup::Setup;
use crate::signal::Signal;
use crate::tally::Tally;
use crate::trace::Trace;
use crate::view::View;
use crate::weather::Weather;

/// What the wall clock shows at first: 2023-11-14.
const START_MS: u64 = 1_700_000_000_000;
/// How long after the last fault clients may take to finish, simulated.
const LIVENESS_MAX: Duration = Duration::from_hours(1);
/// How long a stop in good order may take, simulated.
const STOP_MAX: Duration = Duration::from_mins(1);
/// After so long without a request no worker is left.
const IDLE: Duration = Duration::from_mins(3);

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) complaints: Vec<Complaint>,
    pub(crate) trace: Vec<String>,
    /// What the clients did and were told.
    pub(crate) history: History,
    /// What the database held in the end.
    pub(crate) view: View,
    /// How often what happened.
    pub(crate) tally: Tally,
}

/// Runs a plan.
pub(crate) fn run(plan: Plan, setup: &Setup) -> Outcome {
    let logs = Logs::default();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    logs.listen(|| runtime.block_on(async { World::new(plan, setup, &logs).run().await }))
}

/// How a life ended.
enum End {
    /// By its doom.
    Failed(Fate),
    /// It is to be stopped in good order.
    Stop,
    /// The clients are done.
    Done,
    /// The clients are not done, and it is too late.
    Late,
}

struct World {
    plan: Arc<Plan>,
    setup: Setup,
    logs: Logs,
    env: Env,
    wall: SimulatedWall,
    dice: Dice,
    weather: Weather,
    trace: Trace,
    diary: Diary,
    server: Server,
    people: Arc<[OwnedUserId]>,
    memory: Arc<Memory>,
    checked: View,
    position: Position,
    digest: Digest,
    complaints: Vec<Complaint>,
    tally: Tally,
}

impl World {
    fn new(plan: Plan, setup: &Setup, logs: &Logs) -> Self {
        let dice = Dice::seeded(plan.seed).fork();
        let wall = SimulatedWall::at(START_MS);
        let env = Env::simulated(plan.seed, &wall);
        let trace = Trace::new(&env.clock);
        let weather = Weather::new(dice.fork());
        let people = (0..plan.users).map(|number| {
            let user = format!("@user{number}:x.example");
            OwnedUserId::try_from(user).expect("a user ID")
        });
        Self {
            people: people.collect(),
            memory: Arc::new(memory(&env.clock, &weather, &trace)),
            diary: Diary::new(&env.clock, &trace),
            server: Server::new("x.example", [7; 32]),
            checked: View::default(),
            position: Position::ZERO,
            digest: Digest::default(),
            complaints: Vec::new(),
            tally: Tally::default(),
            plan: Arc::new(plan),
            setup: setup.clone(),
            logs: logs.clone(),
            env,
            wall,
            dice,
            weather,
            trace,
        }
    }

    async fn run(mut self) -> Outcome {
        if self.plan.router {
            self.enrol().await;
        }
        self.start_surroundings();
        let done = self.start_clients();
        let dooms = self.plan.dooms.clone();
        let mut dooms = dooms.into_iter();
        for number in 1.. {
            let doom = dooms.next();
            let (life, disk) = match self.start(number, doom).await {
                Ok(started) => started,
                Err(disk) => {
                    self.crash(&disk).await;
                    if self.complaints.is_empty() {
                        continue;
                    }
                    break;
                }
            };
            let end = self.watch(&life, doom, &done).await;
            let last = matches!(end, End::Done | End::Late);
            match end {
                End::Failed(fate) => self.fail(&disk, fate, Some(life)).await,
                End::Stop => self.stop(life).await,
                End::Done => {
                    disk.spare();
                    self.finish(life).await;
                }
                End::Late => self.complain("liveness", "the clients are not done in time"),
            }
            if last || !self.complaints.is_empty() {
                break;
            }
            let downtime = doom.map_or(Duration::ZERO, |doom| doom.downtime);
            self.env.clock.sleep(downtime).await;
        }
        self.conclude().await
    }

    /// Lets the clients come over HTTP.
    async fn enrol(&mut self) {
        let devices = (0..self.plan.devices).map(|number| {
            let (user, device) = self.device(number);
            (user.clone(), device)
        });
        let devices = devices.collect();
        let env = Env::simulated(self.dice.number(), &self.wall);
        let engine = Arc::clone(&self.memory) as Arc<dyn Engine>;
        self.server.enrol(engine, env, devices).await;
        self.tally.add("runs over HTTP", 1);
    }

    /// The user of a device, and what the device is called.
    fn device(&self, number: u64) -> (&OwnedUserId, String) {
        let user = usize::try_from(number % self.plan.users).expect("a few users");
        (&self.people[user], format!("D{number}"))
    }

    fn start_surroundings(&self) {
        let (weather, clock) = (self.weather.clone(), self.env.clock.clone());
        let blow = weather.blow(self.plan.storm, clock.clone(), self.trace.clone());
        drop(self.env.tasks.spawn("weather", blow));
        let (wall, diary) = (self.wall.clone(), self.diary.clone());
        let (jumps, trace) = (self.plan.jumps.clone(), self.trace.clone());
        let jump = async move {
            for jump in jumps {
                clock.sleep(jump.after).await;
                let before_ms = clock.wall_ms();
                wall.jump_ms(jump.by_ms);
                trace.note(format_args!(
                    "the wall clock jumps {} s",
                    jump.by_ms / 1_000
                ));
                diary.stepped(before_ms, clock.wall_ms());
            }
        };
        drop(self.env.tasks.spawn("wall clock", jump));
        self.setup.begin(&self.env, &self.wall);
    }

    /// Starts the clients; the answer turns true once all of them are done.
    fn start_clients(&self) -> Signal<bool> {
        let board = Board::default();
        let clients = (0..self.plan.devices).map(|number| {
            let client = self.client(number, &board);
            self.env.tasks.spawn("client", client.live())
        });
        let clients: Vec<_> = clients.collect();
        let done = Signal::default();
        let is_done = done.clone();
        let all = async move {
            for client in clients {
                // A panic is counted by `env`, and is no reason to wait for ever.
                drop(client.await);
            }
            done.set(true);
        };
        drop(self.env.tasks.spawn("all clients", all));
        is_done
    }

    fn client(&self, number: u64, board: &Board) -> Client {
        let (user, device) = self.device(number);
        let link = Link {
            dice: self.dice.fork(),
            clock: self.env.clock.clone(),
            longest_ms: self.plan.network_ms,
            losses: self.plan.losses,
            weather: self.weather.clone(),
        };
        Client {
            number,
            door: Door {
                server: self.server.clone(),
                user: user.clone(),
                device,
                link,
            },
            dice: self.dice.fork(),
            board: board.clone(),
            diary: self.diary.clone(),
            env: self.env.clone(),
            weather: self.weather.clone(),
            people: Arc::clone(&self.people),
            plan: Arc::clone(&self.plan),
            entered: Entered::default(),
        }
    }

    /// Starts a life; the disk alone if it fails before the server is there.
    async fn start(&mut self, number: u32, doom: Option<Doom>) -> Result<(Life, Disk), Disk> {
        self.trace.note(format_args!("life {number} begins"));
        self.tally.add("lives", 1);
        let parts = Parts {
            memory: Arc::clone(&self.memory),
            engine: self.setup.engine(&self.memory),
            weather: self.weather.clone(),
            clock: self.env.clock.clone(),
            dice: self.dice.fork(),
            trace: self.trace.clone(),
        };
        self.memory.record();
        let disk = Disk::new(parts, &self.plan, doom);
        drop(self.env.tasks.spawn("disk", disk.clone().spin()));
        let seed = self.dice.number();
        let starting = self.server.start(seed, &self.wall, disk.clone());
        select! { biased;
            _ = disk.failed() => Err(disk),
            life = starting => Ok((life, disk)),
        }
    }

    /// Waits for what ends the life.
    async fn watch(&self, life: &Life, doom: Option<Doom>, done: &Signal<bool>) -> End {
        let clock = &self.env.clock;
        let doomed = async {
            match doom {
                Some(doom) => clock.sleep(doom.within).await,
                None => std::future::pending().await,
            }
        };
        let late = async {
            if doom.is_some() {
                std::future::pending::<()>().await;
            }
            self.weather.peace().await;
            clock.sleep(LIVENESS_MAX).await;
        };
        select! { biased;
            fate = life.disk.failed() => End::Failed(fate),
            () = doomed => match doom.map(|doom| doom.point) {
                Some(Point::Orderly) => End::Stop,
                _ => End::Failed(Fate::Dead),
            },
            _ = done.until(|done| done) => End::Done,
            () = late => End::Late,
        }
    }

    async fn fail(&mut self, disk: &Disk, fate: Fate, life: Option<Life>) {
        if fate == Fate::Wedged {
            // Until somebody notices.
            self.env.clock.sleep(self.dice.pause(0, 15_000)).await;
        }
        disk.kill();
        self.server.gone();
        if let Some(life) = life {
            let stopped = life.env.tasks.join(Duration::ZERO).await;
            self.no_panic(&stopped);
        }
        self.crash(disk).await;
    }

    /// The power fails; the machine is started again.
    async fn crash(&mut self, disk: &Disk) {
        disk.kill();
        let seen = View::read(&self.memory, &self.people).await;
        let at_risk = self.memory.at_risk();
        let survivors = self.dice.between(0, at_risk as u64);
        self.trace.note(format_args!(
            "crash: {survivors} of {at_risk} at risk survive"
        ));
        let survivors = usize::try_from(survivors).expect("a few commits");
        let doom = disk.struck();
        let end = doom.map_or("end: by time".to_owned(), |doom| format!("end: {doom:?}"));
        self.tally.add(end, 1);
        let commits = self.memory.take_record();
        self.memory = Arc::new(self.memory.crash(survivors));
        self.check(&seen, &commits, disk).await;
    }

    /// The server is stopped in good order.
    async fn stop(&mut self, life: Life) {
        self.trace.note("stop");
        self.tally.add("end: stop", 1);
        let Life { env, disk, .. } = life;
        let stopped = env.stop(STOP_MAX).await;
        self.trace.note(format_args!("stopped: {stopped:?}"));
        self.no_panic(&stopped);
        if !stopped.is_clean() {
            self.complain("liveness", format!("the server does not stop: {stopped:?}"));
        }
        self.server.gone();
        disk.kill();
        let commits = self.memory.take_record();
        self.memory = Arc::new(self.memory.reopen());
        let seen = View::read(&self.memory, &self.people).await;
        self.check(&seen, &commits, &disk).await;
    }

    /// The clients are done: nothing is left to do, and the server notices.
    async fn finish(&mut self, life: Life) {
        self.settled();
        self.env.clock.sleep(IDLE).await;
        let (workers, running) = (life.front.workers(), life.env.tasks.running());
        if workers > 0 || running != life.lasting {
            let what = format!("idle, and yet {workers} workers and the tasks {running:?}");
            self.complain("liveness", what);
        }
        self.stop(life).await;
    }

    /// Whether every transaction was settled in the end.
    fn settled(&mut self) {
        let history = self.diary.read();
        for op in history.ops.iter().filter(|op| op.act.has_txn()) {
            if !op.answers().any(|(_, answer)| answer.is_final()) {
                let last = op.answers().last().map(|(_, answer)| answer.clone());
                self.complain("liveness", format!("{} ends with {last:?}", op.mark));
            }
        }
    }

    fn no_panic(&mut self, stopped: &Stopped) {
        let panics = stopped.panics;
        if panics > 0 {
            self.complain("liveness", format!("{panics} tasks panicked"));
        }
        if !stopped.stuck.is_empty() {
            self.complain("liveness", format!("stuck: {:?}", stopped.stuck));
        }
    }

    /// Runs every checker on the database as it is.
    async fn check(&mut self, seen: &View, commits: &[Recorded], disk: &Disk) {
        for commit in commits {
            self.digest.add(commit);
        }
        self.trace
            .note(format_args!("{} commits, {:?}", commits.len(), self.digest));
        self.check_store().await;
        self.check_logs();
        if let Some(what) = disk.runaway() {
            self.complain("liveness", what);
        }
        let view = View::read(&self.memory, &self.people).await;
        let evidence = Evidence {
            plan: &self.plan,
            history: &self.diary.read(),
            view: &view,
            seen,
            checked: &self.checked,
            commits,
            position: self.position,
            flights_max: disk.flights_max(),
            keys: &self.server.key_ring(),
            wall_ms: self.env.clock.wall_ms(),
        };
        checks::run(&evidence, &mut self.complaints);
        let overlapping = u64::from(disk.flights_max() > 1);
        self.tally
            .add("lives with commits on top of commits", overlapping);
        let answered = commits
            .iter()
            .filter_map(|commit| commit.answer.clone().ok());
        self.position = answered.fold(self.position, Position::max);
        self.checked = view;
    }

    /// The database's own check, which is what `belfry db check` runs.
    async fn check_store(&mut self) {
        let report = belfry_data::check(&*self.memory, 10).await;
        let report = report.expect("the database is open");
        for finding in report.findings {
            self.complain("store", finding.to_string());
        }
    }

    /// A warning needs a fault that explains it.
    fn check_logs(&mut self) {
        for line in self.logs.take() {
            self.trace.note(format_args!("log: {line}"));
            if !excused(&line, &self.plan) {
                self.complain("logs", line);
            }
        }
    }

    fn complain(&mut self, checker: &'static str, text: impl Into<String>) {
        let text = text.into();
        self.complaints.push(Complaint { checker, text });
    }

    async fn conclude(mut self) -> Outcome {
        // What the clients still do after a complaint is of no interest.
        let stopped = self.env.tasks.join(Duration::ZERO).await;
        self.no_panic(&stopped);
        for complaint in &self.complaints {
            self.trace.note(format_args!("COMPLAINT {complaint}"));
        }
        self.tally.add_history(&self.diary.read());
        self.tally.add_view(&self.checked);
        for (what, count) in self.weather.happened() {
            self.tally.add(what, count);
        }
        let lived = self.env.clock.now().since(Moment::default());
        self.tally.add("simulated seconds", lived.as_secs());
        Outcome {
            complaints: self.complaints,
            trace: self.trace.lines(),
            history: self.diary.read(),
            view: self.checked,
            tally: self.tally,
        }
    }
}

/// An engine for which simulated time passes, and which faults as the weather says.
fn memory(clock: &Clock, weather: &Weather, trace: &Trace) -> Memory {
    let (own, weather, trace) = (clock.clone(), weather.clone(), trace.clone());
    let memory = Memory::new(Arc::new(move || own.now().since(Moment::default())));
    memory.set_faults(move |_| {
        let fault = weather.commit_fate();
        if fault != belfry_kv::Fault::None {
            trace.note(format_args!("fault: {fault:?}"));
        }
        fault
    });
    memory
}
