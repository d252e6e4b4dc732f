//! The kind `http`: one request, and what is expected of its answer.
//!
//! `request` fills and checks what is sent, `spelling` keeps the case of its names, `connections` keeps them, `pace`
//! bounds what comes over them, `way` and `proxy` lead to the server, `exchange` sends and reads, `encoding` decodes what was compressed, `redirect` says where
//! it goes on, `expect` says what is wanted and `judging` holds an answer against it.

mod connections;
mod encoding;
mod exchange;
mod expect;
mod judging;
mod origin;
pub(super) mod pace;
mod proxy;
mod redirect;
mod request;
mod spelling;
mod way;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::connections::{ConnectionPool, HttpVersion};
use self::exchange::Exchange;
use self::expect::{AppAnswer, DEGRADED, MESSAGE, PassingAnswer};
use self::judging::{JudgedAnswer, Judging};
use self::pace::Excess;
use self::proxy::HttpProxy;
use self::request::{Prepared, RequestSpec};
use self::way::Way;
use super::cookies::CookieJar;
use super::net::age::{ConnectionAge, MAX_CONNECTION_AGE};
use super::net::family::{ADDRESS_FAMILY, AddressFamily};
use super::net::metered::TooLong;
use super::net::tls::{self, TlsSpec};
use super::net::unix::UnixSocket;
use super::net::{Network, failure};
use super::reuse::{Disposition, Reused, Session};
use super::search::Searches;
use super::{BoxFuture, BuildContext, Probe, ProbeKind, RunContext, Spec};
use crate::base::field::{Field, ValueType};
use crate::base::redact;
use crate::base::redactor::Redactor;
use crate::base::trace::Trace;
use crate::base::value::Section;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult, one_line};

