//! The control socket: how the command line talks to the running server.
//!
//! A Unix socket `control.sock` in the data folder, mode 0600, for the server's own user and root.
//! One connection carries one request: a line of JSON, answered by lines of JSON, any number of
//! `"working"` (a sign of life every few seconds) and then one `{"answer": …}` or `{"refused": …}`.
//! Requests and answers themselves are in `operation.rs`: adding one touches nothing here.

mod client;
mod listener;

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) use self::{client::ask, client::wait_for_end, listener::Listener};
use crate::message::Message;

/// The socket's name in the data folder.
const SOCKET: &str = "control.sock";
/// The name under which it is made ready.
const SOCKET_NEW: &str = "control.sock.new";
/// Connections served at a time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 16;
/// Longest request line.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Longest line of an answer.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long a request may take to come, and each line of an answer to be taken.
const LINE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often a server at work says so.
const WORKING_INTERVAL: Duration = Duration::from_secs(1);
/// How long a client waits for the next line.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest path that a socket address can hold, without the zero at its end.
const ADDRESS_BYTES_MAX: usize = 107;

/// A line from the server.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Frame<A> {
    /// The request is being worked on.
    Working,
    /// The last line: what came of it.
    Answer(A),
    /// The last line: why nothing came of it.
    Refused(Message),
}

/// Where the socket is, under a name that a socket address can hold.
struct Address {
    path: PathBuf,
    /// Keeps the name valid.
    _folder: Option<File>,
}

impl Address {
    fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self {
                path,
                _folder: None,
            });
        }
        let folder = File::open(folder)?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        Ok(Self {
            path: short.join(name),
            _folder: Some(folder),
        })
    }
}

/// The next line as a value; `None` if the peer ended instead.
async fn read_line<T: for<'a> Deserialize<'a>>(
    stream: &mut (impl AsyncBufRead + Unpin),
    bytes_max: u64,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    stream.take(bytes_max).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(Into::into)
}

async fn write_line(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
