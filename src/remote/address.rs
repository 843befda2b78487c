//! Which addresses may be dialled.
//!
//! Exists so that no name, redirect or answer of another server makes this one talk to its own
//! network: whatever is dialled is judged here, after names are resolved. Knows nothing of names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What may be dialled besides the public internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Networks that may be dialled although they are private: closed networks, tests.
    pub allowed: Vec<IpNet>,
}

impl AddressRules {
    /// Whether the address may be dialled. An IPv4 address inside an IPv6 one (mapped, NAT64,
    /// 6to4) is judged as itself too, for that is where the packets go.
    pub fn permit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self
            .allowed
            .iter()
            .any(|network| network.contains(&address))
        {
            return true;
        }
        match address {
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => is_public_v6(address),
        }
    }
}

/// First octets and prefix length of what is not the public internet (IANA's registry of special
/// purposes, RFC 6890).
const SPECIAL_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 3),
];

/// The same for IPv6, inside of `2000::/3`, outside of which nothing is public.
const SPECIAL_V6: &[([u16; 3], u8)] = &[
    // Teredo, benchmarks, ORCHID and other protocol assignments.
    ([0x2001, 0, 0], 23),
    ([0x2001, 0xdb8, 0], 32),
    // Documentation (RFC 9637).
    ([0x3fff, 0, 0], 20),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !SPECIAL_V4.iter().any(|(start, prefix)| {
        let differ = bits ^ Ipv4Addr::from(*start).to_bits();
        differ.leading_zeros() >= u32::from(*prefix)
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(embedded) = embedded_v4(address) {
        return is_public_v4(embedded);
    }
    let bits = address.to_bits();
    let special = |([a, b, c], prefix): &([u16; 3], u8)| {
        let start = Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0).to_bits();
        (bits ^ start).leading_zeros() >= u32::from(*prefix)
    };
    bits >> 125 == 1 && !SPECIAL_V6.iter().any(special)
}

/// The IPv4 address that a NAT64 (RFC 6052) or 6to4 (RFC 3056) address leads to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments @ [a, b, c, ..] = address.segments();
    let [.., g, h] = segments;
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b) {
        (0x64, 0xff9b) if segments[2..6] == [0; 4] => Some(join(g, h)),
        (0x2002, _) => Some(join(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(text: &str) -> bool {
        AddressRules::default().permit(text.parse().unwrap())
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860::8888",
            "2a00::1",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(permitted(text), "{text}");
        }
    }

    #[test]
    fn special_addresses_are_refused() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!permitted(text), "{text}");
        }
    }

    #[test]
    fn ssrf_002_an_ipv4_address_inside_an_ipv6_one_is_judged_as_itself() {
        for text in [
            "::ffff:7f00:1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
        ] {
            assert!(!permitted(text), "{text}");
        }
    }

    #[test]
    fn what_is_allowed_passes_in_either_spelling() {
        let rules = AddressRules {
            allowed: vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        };
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "fd12::1"] {
            assert!(rules.permit(text.parse().unwrap()), "{text}");
        }
        for text in ["10.0.0.1", "::1", "fc00::1", "2002:7f00:1::"] {
            assert!(!rules.permit(text.parse().unwrap()), "{text}");
        }
    }
}