/// The kind.
pub static KIND: ProbeKind = ProbeKind {
    name: "http",
    doc: "One HTTP request, and what is expected of its answer.",
    fields: FIELDS,
    read,
    component_type: "component",
    bare_tcp: None,
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::required(
        "url",
        ValueType::Url { schemes: &["http", "https"] },
        "Where the request goes: `https://user.svc:8443/health`. User and password in it are sent as basic \
         authentication. Proxies of the environment are not used.",
    ),
    Field::with_default(
        "method",
        ValueType::Word(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        "GET",
        "The method. Any but `GET`, `HEAD` and `OPTIONS` may have an effect: it is sent over a fresh connection and never \
         twice.",
    ),
    Field::optional(
        "headers",
        ValueType::Map(&ValueType::Template),
        "Headers of the request, by name. Names are sent as they are written. Unless one of them is `Cache-Control`, \
         `Cache-Control: no-cache` is sent, so that a cache on the way asks the server. Caches that heed nothing of a \
         request (many CDNs, nginx's `proxy_cache`) answer for a server that is down: use a `url` that they do not cache.",
    ),
    Field::optional(
        "body",
        ValueType::Template,
        "The body of the request. One that is JSON is sent as `application/json` unless `headers` says otherwise. A captured \
         value is escaped in JSON, XML (but in a CDATA section, which it cannot end) and forms, by the content type or what \
         the body is; in the midst of any other text one with a line break or another control character is a failure.",
    ),
    Field::with_default(
        "max_redirects",
        ValueType::Integer { min: 0, max: 20 },
        "0",
        "How many redirects are followed. With 0 a redirect is an answer like any other.",
    ),
    Field::with_default(
        "redirects",
        ValueType::Word(&["same_host", "any"]),
        "same_host",
        "Where redirects may lead: to the host of `url` alone, or to `any`. To another origin (scheme, host and port) no \
         credential goes along, and no header with an expansion or a captured value in it; a body with one, or with a \
         credential, is not sent there: the check fails. No redirect is followed to probelet itself or, from elsewhere, \
         to a loopback or link-local address.",
    ),
    Field::with_default(
        "max_body",
        ValueType::Size,
        "64KiB",
        "No more than this is read of the answer's body. Where the body is looked at, gzip and deflate are asked for, unless \
         `headers` has an `Accept-Encoding`, and decoded within this size; a body in another encoding is a failure. \
         What a longer body lacks as far as it was read may stand in its rest: in `expect`, `json`, `body_lacks` and \
         `body_not_matches` then fail; in `degraded`, `json` and each text or pattern that was not found makes the pass \
         degraded.",
    ),
    Field::optional("expect", ValueType::Section(expect::FIELDS), "What the answer must be like. Default: any 2xx."),
    DEGRADED,
    MESSAGE,
    Field::optional("tls", ValueType::Section(tls::FIELDS), "How TLS is spoken."),
    Field::with_default(
        "version",
        ValueType::Word(&["auto", "1.1", "2"]),
        "auto",
        "Which HTTP is spoken. `auto` offers HTTP/2 and HTTP/1.1 in the TLS handshake and speaks HTTP/1.1 without TLS; \
         with `2` a server that does not choose it in the handshake fails, and without TLS HTTP/2 is spoken from the start.",
    ),
    Field::optional(
        "unix_socket",
        ValueType::Text,
        "The path of a Unix socket that is dialled instead of the host of `url`: `/run/app.sock`. Redirects to that host \
         are followed over it, others (`redirects: any`) are not.",
    ),
    Field::optional(
        "proxy",
        ValueType::Url { schemes: &["http"] },
        "A proxy that is asked for the server: `http://user:password@proxy:3128`. With TLS it opens a tunnel (`CONNECT`) and \
         sees nothing of what goes through. It resolves the name of the host. Nothing of the environment makes a check use \
         one.",
    ),
    Field::with_default(
        "cookies",
        ValueType::Bool,
        "true",
        "Cookies that a server sets go back to it within the run (RFC 6265), through redirects and the steps of a workflow. \
         A cookie that a `Cookie` in `headers` names stays as it is written there.",
    ),
    ADDRESS_FAMILY,
    MAX_CONNECTION_AGE,
];

struct HttpSpec {
    target: String,
    host: Option<String>,
    max_age: ConnectionAge,
    declared: Arc<HttpSection>,
}

/// What is sent, how, and what is expected, as a probe needs it.
struct HttpSection {
    request: RequestSpec,
    expect: AppAnswer,
    tls: TlsSpec,
    way: Way,
    version: HttpVersion,
    /// What is sent, or expected, and nobody is to see.
    secrets: Redactor,
    takes_cookies: bool,
    family: AddressFamily,
    max_redirects: usize,
    /// Redirects may lead to other hosts.
    to_any_host: bool,
    max_body: usize,
}

fn read(fields: &Section) -> Option<Box<dyn Spec>> {
    let tls = fields.section("tls").map_or_else(|| Some(TlsSpec::default()), TlsSpec::read);
    let method = fields.word("method").unwrap_or("GET");
    let max_body = fields.size("max_body").unwrap_or(64 << 10);
    let expect = AppAnswer::read(fields, method, max_body);
    let way = read_way(fields);
    let (request, url) = RequestSpec::read(fields, method)?;
    let version = read_version(fields, url.is_plain);
    let host = match way {
        // Whoever listens there is on this pod.
        Some(Way::Socket(_)) => Some("localhost".to_owned()),
        _ => url.host,
    };
    if fields.section("tls").is_some() && url.is_plain && fields.integer("max_redirects") == Some(0) {
        let help = "write `https://` in `url`, or remove `tls`";
        fields.warning("tls", "ineffective-key", "`tls` has no effect on a `http://` URL", Some(help.into()));
    }
    if fields.word("redirects") == Some("any") && fields.integer("max_redirects") == Some(0) {
        let help = "write `max_redirects: 5` as well, or remove it";
        let message = "`redirects` has no effect: no redirect is followed";
        fields.warning("redirects", "ineffective-key", message, Some(help.into()));
    }
    if request.may_have_effect() && fields.get(MAX_CONNECTION_AGE.name).is_some() {
        let message = format!("`max_connection_age` has no effect on a {method}: it always has a fresh connection");
        fields.warning(MAX_CONNECTION_AGE.name, "ineffective-key", message, Some("remove it".into()));
    }
    let family = read_family(fields, way.as_ref(), host.as_deref());
    let declared = HttpSection {
        request,
        expect: expect?,
        tls: tls?,
        way: way?,
        version: version?,
        secrets: Redactor::of_section(fields),
        takes_cookies: fields.flag("cookies") != Some(false),
        family,
        max_redirects: fields.integer("max_redirects").and_then(|max| usize::try_from(max).ok()).unwrap_or(0),
        to_any_host: fields.word("redirects") == Some("any"),
        max_body: usize::try_from(max_body).unwrap_or(64 << 10),
    };
    let mut target = redact::target(&fields.text("url")?.written);
    for (key, word) in [("unix_socket", "over"), ("proxy", "through")] {
        if let Some(text) = fields.text(key) {
            target = format!("{target} {word} {}", redact::target(&text.written));
        }
    }
    let max_age = ConnectionAge::read(fields);
    Some(Box::new(HttpSpec { target, host, max_age, declared: Arc::new(declared) }))
}

/// Which addresses are tried of what is dialled: `host`, or the proxy before it.
fn read_family(fields: &Section, way: Option<&Way>, host: Option<&str>) -> AddressFamily {
    let dialled = match way {
        Some(Way::Address) => host,
        Some(Way::Proxy(proxy)) => Some(proxy.host()),
        Some(Way::Socket(_)) | None => None,
    };
    if matches!(way, Some(Way::Socket(_))) {
        AddressFamily::report_unused(fields);
    }
    AddressFamily::read(fields, dialled)
}

/// Which HTTP is spoken. Problems are reported at the key.
fn read_version(fields: &Section, is_plain: bool) -> Option<HttpVersion> {
    match fields.word("version") {
        Some("1.1") => Some(HttpVersion::Http1),
        Some("2") if fields.get("proxy").is_some() && is_plain => {
            let message = "a proxy is spoken to in HTTP/1.1: without TLS there is no tunnel for HTTP/2";
            fields.error(
                "version",
                "invalid-value",
                message,
                Some("write `https://` in `url`, or remove `version`".into()),
            );
            None
        }
        Some("2") => Some(HttpVersion::Http2),
        _ => Some(HttpVersion::Auto),
    }
}

/// How servers are reached. Problems are reported at their keys.
fn read_way(fields: &Section) -> Option<Way> {
    match (fields.get("unix_socket"), fields.get("proxy")) {
        (None, None) => Some(Way::Address),
        (Some(_), None) => UnixSocket::read(fields, "unix_socket").map(Way::Socket),
        (None, Some(_)) => HttpProxy::read(fields).map(Way::Proxy),
        (Some(_), Some(_)) => {
            let message = "no proxy leads to a Unix socket: `proxy` and `unix_socket` exclude each other";
            fields.error("proxy", "invalid-value", message, Some("remove one of them".into()));
            None
        }
    }
}

impl fmt::Debug for HttpSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpSpec").field(&self.target).finish()
    }
}

