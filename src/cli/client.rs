//! One short exchange with a running daemon: plain blocking HTTP/1.0, with a deadline and a bound on everything.
//!
//! An exec probe runs this every few seconds, so it starts no runtime.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::{Host, Url};

use super::{ConfigFile, Exit, complain, variable, wrong_usage};
use crate::base::clock::{Clock, Moment};
use crate::base::quantity::show_duration;
use crate::base::secret::Secret;
use crate::base::thread::{self, why_refused};
use crate::base::value::why_unreadable;
use crate::config::source::{Environment, Input};
use crate::config::{Listen, listen};
use crate::model::outcome::one_line;

/// Where the daemon listens.
#[derive(Debug, Args)]
pub(super) struct DaemonUrl {
    /// Where the daemon listens [default: $PROBELET_URL, else this host, 127.0.0.1 before ::1, and the port that the
    /// configuration of `run` says, else 10240]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the token that the daemon wants [default: $PROBELET_TOKEN, else for a daemon on this host what the
    /// configuration of `run` says]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The address of a daemon, and what it wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DaemonClient {
    host: Host,
    port: u16,
    /// Where else it may be reached, if not there.
    other: Option<Host>,
    /// What `server.token` says there.
    token: Option<Secret>,
    /// How the command calls itself.
    agent: &'static str,
}

/// An answer, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientResponse {
    /// The status code.
    pub(super) status: u16,
    /// The value of `X-Health-Status`.
    pub(super) health: Option<String>,
    /// The body.
    pub(super) body: String,
}

impl ClientResponse {
    /// Whether a daemon says so that its address has not all routes.
    pub(super) fn is_of_narrow_address(&self) -> bool {
        self.status == 404 && self.body.starts_with("not found; there are /livez, ") && !self.body.contains("/healthz")
    }
}

/// Why there is no answer that can be used, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientError {
    /// Nobody answers there, or not as probelet does.
    Unreachable(String),
    /// The daemon answers, and does not tell: it wants a token that it was not given, or tells such things elsewhere.
    Refused(String),
}

impl ClientError {
    /// What to tell people.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Unreachable(why) | Self::Refused(why) => why,
        }
    }

    /// How a command ends that this happens to.
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Refused(_) => Exit::Usage,
        }
    }
}

/// The longest answer that is read, in bytes: many thousand checks.
const LONGEST: usize = 8 << 20;
/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// The longest token, in bytes: the daemon takes no longer header.
const LONGEST_TOKEN: usize = 15 << 10;

/// How `probelet ask` calls itself: as an exec probe it speaks for kubelet.
const ASK: &str = "probelet-ask";

impl DaemonUrl {
    /// The address and the file that another command was given.
    pub(super) fn new(url: String, token_file: Option<PathBuf>) -> Self {
        Self { url: Some(url), token_file }
    }

    const EXAMPLE: &str = "http://127.0.0.1:10240";

    /// The daemon that is meant; what is wrong with its address has been said. Looking for it takes no longer than
    /// until `deadline`.
    pub(super) fn daemon(&self, environment: &Environment, deadline: Deadline) -> Result<DaemonClient, Exit> {
        let url = match &self.url {
            Some(url) => Some(url.as_str()),
            None => variable(environment, "PROBELET_URL").map_err(|complaint| wrong_usage(&complaint))?,
        };
        let named = url.map(DaemonClient::at).transpose().map_err(|problem| {
            let source = if self.url.is_some() { "--url" } else { "$PROBELET_URL" };
            complain(&format!("error: {source} {problem}\n  help: write it as {}\n", Self::EXAMPLE));
            Exit::Usage
        })?;
        let token = self.token(environment, deadline)?;
        // A token is for the daemon of its own configuration alone.
        let needs_file = named.as_ref().is_none_or(|daemon| token.is_none() && daemon.is_on_this_host());
        let declared = match ConfigFile::unnamed(environment) {
            _ if !needs_file => None,
            Ok(path) => {
                let environment = environment.clone();
                // The file may lie on a mount that hangs.
                in_time(deadline, move || listen::declared(&path, &environment)).ok()
            }
            // Nothing but a token would come from it, which a daemon that wants it asks for.
            Err(_) if named.is_some() => None,
            Err(complaint) => return Err(wrong_usage(&complaint)),
        };
        let declared = declared.unwrap_or_default();
        let listen = declared.listen.first().copied().unwrap_or(Listen::All(10240));
        let daemon = named.unwrap_or_else(|| DaemonClient::listening(listen));
        Ok(DaemonClient { token: token.or(declared.token).filter(is_one_word), ..daemon })
    }

