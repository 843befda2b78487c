//! Who is at the other end, when proxies stand in between.
//!
//! The address decides rate limits and stands in device lists, so a header counts only as far as
//! it was written by a proxy that the operator named. Knows nothing of what is done with it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// Proxies that one request may have come through; what stands further left is ignored.
pub const HOPS_MAX: usize = 16;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of the connection; the listener puts it into the request's extensions. A request
/// without one came from inside the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Address(SocketAddr),
    /// Over a Unix socket, which only a proxy on this machine is given.
    Local,
}

/// The networks whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: read from the right, the first that is not itself a trusted proxy.
    /// An entry that is no address ends the reading, since nothing left of it can be believed.
    pub fn client_address(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        let mut client = match peer {
            Peer::Address(address) => address.ip().to_canonical(),
            Peer::Local => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        if peer != Peer::Local && !self.contain(client) {
            return client;
        }
        for hop in hops(headers) {
            let Some(address) = hop else { return client };
            client = address;
            if !self.contain(client) {
                return client;
            }
        }
        client
    }
}

/// The entries of all `X-Forwarded-For` headers, from the right; `None` for what is no address.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> + '_ {
    let mut lines: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    lines.reverse();
    lines
        .into_iter()
        .flat_map(|line| line.rsplit(','))
        .map(|entry| parse_hop(entry.trim()))
        .take(HOPS_MAX)
}

/// Proxies write bare addresses, some with a port, some with brackets.
fn parse_hop(entry: &str) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(entry).parse::<IpAddr>();
    let address = address.or_else(|_| entry.parse::<SocketAddr>().map(|socket| socket.ip()));
    Some(address.ok()?.to_canonical())
}

/// What one subscriber has: an IPv4 address, or the 64 bits in front of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network that the address belongs to.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let subscriber = address.to_bits() & !u128::from(u64::MAX);
                Self(Ipv6Addr::from_bits(subscriber).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, trusted: &[&str], forwarded: &[&'static str]) -> String {
        let proxies = TrustedProxies(trusted.iter().map(|net| net.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let peer = peer.parse().map_or(Peer::Local, Peer::Address);
        proxies.client_address(peer, &headers).to_string()
    }

    #[test]
    fn header_of_an_untrusted_peer_is_ignored() {
        assert_eq!(client("192.0.2.9:1", &[], &["1.2.3.4"]), "192.0.2.9");
        assert_eq!(
            client("192.0.2.9:1", &["10.0.0.0/8"], &["1.2.3.4"]),
            "192.0.2.9"
        );
    }

    #[test]
    fn header_of_a_trusted_proxy_counts() {
        assert_eq!(
            client("10.0.0.1:1", &["10.0.0.0/8"], &["1.2.3.4"]),
            "1.2.3.4"
        );
        assert_eq!(client("unix", &[], &["1.2.3.4:99"]), "1.2.3.4");
        assert_eq!(
            client("10.0.0.1:1", &["10.0.0.0/8"], &["[2001:db8::1]:99"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_believed() {
        let trusted = ["10.0.0.0/8"];
        let forwarded = ["6.6.6.6, 1.2.3.4, 10.0.0.2"];
        assert_eq!(client("10.0.0.1:1", &trusted, &forwarded), "1.2.3.4");
        let forwarded = ["6.6.6.6", "1.2.3.4"];
        assert_eq!(client("10.0.0.1:1", &trusted, &forwarded), "1.2.3.4");
        let forwarded = ["6.6.6.6, unknown"];
        assert_eq!(client("10.0.0.1:1", &trusted, &forwarded), "10.0.0.1");
    }

    #[test]
    fn mapped_address_is_the_address_that_it_maps() {
        assert_eq!(client("[::ffff:192.0.2.1]:1", &[], &[]), "192.0.2.1");
        let mapped = Network::of("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(mapped, Network::of("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn ipv6_subscriber_has_one_network() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
