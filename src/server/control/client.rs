//! The command line's end of the control socket.

use std::{io, path::Path, time::Duration};

use belfry_env::Clock;
use serde::{Deserialize, Serialize};
use tokio::{io::BufReader, net::UnixStream};

use super::{
    ANSWER_BYTES_MAX, Address, Frame, LINE_WAIT_MAX, SILENCE_MAX, SOCKET, read_line, write_line,
};
use crate::message::Message;

/// How often a client looks whether the server is gone.
const END_INTERVAL: Duration = Duration::from_millis(50);

/// The running server's answer; `None` if no server runs on the data folder.
pub(crate) async fn ask<A: for<'a> Deserialize<'a>>(
    clock: &Clock,
    folder: &Path,
    request: &impl Serialize,
) -> Result<Option<A>, Message> {
    let broken = |cause: io::Error| {
        Message::new("control-broken")
            .with("folder", folder)
            .with_text("cause", &cause)
    };
    match connect(folder).await.map_err(broken)? {
        None => Ok(None),
        Some(stream) => match converse(clock, stream, request).await.map_err(broken)? {
            Frame::Answer(answer) => Ok(Some(answer)),
            Frame::Refused(message) => Err(message),
            Frame::Working => Err(broken(io::ErrorKind::UnexpectedEof.into())),
        },
    }
}

/// Returns once no server runs on the data folder; refuses after `patience`.
pub(crate) async fn wait_for_end(
    clock: &Clock,
    folder: &Path,
    patience: Duration,
) -> Result<(), Message> {
    let gone = async {
        while matches!(connect(folder).await, Ok(Some(_))) {
            clock.sleep(END_INTERVAL).await;
        }
    };
    clock
        .within(patience, gone)
        .await
        .map_err(|_| Message::new("stop-late").with("seconds", patience.as_secs()))
}

/// `None` if nobody listens.
async fn connect(folder: &Path) -> io::Result<Option<UnixStream>> {
    let connected = match Address::of(folder, SOCKET) {
        Ok(address) => UnixStream::connect(&address.path).await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error),
        },
    }
}

/// Sends the request and returns the last line.
async fn converse<A: for<'a> Deserialize<'a>>(
    clock: &Clock,
    mut stream: UnixStream,
    request: &impl Serialize,
) -> io::Result<Frame<A>> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let late = |late| io::Error::new(io::ErrorKind::TimedOut, late);
    clock
        .within(LINE_WAIT_MAX, write_line(&mut writer, request))
        .await
        .map_err(late)??;
    loop {
        let line = read_line(&mut reader, ANSWER_BYTES_MAX);
        match clock.within(SILENCE_MAX, line).await.map_err(late)?? {
            Some(Frame::Working) => {}
            Some(last) => return Ok(last),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
