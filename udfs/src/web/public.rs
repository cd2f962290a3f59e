//! Which addresses are those of the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The ranges of IPv4 that mean no host of the public internet.
const NOT_PUBLIC: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),       // this network
    v4([10, 0, 0, 0], 8),      // private
    v4([100, 64, 0, 0], 10),   // between a provider and its customers
    v4([127, 0, 0, 0], 8),     // loopback
    v4([169, 254, 0, 0], 16),  // link-local; clouds answer with credentials here
    v4([172, 16, 0, 0], 12),   // private
    v4([192, 0, 0, 0], 24),    // the IETF's protocols
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 88, 99, 0], 24),  // relays of 6to4
    v4([192, 168, 0, 0], 16),  // private
    v4([198, 18, 0, 0], 15),   // benchmarks
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// All public addresses of IPv6 are in here, but for those that carry one of IPv4.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// The ranges of global unicast that mean no host of the public internet.
const NOT_PUBLIC_6: [Ipv6Net; 3] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // the IETF's protocols, Teredo and benchmarks among them
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// The addresses of IPv6 that carry one of IPv4, and the bytes where it begins.
const CARRIERS: [(Ipv6Net, usize); 4] = [
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), 12),    // mapped
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), 12),         // compatible
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), 12), // NAT64
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), 2),     // 6to4
];

/// Whether an address is one of the public internet. What carries an address of IPv4 is judged by that.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC.iter().any(|range| range.contains(&address)),
        IpAddr::V6(address) => match carried(address) {
            Some(carried) => is_public(carried.into()),
            None => GLOBAL_UNICAST.contains(&address) && !NOT_PUBLIC_6.iter().any(|range| range.contains(&address)),
        },
    }
}

fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (_, start) = CARRIERS.iter().find(|(range, _)| range.contains(&address))?;
    let octets = address.octets();
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| octets[start + i]);
    Some(Ipv4Addr::new(a, b, c, d))
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_the_internet_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn all_others_are_not() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1.1.1.1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }
}
