//! What files cost through the whole program, against nginx and against a plain copy on the same
//! disk: download, upload, memory while many stream, a thumbnail that was made before.
//!
//! Run with `cargo bench -p belfry-tests --bench media [-- quick]`. It builds the release of the
//! program unless `BELFRY_BIN` names one, and needs `nginx` for the comparison (Debian: nginx-light).
#![expect(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement reads the time and starts processes, and its figures are small"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const SMALL: usize = 1 << 20;
const LARGE: usize = 100 << 20;
const STREAMS: usize = 50;
const CONFIG: &str = "
[listen]
addresses = [\"127.0.0.1:0\"]

[accounts]
registration = \"open\"
password_hash_memory_mib = 8

[media]
upload_mib_max = 200
";
const PICTURE: &[u8] = include_bytes!("../data/media/halves_400x300.png");

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "quick");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-media");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("the folder can be made");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(&folder, is_quick));
    drop(fs::remove_dir_all(&folder));
}

async fn measure(folder: &Path, is_quick: bool) {
    let server = Belfry::start(folder);
    let token = server.register().await;
    let (small_rounds, large_rounds) = if is_quick { (50, 3) } else { (500, 15) };
    for (bytes, rounds) in [(SMALL, small_rounds), (LARGE, large_rounds)] {
        uploads(folder, &server, &token, (bytes, rounds.min(50))).await;
    }
    let nginx = Nginx::start(folder);
    let mut large = String::new();
    for (bytes, rounds) in [(SMALL, small_rounds), (LARGE, large_rounds)] {
        let content = content(bytes, 0);
        let name = bytes.to_string();
        let path = format!("/{name}");
        fs::write(folder.join("files").join(name), &content).expect("a file");
        large = server.upload(&token, content, "text/plain").await;
        downloads(&server, &token, nginx.as_ref(), (&large, &path, rounds)).await;
    }
    memory(&server, &token, &large).await;
    thumbnails(&server, &token, if is_quick { 500 } else { 5_000 }).await;
}

/// Bytes that differ from round to round, for the same content is stored once.
fn content(bytes: usize, round: usize) -> Vec<u8> {
    let mut content = vec![b'x'; bytes];
    let mut state = (round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for chunk in content.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let random = state.to_le_bytes();
        chunk.copy_from_slice(random.get(..chunk.len()).unwrap_or_default());
    }
    content
}

fn median(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len() - 1);
    times.get(at).copied().unwrap_or_default()
}

fn rate(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64() / 1e6
}

async fn uploads(folder: &Path, server: &Belfry, token: &str, (bytes, rounds): (usize, usize)) {
    let (mut uploaded, mut copied) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let content = content(bytes, round);
        let begun = Instant::now();
        plain_copy(&folder.join("copy"), &content);
        copied.push(begun.elapsed());
        let begun = Instant::now();
        server.upload(token, content, "text/plain").await;
        uploaded.push(begun.elapsed());
    }
    let (upload, copy) = (median(&mut uploaded, 50), median(&mut copied, 50));
    println!(
        "upload of {} MiB: {:.0} MB/s; plain synced copy: {:.0} MB/s; {:.0} %",
        bytes >> 20,
        rate(bytes, upload),
        rate(bytes, copy),
        copy.as_secs_f64() / upload.as_secs_f64() * 100.0
    );
}

/// What every store of files has to do: write, sync, rename, sync the folder.
fn plain_copy(place: &Path, content: &[u8]) {
    let new = place.with_extension("new");
    let mut file = fs::File::create(&new).expect("a file");
    file.write_all(content).expect("space");
    file.sync_all().expect("a disk");
    fs::rename(&new, place).expect("a folder");
    let folder = place.parent().expect("a folder");
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .expect("a disk");
}

async fn downloads(
    server: &Belfry,
    token: &str,
    nginx: Option<&Nginx>,
    (file, path, rounds): (&str, &str, usize),
) {
    let mut own = Connection::open(server.address).await;
    let own_path = format!("/_matrix/client/v1/media/download/{file}");
    let mut other = match nginx {
        Some(nginx) => Some(Connection::open(nginx.address).await),
        None => None,
    };
    let (mut times, mut other_times, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let begun = Instant::now();
        bytes = own.get(&own_path, token).await.len();
        times.push(begun.elapsed());
        if let Some(other) = &mut other {
            let begun = Instant::now();
            assert_eq!(other.get(path, "").await.len(), bytes);
            other_times.push(begun.elapsed());
        }
    }
    let (p50, p95) = (median(&mut times, 50), median(&mut times, 95));
    println!(
        "download of {} MiB: {:.0} MB/s; p50 {p50:?}, p95 {p95:?}, {:.1} times p50",
        bytes >> 20,
        rate(bytes, p50),
        p95.as_secs_f64() / p50.as_secs_f64()
    );
    if !other_times.is_empty() {
        let of_other = median(&mut other_times, 50);
        println!(
            "  nginx without sendfile: {:.0} MB/s; {:.0} %",
            rate(bytes, of_other),
            of_other.as_secs_f64() / p50.as_secs_f64() * 100.0
        );
    }
}

