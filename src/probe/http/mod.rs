//! The kind `http`: one request, and what is expected of its answer.
//!
//! `request` fills and checks what is sent, `client` keeps the connection, `exchange` sends and reads, `expect` judges.

mod client;
mod exchange;
mod expect;
mod request;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::client::Client;
use self::expect::Expectations;
use self::request::RequestSpec;
use super::net::tls::{self, TlsSpec};
use super::net::{MAX_CONNECTION_AGE, Network};
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
    Field::optional("headers", Shape::Map(&Shape::Template), "Headers of the request, by name."),
    Field::optional(
        "body",
        Shape::Template,
        "The body of the request. One that is JSON is sent as `application/json` unless `headers` says otherwise.",
    ),
    Field::with_default(
        "max_redirects",
        Shape::Integer { min: 0, max: 20 },
        "0",
        "How many redirects are followed. With 0 a redirect is an answer like any other.",
    ),
    Field::with_default("max_body", Shape::Size, "64KiB", "No more than this is read of the answer's body."),
    Field::optional("expect", Shape::Section(expect::FIELDS), "What the answer must be like. Default: any 2xx."),
    Field::optional("tls", Shape::Section(tls::FIELDS), "How TLS is spoken."),
    MAX_CONNECTION_AGE,
];

struct HttpSpec {
    target: String,
    host: Option<String>,
    declared: Arc<Declared>,
}

/// What is sent, how, and what is expected, as a probe needs it.
struct Declared {
    request: RequestSpec,
    expect: Expectations,
    tls: TlsSpec,
    max_redirects: usize,
    max_body: usize,
    max_connection_age: Duration,
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
        max_connection_age: fields.duration("max_connection_age").unwrap_or(Duration::from_secs(300)),
    };
    let target = redact::target(&fields.text("url")?.written);
    Some(Box::new(HttpSpec { target, host, declared: Arc::new(declared) }))
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

    fn host(&self) -> Option<String> {
        self.host.clone()
    }

    fn build(&self, setting: &Setting) -> Box<dyn Probe> {
        let declared = Arc::clone(&self.declared);
        Box::new(HttpProbe { declared, network: Arc::clone(&setting.network), kept: None })
    }
}

struct HttpProbe {
    declared: Arc<Declared>,
    network: Arc<Network>,
    /// The client of the last run, with its connection. A run takes it out, so that one that is cut short leaves none.
    kept: Option<Client>,
}

impl Probe for HttpProbe {
    fn observe<'a>(&'a mut self, run: &'a Run) -> BoxFuture<'a, ProbeResult> {
        Box::pin(async move {
            let prepared = self.declared.request.fill(&run.captured)?;
            let mut client = self.client()?;
            let mut received = exchange::exchange(&self.declared, &prepared, &client, run).await;
            if received.as_ref().is_err_and(|failure| failure.kind == FailureKind::Connect) && client.is_reused() {
                client = Client::new(&self.declared, &self.network)?;
                received = exchange::exchange(&self.declared, &prepared, &client, run).await;
            }
            let tls_not_after = client.tls().not_after();
            let warning = client.tls().warning();
            let judged = received.and_then(|received| {
                // The exchange was complete: whatever the answer is worth, the connection is.
                self.kept = Some(client);
                self.declared.expect.judge(&received, &run.captured)?;
                Ok(received)
            });
            match judged {
                Ok(received) => {
                    let answer = run.keep_answer.then(|| Box::new(received.into_answer()));
                    let mut pass = Pass { degraded: warning.is_some(), message: warning, answer, ..Pass::default() };
                    pass.facts.tls_not_after = tls_not_after;
                    Ok(pass)
                }
                Err(mut failure) => {
                    failure.facts.tls_not_after = tls_not_after;
                    Err(failure)
                }
            }
        })
    }
}

impl HttpProbe {
    fn client(&mut self) -> Result<Client, Failure> {
        match self.kept.take().filter(|client| !client.is_older_than(self.declared.max_connection_age)) {
            Some(client) => Ok(client),
            None => Client::new(&self.declared, &self.network),
        }
    }
}
