//! A client with one connection, whose requests must all succeed. Knows nothing of rooms.

use std::net::SocketAddr;

use belfry_env::Env;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// What Element asks for, in short.
const FILTER: &str = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A20%7D%2C%22state%22%3A%7B%22lazy_load_members%22%3Atrue%7D%7D%7D";

/// See the module.
pub(crate) struct Client {
    requests: http1::SendRequest<Full<Bytes>>,
    host: String,
    pub(crate) token: String,
    since: String,
}

impl Client {
    /// Connects; the connection is a task of `env`.
    pub(crate) async fn connect(env: &Env, address: SocketAddr) -> Self {
        Self {
            requests: open(env, address).await,
            host: address.to_string(),
            token: String::new(),
            since: String::new(),
        }
    }

    /// The same client on a new connection.
    pub(crate) async fn reconnect(&mut self, env: &Env, address: SocketAddr) {
        self.requests = open(env, address).await;
        self.host = address.to_string();
    }

    /// Makes an account; its access token.
    pub(crate) async fn register(&mut self, name: &str) -> String {
        let wanted = json!({
            "username": name,
            "password": "wordpass",
            "auth": {"type": "m.login.dummy"},
        });
        let made = self.post("/v3/register", &wanted).await;
        made["access_token"].as_str().expect("a token").to_owned()
    }

    /// The first sync; polls go on from there.
    pub(crate) async fn first_sync(&mut self) {
        let path = format!("/v3/sync?filter={FILTER}");
        let told = self.ask("GET", &path, None).await;
        self.go_on(&told);
    }

    /// Waits for something new.
    pub(crate) async fn poll(&mut self) -> Bytes {
        let since = &self.since;
        let path = format!("/v3/sync?filter={FILTER}&since={since}&timeout=300000");
        let told = self.ask("GET", &path, None).await;
        self.go_on(&told);
        told
    }

    /// Polls until an answer holds this text.
    pub(crate) async fn poll_for(&mut self, text: &str) {
        while !contains(&self.poll().await, text) {}
    }

    /// A `POST` with its answer.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Value {
        let told = self.ask("POST", path, Some(body)).await;
        serde_json::from_slice(&told).expect("JSON")
    }

    /// A `PUT`.
    pub(crate) async fn put(&mut self, path: &str, body: &Value) {
        self.ask("PUT", path, Some(body)).await;
    }

    fn go_on(&mut self, told: &Bytes) {
        // Found, not parsed: what a client does with an answer is not measured.
        let text = std::str::from_utf8(told).expect("text");
        let (_, rest) = text.split_once("\"next_batch\":\"").expect("a token");
        let (token, _) = rest.split_once('"').expect("its end");
        token.clone_into(&mut self.since);
    }

    async fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Bytes {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("/_matrix/client{path}"))
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Full::from(body))
            .expect("a request");
        self.requests.ready().await.expect("a connection");
        let answer = self.requests.send_request(request).await;
        let (parts, body) = answer.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        assert_eq!(parts.status, StatusCode::OK, "{method} {path}: {body:?}");
        body
    }
}

fn contains(told: &Bytes, text: &str) -> bool {
    std::str::from_utf8(told).expect("text").contains(text)
}

async fn open(env: &Env, address: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let stream = TokioIo::new(stream);
    let (requests, connection) = http1::handshake(stream).await.expect("HTTP");
    env.tasks.spawn("connection", async {
        // It ends with the server.
        connection.await.ok();
    });
    requests
}
