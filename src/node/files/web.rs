//! A web in memory: names, addresses, and machines that speak HTTP without TLS.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use belfry_env::Env;
use belfry_remote::{
    AddressRules, Authorities, DialOptions, Dialer, Fetcher, Resolve, Service, Socket, Sockets,
    Unresolved,
};
use futures_util::future::BoxFuture;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// What a machine says: at once, and then again and again, or with a pause before each piece.
#[derive(Clone, Default)]
pub(super) struct Says {
    pub(super) head: Vec<u8>,
    pub(super) then: Option<(Vec<u8>, std::time::Duration)>,
}

/// A whole answer.
pub(super) fn says(status: &str, headers: &str, body: &[u8]) -> Says {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    Says {
        head: [head.as_bytes(), body].concat(),
        then: None,
    }
}

/// A page.
pub(super) fn page(body: &str) -> Says {
    says("200 OK", "content-type: text/html\r\n", body.as_bytes())
}

/// See the module.
#[derive(Default)]
pub(super) struct Web {
    names: Mutex<BTreeMap<String, VecDeque<IpAddr>>>,
    pages: Mutex<BTreeMap<String, Says>>,
    dialled: Mutex<Vec<SocketAddr>>,
    env: Mutex<Option<Env>>,
}

impl Web {
    pub(super) fn new(env: &Env) -> Arc<Self> {
        let web = Self::default();
        *web.env.lock().unwrap() = Some(env.clone());
        Arc::new(web)
    }

    /// A name that has these addresses, one after the other; the last one from then on.
    pub(super) fn name(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let mut names = self.names.lock().unwrap();
        names.insert(name.to_owned(), addresses);
    }

    /// What every machine says to this path.
    pub(super) fn put(&self, path: &str, says: Says) {
        self.pages.lock().unwrap().insert(path.to_owned(), says);
    }

    /// What was dialled since the last call.
    pub(super) fn dialled(&self) -> Vec<String> {
        let dialled = std::mem::take(&mut *self.dialled.lock().unwrap());
        dialled.iter().map(ToString::to_string).collect()
    }

    /// A fetcher by the guarded connector, to public addresses only.
    pub(super) fn fetcher(self: &Arc<Self>) -> Fetcher {
        // Nobody here speaks TLS, but a dialer without any authority is refused.
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let mut authorities = Authorities::default();
        authorities.add_pem(authority.pem().as_bytes()).unwrap();
        let options = DialOptions {
            addresses: AddressRules::default(),
            authorities,
        };
        let env = self.env.lock().unwrap().clone().unwrap();
        let (resolver, sockets) = (Arc::clone(self), Arc::clone(self));
        let dialer = Dialer::new(options, resolver, sockets, env.clone()).unwrap();
        Fetcher::new(&Arc::new(dialer), &env.tasks, env.clock)
    }
}

impl Resolve for Web {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Unresolved>> {
        let mut names = self.names.lock().unwrap();
        let found = names.get_mut(host).map(|addresses| {
            let first = addresses[0];
            if addresses.len() > 1 {
                addresses.pop_front();
            }
            vec![first]
        });
        Box::pin(async move { found.ok_or(Unresolved::Absent) })
    }

    fn services<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Service>, Unresolved>> {
        Box::pin(async { Err(Unresolved::Absent) })
    }
}

impl Sockets for Web {
    fn open(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Socket>>> {
        self.dialled.lock().unwrap().push(address);
        let env = self.env.lock().unwrap().clone().unwrap();
        let pages = self.pages.lock().unwrap().clone();
        Box::pin(async move {
            let (near, far) = tokio::io::duplex(64 << 10);
            let own = env.clone();
            env.tasks.spawn("web server", async move {
                // Who goes away has heard enough.
                converse(&own, far, pages).await.ok();
            });
            Ok(Box::new(near) as Box<dyn Socket>)
        })
    }
}

async fn converse(
    env: &Env,
    mut far: DuplexStream,
    pages: BTreeMap<String, Says>,
) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(far.read_u8().await?);
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    let found = pages.get(path).cloned();
    let says = found.unwrap_or_else(|| says("404 Not Found", "", b""));
    far.write_all(&says.head).await?;
    while let Some((piece, pause)) = &says.then {
        env.clock.sleep(*pause).await;
        far.write_all(piece).await?;
    }
    Ok(())
}
