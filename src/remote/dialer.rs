//! The guarded connector: the one way out.
//!
//! Exists so that every connection that this server opens is to a permitted address, judged after
//! names are resolved (the address that was judged is the one that is dialled), takes a place
//! among a limited number, and has a time limit. Knows nothing of what is asked over it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use belfry_env::{Clock, Env};
use http::{Uri, uri::Scheme};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName as TlsName;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use crate::{
    address::AddressRules,
    resolver::{RECORDS_MAX, Resolve, Service, Unresolved},
    socket::{Placed, Socket, Sockets},
    trust::{Authorities, TrustError, client_config},
};

/// Connections at a time, idle ones included; further ones wait for a place.
pub const CONNECTIONS_MAX: usize = 1_000;
/// Addresses that are tried for one connection.
pub const ADDRESSES_MAX: usize = 4;
/// Machines of SRV records that are tried for one connection.
pub const TARGETS_MAX: usize = 4;
/// How long one address may take to answer, and how long TLS may take.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a name may take to resolve.
pub const RESOLVE_TIME_MAX: Duration = Duration::from_secs(10);
/// The port of federation, where nothing names another.
pub const FEDERATION_PORT: u16 = 8448;
/// The first port that any program may listen on.
const FREE_PORT: u16 = 1_024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The URL names no host, or neither `https` nor `http`.
    #[error("not a URL that can be dialled; use https and a host")]
    Url,
    /// A port that web servers do not listen on.
    #[error("port {0} is not one of web servers")]
    Port(u16),
    /// No address of the host may be dialled.
    #[error("{0} has no public address; allow its network if it is meant to be reached")]
    Private(String),
    /// The name leads nowhere.
    #[error("{0}: {1}")]
    Unresolved(String, Unresolved),
    /// Nobody listens, or nobody proves to be who was asked for.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// It takes too long.
    #[error("{0} takes too long to answer; try again later")]
    Late(String),
    /// Everything is closed.
    #[error("the server is stopping")]
    Stopping,
}

/// What connections are for, which says how a name becomes an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Another homeserver: an explicit port, or SRV records, or port 8448; TLS always.
    Federation,
    /// The web: the URL's own port, 443 or 80.
    Web,
    /// A push gateway: 443, or a port that needs no privilege; TLS always.
    Gateway,
}

/// What the dialer is told.
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// Which addresses may be dialled.
    pub addresses: AddressRules,
    /// Whose certificates are believed.
    pub authorities: Authorities,
}

/// Opens connections. Shared by all that talk to the outside.
pub struct Dialer {
    resolver: Arc<dyn Resolve>,
    sockets: Arc<dyn Sockets>,
    rules: AddressRules,
    tls: TlsConnector,
    env: Env,
    places: Arc<Semaphore>,
}

impl Dialer {
    /// A dialer over these leaves.
    pub fn new(
        options: DialOptions,
        resolver: Arc<dyn Resolve>,
        sockets: Arc<dyn Sockets>,
        env: Env,
    ) -> Result<Self, TrustError> {
        let config = client_config(&options.authorities, env.clock.clone())?;
        Ok(Self {
            resolver,
            sockets,
            rules: options.addresses,
            tls: TlsConnector::from(config),
            env,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }

    /// Opens a connection to what the URI names.
    pub(crate) async fn dial(
        &self,
        purpose: Purpose,
        uri: &Uri,
    ) -> Result<TokioIo<Placed>, DialError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| DialError::Stopping)?;
        let host = uri.host().ok_or(DialError::Url)?;
        let stream = match purpose {
            Purpose::Federation => self.dial_homeserver(host, uri.port_u16()).await?,
            Purpose::Web => self.dial_host(host, web_port(uri)?).await?,
            Purpose::Gateway => self.dial_host(host, gateway_port(uri)?).await?,
        };
        let stream = if uri.scheme() == Some(&Scheme::HTTP) && purpose == Purpose::Web {
            stream
        } else {
            self.secure(host, stream).await?
        };
        Ok(Placed::new(stream, place))
    }