    /// The token that the command line or the environment names; what is wrong with it has been said.
    fn token(&self, environment: &Environment, deadline: Deadline) -> Result<Option<Secret>, Exit> {
        let (source, token) = match &self.token_file {
            Some(path) => {
                let file = path.clone();
                // It may be a pipe: `--token-file <(vault read …)`.
                let read = in_time(deadline, move || Input::read(&file).content).and_then(|content| content);
                let content = read.map_err(|error| {
                    let why = why_unreadable(error.kind());
                    complain(&format!("error: cannot read the file of --token-file, {}: {why}\n", path.display()));
                    Exit::Usage
                })?;
                ("the file of --token-file", String::from_utf8_lossy(&content).into_owned())
            }
            None => match variable(environment, "PROBELET_TOKEN").map_err(|complaint| wrong_usage(&complaint))? {
                Some(token) => ("$PROBELET_TOKEN", token.to_owned()),
                None => return Ok(None),
            },
        };
        let token = Secret::new(token.trim_end_matches(['\r', '\n']));
        if !is_one_word(&token) {
            complain(&format!("error: {source} holds no token: one word of letters, digits and signs of ASCII\n"));
            return Err(Exit::Usage);
        }
        Ok(Some(token))
    }
}

/// Whether a header can carry it.
fn is_one_word(token: &Secret) -> bool {
    (1..=LONGEST_TOKEN).contains(&token.expose().len()) && token.expose().bytes().all(|byte| byte.is_ascii_graphic())
}

