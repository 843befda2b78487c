//! Requests and answers over a real socket, and peers that do not keep to the protocol.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use belfry_env::{Clock, Env, Task};
use tokio::net::UnixStream;

use super::*;

/// The tiny protocol of these tests: repeats a text, refuses an empty one.
async fn repeat(text: String) -> Result<String, Message> {
    if text.is_empty() {
        Err(Message::new("config-valid"))
    } else {
        Ok(text)
    }
}

struct Server {
    env: Env,
    folder: tempfile::TempDir,
    task: Task<()>,
}

impl Server {
    fn start() -> Self {
        let env = Env::system(tokio::runtime::Handle::current()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let listener = Listener::bind(folder.path()).unwrap();
        let own = env.clone();
        let task = env
            .tasks
            .spawn("control", async move { listener.serve(&own, repeat).await });
        Self { env, folder, task }
    }

    async fn ask(&self, text: &str) -> Result<Option<String>, Message> {
        ask(&self.env.clock, self.folder.path(), &text).await
    }

    async fn stop(self) {
        assert!(self.env.stop(Duration::from_secs(5)).await.is_clean());
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_request_is_answered_or_refused() {
    let server = Server::start();
    assert_eq!(server.ask("hello").await.unwrap().as_deref(), Some("hello"));
    assert_eq!(server.ask("").await.unwrap_err().id, "config-valid");
    server.stop().await;
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_goes_with_the_server() {
    let server = Server::start();
    let socket = server.folder.path().join(SOCKET);
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let folder = server.folder.path().to_path_buf();
    let env = server.env.clone();
    env.stop(Duration::from_secs(5)).await;
    assert!(!socket.exists());
    let clock = Clock::system();
    let nobody: Option<String> = ask(&clock, &folder, &"hello").await.unwrap();
    assert_eq!(nobody, None);
    wait_for_end(&clock, &folder, Duration::from_secs(5))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_killed_server_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for name in [SOCKET, SOCKET_NEW] {
        drop(tokio::net::UnixListener::bind(folder.path().join(name)).unwrap());
    }
    let nobody: Option<String> = ask(&Clock::system(), folder.path(), &"hello")
        .await
        .unwrap();
    assert_eq!(nobody, None);
    assert!(Listener::bind(folder.path()).is_ok());
}

#[tokio::test]
async fn a_folder_with_a_long_name_works() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(200));
    fs::create_dir(&long).unwrap();
    let env = Env::system(tokio::runtime::Handle::current()).unwrap();
    let listener = Listener::bind(&long).unwrap();
    let own = env.clone();
    env.tasks
        .spawn("control", async move { listener.serve(&own, repeat).await });
    let answer: Option<String> = ask(&env.clock, &long, &"hello").await.unwrap();
    assert_eq!(answer.as_deref(), Some("hello"));
    assert!(env.stop(Duration::from_secs(5)).await.is_clean());
}

/// Sends raw bytes and returns the lines that come until the server closes.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let socket = server.folder.path().join(SOCKET);
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // The server may close before it has read all of it.
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = Server::start();
    for bytes in ["{}\n", "\"unfinished\n", "\u{0}\n"] {
        let answer = raw(&server, bytes.as_bytes()).await;
        assert!(answer.contains("control-malformed"), "{bytes:?}: {answer}");
    }
    let huge = vec![b'x'; usize::try_from(REQUEST_BYTES_MAX).unwrap() * 2];
    let answer = raw(&server, &huge).await;
    assert!(
        answer.is_empty() || answer.contains("control-malformed"),
        "{answer}"
    );
    assert_eq!(server.ask("hello").await.unwrap().as_deref(), Some("hello"));
    server.stop().await;
}

#[tokio::test]
async fn more_peers_than_places_wait_for_their_turn() {
    let server = Server::start();
    let socket = server.folder.path().join(SOCKET);
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(UnixStream::connect(&socket).await.unwrap());
    }
    let asked = server.ask("hello");
    drop(silent);
    assert_eq!(asked.await.unwrap().as_deref(), Some("hello"));
    server.stop().await;
}

#[tokio::test]
async fn a_server_at_work_gives_signs_of_life() {
    let env = Env::system(tokio::runtime::Handle::current()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listener = Listener::bind(folder.path()).unwrap();
    let (own, done) = (env.clone(), Arc::new(tokio::sync::Notify::new()));
    let finish = Arc::clone(&done);
    let slow = move |(): ()| {
        let done = Arc::clone(&done);
        async move {
            done.notified().await;
            Ok::<_, Message>(7_u32)
        }
    };
    env.tasks
        .spawn("control", async move { listener.serve(&own, slow).await });
    let mut stream = UnixStream::connect(folder.path().join(SOCKET))
        .await
        .unwrap();
    write_line(&mut stream, &()).await.unwrap();
    let mut reader = tokio::io::BufReader::new(stream);
    let first: Option<Frame<u32>> = read_line(&mut reader, ANSWER_BYTES_MAX).await.unwrap();
    assert_eq!(first, Some(Frame::Working));
    finish.notify_one();
    let second: Option<Frame<u32>> = read_line(&mut reader, ANSWER_BYTES_MAX).await.unwrap();
    assert_eq!(second, Some(Frame::Answer(7)));
    assert!(env.stop(Duration::from_secs(5)).await.is_clean());
}