impl Spec for HttpSpec {
    fn target(&self) -> Option<String> {
        Some(self.target.clone())
    }

    fn hosts(&self) -> Vec<&str> {
        // What a proxy elsewhere does not let through is no fault of this pod, wherever the URL leads from there.
        let proxy = match &self.declared.way {
            Way::Proxy(proxy) => Some(proxy.host()),
            Way::Address | Way::Socket(_) => None,
        };
        proxy.into_iter().chain(self.host.as_deref()).collect()
    }

    fn max_connection_age(&self) -> Duration {
        if self.declared.request.may_have_effect() { Duration::ZERO } else { self.max_age.effective() }
    }

    fn prefer_fresh_connections(&mut self, where_to: &dyn Fn(&[&str]) -> bool) {
        if where_to(&self.hosts()) {
            self.max_age.prefer_fresh();
        }
    }

    fn build(&self, context: &BuildContext) -> Box<dyn Probe> {
        let (declared, network) = (Arc::clone(&self.declared), Arc::clone(&context.network));
        let server = HttpServer { declared, network, judging: Searches::default() };
        Box::new(HttpProbe { server, reused: Reused::new(self.max_connection_age()) })
    }
}

struct HttpProbe {
    server: HttpServer,
    reused: Reused<HttpSession>,
}

