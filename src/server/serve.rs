//! The life of the server's process: start, run, stop.
//!
//! Everything that can refuse a start does so before the service manager is told that the server is
//! ready. A stop (SIGTERM, SIGINT, `belfry stop`) begins at once: nothing new is accepted, what is
//! under way has [`DRAIN_MAX`] to end, then the database is closed. A second signal cuts that short.
//! SIGKILL and power failures are survived by the database, not by anything here.

use std::{io, sync::Arc, time::Duration};

use belfry_env::{Env, Random};
use sd_notify::NotifyState;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    age,
    config::Config,
    control::Listener,
    data_folder,
    database::{self, Database, Surroundings},
    exit::Exit,
    message::Message,
    open_files::OpenFiles,
    operation::Operations,
    signing_key::SigningKey,
    telemetry,
};

/// How long requests that are under way may take to end once the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How long the runtime's threads may take to end at the very end.
const THREADS_MAX: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop.
pub(crate) fn serve(config: &Config) -> Result<Exit, Message> {
    telemetry::start(&config.log);
    let files = OpenFiles::claim()?;
    let runtime = runtime(config)?;
    let context = runtime.enter();
    let env = environment(&runtime)?;
    let signals = Signals::listen().map_err(|cause| unstartable(&cause))?;
    data_folder::prepare(&config.general.data_folder)?;
    let key = signing_key(config, &env.random)?;
    let folder = config.database_folder();
    let surroundings = Surroundings {
        runtime: &runtime,
        clock: &env.clock,
        random: &env.random,
        files,
    };
    let database = Arc::new(Database::open(&folder, config, &surroundings)?);
    runtime
        .block_on(age::resume(database.data(), &env.clock))
        .map_err(|error| database::unreadable(&error))?;
    env.tasks
        .spawn("age", age::keep(database.data().clone(), env.clone()));
    let control = Arc::new(Listener::bind(&config.general.data_folder)?);
    let operations = Operations::new(env.clone(), Arc::clone(&database), config, &key);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        server_name = %config.general.server_name,
        signing_key = key.id(),
        public_key = key.public(),
        "the server has started"
    );
    runtime.block_on(live(&env, signals, Arc::clone(&control), operations));
    database.close();
    // Only now: until the socket is gone, `belfry stop` waits.
    drop(control);
    drop(context);
    runtime.shutdown_timeout(THREADS_MAX);
    tracing::info!("the server has stopped");
    Ok(Exit::Clean)
}

fn unstartable(cause: &io::Error) -> Message {
    Message::new("start-failed").with_text("cause", cause)
}

fn runtime(config: &Config) -> Result<Runtime, Message> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = config.general.worker_threads {
        builder.worker_threads(usize::try_from(threads.get()).unwrap_or(usize::MAX));
    }
    builder
        .thread_name("belfry-worker")
        .enable_all()
        .build()
        .map_err(|cause| unstartable(&cause))
}

fn environment(runtime: &Runtime) -> Result<Env, Message> {
    Env::system(runtime.handle().clone())
        .map_err(|cause| Message::new("entropy-missing").with_text("cause", &cause))
}

/// The key, made at first start. A database without its key is no first start: a new key would
/// disown what the old one signed, so that is left to a human.
fn signing_key(config: &Config, random: &Random) -> Result<SigningKey, Message> {
    let file = config.signing_key_file();
    if !file.exists()
        && (config.database_folder().exists() || config.general.signing_key_file.is_some())
    {
        return Err(Message::new("key-lost").with("file", file.as_path()));
    }
    SigningKey::load_or_create(&file, random)
}

/// From ready to drained.
async fn live(env: &Env, mut signals: Signals, control: Arc<Listener>, operations: Operations) {
    let own = env.clone();
    env.tasks.spawn("control socket", async move {
        let perform = move |request| operations.clone().perform(request);
        control.serve(&own, perform).await;
    });
    env.tasks
        .spawn("watchdog", keep_watchdog_quiet(env.clone()));
    notify(&[NotifyState::Ready]);
    tokio::select! {
        biased;
        name = signals.next() => tracing::info!(signal = name, "the server is stopping"),
        () = env.shutdown.wait() => tracing::info!("the server is stopping on request"),
    }
    notify(&[NotifyState::Stopping]);
    tokio::select! {
        biased;
        stopped = env.stop(DRAIN_MAX) => {
            if !stopped.is_clean() {
                tracing::warn!(?stopped, "some tasks did not end by themselves");
            }
        }
        name = signals.next() => tracing::warn!(signal = name, "requests under way are cut off"),
    }
}

/// Tells the service manager that the runtime still runs tasks, if it wants to know.
async fn keep_watchdog_quiet(env: Env) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    // Twice within the limit, as sd_watchdog_enabled(3) advises.
    while env
        .shutdown
        .unless(env.clock.sleep(limit / 2))
        .await
        .is_some()
    {
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told how the server does");
    }
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the next signal to stop.
    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => {
                    tracing::warn!("SIGHUP changes nothing: restart the server to apply a configuration");
                }
            }
        }
    }
}
