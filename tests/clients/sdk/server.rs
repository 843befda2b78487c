//! A Belfry server for one script: its own data folder, its own port, started, stopped and killed by
//! its process id. It knows nothing of Matrix clients.

use std::{env, fs, io::Error, path::PathBuf, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a server may take to say where it is, or to end.
const PROCESS_MAX: Duration = Duration::from_secs(30);

/// A server, running or not. Dropping it kills the process and removes its folder.
pub struct Server {
    folder: TempDir,
    child: Option<Child>,
    port: u16,
    /// Where it is reached, from its own words.
    pub url: String,
}

impl Server {
    /// A server in a fresh folder, started. Whoever comes may make an account.
    pub async fn start() -> Result<Self, Error> {
        let mut server = Self {
            folder: TempDir::with_prefix("belfry-sdk-")?,
            child: None,
            port: 0,
            url: String::new(),
        };
        server.begin().await?;
        Ok(server)
    }

    /// Takes it away in the middle of whatever it does, and starts it again on the same port.
    pub async fn kill_and_start(&mut self) -> Result<(), Error> {
        if let Some(child) = &mut self.child {
            child.kill().await?;
        }
        self.begin().await
    }

    /// Asks it to end, as a service manager does. It must end well; its log.
    pub async fn stop(&mut self) -> Result<String, Error> {
        let Some(mut child) = self.child.take() else {
            return Err(Error::other("it was not running"));
        };
        let id = child.id().unwrap_or_default().to_string();
        // The shell's own: a small system has no program of that name.
        let kill = ["-c", "kill \"$1\"", "sh", &id];
        Command::new("sh").args(kill).status().await?;
        let status = timeout(PROCESS_MAX, child.wait()).await??;
        if !status.success() {
            return Err(Error::other(format!(
                "it ended with {status}: {}",
                self.log()?
            )));
        }
        self.log()
    }

    /// What it logged in all its lives.
    pub fn log(&self) -> Result<String, Error> {
        fs::read_to_string(self.path("log"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let config = format!(
            "[listen]\naddresses = [\"127.0.0.1:{}\"]\n[accounts]\nregistration = \"open\"\n",
            self.port
        );
        fs::write(self.path("belfry.toml"), config)?;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))?;
        let program = env::var_os("BELFRY_BIN").ok_or_else(|| Error::other("set BELFRY_BIN"))?;
        let mut child = Command::new(program)
            .args(["--config", "belfry.toml"])
            .current_dir(self.folder.path())
            .env_remove("NOTIFY_SOCKET")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let words = child.stdout.take();
        self.child = Some(child);
        let words = words.ok_or_else(|| Error::other("it says nothing"))?;
        let mut lines = BufReader::new(words).lines();
        let greeting = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = address(&line) {
                    return Ok(url);
                }
            }
            Err(Error::other("it ended without a greeting"))
        };
        self.url = timeout(PROCESS_MAX, greeting).await??;
        let port = self.url.rsplit(':').next().unwrap_or_default();
        self.port = port.parse().map_err(Error::other)?;
        // Whatever it says later must not meet a closed pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(())
    }
}

/// The address in a line that names one: `http://127.0.0.1:8008`.
fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("http://")?;
    let length = rest.find(|char: char| !(char.is_ascii_digit() || ".:".contains(char)));
    let host = rest
        .get(..length.unwrap_or(rest.len()))?
        .trim_end_matches('.');
    Some(format!("http://{host}"))
}
