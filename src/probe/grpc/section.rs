//! The section `grpc` as it is declared, and the call that it makes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::base::credentials::is_credential;
use crate::base::grpc::{CHECK, framed, health_check_request};
use crate::base::redact;
use crate::base::value::{Section, Text, Value};
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::net::age::ConnectionAge;
use crate::probe::net::family::AddressFamily;
use crate::probe::net::tls::TlsSpec;
use crate::probe::net::unix::UnixSocket;
use crate::probe::net::{ZONE, has_zone};
use crate::workflow::captures::Captures;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(super) enum GrpcAddress {
    /// Host (without brackets) and port.
    Tcp(String, u16, AddressFamily),
    Unix(UnixSocket),
}

/// The section.
#[derive(Clone)]
pub(super) struct GrpcSection {
    pub(super) address: GrpcAddress,
    pub(super) tls: Option<TlsSpec>,
    pub(super) max_age: ConnectionAge,
    /// The target as it may be shown.
    pub(super) shown: String,
    authority: String,
    service: Option<Text>,
    metadata: Vec<(HeaderName, Text)>,
}

/// A call, ready to be sent.
#[derive(Clone)]
pub(super) struct HealthCall {
    pub(super) uri: Uri,
    pub(super) metadata: HeaderMap,
    pub(super) message: Vec<u8>,
    /// It asks for a service by name.
    pub(super) is_named: bool,
    /// A credential, or something that was expanded or captured, is part of it: the server's own words may repeat it.
    pub(super) is_secretive: bool,
}

impl fmt::Debug for GrpcSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GrpcSection").field(&self.shown).finish()
    }
}

impl GrpcSection {
    /// Reads the section; each problem is reported.
    pub(super) fn read(fields: &Section) -> Option<Self> {
        let tls = fields.section("tls").map(TlsSpec::read);
        let address = read_address(fields);
        let metadata = read_metadata(fields);
        let authority = match fields.text("authority") {
            None => Some(None),
            Some(text) => read_authority(fields, text).map(Some),
        };
        let (address, metadata, authority) = (address?, metadata?, authority?);
        let tls = match tls {
            Some(read) => Some(read?),
            None => None,
        };
        let authority = authority.unwrap_or_else(|| match &address {
            GrpcAddress::Tcp(host, ..) if host.contains(':') => format!("[{host}]"),
            GrpcAddress::Tcp(host, ..) => host.clone(),
            GrpcAddress::Unix(_) => "localhost".into(),
        });
        Some(Self {
            address,
            tls,
            max_age: ConnectionAge::read(fields),
            shown: fields.text("address").map(|text| redact::target(&text.written)).unwrap_or_default(),
            authority,
            service: fields.text("service").cloned(),
            metadata,
        })
    }

    /// The host; nothing of a Unix socket.
    pub(super) fn host(&self) -> Option<&str> {
        match &self.address {
            GrpcAddress::Tcp(host, ..) => Some(host),
            GrpcAddress::Unix(_) => None,
        }
    }

    /// The call, with what the steps before captured.
    pub(super) fn call(&self, captured: &Captures) -> Result<HealthCall, Failure> {
        let mismatch = |message: String| Failure::new(FailureKind::Mismatch, message);
        let service = self.service.as_ref().map(|text| captured.fill(text)).transpose();
        let service = service.map_err(|error| mismatch(error.0))?.unwrap_or_default();
        let mut metadata = HeaderMap::new();
        for (name, text) in &self.metadata {
            let value = captured.fill_header(text).map_err(|error| mismatch(error.0))?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                mismatch(format!("the metadata {name} holds what no header may: write it under a name with `-bin`"))
            })?;
            value.set_sensitive(text.is_expanded() || text.captures().next().is_some());
            metadata.insert(name.clone(), value);
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(&*self.authority).path_and_query(CHECK).build();
        let uri = uri.map_err(|_| Failure::new(FailureKind::Bug, "the authority makes no URI"))?;
        let mut texts = self.metadata.iter().map(|(_, text)| text).chain(&self.service);
        let is_secretive = texts.any(|text| text.is_expanded() || text.captures().next().is_some())
            || self.metadata.iter().any(|(name, _)| is_credential(name.as_str()));
        let message = framed(&health_check_request(&service));
        Ok(HealthCall { uri, metadata, message, is_named: !service.is_empty(), is_secretive })
    }
}

