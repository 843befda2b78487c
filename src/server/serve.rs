//! The life of the server's process: start, run, stop.
//!
//! Everything that can refuse a start does so before the service manager is told that the server is
//! ready. A stop (SIGTERM, SIGINT, `belfry stop`) begins at once: nothing new is accepted, what is
//! under way has [`DRAIN_MAX`] to end, then the database is closed. A second signal cuts that short.
//! SIGKILL and power failures are survived by the database, not by anything here.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use belfry_env::{Env, Random};
use belfry_event::SigningKey;
use belfry_node::Node;
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    accounts,
    config::Config,
    control, data_folder,
    database::{Database, Surroundings},
    exit::{Exit, print},
    federation,
    listen::{self, tls::Certificate},
    media_folder,
    message::Message,
    metrics,
    open_files::OpenFiles,
    operation::{Facts, Operations},
    options, push, signing_key, telemetry,
    text::Text,
};

/// How long requests that are under way may take to end once the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How long the runtime's threads may take to end at the very end.
const THREADS_MAX: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop.
pub(crate) fn serve(config: &Config, text: &Text) -> Result<Exit, Message> {
    telemetry::start(&config.log);
    let files = OpenFiles::claim()?;
    let runtime = runtime(config)?;
    let context = runtime.enter();
    let env = environment(&runtime)?;
    let signals = Signals::listen().map_err(|cause| unstartable(&cause))?;
    let server = Server::start(config, &runtime, &env, files)?;
    let (database, control) = (Arc::clone(&server.database), Arc::clone(&server.control));
    for line in &server.greeting {
        print(&text.say(line));
    }
    runtime.block_on(server.live(&env, signals));
    database.close();
    // Only now: until the socket is gone, `belfry stop` waits.
    drop(control);
    drop(context);
    runtime.shutdown_timeout(THREADS_MAX);
    tracing::info!("the server has stopped");
    Ok(Exit::Clean)
}

/// A server that has started and only has to be let loose.
struct Server {
    node: Node,
    database: Arc<Database>,
    operations: Operations,
    control: Arc<control::Listener>,
    sockets: Vec<Door>,
    /// Where monitoring is answered.
    metrics: Vec<TcpListener>,
    /// The certificate of those that speak TLS.
    certificate: Option<Certificate>,
    /// What whoever started it is told.
    greeting: Vec<Message>,
    /// Connections that each socket may have.
    connections_max: usize,
}

