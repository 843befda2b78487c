//! A folder with a configuration, and the processes that work on it.

use std::{
    fs::{self, File},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take until it is ready; far more than it needs.
const START_MAX: Duration = Duration::from_mins(2);
/// How long a command may take, in seconds: one that should have been refused but serves is ended.
const COMMAND_MAX_S: &str = "60";

/// A folder for one test.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A folder whose `belfry.toml` is this text, and has servers listen on a port that is free.
    pub(crate) fn with(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        place.configure(config);
        place
    }

    /// A folder where everything else has its default.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn configure(&self, config: &str) {
        let listen = "[listen]
addresses = [\"127.0.0.1:0\"]
";
        fs::write(
            self.path("belfry.toml"),
            format!(
                "{config}
{listen}"
            ),
        )
        .unwrap();
    }

    /// The program with these arguments and the folder's configuration, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.prepare(Command::new(env!("CARGO_BIN_EXE_belfry")), arguments)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("timeout");
        command.args([COMMAND_MAX_S, env!("CARGO_BIN_EXE_belfry")]);
        Ran::of(self.prepare(command, arguments).output().unwrap())
    }

    fn prepare(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .current_dir(self.folder.path())
            .args(["--config", "belfry.toml"])
            .args(arguments)
            .env_remove("NOTIFY_SOCKET")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn start(&self) -> Server {
        self.start_as(self.command(&[]))
    }

    /// Starts this command, which runs the server in the end, and waits until it is ready.
    pub(crate) fn start_as(&self, mut command: Command) -> Server {
        let socket = self.path("notify.sock");
        // What an earlier server of this test left.
        fs::remove_file(&socket).ok();
        let notices = UnixDatagram::bind(&socket).unwrap();
        notices.set_read_timeout(Some(START_MAX)).unwrap();
        let log = self.path("log");
        let child = command
            .env("NOTIFY_SOCKET", &socket)
            .stdout(File::create(self.path("out")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let server = Server {
            child,
            notices,
            log,
            out: self.path("out"),
        };
        assert_eq!(server.notice(), "READY=1", "{}", server.log());
        server
    }
}

/// What a command that has ended gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The exit code, and this text on standard output.
    pub(crate) fn printed(&self, code: i32, needle: &str) {
        assert!(
            self.code == Some(code) && self.out.contains(needle),
            "{self:?}"
        );
    }

    /// The exit code, and this text on standard error.
    pub(crate) fn refused(&self, code: i32, needle: &str) {
        assert!(
            self.code == Some(code) && self.error.contains(needle),
            "{self:?}"
        );
    }
}

/// A running server; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    notices: UnixDatagram,
    log: PathBuf,
    out: PathBuf,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next thing that it tells its service manager.
    pub(crate) fn notice(&self) -> String {
        let mut bytes = [0; 1024];
        match self.notices.recv(&mut bytes) {
            Ok(length) => String::from_utf8_lossy(&bytes[..length]).trim().to_owned(),
            Err(error) => panic!("no notice ({error}): {}", self.log()),
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What it printed.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Asks it to end, as the service manager does; it must end well.
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let log = self.log.clone();
        let status = self.end();
        assert_eq!(
            status.code(),
            Some(0),
            "{}",
            fs::read_to_string(log).unwrap()
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Every file below the folder with its bytes, by path.
pub(crate) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}