impl DaemonClient {
    /// The daemon on this host that listens there: on all addresses, that is on both of loopback's.
    fn listening(listen: Listen) -> Self {
        let (own, own6) = (Host::Ipv4(Ipv4Addr::LOCALHOST), Host::Ipv6(Ipv6Addr::LOCALHOST));
        let (host, other) = match listen {
            Listen::All(_) => (own, Some(own6)),
            Listen::One(address) => match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => (own, None),
                IpAddr::V6(ip) if ip.is_unspecified() => (own, Some(own6)),
                IpAddr::V4(ip) => (Host::Ipv4(ip), None),
                IpAddr::V6(ip) => (Host::Ipv6(ip), None),
            },
        };
        Self { host, port: listen.port(), other, token: None, agent: ASK }
    }

    fn at(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        if url.scheme() == "https" {
            return Err("asks for TLS: probelet speaks plain http, on its own port");
        }
        if url.scheme() != "http" {
            return Err("is not a URL of the scheme http");
        }
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !bare || url.path() != "/" || url.fragment().is_some() {
            return Err("holds more than a host and a port");
        }
        let host = url.host().ok_or("names no host")?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port > 0).ok_or("names the port 0")?;
        Ok(Self { host, port, other: None, token: None, agent: ASK })
    }

    /// The same daemon for a command that does not speak for kubelet.
    pub(super) fn called_by(self, agent: &'static str) -> Self {
        Self { agent, ..self }
    }

    fn is_on_this_host(&self) -> bool {
        match &self.host {
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
            Host::Domain(name) => name == "localhost",
        }
    }

    /// Sends a request without a body and reads the answer. All of it takes no longer than until `deadline`.
    pub(super) fn ask(&self, method: &str, path: &str, deadline: Deadline) -> Result<ClientResponse, ClientError> {
        let mut stream = self.connect(deadline)?;
        let failed = |error: &io::Error| self.failed(error, deadline);
        // What changes something is not taken in HTTP/1.0, which is how proxies speak.
        let version = if method == "GET" { "1.0" } else { "1.1" };
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {}\r\n", token.expose()));
        let request = format!(
            "{method} {path} HTTP/{version}\r\nHost: {self}\r\nUser-Agent: {}/{}\r\n\
             Accept: application/json\r\n{}Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.agent,
            env!("CARGO_PKG_VERSION"),
            token.unwrap_or_default()
        );
        send(&mut stream, request.as_bytes(), deadline).map_err(|error| failed(&error))?;
        let answer = receive(&mut stream, deadline).map_err(|error| failed(&error))?;
        let reply = read(&answer)
            .ok_or_else(|| ClientError::Unreachable(format!("{self} does not answer as probelet does")))?;
        match (reply.status, &self.token) {
            (401, None) => Err(ClientError::Refused(format!(
                "{self} wants its token\n  help: give it in $PROBELET_TOKEN or with --token-file, as `server.token` there"
            ))),
            (401, Some(_)) => {
                Err(ClientError::Refused(format!("{self} wants another token: compare it with `server.token` there")))
            }
            _ => Ok(reply),
        }
    }

    /// What has been asked for is not told there.
    pub(super) fn narrow(&self, what: &str) -> ClientError {
        ClientError::Refused(format!(
            "{self} does not answer {what}: that address has `routes: probes` or `metrics`\n  help: ask an address of \
             `server.listen` with `routes: all`, or about readyz, livez, startupz or daemon"
        ))
    }

    fn connect(&self, deadline: Deadline) -> Result<TcpStream, ClientError> {
        let mut failure = None;
        for address in self.addresses(deadline)? {
            let connected =
                deadline.rest().and_then(|rest| TcpStream::connect_timeout(&address, rest)).inspect(|stream| {
                    // Without it nothing goes wrong, only slower.
                    let _ = stream.set_nodelay(true);
                });
            match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let failure = failure.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        Err(self.failed(&failure, deadline))
    }

    /// The addresses of the host. A name is resolved in a thread: the system's resolver has a time limit of its own.
    fn addresses(&self, deadline: Deadline) -> Result<Vec<SocketAddr>, ClientError> {
        let mut addresses = Vec::new();
        for host in std::iter::once(&self.host).chain(&self.other) {
            match host {
                Host::Ipv4(ip) => addresses.push((*ip, self.port).into()),
                Host::Ipv6(ip) => addresses.push((*ip, self.port).into()),
                Host::Domain(name) => addresses.extend(self.resolve(name.clone(), deadline)?),
            }
        }
        Ok(addresses)
    }

    fn resolve(&self, name: String, deadline: Deadline) -> Result<Vec<SocketAddr>, ClientError> {
        let port = self.port;
        let resolved = in_time(deadline, move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect));
        resolved.and_then(|resolved| resolved).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => self.failed(&error, deadline),
            // No thread; a resolver's own errors have no number.
            _ if error.raw_os_error().is_some() => {
                ClientError::Unreachable(format!("cannot reach {self}: the system refuses {}", why_refused(&error)))
            }
            _ => ClientError::Unreachable(format!("cannot reach {self}: the name cannot be resolved")),
        })
    }

    fn failed(&self, error: &io::Error, deadline: Deadline) -> ClientError {
        use io::ErrorKind as Kind;
        let why = match error.kind() {
            Kind::TimedOut | Kind::WouldBlock => {
                return ClientError::Unreachable(format!(
                    "{self} did not answer within {}",
                    show_duration(deadline.total)
                ));
            }
            Kind::ConnectionRefused => "connection refused; is the daemon running?".into(),
            Kind::ConnectionReset | Kind::BrokenPipe => "the connection was reset".into(),
            Kind::FileTooLarge => return ClientError::Unreachable(format!("{self} does not answer as probelet does")),
            _ => one_line(&error.to_string()),
        };
        ClientError::Unreachable(format!("cannot reach {self}: {why}"))
    }
}

impl fmt::Display for DaemonClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// When an exchange must be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    total: Duration,
    at: Moment,
}

impl Deadline {
    /// That long from now.
    pub(super) fn after(total: Duration) -> Self {
        Self { total, at: Clock::Machine.now() + total }
    }