impl Server {
    /// Everything that can refuse.
    fn start(
        config: &Config,
        runtime: &Runtime,
        env: &Env,
        files: OpenFiles,
    ) -> Result<Self, Message> {
        data_folder::prepare(&config.general.data_folder)?;
        let key = signing_key(config, &env.random)?;
        let signing_key = key.key_id().to_owned();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            server_name = %config.general.server_name,
            signing_key,
            public_key = key.public_key().to_base64(),
            "the server is starting"
        );
        let surroundings = Surroundings {
            runtime,
            clock: &env.clock,
            random: &env.random,
            files,
        };
        let files_of_users = media_folder::open(config)?;
        let blobs = Arc::new(files_of_users.clone());
        let mut options = options::node(config, key, blobs);
        options.users.shared_secret = options::shared_secret(config)?;
        options.about.turn = options::turn(config)?;
        options.federation = federation::remote(config, env)?;
        options.push = push::gateways(config, env)?;
        options.web = federation::web(config, env)?;
        let (node, database) = Database::open_node(config, env, &surroundings, options)?;
        // The database is open, so nobody else uses the folders of this configuration.
        media_folder::tidy(config, &files_of_users)?;
        let database = Arc::new(database);
        let control = Arc::new(control::Listener::bind(&config.general.data_folder)?);
        let certificate = federation::certificate(config)?;
        let sockets = listen(config, runtime, certificate.as_ref())?;
        let urls: Vec<_> = sockets.iter().filter_map(url).collect();
        let metrics = metrics_sockets(config, runtime)?;
        let facts = Facts {
            server_name: config.general.server_name.to_string(),
            signing_key,
            listening: names(sockets.iter().map(|(socket, _)| socket)),
            metrics: names(&metrics),
        };
        let greeting = greeting(
            &facts,
            &urls,
            runtime.block_on(accounts::first_token(node.users()))?,
        );
        let places = usize::try_from(files.connections).unwrap_or(usize::MAX);
        Ok(Self {
            operations: Operations::new(env.clone(), Arc::clone(&database), &node, facts),
            node,
            greeting,
            database,
            control,
            connections_max: (places / sockets.len().max(1)).max(1),
            sockets,
            metrics,
            certificate,
        })
    }

    /// From ready to drained.
    async fn live(self, env: &Env, mut signals: Signals) {
        for socket in self.metrics {
            let router = metrics::router(self.operations.clone());
            let serving = listen::serve(
                (socket, None),
                router,
                env.clone(),
                metrics::CONNECTIONS_MAX,
            );
            env.tasks.spawn("metrics listener", serving);
        }
        let (control, operations, own) = (self.control, self.operations, env.clone());
        env.tasks.spawn("control socket", async move {
            let perform = move |request| operations.clone().perform(request);
            control.serve(&own, perform).await;
        });
        for socket in self.sockets {
            let serving = listen::serve(
                socket,
                self.node.router(),
                env.clone(),
                self.connections_max,
            );
            env.tasks.spawn("http listener", serving);
        }
        if let Some(certificate) = self.certificate {
            let following = certificate.follow(env.clone());
            env.tasks.spawn("certificate", following);
        }
        env.tasks
            .spawn("watchdog", keep_watchdog_quiet(env.clone()));
        notify(&[NotifyState::Ready]);
        tracing::info!("the server has started");
        tokio::select! {
            biased;
            name = signals.next() => tracing::info!(signal = name, "the server is stopping"),
            () = env.shutdown.wait() => tracing::info!("the server is stopping on request"),
        }
        notify(&[NotifyState::Stopping]);
        tokio::select! {
            biased;
            stopped = self.node.stop(DRAIN_MAX) => {
                if !stopped.is_clean() {
                    tracing::warn!(?stopped, "some tasks did not end by themselves");
                }
            }
            name = signals.next() => {
                let under_way = requests_under_way(env);
                if under_way == 0 {
                    tracing::info!(signal = name, "the server stops without waiting for its tasks");
                } else {
                    tracing::warn!(signal = name, under_way, "requests under way are cut off");
                }
            }
        }
    }
}

/// Connections that are still there while the server stops: each ends with the answers to the
/// requests that it has begun.
fn requests_under_way(env: &Env) -> usize {
    let running = env.tasks.running().into_iter();
    running
        .filter(|name| *name == listen::CONNECTION_TASK)
        .count()
}

/// A socket, with what TLS is spoken by if it is.
type Door = (TcpListener, Option<TlsAcceptor>);

/// The sockets of the configured addresses.
fn listen(
    config: &Config,
    runtime: &Runtime,
    certificate: Option<&Certificate>,
) -> Result<Vec<Door>, Message> {
    let mut doors = Vec::new();
    for address in &config.listen.addresses {
        doors.push((bind(runtime, address)?, None));
    }
    if let Some(certificate) = certificate {
        for address in &config.listen.tls_addresses {
            doors.push((bind(runtime, address)?, Some(certificate.acceptor()?)));
        }
    }
    Ok(doors)
}

fn metrics_sockets(config: &Config, runtime: &Runtime) -> Result<Vec<TcpListener>, Message> {
    let addresses = config.metrics.listen.iter();
    addresses.map(|address| bind(runtime, address)).collect()
}

fn bind(runtime: &Runtime, address: &SocketAddr) -> Result<TcpListener, Message> {
    runtime
        .block_on(TcpListener::bind(*address))
        .map_err(|cause| {
            Message::new("listen-unbound")
                .with_text("address", address)
                .with_text("cause", &cause)
        })
}

/// The addresses that the sockets have.
fn names<'a>(sockets: impl IntoIterator<Item = &'a TcpListener>) -> Vec<String> {
    let addresses = sockets
        .into_iter()
        .filter_map(|socket| socket.local_addr().ok());
    addresses.map(|address| address.to_string()).collect()
}

fn url((socket, tls): &Door) -> Option<String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{}", socket.local_addr().ok()?))
}

/// Where the server is, and how to make its first account if there is none.
fn greeting(facts: &Facts, urls: &[String], first_token: Option<String>) -> Vec<Message> {
    let serving = |url: &String| {
        Message::new("serving")
            .with("name", facts.server_name.as_str())
            .with("url", url.as_str())
    };
    let mut lines: Vec<_> = urls.iter().map(serving).collect();
    if let Some(token) = first_token {
        lines.push(Message::new("first-token").with("token", token));
    }
    lines
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
    signing_key::load_or_create(&file, random)
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
