//! Over which version of the Internet Protocol a target is dialled: the key `address_family`.

use std::net::IpAddr;

use super::literal;
use crate::base::field::{Field, ValueType};
use crate::base::value::Section;
use crate::model::outcome::{Failure, FailureKind};

/// The key `address_family` of the kinds that dial.
pub const ADDRESS_FAMILY: Field = Field::with_default(
    "address_family",
    ValueType::Word(&["any", "ipv4", "ipv6"]),
    "any",
    "Which addresses of the host are tried: `any`, both families in turn; `ipv4` or `ipv6`, that one alone. A host that \
     has no address of that family fails the check.",
);

/// The addresses that may be dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressFamily {
    /// All of them.
    #[default]
    Any,
    /// Those of IPv4.
    Ipv4,
    /// Those of IPv6.
    Ipv6,
}

impl AddressFamily {
    /// Reads the key, for a target whose host is known. A host that is an address of the other family is reported.
    #[must_use]
    pub fn read(fields: &Section, host: Option<&str>) -> Self {
        let family = match fields.word(ADDRESS_FAMILY.name) {
            Some("ipv4") => Self::Ipv4,
            Some("ipv6") => Self::Ipv6,
            _ => Self::Any,
        };
        if let Some(address) = host.and_then(literal)
            && !family.admits(&address)
        {
            let (own, other) = if address.is_ipv6() { ("ipv6", "IPv6") } else { ("ipv4", "IPv4") };
            let message = format!("what is dialled is an {other} address, which `address_family` rules out");
            let help = format!("write `{own}`, or remove it");
            fields.error(ADDRESS_FAMILY.name, "invalid-value", message, Some(help));
        }
        family
    }

    /// Reports the key where no address is dialled, since it has no effect there.
    pub fn report_unused(fields: &Section) {
        if Self::read(fields, None) != Self::Any {
            let message = "`address_family` has no effect on a Unix socket";
            fields.warning(ADDRESS_FAMILY.name, "ineffective-key", message, Some("remove one of them".into()));
        }
    }

    /// Those of `addresses` that may be dialled.
    ///
    /// # Errors
    /// A failure of the kind `resolve` when there are none.
    pub fn among(self, mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Failure> {
        addresses.retain(|address| self.admits(address));
        match self {
            Self::Ipv4 if addresses.is_empty() => Err(lacking("IPv4")),
            Self::Ipv6 if addresses.is_empty() => Err(lacking("IPv6")),
            _ => Ok(addresses),
        }
    }

    const fn admits(self, address: &IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }
}

fn lacking(family: &str) -> Failure {
    let message = format!("the host has no {family} address, and `address_family` asks for one");
    Failure::new(FailureKind::Resolve, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_other_family_are_left_out_and_their_lack_is_told() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let both = || addresses(&["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
        assert_eq!(AddressFamily::Any.among(both()), Ok(both()));
        assert_eq!(AddressFamily::Ipv4.among(both()), Ok(addresses(&["192.0.2.1", "192.0.2.2"])));
        assert_eq!(AddressFamily::Ipv6.among(both()), Ok(addresses(&["2001:db8::1"])));
        let failure = AddressFamily::Ipv6.among(addresses(&["192.0.2.1"])).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Resolve);
        assert_eq!(failure.message, "the host has no IPv6 address, and `address_family` asks for one");
        // What a resolver finds nothing for is told by the resolver.
        assert_eq!(AddressFamily::Any.among(Vec::new()), Ok(Vec::new()));
    }
}
