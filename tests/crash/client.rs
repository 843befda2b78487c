//! A client with one connection, every answer waited for with a limit.

use std::{net::SocketAddr, time::Duration};

use belfry_env::Env;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How long an answer may take; far more than any does.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// The connection broke before the answer was whole: nobody knows what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// A connection to a server.
pub(crate) struct Client {
    env: Env,
    address: SocketAddr,
    requests: http1::SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects; the connection is a task of `env` that ends with it.
    pub(crate) async fn connect(env: &Env, address: SocketAddr) -> Result<Self, Gone> {
        let stream = TcpStream::connect(address).await.map_err(|_| Gone)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Gone)?;
        env.tasks.spawn("connection", async {
            // A killed server breaks it off; whoever asked is told.
            connection.await.ok();
        });
        Ok(Self {
            env: env.clone(),
            address,
            requests,
        })
    }

    /// Sends a request; status and body of its answer.
    pub(crate) async fn ask(
        &mut self,
        (method, path): (&str, &str),
        token: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value), Gone> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/_matrix/client/v3{path}"))
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::from(body.to_string()))
            .unwrap();
        let clock = self.env.clock.clone();
        let answer = clock.within(ANSWER_MAX, self.converse(request)).await;
        answer.unwrap_or_else(|late| panic!("{method} {path}: {late}"))
    }

    async fn converse(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Value), Gone> {
        self.requests.ready().await.map_err(|_| Gone)?;
        let response = self.requests.send_request(request).await;
        let (parts, body) = response.map_err(|_| Gone)?.into_parts();
        let body = body.collect().await.map_err(|_| Gone)?.to_bytes();
        Ok((parts.status, serde_json::from_slice(&body).unwrap()))
    }

    /// Sends a request that must succeed.
    pub(crate) async fn get(
        &mut self,
        endpoint: (&str, &str),
        token: &str,
        body: &Value,
    ) -> Result<Value, Gone> {
        let (status, answer) = self.ask(endpoint, token, body).await?;
        assert_eq!(status, StatusCode::OK, "{endpoint:?}: {answer}");
        Ok(answer)
    }

    /// Makes an account; its access token.
    pub(crate) async fn register(&mut self, name: &str) -> Result<String, Gone> {
        let wanted = serde_json::json!({
            "username": name,
            "password": "wordpass",
            "auth": {"type": "m.login.dummy"},
        });
        let made = self.get(("POST", "/register"), "", &wanted).await?;
        Ok(made["access_token"].as_str().unwrap().to_owned())
    }
}