    /// The time that is left; never zero, which sockets take for no limit.
    fn rest(self) -> io::Result<Duration> {
        let rest = self.at.since(Clock::Machine.now());
        if rest.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
    }
}

/// What `work` returns, if it does so until `deadline`.
fn in_time<T: Send + 'static>(deadline: Deadline, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    thread::in_time("client", 512 * 1024, deadline.rest()?, work)
}

fn send(stream: &mut TcpStream, request: &[u8], deadline: Deadline) -> io::Result<()> {
    stream.set_write_timeout(Some(deadline.rest()?))?;
    stream.write_all(request)
}

/// Everything that comes, until the other side is done, as it announced or by closing.
fn receive(stream: &mut TcpStream, deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut buffer = [0; 8 << 10];
    let mut whole = None;
    while whole.is_none_or(|whole| answer.len() < whole) {
        stream.set_read_timeout(Some(deadline.rest()?))?;
        let read = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        answer.extend_from_slice(&buffer[..read]);
        let head = head_of(&answer);
        if answer.len() > LONGEST || (head.is_none() && answer.len() > LONGEST_HEAD) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if let (None, Some((head, body))) = (whole, head) {
            whole = length(head).and_then(|length| (answer.len() - body.len()).checked_add(length));
        }
    }
    Ok(answer)
}

/// The head and what follows it.
fn head_of(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let searched = &answer[..answer.len().min(LONGEST_HEAD)];
    let end = searched.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((&answer[..end], &answer[end + 4..]))
}

fn length(head: &[u8]) -> Option<usize> {
    header(std::str::from_utf8(head).ok()?, "content-length")?.parse().ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").skip(1);
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// An answer in HTTP/1 whose body is text and as long as it says.
fn read(answer: &[u8]) -> Option<ClientResponse> {
    let (head, body) = head_of(answer)?;
    let head = std::str::from_utf8(head).ok()?;
    let status = head.split("\r\n").next()?;
    let status = status.strip_prefix("HTTP/1.0 ").or_else(|| status.strip_prefix("HTTP/1.1 "))?;
    let status = status.split(' ').next().filter(|code| code.len() == 3)?.parse().ok()?;
    let body = match header(head, "content-length") {
        Some(length) => body.get(..length.parse().ok()?)?,
        None => body,
    };
    let body = std::str::from_utf8(body).ok()?.to_owned();
    Some(ClientResponse { status, health: header(head, "x-health-status").map(str::to_owned), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_a_host_and_a_port() {
        for (url, expected) in [
            ("http://127.0.0.1:10240", Ok("127.0.0.1:10240")),
            ("http://127.0.0.1:10240/", Ok("127.0.0.1:10240")),
            ("http://[::1]:1", Ok("[::1]:1")),
            ("HTTP://localhost", Ok("localhost:80")),
            ("https://localhost:10240", Err("asks for TLS: probelet speaks plain http, on its own port")),
            ("ftp://localhost", Err("is not a URL of the scheme http")),
            ("localhost:10240", Err("is not a URL of the scheme http")),
            ("127.0.0.1:10240", Err("is not a URL")),
            ("", Err("is not a URL")),
            ("http://localhost:0", Err("names the port 0")),
            ("http://user:secret@localhost", Err("holds more than a host and a port")),
            ("http://localhost/readyz", Err("holds more than a host and a port")),
            ("http://localhost?x", Err("holds more than a host and a port")),
        ] {
            assert_eq!(DaemonClient::at(url).map(|daemon| daemon.to_string()), expected.map(str::to_owned), "{url}");
        }
    }

    #[test]
    fn an_answer_is_taken_apart_or_refused() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nX-Health-Status:  error\r\ncontent-LENGTH: 2\r\n\r\n{}rest";
        let reply = ClientResponse { status: 503, health: Some("error".into()), body: "{}".into() };
        assert_eq!(read(answer), Some(reply));
        assert_eq!(read(b"HTTP/1.0 200\r\n\r\nok").map(|reply| reply.body), Some("ok".into()));
        for garbage in [
            &b""[..],
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n\xff",
        ] {
            assert_eq!(read(garbage), None, "{}", String::from_utf8_lossy(garbage));
        }
    }
}
