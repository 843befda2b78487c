//! What each command of the command line does.
//!
//! A command that needs the database asks the running server, and opens the database itself only
//! if no server runs; the words are the same either way.

use std::{
    io::{self, BufRead, Read},
    path::{self, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use belfry_blob::MemoryBlobs;
use belfry_env::{Clock, Env, Random};
use tokio::runtime::{Builder, Runtime};

use crate::{
    accounts::{self, AccountRequest, Password},
    args::{Command, Invocation},
    config::{self, Config, Invalid},
    control, data_folder,
    database::{Database, Surroundings},
    exit::{Exit, print, print_error},
    message::Message,
    open_files::OpenFiles,
    operation::{Answer, DbRequest, Request},
    options,
    restore::Restoring,
    serve, show, signing_key,
    text::Text,
};

/// How long `belfry stop` waits: longer than the server gives its requests and its database.
const STOP_MAX: Duration = Duration::from_mins(2);
/// How long the tasks of a server that served one command may take to end.
const END_MAX: Duration = Duration::from_secs(20);
/// Longest line that a password is read from: beyond any that can be chosen.
const PASSWORD_LINE_BYTES_MAX: u64 = 4_096;

/// Runs the command; an error is the reason why it could not be done.
pub(crate) fn run(invocation: &Invocation, text: &Text) -> Result<Exit, Message> {
    match &invocation.command {
        Command::Version => {
            print(concat!("belfry ", env!("CARGO_PKG_VERSION")));
            return Ok(Exit::Clean);
        }
        Command::ConfigDefault => {
            print(config::sample(text).trim_end());
            return Ok(Exit::Clean);
        }
        _ => {}
    }
    match config::load(invocation.config.as_deref()) {
        Ok(config) => run_configured(invocation, &config, text),
        Err(Invalid::Unreadable(message)) => Err(message),
        Err(Invalid::Problems(problems)) => {
            report(&problems, text);
            // To the one command that asks, problems are what it was to find.
            Ok(match invocation.command {
                Command::ConfigCheck => Exit::Findings,
                _ => Exit::Trouble,
            })
        }
    }
}

fn run_configured(invocation: &Invocation, config: &Config, text: &Text) -> Result<Exit, Message> {
    let answer = match &invocation.command {
        Command::Serve => return serve::serve(config, text),
        Command::ConfigCheck => return Ok(check_config(config, text)),
        Command::KeyCreate => return create_key(config, text),
        Command::Stop => stop(config)?,
        Command::Status => ask_running(config, &Request::Status)?,
        Command::DbCheck => ask_or_open(config, Request::Db(DbRequest::Check))?,
        Command::DbStats => ask_or_open(config, Request::Db(DbRequest::Stats))?,
        Command::DbBackup(folder) => {
            let folder = absolute(folder)?;
            ask_or_open(config, Request::Db(DbRequest::Backup { folder }))?
        }
        Command::Account(request) => ask_or_open(config, Request::Account(request.clone()))?,
        Command::AccountWithPassword(request) => {
            let request = with_password(request.clone(), &mut io::stdin().lock())?;
            ask_or_open(config, Request::Account(request))?
        }
        Command::Notice(request) => ask_running(config, &Request::Notice(request.clone()))?,
        Command::Destinations(request) => {
            ask_running(config, &Request::Destinations(request.clone()))?
        }
        Command::DbRestore(backup) => restore(config, backup)?,
        // Done without a configuration.
        Command::Version | Command::ConfigDefault => return Ok(Exit::Clean),
    };
    print(&if invocation.json {
        show::in_json(&answer)
    } else {
        show::in_words(&answer, text)
    });
    Ok(show::exit(&answer))
}

/// Prints the problems of a configuration, a line each.
fn report(problems: &[Message], text: &Text) {
    for problem in problems {
        print_error(&text.say(problem));
    }
}

/// The values are valid; looks at the files that they name.
fn check_config(config: &Config, text: &Text) -> Exit {
    let key = config.general.signing_key_file.as_deref();
    if let Some(Err(problem)) = key.map(signing_key::load) {
        report(&[problem], text);
        return Exit::Findings;
    }
    print(&text.plain("config-valid"));
    Exit::Clean
}

fn create_key(config: &Config, text: &Text) -> Result<Exit, Message> {
    data_folder::prepare(&config.general.data_folder)?;
    let file = config.signing_key_file();
    let key = signing_key::load_or_create(&file, &random()?)?;
    let made = Message::new("key-present")
        .with("file", file.as_path())
        .with("id", key.key_id());
    print(&text.say(&made));
    Ok(Exit::Clean)
}

/// The running server's answer; `None` if no server runs on the data folder.
fn ask(config: &Config, runtime: &Runtime, request: &Request) -> Result<Option<Answer>, Message> {
    let folder = &config.general.data_folder;
    runtime.block_on(control::ask(&Clock::system(), folder, request))
}

fn ask_running(config: &Config, request: &Request) -> Result<Answer, Message> {
    let folder = config.general.data_folder.as_path();
    ask(config, &runtime()?, request)?
        .ok_or_else(|| Message::new("not-running").with("folder", folder))
}

fn stop(config: &Config) -> Result<Answer, Message> {
    let answer = ask_running(config, &Request::Stop)?;
    let folder = &config.general.data_folder;
    runtime()?.block_on(control::wait_for_end(&Clock::system(), folder, STOP_MAX))?;
    Ok(answer)
}

/// The running server's answer, or what the database itself gives if none runs.
fn ask_or_open(config: &Config, request: Request) -> Result<Answer, Message> {
    let runtime = runtime()?;
    if let Some(answer) = ask(config, &runtime, &request)? {
        return Ok(answer);
    }
    let folder = config.database_folder();
    if !folder.exists() {
        return Err(Message::new("db-absent").with("folder", folder.as_path()));
    }
    match request {
        Request::Db(request) => alone(&runtime, |surroundings| {
            let database = Database::open(&folder, config, surroundings)?;
            let answer = runtime.block_on(database.perform(request));
            database.close();
            answer
        }),
        Request::Account(request) => act_alone(config, &runtime, request),
        Request::Status | Request::Stop | Request::Notice(_) | Request::Destinations(_) => {
            let folder = config.general.data_folder.as_path();
            Err(Message::new("not-running").with("folder", folder))
        }
    }
}

/// Does something to accounts on a server that nobody else reaches.
fn act_alone(
    config: &Config,
    runtime: &Runtime,
    request: AccountRequest,
) -> Result<Answer, Message> {
    let env = Env::system(runtime.handle().clone())
        .map_err(|cause| Message::new("entropy-missing").with_text("cause", &cause))?;
    let surroundings = Surroundings {
        runtime,
        clock: &env.clock,
        random: &env.random,
        files: OpenFiles::claim()?,
    };
    let key = signing_key::load(&config.signing_key_file())?;
    // No command reads or writes files of users.
    let options = options::node(config, key, Arc::new(MemoryBlobs::default()));
    let (node, database) = Database::open_node(config, &env, &surroundings, options)?;
    let answer = runtime.block_on(async {
        let answer = accounts::perform(node.users(), &env.random, request).await;
        node.stop(END_MAX).await;
        answer
    });
    database.close();
    answer.map(Answer::Account)
}

/// The request with the password that is the input's first line.
fn with_password(
    mut request: AccountRequest,
    input: &mut impl BufRead,
) -> Result<AccountRequest, Message> {
    let mut line = String::new();
    let read = input.take(PASSWORD_LINE_BYTES_MAX).read_line(&mut line);
    read.map_err(|cause| Message::new("password-unread").with_text("cause", &cause))?;
    let given = Password(line.trim_end_matches(['\r', '\n']).to_owned());
    if let AccountRequest::Create { password, .. }
    | AccountRequest::ResetPassword { password, .. } = &mut request
    {
        *password = Some(given);
    }
    Ok(request)
}

fn restore(config: &Config, backup: &Path) -> Result<Answer, Message> {
    let runtime = runtime()?;
    if ask(config, &runtime, &Request::Status)?.is_some() {
        let folder = config.general.data_folder.as_path();
        return Err(Message::new("db-restore-running").with("folder", folder));
    }
    let restoring = Restoring::copy(backup, config)?;
    let checked = alone(&runtime, |surroundings| {
        let copy = Database::open_restored(restoring.folder(), config, surroundings)?;
        let checked = runtime.block_on(copy.perform(DbRequest::Check));
        copy.close();
        checked
    });
    let refused = |what| {
        Message::new("db-restore-refused")
            .with("folder", backup)
            .with("what", what)
    };
    let findings = match checked.map_err(refused)? {
        Answer::Check(check) => check.findings,
        _ => Vec::new(),
    };
    match findings.into_iter().next() {
        None => restoring.finish(backup).map(Answer::Restored),
        Some(what) => Err(refused(what)),
    }
}

/// Does what needs the database while no server runs.
fn alone<T>(
    runtime: &Runtime,
    act: impl FnOnce(&Surroundings<'_>) -> Result<T, Message>,
) -> Result<T, Message> {
    act(&Surroundings {
        runtime,
        clock: &Clock::system(),
        random: &random()?,
        files: OpenFiles::claim()?,
    })
}

fn random() -> Result<Random, Message> {
    Random::system().map_err(|cause| Message::new("entropy-missing").with_text("cause", &cause))
}

fn absolute(folder: &Path) -> Result<PathBuf, Message> {
    path::absolute(folder).map_err(|cause| {
        Message::new("db-backup-failed")
            .with("folder", folder)
            .with_text("cause", &cause)
    })
}

/// Enough for a conversation or a single task.
fn runtime() -> Result<Runtime, Message> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Message::new("start-failed").with_text("cause", &cause))
}
