//! Names to addresses and services.
//!
//! Exists so that discovery and the connector ask through one interface that tests answer too.
//! Knows nothing of which addresses may be dialled, nor of Matrix.

use std::net::IpAddr;

use belfry_data::BoxFuture;
use hickory_resolver::{
    TokioResolver,
    config::LookupIpStrategy,
    net::NetError,
    proto::rr::{RData, RecordType},
};

/// Answers that are kept to shorten the next question.
const CACHED_MAX: u64 = 4_096;
/// Records of one answer that are looked at; further ones are left out.
pub const RECORDS_MAX: usize = 16;
/// Questions that are under way to one name server.
const QUESTIONS_MAX: usize = 128;

/// Why a name leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// There is no such name, or it has no such records.
    #[error("there is no such name; check it and its DNS records")]
    Absent,
    /// Nobody could say.
    #[error("the name servers did not answer ({0}); try again later")]
    Failed(String),
}

/// A record of type SRV (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Lower is tried first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Where the service listens.
    pub port: u16,
    /// The machine's name, without the final dot.
    pub target: String,
}

/// Somebody who knows names.
pub trait Resolve: Send + Sync {
    /// The addresses of a host, at most [`RECORDS_MAX`].
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Unresolved>>;

    /// The records of type SRV of a name such as `_matrix-fed._tcp.example.org`, at most
    /// [`RECORDS_MAX`].
    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, Unresolved>>;
}

/// The name servers and the hosts file that the system is set up with.
pub struct SystemResolver(TokioResolver);

impl SystemResolver {
    /// Reads the system's settings.
    ///
    /// # Errors
    /// If they cannot be read; the text says why.
    pub fn new() -> Result<Self, Unresolved> {
        let mut builder = TokioResolver::builder_tokio().map_err(|error| failed(&error))?;
        let options = builder.options_mut();
        options.cache_size = CACHED_MAX;
        options.max_active_requests = QUESTIONS_MAX;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Ok(Self(builder.build().map_err(|error| failed(&error))?))
    }
}

impl Resolve for SystemResolver {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Unresolved>> {
        Box::pin(async move {
            let found = self.0.lookup_ip(absolute(host)).await;
            let found = found.map_err(|error| unresolved(&error))?;
            Ok(found.iter().take(RECORDS_MAX).collect())
        })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, Unresolved>> {
        Box::pin(async move {
            let found = self.0.lookup(absolute(name), RecordType::SRV).await;
            let found = found.map_err(|error| unresolved(&error))?;
            let services = found.answers().iter().filter_map(|record| {
                let RData::SRV(service) = &record.data else {
                    return None;
                };
                let target = service.target.to_utf8();
                Some(Service {
                    priority: service.priority,
                    weight: service.weight,
                    port: service.port,
                    target: target.strip_suffix('.').unwrap_or(&target).to_owned(),
                })
            });
            Ok(services.take(RECORDS_MAX).collect())
        })
    }
}

/// With a final dot, so that no search list is tried; names without any dot are those of closed
/// networks, for which it is.
fn absolute(name: &str) -> String {
    if name.contains('.') && !name.ends_with('.') {
        format!("{name}.")
    } else {
        name.to_owned()
    }
}

fn unresolved(error: &NetError) -> Unresolved {
    if error.is_no_records_found() || error.is_nx_domain() {
        Unresolved::Absent
    } else {
        failed(error)
    }
}

fn failed(error: &NetError) -> Unresolved {
    Unresolved::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_search_list_is_tried_for_names_with_dots() {
        assert_eq!(absolute("example.org"), "example.org.");
        assert_eq!(absolute("example.org."), "example.org.");
        assert_eq!(absolute("hs1"), "hs1");
    }
}
