//! A folder with a configuration, and the processes that work on it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::program;

/// How long a server may take until it is ready; far more than it needs.
const START_MAX: Duration = Duration::from_mins(2);
/// How long a command may take, in seconds: one that should have been refused but serves is ended.
const COMMAND_MAX_S: &str = "120";

/// Nothing limited but the database, passwords cheap, any port.
const CONFIG: &str = r#"
[listen]
addresses = ["127.0.0.1:0"]

[accounts]
registration = "open"
password_hash_memory_mib = 8

[rate_limits]
message = "off"
registration = "off"
room_creation = "off"
join_local = "off"
join_room = "off"
key_claim = "off"

[storage]
free_disk_min_mib = 16
"#;

/// A folder for one server.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("belfry.toml"), CONFIG).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the program that ends in time.
    fn timed(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(Path::new("timeout"));
        command.arg(COMMAND_MAX_S).arg(program());
        command.args(["--config", "belfry.toml"]).args(arguments);
        command
    }

    /// Any program in this folder.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env_remove("NOTIFY_SOCKET")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end: exit code, standard output and error together.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.timed(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// The same while other tasks go on.
    pub(crate) async fn run_beside(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = tokio::process::Command::from(self.timed(arguments));
        let output = command.kill_on_drop(true).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// Runs a command that must succeed, and parses what it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let (code, said) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn start(&self) -> Server {
        let mut command = self.command(program());
        command.args(["--config", "belfry.toml"]);
        self.start_as(command)
    }

    /// Starts the server through a shell that runs `script` and then the program as `"$0"`.
    pub(crate) fn start_in(&self, script: &str) -> Server {
        let mut command = self.command(Path::new("sh"));
        command.args(["-c", script]).arg(program());
        self.start_as(command)
    }

    fn start_as(&self, mut command: Command) -> Server {
        let socket = self.path("notify.sock");
        // What an earlier server of this place left.
        fs::remove_file(&socket).ok();
        let notices = UnixDatagram::bind(&socket).unwrap();
        notices.set_read_timeout(Some(START_MAX)).unwrap();
        let log = self.path("log");
        let mut child = command
            .env("NOTIFY_SOCKET", &socket)
            .stdout(Stdio::piped())
            .stderr(
                File::options()
                    .create(true)
                    .append(true)
                    .open(&log)
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        let words = child.stdout.take().unwrap();
        let mut server = Server {
            child,
            log,
            address: ([127, 0, 0, 1], 0).into(),
        };
        let mut notice = [0; 64];
        let ready = notices.recv(&mut notice).map(|length| &notice[..length]);
        let is_ready = ready
            .as_ref()
            .is_ok_and(|said| said.starts_with(b"READY=1"));
        assert!(is_ready, "{ready:?}: {}", server.log());
        server.address = address(BufReader::new(words));
        server
    }
}

impl Drop for Place {
    /// What a failed test leaves is kept: it may not come back.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("the data are in {}", self.folder.path().display());
        }
    }
}

/// The address in the first line that names one: `http://127.0.0.1:8008`.
fn address(lines: impl BufRead) -> SocketAddr {
    let lines = lines.lines().map(Result::unwrap);
    let mut addresses = lines.filter_map(|line| {
        let (_, url) = line.split_once("http://")?;
        let end = url.find(|char: char| !(char.is_ascii_digit() || ".:".contains(char)));
        url.get(..end.unwrap_or(url.len()))?
            .trim_end_matches('.')
            .parse()
            .ok()
    });
    addresses.next().expect("no line names an address")
}

/// A running server; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it as a failing machine would, in the middle of whatever it does.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.end().code(), None, "it ended by itself before");
    }

    /// Asks it to end, as the service manager does; it must end well.
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let log = self.log.clone();
        let status = self.end();
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
