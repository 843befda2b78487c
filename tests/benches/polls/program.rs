//! The program as it is installed, in a folder of its own, and what it takes of the machine.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// Nothing limited that would be measured, passwords cheap, any port.
const CONFIG: &str = r#"
[listen]
addresses = ["127.0.0.1:0"]

[accounts]
registration = "open"
password_hash_memory_mib = 8
password_hash_passes = 1

[rate_limits]
message = "off"
registration = "off"
room_creation = "off"
join_local = "off"
join_room = "off"

[storage]
free_disk_min_mib = 16
"#;

/// A running server; dropping it kills it.
pub(crate) struct Program {
    folder: tempfile::TempDir,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts it in a new folder.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("belfry.toml"), CONFIG).expect("a file");
        let (child, address) = run(&folder);
        Self {
            folder,
            child,
            address,
        }
    }

    /// Stops it and starts it again, on the same data.
    pub(crate) fn restart(&mut self) {
        self.end();
        (self.child, self.address) = run(&self.folder);
    }

    /// Has it end well.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    /// Has it end at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    fn end(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }

    /// Processor time so far, of all threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<_> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Resident memory.
    pub(crate) fn memory_mib(&self) -> f64 {
        self.mib("status", "VmRSS:")
    }

    /// The same without what other processes use as well.
    pub(crate) fn shared_memory_mib(&self) -> f64 {
        self.mib("smaps_rollup", "Pss:")
    }

    fn mib(&self, file: &str, name: &str) -> f64 {
        let text = self.read(file);
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.expect("a line").parse::<f64>().expect("a number") / 1024.0
    }

    fn read(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(path).expect("it runs")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The program: what `BELFRY_PROGRAM` names, or that of the same profile as this.
fn program() -> PathBuf {
    let named = std::env::var_os("BELFRY_PROGRAM").map(PathBuf::from);
    named.unwrap_or_else(|| {
        // target/PROFILE/deps/polls-HASH
        let own = std::env::current_exe().expect("a path");
        own.ancestors().nth(2).expect("a folder").join("belfry")
    })
}

fn run(folder: &tempfile::TempDir) -> (Child, SocketAddr) {
    let path = folder.path().join("log");
    let log = fs::File::options().create(true).append(true).open(path);
    let mut child = Command::new(program())
        .args(["--config", "belfry.toml"])
        .current_dir(folder.path())
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.expect("a log"))
        .spawn()
        .expect("the program; build it with cargo build --release");
    let words = BufReader::new(child.stdout.take().expect("words"));
    let address = words.lines().map_while(Result::ok).find_map(|line| {
        let (_, url) = line.split_once("http://")?;
        let end = url.find(|char: char| !(char.is_ascii_digit() || ".:".contains(char)));
        let address = url.get(..end.unwrap_or(url.len()))?;
        address.trim_end_matches('.').parse().ok()
    });
    (child, address.expect("no line names an address"))
}