    /// The steps of the spec ("Resolving server names") behind `.well-known`: `host` is the
    /// delegated name, or the server's own.
    async fn dial_homeserver(
        &self,
        host: &str,
        port: Option<u16>,
    ) -> Result<Box<dyn Socket>, DialError> {
        if let Some(port) = port {
            return self.dial_host(host, port).await;
        }
        if literal(host).is_some() {
            return self.dial_host(host, FEDERATION_PORT).await;
        }
        let mut services = self.services(host).await?;
        if services.is_empty() {
            return self.dial_host(host, FEDERATION_PORT).await;
        }
        self.order(&mut services);
        let mut failed = DialError::Private(host.to_owned());
        for service in services.iter().take(TARGETS_MAX) {
            match self.dial_host(&service.target, service.port).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The server's SRV records: those of the service's registered name, or of its old one.
    async fn services(&self, host: &str) -> Result<Vec<Service>, DialError> {
        for service in ["_matrix-fed._tcp", "_matrix._tcp"] {
            let name = format!("{service}.{host}");
            let asked = self.resolver.services(&name);
            match within(&self.env.clock, RESOLVE_TIME_MAX, &name, asked).await? {
                Ok(found) if found.is_empty() => {}
                Err(Unresolved::Absent) => {}
                Ok(mut found) => {
                    found.truncate(RECORDS_MAX);
                    // "." says that the service is decidedly not there (RFC 2782).
                    found.retain(|service| !service.target.is_empty());
                    return if found.is_empty() {
                        Err(DialError::Unresolved(name, Unresolved::Absent))
                    } else {
                        Ok(found)
                    };
                }
                Err(failed) => return Err(DialError::Unresolved(name, failed)),
            }
        }
        Ok(Vec::new())
    }

    /// By priority; among equals by chance, heavier ones rather first.
    fn order(&self, services: &mut [Service]) {
        let random = &self.env.random;
        services.sort_by_cached_key(|service| {
            let tickets = u64::from(service.weight) + 1;
            let luck = (0..tickets.min(8)).map(|_| random.below(1 << 32)).max();
            (service.priority, u64::MAX - luck.unwrap_or_default())
        });
    }

    /// A connection to one of the host's permitted addresses.
    async fn dial_host(&self, host: &str, port: u16) -> Result<Box<dyn Socket>, DialError> {
        let addresses = self.permitted(host).await?;
        let mut failed = DialError::Private(host.to_owned());
        for address in addresses {
            let opened = self.sockets.open(SocketAddr::new(address, port));
            failed = match within(&self.env.clock, CONNECT_TIME_MAX, host, opened).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => DialError::Io(host.to_owned(), error),
                Err(late) => late,
            };
        }
        Err(failed)
    }

    /// The host's addresses that may be dialled, at least one.
    async fn permitted(&self, host: &str) -> Result<Vec<IpAddr>, DialError> {
        let mut addresses = if let Some(address) = literal(host) {
            vec![address]
        } else {
            let asked = self.resolver.addresses(host);
            let found = within(&self.env.clock, RESOLVE_TIME_MAX, host, asked).await?;
            found.map_err(|error| DialError::Unresolved(host.to_owned(), error))?
        };
        addresses.retain(|address| self.rules.permit(*address));
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() {
            return Err(DialError::Private(host.to_owned()));
        }
        Ok(addresses)
    }

    /// TLS as the host's own.
    async fn secure(
        &self,
        host: &str,
        stream: Box<dyn Socket>,
    ) -> Result<Box<dyn Socket>, DialError> {
        let name = match literal(host) {
            Some(address) => TlsName::IpAddress(address.into()),
            None => TlsName::try_from(host.to_owned()).map_err(|_| DialError::Url)?,
        };
        let shaken = self.tls.connect(name, stream);
        match within(&self.env.clock, CONNECT_TIME_MAX, host, shaken).await? {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(DialError::Io(host.to_owned(), error)),
        }
    }
}

/// The address that a host is, if it is one and not a name. Only canonical spellings are: `127.1`
/// and `2130706433` are names, and resolve to nothing.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bracketed.unwrap_or(host).parse().ok()
}

/// The port of a web server: the usual two, or one that needs no privilege.
fn web_port(uri: &Uri) -> Result<u16, DialError> {
    let usual = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        Some(scheme) if *scheme == Scheme::HTTP => 80,
        _ => return Err(DialError::Url),
    };
    match uri.port_u16() {
        None => Ok(usual),
        Some(port) if port == 443 || port == 80 || port == FEDERATION_PORT => Ok(port),
        Some(port) => Err(DialError::Port(port)),
    }
}

/// The port of a push gateway.
fn gateway_port(uri: &Uri) -> Result<u16, DialError> {
    match uri.port_u16().unwrap_or(443) {
        port if port == 443 || port >= FREE_PORT => Ok(port),
        port => Err(DialError::Port(port)),
    }
}

async fn within<T>(
    clock: &Clock,
    span: Duration,
    host: &str,
    future: impl Future<Output = T>,
) -> Result<T, DialError> {
    let answered = clock.within(span, future).await;
    answered.map_err(|_| DialError::Late(host.to_owned()))
}
