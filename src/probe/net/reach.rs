//! How near an address is: what only this machine or its link can reach is not for others to point at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Who can reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine, or the containers of this pod, alone: a loopback address, or none at all (`0.0.0.0`), which leads
    /// to one.
    Loopback,
    /// The machines of this link alone, among them what a cloud tells its machines about themselves.
    LinkLocal,
    /// Others too.
    Elsewhere,
}

impl Reach {
    /// Who can reach `address`, in whatever notation.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match plain(address) {
            address if address.is_loopback() || address.is_unspecified() => Self::Loopback,
            IpAddr::V4(address) if address.is_link_local() || address == METADATA_V4 => Self::LinkLocal,
            IpAddr::V6(address) if address.is_unicast_link_local() || METADATA_V6.contains(&address) => Self::LinkLocal,
            _ => Self::Elsewhere,
        }
    }

    /// Who can reach `host` as far as the name itself tells (RFC 6761, section 6.3).
    #[must_use]
    pub fn of_host(host: &str) -> Self {
        match super::literal(host) {
            Some(address) => Self::of(address),
            None => match host.trim_end_matches('.').rsplit('.').next() {
                Some(last) if last.eq_ignore_ascii_case("localhost") => Self::Loopback,
                _ => Self::Elsewhere,
            },
        }
    }
}

/// Where Alibaba's machines ask about themselves; most others use a link-local address.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

/// Where machines of AWS and of Google ask about themselves over IPv6.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// The IPv4 address that an IPv6 address stands for (`::ffff:127.0.0.1`, or NAT64's `64:ff9b::7f00:1`), or the same.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        other => other.to_canonical(),
    }
}

/// Whether what is dialled at `address` and `port` ends at one of the sockets `own`.
#[must_use]
pub fn is_one_of(own: &[SocketAddr], address: IpAddr, port: u16) -> bool {
    let address = plain(address);
    own.iter().filter(|own| own.port() == port).any(|own| {
        let listens_at = plain(own.ip());
        match (listens_at.is_unspecified(), address.is_unspecified()) {
            (true, _) => is_of_this_machine(address),
            (false, true) => listens_at.is_loopback(),
            (false, false) => listens_at == address,
        }
    })
}

/// Whether this machine has the address: nothing else can be bound to.
fn is_of_this_machine(address: IpAddr) -> bool {
    Reach::of(address) == Reach::Loopback || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_as_near_as_it_is_in_whatever_notation() {
        let cases = [
            ("127.0.0.1", Reach::Loopback),
            ("127.8.9.10", Reach::Loopback),
            ("0.0.0.0", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("64:ff9b::7f00:1", Reach::Loopback),
            ("169.254.169.254", Reach::LinkLocal),
            ("::ffff:169.254.0.1", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("febf::1", Reach::LinkLocal),
            ("fd00:ec2::254", Reach::LinkLocal),
            ("fd20:ce::254", Reach::LinkLocal),
            ("100.100.100.200", Reach::LinkLocal),
            ("10.0.0.1", Reach::Elsewhere),
            ("192.0.2.1", Reach::Elsewhere),
            ("fd00::1", Reach::Elsewhere),
            ("2001:db8::1", Reach::Elsewhere),
        ];
        for (address, reach) in cases {
            assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
        }
    }

    #[test]
    fn own_sockets_are_found_at_every_address_that_leads_to_them() {
        let is_own = |own: &str, address: &str| is_one_of(&[own.parse().unwrap()], address.parse().unwrap(), 10240);
        for address in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"] {
            assert!(is_own("[::]:10240", address), "{address}");
            assert!(is_own("0.0.0.0:10240", address), "{address}");
            assert!(!is_own("[::]:10241", address), "{address}");
        }
        for (address, expected) in
            [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("0.0.0.0", true), ("127.0.0.2", false), ("::1", false)]
        {
            assert_eq!(is_own("127.0.0.1:10240", address), expected, "{address}");
        }
        assert!(!is_own("[::]:10240", "192.0.2.1") && !is_own("[::]:10240", "2001:db8::1"));
    }
}