/// Where to ask, and how.
#[derive(Clone)]
struct HttpServer {
    declared: Arc<HttpSection>,
    network: Arc<Network>,
    judging: Searches<JudgedAnswer>,
}

impl Probe for HttpProbe {
    fn observe<'a>(&'a mut self, run: &'a RunContext) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let declared = &self.server.declared;
            run.trace.keep_secret(|| declared.secrets_of(run, &locked(&run.cookies)));
            let prepared = declared.request.fill(&run.captured)?;
            let takes_cookies = self.server.declared.takes_cookies;
            let found = if takes_cookies { locked(&run.cookies).clone() } else { CookieJar::default() };
            let query = HttpQuery { prepared, found, left: Mutex::default() };
            let result = self.reused.run(&self.server, &query, run).await;
            let left = query.left.into_inner().unwrap_or_else(PoisonError::into_inner);
            if let Some(left) = left.filter(|_| takes_cookies) {
                *locked(&run.cookies) = left;
            }
            result
        })
    }
}

impl HttpSection {
    /// What nobody is to see of what a run has sent, or heard and sends back; nothing where nothing is shown.
    fn secrets_of(&self, run: &RunContext, cookies: &CookieJar) -> Redactor {
        /// What a shorter cookie holds is a word (`lang=en`).
        const SHORTEST: usize = 6;
        if !self.shows(&run.trace) {
            return Redactor::default();
        }
        let mut cookies = cookies_of(cookies);
        cookies.retain(|(_, value)| value.len() >= SHORTEST);
        let cookies = cookies.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.secrets.and(cookies).and_captured(run.captured.secrets())
    }

    /// Whether anything of an answer may be shown.
    fn shows(&self, trace: &Trace) -> bool {
        self.expect.has_message() || trace.is_noting()
    }
}

/// Names and values as captures read them.
fn cookies_of(jar: &CookieJar) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    jar.pairs().map(|(name, value)| (text(name), text(value))).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a run asks. Asked once more over a fresh connection, it begins with the same cookies: one that binds to the
/// server which has just failed would lead there again.
struct HttpQuery {
    prepared: Arc<Prepared>,
    /// The cookies that the run begins with.
    found: CookieJar,
    /// Those that the exchange which counts leaves, where there are any.
    left: Mutex<Option<CookieJar>>,
}

/// The connections of a run, which serve successive ones: more than one where redirects are followed.
struct HttpSession {
    server: HttpServer,
    pool: ConnectionPool,
}

impl Session for HttpSession {
    type Target = HttpServer;
    type Query = HttpQuery;

    /// Dials nothing yet: where a request goes may only be known from the answer to another.
    async fn connect(server: &HttpServer, _: &Trace) -> Result<Self, Failure> {
        Ok(Self { server: server.clone(), pool: ConnectionPool::default() })
    }