async fn memory(server: &Belfry, token: &str, file: &str) {
    let path = format!("/_matrix/client/v1/media/download/{file}");
    let before = server.resident_kib();
    let streams: Vec<_> = (0..STREAMS)
        .map(|_| {
            let (address, path, token) = (server.address, path.clone(), token.to_owned());
            tokio::spawn(async move { Connection::open(address).await.drain(&path, &token).await })
        })
        .collect();
    let (begun, mut most) = (Instant::now(), before);
    while streams.iter().any(|stream| !stream.is_finished()) {
        most = most.max(server.resident_kib());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut bytes = 0;
    for stream in streams {
        bytes += stream.await.expect("a stream");
    }
    println!(
        "{STREAMS} downloads at once of {} MiB together, {:.0} MB/s: resident memory {} KiB, {} KiB more",
        bytes >> 20,
        rate(bytes, begun.elapsed()),
        before,
        most - before
    );
}

async fn thumbnails(server: &Belfry, token: &str, rounds: usize) {
    let file = server.upload(token, PICTURE.to_vec(), "image/png").await;
    let path = format!("/_matrix/client/v1/media/thumbnail/{file}?width=96&height=96");
    let mut connection = Connection::open(server.address).await;
    connection.get(&path, token).await;
    let before = server.cpu_ms();
    for _ in 0..rounds {
        connection.get(&path, token).await;
    }
    let each = (server.cpu_ms() - before) as f64 / rounds as f64;
    println!("thumbnail that was made before: {each:.3} CPU-ms");
}

/// The program, ended when dropped.
struct Belfry {
    child: Child,
    address: SocketAddr,
}

impl Drop for Belfry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program() -> PathBuf {
    if let Ok(program) = std::env::var("BELFRY_BIN") {
        return program.into();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "build",
            "--locked",
            "--release",
            "--package",
            "belfry",
            "--bin",
            "belfry",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    assert!(
        cargo.status().expect("cargo").success(),
        "it does not build"
    );
    // target/release/deps/media-HASH
    let own = std::env::current_exe().expect("a program");
    own.ancestors().nth(2).expect("a folder").join("belfry")
}

impl Belfry {
    fn start(folder: &Path) -> Self {
        fs::write(folder.join("belfry.toml"), CONFIG).expect("a file");
        let log = fs::File::create(folder.join("log")).expect("a file");
        let mut child = Command::new(program())
            .args(["--config", "belfry.toml"])
            .current_dir(folder)
            .env_remove("NOTIFY_SOCKET")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("its words")).lines();
        let mut addresses = lines.filter_map(|line| {
            let line = line.expect("text");
            let (_, url) = line.split_once("http://")?;
            let end = url.find(|char: char| !(char.is_ascii_digit() || ".:".contains(char)));
            let address = url.get(..end.unwrap_or(url.len()))?;
            address.trim_end_matches('.').parse().ok()
        });
        let address = addresses.next().expect("it says where it is");
        Self { child, address }
    }

    async fn register(&self) -> String {
        let body = json!({
            "username": "bench", "password": "wordpass", "auth": {"type": "m.login.dummy"},
        });
        let mut connection = Connection::open(self.address).await;
        let path = "/_matrix/client/v3/register";
        let answer = connection.post(path, "", body.to_string().into(), "application/json");
        let answer = answer.await;
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// The URI of a file without `mxc://`.
    async fn upload(&self, token: &str, content: Vec<u8>, kind: &str) -> String {
        let mut connection = Connection::open(self.address).await;
        let path = "/_matrix/media/v3/upload";
        let answer = connection.post(path, token, content.into(), kind).await;
        let uri = answer["content_uri"].as_str().expect("a URI");
        uri.strip_prefix("mxc://").expect("mxc").to_owned()
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("Linux")
    }

    fn resident_kib(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|text| text.parse().ok()).expect("a number")
    }

    fn cpu_ms(&self) -> u64 {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let times = fields.split_whitespace().skip(11).take(2);
        times
            .map(|text| text.parse::<u64>().expect("ticks"))
            .sum::<u64>()
            * 10
    }
}

/// nginx with one process and without sendfile, ended when dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Nginx {
    fn start(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder.join("files")).expect("a folder");
        // A port that was free a moment ago.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let root = folder.join("files");
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log nginx.log;\n\
             events {{}}\n\
             http {{ access_log off; sendfile off; keepalive_requests 100000;\n\
             client_body_temp_path .; proxy_temp_path .; fastcgi_temp_path .;\n\
             uwsgi_temp_path .; scgi_temp_path .;\n\
             server {{ listen {address}; root {}; }} }}\n",
            root.display()
        );
        fs::write(folder.join("nginx.conf"), config).expect("a file");
        let started = Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .args(["-c", "nginx.conf"])
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            println!(
                "nginx is not installed: downloads are not compared (apt-get install nginx-light)"
            );
            return None;
        };
        while std::net::TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { child, address })
    }
}

/// A client with one connection.
struct Connection {
    requests: http1::SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("TCP");
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (requests, connection) = shaken.expect("HTTP");
        tokio::spawn(connection);
        Self {
            requests,
            host: address.to_string(),
        }
    }

    async fn get(&mut self, path: &str, token: &str) -> Bytes {
        let body = self.body(path, token).await.collect().await;
        body.expect("a body").to_bytes()
    }

    /// Reads it and keeps nothing; how many bytes.
    async fn drain(&mut self, path: &str, token: &str) -> usize {
        let mut body = self.body(path, token).await;
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.expect("a piece").data_ref().map_or(0, Bytes::len);
        }
        bytes
    }

    async fn body(&mut self, path: &str, token: &str) -> hyper::body::Incoming {
        let request = Request::get(path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .expect("a request");
        self.requests.ready().await.expect("a connection");
        let response = self.requests.send_request(request).await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        response.into_body()
    }

    async fn post(&mut self, path: &str, token: &str, body: Bytes, kind: &str) -> Value {
        let request = Request::post(path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", kind)
            .body(Full::new(body))
            .expect("a request");
        self.requests.ready().await.expect("a connection");
        let response = self.requests.send_request(request).await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        let body = response.into_body().collect().await.expect("a body");
        serde_json::from_slice(&body.to_bytes()).expect("JSON")
    }
}