fn read_address(fields: &Section) -> Option<GrpcAddress> {
    let text = fields.text("address")?;
    let written = text.fixed();
    let problem = match written.as_deref() {
        None => ("a captured value cannot stand in an address", "write host and port as they are: `orders.svc:9090`"),
        Some(address) => {
            if let Some(path) = address.strip_prefix("unix:") {
                AddressFamily::report_unused(fields);
                return unix(fields, path).map(GrpcAddress::Unix);
            }
            match host_and_port(address) {
                Ok((host, _)) if has_zone(&host) => ZONE,
                Ok((host, port)) => {
                    let family = AddressFamily::read(fields, Some(&host));
                    return Some(GrpcAddress::Tcp(host, port, family));
                }
                Err(problem) => problem,
            }
        }
    };
    fields.error("address", "invalid-value", problem.0, Some(problem.1.into()));
    None
}

fn unix(fields: &Section, path: &str) -> Option<UnixSocket> {
    // gRPC's own names for it: `unix:path` and `unix:///path`.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with('/') && !path.contains('\0') && path.len() <= 107 {
        return Some(UnixSocket::at(path));
    }
    let help = "write it as the sidecar sees it, with at most 107 bytes: `unix:/run/app.sock`";
    fields.error("address", "invalid-value", "not the absolute path of a socket", Some(help.into()));
    None
}

/// Splits `host:9090` or `[::1]:9090`; what is wrong with it, and what to write instead.
fn host_and_port(address: &str) -> Result<(String, u16), (&'static str, &'static str)> {
    const HELP: &str = "write it as `orders.svc:9090`, `[::1]:9090` or `unix:/run/app.sock`";
    if address.contains("://") {
        return Err((
            "an address of gRPC has no scheme",
            "write `host:9090`, and `tls: {}` beside it where the scheme was `https`",
        ));
    }
    let Some((host, port)) = address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.ends_with(':'))
    else {
        return Err(("not a host with a port", HELP));
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(("not a host with a port", HELP))?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_sound = |host: &str| {
        !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#[]$".contains(c))
    };
    match bare {
        Some(bare) if bare.contains(':') && is_sound(bare) => Ok((bare.into(), port)),
        None if is_sound(host) && !host.contains(':') => Ok((host.into(), port)),
        _ => Err(("not a host with a port", HELP)),
    }
}

fn read_authority(fields: &Section, text: &Text) -> Option<String> {
    let authority = text
        .fixed()
        .filter(|authority| !authority.contains('@') && authority.parse::<hyper::http::uri::Authority>().is_ok());
    if authority.is_none() {
        let help = "write a host, with a port where the server wants one: `orders` or `orders:9090`";
        fields.error("authority", "invalid-value", "not a host", Some(help.into()));
    }
    authority
}

fn read_metadata(fields: &Section) -> Option<Vec<(HeaderName, Text)>> {
    let mut metadata: Vec<(HeaderName, Text)> = Vec::new();
    let mut is_sound = true;
    let mut wrong = |place, code, message: String, help: &str| {
        fields.report_at(place, code, message, Some(help.to_owned()));
        is_sound = false;
    };
    for (name, located) in fields.map("metadata") {
        let Value::Text(text) = &located.value else { continue };
        let place = located.key_span();
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => wrong(
                place,
                "invalid-value",
                "not the name of metadata".into(),
                "write letters, digits, `-`, `_` and `.`",
            ),
            Ok(name) if metadata.iter().any(|(other, _)| *other == name) => {
                let message = "this metadata is there twice: upper and lower case make no difference in its name";
                wrong(place, "duplicate-key", message.into(), "keep one of them");
            }
            Ok(name) if is_reserved(name.as_str()) => {
                wrong(place, "invalid-value", format!("`{name}` belongs to gRPC itself"), "remove it");
            }
            Ok(name) if name.as_str().ends_with("-bin") && !is_base64(text) => {
                let help = "write the bytes as `base64` prints them";
                wrong(&located.span, "invalid-value", format!("`{name}` is not in base64"), help);
            }
            Ok(name) => metadata.push((name, text.clone())),
        }
    }
    is_sound.then_some(metadata)
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("grpc-")
        || ["content-type", "te", "host", "connection", "content-length", "transfer-encoding", "upgrade", "keep-alive"]
            .contains(&name)
}

fn is_base64(text: &Text) -> bool {
    let Some(written) = text.fixed() else { return true };
    STANDARD.decode(&written).is_ok() || STANDARD_NO_PAD.decode(&written).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_a_port_and_no_scheme() {
        for (address, expected) in [
            ("orders.svc:9090", Some(("orders.svc", 9090))),
            ("127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("[::1]:5000", Some(("::1", 5000))),
            ("::1:5000", None),
            ("[db]:5000", None),
            ("db", None),
            ("db:", None),
            (":5000", None),
            ("db:0", None),
            ("http://db:5000", None),
            ("dns:///db:5000", None),
            ("user@db:5000", None),
            ("a b:5000", None),
        ] {
            let split = host_and_port(address).ok();
            assert_eq!(split.as_ref().map(|(host, port)| (host.as_str(), *port)), expected, "{address}");
        }
    }
}
