//! From a message through the router to a push gateway on the loopback, over TLS.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use belfry_data::Engine;
use belfry_env::{Env, SimulatedWall};
use belfry_remote::{AddressRules, Authorities, DialOptions, push_gateways};
use http::StatusCode;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, SanType};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Node,
    fixture::{START_MS, Server, options},
};

/// How long the test waits for what comes over a socket.
const LATE: Duration = Duration::from_secs(30);

/// A gateway that keeps what it is told.
struct Fake {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    got: Mutex<Vec<Value>>,
    came: Notify,
    /// What it rejects.
    rejected: Mutex<Vec<String>>,
}

impl Fake {
    /// With the certificate authority that vouches for it.
    async fn new() -> (Arc<Self>, String) {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        let authority = authority.unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let secret = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret)
            .unwrap();
        let fake = Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            got: Mutex::default(),
            came: Notify::new(),
            rejected: Mutex::default(),
        };
        (Arc::new(fake), authority.pem())
    }

    fn url(&self) -> String {
        let address = self.listener.local_addr().unwrap();
        format!("https://{address}/_matrix/push/v1/notify")
    }

    /// Answers connections one after the other.
    async fn serve(self: Arc<Self>, env: Env) {
        while let Some(Ok((stream, _))) = env.shutdown.unless(self.listener.accept()).await {
            // A client that goes away has nothing more to say.
            drop(env.shutdown.unless(self.converse(stream)).await);
        }
    }

    async fn converse(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(self.acceptor.accept(stream).await?);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        assert_eq!(line, "POST /_matrix/push/v1/notify HTTP/1.1\r\n");
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await?;
            if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let told: Value = serde_json::from_slice(&body).unwrap();
        self.got.lock().unwrap().push(told["notification"].clone());
        self.came.notify_one();
        let answer = json!({"rejected": *self.rejected.lock().unwrap()}).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }

    /// The next thing that it is told.
    async fn next(&self, env: &Env) -> Value {
        let came = env.clock.within(LATE, self.came.notified()).await;
        came.expect("nothing was pushed");
        self.got.lock().unwrap().last().cloned().unwrap()
    }
}

/// A node that pushes to gateways on the loopback.
async fn server(pem: &str) -> Server {
    let (engine, env) = (
        Arc::default(),
        Env::simulated(1, &SimulatedWall::at(START_MS)),
    );
    let mut authorities = Authorities::default();
    authorities.add_pem(pem.as_bytes()).unwrap();
    let dial = DialOptions {
        addresses: AddressRules {
            allowed: vec!["127.0.0.0/8".parse().unwrap()],
        },
        authorities,
    };
    let mut options = options("hs1");
    options.push = Some(push_gateways(dial, &env).unwrap());
    let own = Arc::clone(&engine) as Arc<dyn Engine>;
    let node = Node::start(own, env.clone(), options).await.unwrap();
    Server { engine, env, node }
}

async fn ok(server: &Server, endpoint: (&str, &str), token: &str, body: &Value) -> Value {
    let (status, answer) = server.ask(endpoint.0, endpoint.1, token, body).await;
    assert_eq!(status, StatusCode::OK, "{endpoint:?} {answer}");
    answer
}

#[tokio::test]
async fn message_reaches_a_push_gateway_the_badge_falls_and_a_rejected_key_goes() {
    let (gateway, pem) = Fake::new().await;
    let server = server(&pem).await;
    let serving = Arc::clone(&gateway).serve(server.env.clone());
    server.env.tasks.spawn("fake gateway", serving);
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let pusher = json!({
        "app_id": "app", "pushkey": "phone", "kind": "http", "lang": "en",
        "app_display_name": "App", "device_display_name": "Phone",
        "data": {"url": gateway.url(), "format": "event_id_only"},
    });
    ok(&server, ("POST", "/pushers/set"), &bob, &pusher).await;
    let create = json!({"preset": "public_chat"});
    let create = ok(&server, ("POST", "/createRoom"), &alice, &create).await;
    let room = create["room_id"].as_str().unwrap();
    let join = format!("/join/{room}");
    ok(&server, ("POST", &join), &bob, &json!({})).await;
    let say = async |text: &str| {
        let path = format!("/rooms/{room}/send/m.room.message/{text}");
        let body = json!({"msgtype": "m.text", "body": text});
        let sent = ok(&server, ("PUT", &path), &alice, &body).await;
        sent["event_id"].as_str().unwrap().to_owned()
    };
    let event = say("one").await;
    let told = gateway.next(&server.env).await;
    assert_eq!(told["event_id"], event.as_str());
    assert_eq!(
        (&told["room_id"], &told["counts"]["unread"]),
        (&json!(room), &json!(1))
    );
    assert!(told["content"].is_null(), "identifiers only: {told}");
    let read = format!("/rooms/{room}/receipt/m.read/{event}");
    ok(&server, ("POST", &read), &bob, &json!({})).await;
    let told = gateway.next(&server.env).await;
    assert!(told["event_id"].is_null(), "{told}");
    assert_eq!(told["counts"]["unread"], 0);
    *gateway.rejected.lock().unwrap() = vec!["phone".to_owned()];
    say("two").await;
    gateway.next(&server.env).await;
    let gone = async {
        while ok(&server, ("GET", "/pushers"), &bob, &json!({})).await["pushers"] != json!([]) {
            tokio::task::yield_now().await;
        }
    };
    let gone = server.env.clock.within(LATE, gone).await;
    gone.expect("the pusher is still there");
    server.stop().await;
}
