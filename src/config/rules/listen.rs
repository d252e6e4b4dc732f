//! Addresses to listen on, as they are written.

use std::net::SocketAddr;
use std::str::FromStr;

use crate::config::Listen;
use crate::config::quote::shown;

/// What is wrong with an address, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAddress {
    /// What was found.
    pub message: String,
    /// What to write.
    pub help: String,
}

impl std::fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.message, self.help)
    }
}

impl std::error::Error for InvalidAddress {}

impl FromStr for Listen {
    type Err = InvalidAddress;

    /// Reads `:10240`, `127.0.0.1:10240` or `[::1]:10240`.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        if let Some(port) = text.strip_prefix(':')
            && let Ok(port) = port.parse()
        {
            return Ok(Self::All(port));
        }
        text.parse::<SocketAddr>().map(Self::One).map_err(|_| InvalidAddress {
            message: format!("`{}` is not an address to listen on", shown(text)),
            help: help_for(text),
        })
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(port) => write!(f, ":{port}"),
            Self::One(address) => address.fmt(f),
        }
    }
}

fn help_for(text: &str) -> String {
    let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let host = text.rsplit_once(':').map_or("", |(host, _)| host);
    match (port, host) {
        (Some(port), "") => format!("write `\":{port}\"` for all addresses, or `127.0.0.1:{port}`"),
        (Some(port), "*") => format!("write `\":{port}\"` for all addresses"),
        (Some(port), "localhost") => format!("write `127.0.0.1:{port}` or `[::1]:{port}`"),
        (Some(port), host) if host.contains(':') && !host.starts_with('[') => {
            format!("write an IPv6 address in brackets, as `[::1]:{port}`")
        }
        _ => "write `\":10240\"`, `127.0.0.1:10240` or `[::1]:10240`".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_port_on_all_addresses_or_one_address() {
        assert_eq!(":10240".parse(), Ok(Listen::All(10240)));
        assert_eq!("127.0.0.1:0".parse(), Ok(Listen::One(([127, 0, 0, 1], 0).into())));
        assert_eq!("[::1]:80".parse(), Ok(Listen::One("[::1]:80".parse().unwrap())));
        assert_eq!(Listen::All(80).to_string(), ":80");
    }

    #[test]
    fn a_wrong_address_says_what_to_write() {
        let cases = [
            ("10240", "write `\":10240\"` for all addresses, or `127.0.0.1:10240`"),
            ("*:80", "write `\":80\"` for all addresses"),
            ("localhost:80", "write `127.0.0.1:80` or `[::1]:80`"),
            ("::1:80", "write an IPv6 address in brackets, as `[::1]:80`"),
            (":70000", "write `\":10240\"`, `127.0.0.1:10240` or `[::1]:10240`"),
            ("", "write `\":10240\"`, `127.0.0.1:10240` or `[::1]:10240`"),
        ];
        for (text, help) in cases {
            assert_eq!(text.parse::<Listen>().unwrap_err().help, help, "{text}");
        }
    }
}
