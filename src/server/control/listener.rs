//! The server's end of the control socket.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use belfry_env::Env;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncWrite, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

use super::{
    Address, CONNECTIONS_MAX, Frame, LINE_WAIT_MAX, REQUEST_BYTES_MAX, SOCKET, SOCKET_NEW,
    WORKING_INTERVAL, read_line, write_line,
};
use crate::message::Message;

/// The socket; dropping it takes it away.
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Makes the socket. Only the process that has the database open may call this: what an
    /// earlier process left is replaced.
    pub(crate) fn bind(folder: &Path) -> Result<Self, Message> {
        let path = folder.join(SOCKET);
        let socket = bind_private(folder, &path).map_err(|cause| {
            Message::new("control-unbound")
                .with("socket", path.as_path())
                .with_text("cause", &cause)
        })?;
        Ok(Self { socket, path })
    }

    /// Answers requests with `perform` until the server stops.
    pub(crate) async fn serve<R, A, P, F>(&self, env: &Env, perform: P)
    where
        R: for<'a> Deserialize<'a> + Send + 'static,
        A: Serialize + Send + Sync + 'static,
        P: Fn(R) -> F + Clone + Send + 'static,
        F: Future<Output = Result<A, Message>> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let next = async || {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, self.socket.accept().await)
        };
        while let Some((place, accepted)) = env.shutdown.unless(next()).await {
            match accepted {
                Ok((stream, _)) => {
                    let (own, perform) = (env.clone(), perform.clone());
                    env.tasks.spawn("control request", async move {
                        if let Err(error) = answer(stream, &own, perform).await {
                            tracing::debug!(%error, "a control request got no answer");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket accepts nothing");
                    env.clock.sleep(LINE_WAIT_MAX).await;
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

/// A socket that has its final name only once it has its final mode.
fn bind_private(folder: &Path, path: &Path) -> io::Result<UnixListener> {
    let new = folder.join(SOCKET_NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(&Address::of(folder, SOCKET_NEW)?.path)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(socket)
}

async fn answer<R, A, P, F>(mut stream: UnixStream, env: &Env, perform: P) -> io::Result<()>
where
    R: for<'a> Deserialize<'a>,
    A: Serialize,
    P: Fn(R) -> F,
    F: Future<Output = Result<A, Message>>,
{
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        tracing::warn!(
            uid,
            "another user's process was refused at the control socket"
        );
        return Ok(());
    }
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let request = read_line(&mut reader, REQUEST_BYTES_MAX);
    let last: Frame<A> = match env.clock.within(LINE_WAIT_MAX, request).await {
        Ok(Ok(Some(request))) => work(&mut writer, env, perform(request)).await?,
        Ok(Ok(None)) | Err(_) => return Ok(()),
        Ok(Err(cause)) => {
            Frame::Refused(Message::new("control-malformed").with_text("cause", &cause))
        }
    };
    send(&mut writer, env, &last).await
}

/// Waits for the outcome, with a sign of life now and then.
async fn work<A: Serialize>(
    writer: &mut (impl AsyncWrite + Unpin),
    env: &Env,
    outcome: impl Future<Output = Result<A, Message>>,
) -> io::Result<Frame<A>> {
    let mut outcome = pin!(outcome);
    loop {
        match env.clock.within(WORKING_INTERVAL, outcome.as_mut()).await {
            Ok(Ok(answer)) => return Ok(Frame::Answer(answer)),
            Ok(Err(message)) => return Ok(Frame::Refused(message)),
            Err(_) => send(writer, env, &Frame::<A>::Working).await?,
        }
    }
}

async fn send<A: Serialize>(
    writer: &mut (impl AsyncWrite + Unpin),
    env: &Env,
    frame: &Frame<A>,
) -> io::Result<()> {
    env.clock
        .within(LINE_WAIT_MAX, write_line(writer, frame))
        .await
        .unwrap_or_else(|late| Err(io::Error::new(io::ErrorKind::TimedOut, late)))
}
