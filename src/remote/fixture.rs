//! A small internet in memory: names, addresses, certificates and web servers, for tests.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use belfry_data::BoxFuture;
use belfry_env::{Env, SimulatedWall};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair, SanType};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    AddressRules, Authorities, DialOptions, Dialer, Fetcher, Resolve, Service, Socket, Sockets,
    Unresolved,
};

/// What the wall clock shows at the start.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// An answer's body.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

type Handler = Arc<dyn Fn(Request<Bytes>) -> Response<Body> + Send + Sync>;

/// A whole answer.
pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).boxed();
    Response::builder().status(status).body(body).unwrap()
}

/// An answer that sends elsewhere.
pub(crate) fn redirect(to: &str) -> Response<Body> {
    let mut response = answer(302, "");
    let to = to.parse().unwrap();
    response.headers_mut().insert(http::header::LOCATION, to);
    response
}

/// What a machine does with connections to it.
#[derive(Clone)]
enum Machine {
    Web(Option<Arc<ServerConfig>>, Handler),
    Silent,
}

/// Names and machines, as they are at the moment.
#[derive(Default)]
pub(crate) struct Internet {
    names: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    services: Mutex<BTreeMap<String, Result<Vec<Service>, Unresolved>>>,
    machines: Mutex<BTreeMap<SocketAddr, Machine>>,
    /// Every address that was dialled.
    pub(crate) dialled: Mutex<Vec<SocketAddr>>,
    /// Every name that was asked for.
    pub(crate) asked: Mutex<Vec<String>>,
    env: Mutex<Option<Env>>,
}

impl Internet {
    pub(crate) fn name(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.names
            .lock()
            .unwrap()
            .insert(name.to_owned(), addresses);
    }

    pub(crate) fn service(&self, name: &str, found: Result<Vec<Service>, Unresolved>) {
        self.services.lock().unwrap().insert(name.to_owned(), found);
    }

    /// A web server that speaks TLS by this configuration, or not at all.
    pub(crate) fn serve(
        &self,
        address: &str,
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(Request<Bytes>) -> Response<Body> + Send + Sync + 'static,
    ) {
        let machine = Machine::Web(tls, Arc::new(handler));
        let address = address.parse().unwrap();
        self.machines.lock().unwrap().insert(address, machine);
    }

    /// A machine that takes connections and says nothing.
    pub(crate) fn silence(&self, address: &str) {
        let address = address.parse().unwrap();
        self.machines
            .lock()
            .unwrap()
            .insert(address, Machine::Silent);
    }

    pub(crate) fn dialled(&self) -> Vec<String> {
        let dialled = self.dialled.lock().unwrap();
        dialled.iter().map(ToString::to_string).collect()
    }
}

impl Resolve for Internet {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Unresolved>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let found = self.names.lock().unwrap().get(host).cloned();
        Box::pin(async move { found.ok_or(Unresolved::Absent) })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, Unresolved>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let found = self.services.lock().unwrap().get(name).cloned();
        Box::pin(async move { found.unwrap_or(Err(Unresolved::Absent)) })
    }
}

impl Sockets for Internet {
    fn open(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Socket>>> {
        self.dialled.lock().unwrap().push(address);
        let machine = self.machines.lock().unwrap().get(&address).cloned();
        let env = self.env.lock().unwrap().clone().unwrap();
        Box::pin(async move {
            let Some(machine) = machine else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let (near, far) = tokio::io::duplex(64 * 1024);
            match machine {
                Machine::Web(tls, handler) => {
                    env.tasks.spawn("web server", run(far, tls, handler));
                }
                Machine::Silent => {
                    let clock = env.clock.clone();
                    env.tasks.spawn("silence", async move {
                        clock.sleep(std::time::Duration::from_hours(24)).await;
                        drop(far);
                    });
                }
            }
            Ok(Box::new(near) as Box<dyn Socket>)
        })
    }
}

/// Serves one connection; whatever breaks ends it.
async fn run(far: tokio::io::DuplexStream, tls: Option<Arc<ServerConfig>>, handler: Handler) {
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move {
            let (parts, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            let request = Request::from_parts(parts, body.unwrap_or_default());
            Ok::<_, Infallible>(handler(request))
        }
    });
    let http = http1::Builder::new();
    let ended = match tls {
        Some(config) => match TlsAcceptor::from(config).accept(far).await {
            Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => return,
        },
        None => http.serve_connection(TokioIo::new(far), service).await,
    };
    drop(ended);
}

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test");
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's TLS configuration with a certificate for this name or address.
    pub(crate) fn certify(&self, name: &str) -> Arc<ServerConfig> {
        self.certify_until(name, None)
    }

    /// The same, valid until the start of this year.
    pub(crate) fn certify_until(&self, name: &str, year: Option<i32>) -> Arc<ServerConfig> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().unwrap()),
        }];
        if let Some(year) = year {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let secret = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret)
            .unwrap();
        Arc::new(config)
    }
}

/// A world with an internet in it.
pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) internet: Arc<Internet>,
    pub(crate) authority: Authority,
}

impl World {
    /// Inside a paused runtime.
    pub(crate) fn new() -> Self {
        let env = Env::simulated(1, &SimulatedWall::at(START_MS));
        let internet = Arc::new(Internet::default());
        *internet.env.lock().unwrap() = Some(env.clone());
        Self {
            env,
            internet,
            authority: Authority::new(),
        }
    }

    /// A fetcher that may dial these networks besides public ones.
    pub(crate) fn fetcher(&self, allowed: &[&str]) -> Fetcher {
        let mut authorities = Authorities::default();
        authorities
            .add_pem(self.authority.pem().as_bytes())
            .unwrap();
        let options = DialOptions {
            addresses: AddressRules {
                allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(),
            },
            authorities,
        };
        let internet = &self.internet;
        let (resolver, sockets) = (Arc::clone(internet), Arc::clone(internet));
        let dialer = Dialer::new(options, resolver, sockets, self.env.clone()).unwrap();
        Fetcher::new(&Arc::new(dialer), &self.env.tasks, self.env.clock.clone())
    }

    /// A homeserver's web server at a public address, with its certificate.
    pub(crate) fn homeserver(
        &self,
        name: &str,
        address: &str,
        handler: impl Fn(Request<Bytes>) -> Response<Body> + Send + Sync + 'static,
    ) {
        let tls = Some(self.authority.certify(name));
        self.internet.serve(address, tls, handler);
    }
}
