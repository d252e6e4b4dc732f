//! The kind `http`: one request, and what is expected of its answer.
//!
//! `request` fills and checks what is sent, `spelling` keeps the case of its names, `lines` keeps connections, `exchange` sends and reads, `expect` judges.

mod exchange;
mod expect;
mod lines;
mod request;
mod spelling;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::exchange::Exchange;
use self::expect::Expectations;
use self::lines::Lines;
use self::request::RequestSpec;
use super::net::age::{ConnectionAge, MAX_CONNECTION_AGE};
use super::net::tls::{self, TlsSpec};
use super::net::{Network, failure};
use super::{BoxFuture, KindOfProbe, Probe, Run, Setting, Spec};
use crate::base::redact;
use crate::base::shape::{Field, Shape};
use crate::base::value::Fields;
use crate::model::outcome::{Failure, FailureKind, Pass, ProbeResult};

/// The kind.
pub static KIND: KindOfProbe = KindOfProbe {
    name: "http",
    doc: "One HTTP request, and what is expected of its answer.",
    fields: FIELDS,
    read,
    cadence: None,
};

const FIELDS: &[Field] = &[
    Field::required(
        "url",
        Shape::Url { schemes: &["http", "https"] },
        "Where the request goes: `https://user.svc:8443/health`. User and password in it are sent as basic \
         authentication. Proxies of the environment are not used.",
    ),
    Field::with_default(
        "method",
        Shape::Word(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        "GET",
        "The method.",
    ),
    Field::optional(
        "headers",
        Shape::Map(&Shape::Template),
        "Headers of the request, by name. Names are sent as they are written.",
    ),
    Field::optional(
        "body",
        Shape::Template,
        "The body of the request. One that is JSON is sent as `application/json` unless `headers` says otherwise.",
    ),
    Field::with_default(
        "max_redirects",
        Shape::Integer { min: 0, max: 20 },
        "0",
        "How many redirects are followed. With 0 a redirect is an answer like any other. Credentials, and headers with \
         an expansion or a captured value in them, are not sent to another origin.",
    ),
    Field::with_default("max_body", Shape::Size, "64KiB", "No more than this is read of the answer's body."),
    Field::optional("expect", Shape::Section(expect::FIELDS), "What the answer must be like. Default: any 2xx."),
    Field::optional("tls", Shape::Section(tls::FIELDS), "How TLS is spoken."),
    MAX_CONNECTION_AGE,
];

struct HttpSpec {
    target: String,
    host: Option<String>,
    max_age: ConnectionAge,
    declared: Arc<Declared>,
}

/// What is sent, how, and what is expected, as a probe needs it.
struct Declared {
    request: RequestSpec,
    expect: Expectations,
    tls: TlsSpec,
    max_redirects: usize,
    max_body: usize,
}

fn read(fields: &Fields) -> Option<Box<dyn Spec>> {
    let tls = fields.section("tls").map_or_else(|| Some(TlsSpec::default()), TlsSpec::read);
    let method = fields.word("method").unwrap_or("GET");
    let expect = Expectations::read(fields.section("expect"), method);
    let request = RequestSpec::read(fields, method)?;
    let host = request.host();
    if fields.section("tls").is_some() && request.is_plain() && fields.integer("max_redirects") == Some(0) {
        let help = "write `https://` in `url`, or remove `tls`";
        fields.warning("tls", "ineffective-key", "`tls` has no effect on a `http://` URL", Some(help.into()));
    }
    let declared = Declared {
        request,
        expect: expect?,
        tls: tls?,
        max_redirects: fields.integer("max_redirects").and_then(|max| usize::try_from(max).ok()).unwrap_or(0),
        max_body: fields.size("max_body").and_then(|size| usize::try_from(size).ok()).unwrap_or(64 << 10),
    };
    let target = redact::target(&fields.text("url")?.written);
    let max_age = ConnectionAge::read(fields);
    Some(Box::new(HttpSpec { target, host, max_age, declared: Arc::new(declared) }))
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

    fn hosts(&self) -> Vec<String> {
        self.host.iter().cloned().collect()
    }

    fn max_connection_age(&self) -> Duration {
        self.max_age.effective()
    }

    fn prefer_fresh_connections(&mut self, where_to: &dyn Fn(&[String]) -> bool) {
        if where_to(&self.hosts()) {
            self.max_age.prefer_fresh();
        }
    }

    fn build(&self, setting: &Setting) -> Box<dyn Probe> {
        let declared = Arc::clone(&self.declared);
        let (network, max_age) = (Arc::clone(&setting.network), self.max_age.effective());
        Box::new(HttpProbe { declared, network, max_age, lines: Lines::default() })
    }
}

struct HttpProbe {
    declared: Arc<Declared>,
    network: Arc<Network>,
    max_age: Duration,
    /// A run takes them out, so that one that is cut short leaves none.
    lines: Lines,
}

impl Probe for HttpProbe {
    fn observe<'a>(&'a mut self, run: &'a Run) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let declared = &*self.declared;
            let prepared = declared.request.fill(&run.captured)?;
            let lines = std::mem::take(&mut self.lines);
            let max_age = self.max_age;
            let mut exchange = Exchange { declared, network: &self.network, run, lines, max_age, not_after: None };
            let mut received = exchange.complete(&prepared).await;
            if received.as_ref().is_err_and(|failure| failure.kind == FailureKind::Connect) && exchange.lines.was_used()
            {
                // No connection of the second attempt has been used before, by an earlier request of this run either.
                exchange = Exchange { lines: Lines::default(), max_age: Duration::ZERO, not_after: None, ..exchange };
                received = exchange.complete(&prepared).await;
            }
            let Exchange { lines, not_after, .. } = exchange;
            // Whatever the answer is worth, the connection over which it came is sound.
            self.lines = lines.settle(max_age);
            let judged = received.and_then(|received| {
                declared.expect.judge(&received, &run.captured)?;
                Ok(received)
            });
            match judged {
                Ok(received) => {
                    let answer = run.keep_answer.then(|| Box::new(received.into_answer()));
                    let warning = declared.tls.warning(not_after);
                    let mut pass = Pass { degraded: warning.is_some(), message: warning, answer, ..Pass::default() };
                    pass.facts.tls_not_after = not_after;
                    Ok(pass)
                }
                Err(mut failure) => {
                    failure.facts.tls_not_after = not_after;
                    Err(failure)
                }
            }
        })
    }
}

/// What an error of the client means, before an answer has begun or after. Its own text says nothing of what was sent.
fn failure_of(error: &hyper::Error, has_begun: bool) -> Failure {
    if let Some(failure) = failure::of_chain(error) {
        return match failure.kind {
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