    async fn query(&mut self, query: &HttpQuery, run: &RunContext) -> (ProbeResult, Disposition) {
        let HttpServer { declared, network, .. } = &self.server;
        let cookies = query.found.clone();
        let mut exchange = Exchange { declared, network, run, pool: &mut self.pool, cookies, expiry: None };
        let received = exchange.complete(&query.prepared).await;
        let Exchange { expiry, cookies, .. } = exchange;
        let secrets = declared.secrets_of(run, &cookies);
        run.trace.keep_secret(|| secrets.clone());
        let kept_cookies = if run.keeps_answer() { cookies_of(&cookies) } else { Vec::new() };
        *locked(&query.left) = Some(cookies);
        let not_after = expiry.map(|expiry| expiry.at);
        // Whatever the answer is worth, the connections that are left are sound.
        self.pool.settle();
        let (judged, answer) = match received {
            Ok(received) => {
                // What a step captures may be a secret.
                run.trace.note_body(&received.body, run.keeps_answer());
                let judging = Judging {
                    received,
                    captured: run.captured.clone(),
                    captures: Arc::clone(&run.captures),
                    cookies: kept_cookies,
                    secrets,
                    trace: Arc::clone(&run.trace),
                };
                let (cost, declared) = (judging.cost(declared), Arc::clone(declared));
                let judged = self.server.judging.run(cost, move || judging.judge(&declared)).await;
                judged.unwrap_or_else(|failure| (Err(failure), None))
            }
            Err(failure) => (Err(failure), None),
        };
        let result = match judged {
            Ok(PassingAnswer { worry, said }) => {
                let worries: Vec<String> = worry.into_iter().chain(declared.tls.warning(expiry)).collect();
                let (degraded, worries) = (!worries.is_empty(), worries.join("; "));
                let message = match said {
                    Some(said) if degraded => Some(one_line(&format!("{worries}: {said}"))),
                    said => said.or_else(|| degraded.then(|| one_line(&worries))),
                };
                let mut pass = Pass { degraded, message, answer, ..Pass::default() };
                pass.facts.tls_not_after = not_after;
                Ok(pass)
            }
            Err(mut failure) => {
                failure.facts.tls_not_after = not_after;
                failure.answer = answer;
                Err(failure)
            }
        };
        (result, Disposition::Idle)
    }

    fn may_have_effect(query: &HttpQuery) -> bool {
        !query.prepared.method.is_safe()
    }

    fn is_open(&mut self) -> bool {
        self.pool.any_is_open()
    }

    /// Dropping them ends them in good order.
    async fn close(self) {}
}

/// What an error of the client means, before an answer has begun or after. Its own text says nothing of what was sent.
fn failure_of(error: &hyper::Error, has_begun: bool) -> Failure {
    if let Some(excess) = failure::find::<Excess>(error) {
        return excess.failure();
    }
    if let Some(failure) = failure::of_chain(error) {
        let is_below = failure::find::<TooLong>(error).is_some() || failure::find::<rustls::Error>(error).is_some();
        return match failure.kind {
            _ if is_below => failure,
            // An I/O error that is hyper's own.
            FailureKind::Protocol => Failure { message: "the answer's chunks are malformed".into(), ..failure },
            _ => failure,
        };
    }
    let is_broken = has_begun || error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let (kind, message) = if is_broken && !error.is_parse() {
        (FailureKind::Connect, "connection closed before the answer was complete")
    } else {
        (FailureKind::Protocol, what_is_wrong(error))
    };
    Failure::new(kind, message).with_detail(error.to_string())
}

/// What keeps an answer from being understood. hyper tells most of it by its words alone.
fn what_is_wrong(error: &hyper::Error) -> &'static str {
    match error.to_string().as_str() {
        _ if error.is_parse_too_large() => "the answer's head is too large",
        _ if error.is_parse_status() => "the answer has no valid status code",
        "invalid HTTP header parsed" => "a header of the answer is malformed",
        "invalid content-length parsed" => "the answer's content-length is not one number",
        "unexpected transfer-encoding parsed" => "the answer has a transfer-encoding, which HTTP/1.0 does not know",
        _ => "the answer is not HTTP",
    }
}
