//! One exchange: the request is sent, redirects are followed, the answer is read up to its limit.

use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, SET_COOKIE, TRANSFER_ENCODING,
};
use hyper::{Method, Response};

use super::HttpSection;
use super::connections::{ConnectionPool, HttpConnection, HttpDialer};
use super::encoding::{self, Decoder};
use super::expect::Received;
use super::pace::Pace;
use super::redirect::{self, Guard, is_same_host};
use super::request::{Address, Prepared};
use super::spelling::HeadFields;
use super::way::Way;
use crate::base::quantity::show_size;
use crate::base::trace::Phase;
use crate::model::outcome::{Failure, FailureKind, one_line};
use crate::probe::RunContext;
use crate::probe::cookies::{CookieJar, CookieSite};
use crate::probe::net::presented::Expiry;
use crate::probe::net::{Network, failure};

/// A run on its way through one or more requests.
pub(super) struct Exchange<'a> {
    pub(super) declared: &'a HttpSection,
    pub(super) network: &'a Network,
    pub(super) run: &'a RunContext,
    pub(super) pool: &'a mut ConnectionPool,
    /// Those that the run began with, and those that servers have set since.
    pub(super) cookies: CookieJar,
    /// The earliest end of validity of the certificates that servers presented.
    pub(super) expiry: Option<Expiry>,
}

impl Exchange<'_> {
    /// Sends the request, follows as many redirects as declared, and reads the answer.
    pub(super) async fn complete(&mut self, prepared: &Arc<Prepared>) -> Result<Received, Failure> {
        let limit = self.declared.max_redirects;
        let mut request = Arc::clone(prepared);
        let mut guard = Guard::Declared;
        for followed in 0.. {
            let (mut connection, response) = self.ask(&request, &prepared.address, guard).await?;
            let site = CookieSite { url: &request.address.url, is_private: connection.end().is_private() };
            let proxy = self.declared.way.reading_proxy(&request.address.origin);
            if let Some(failure) = proxy.and_then(|proxy| proxy.own_answer(response.status(), response.headers())) {
                self.run.trace.note(|| format!("status {}, which the proxy made", response.status().as_u16()));
                return Err(failure);
            }
            if self.declared.takes_cookies {
                self.take_cookies(response.headers(), site);
            }
            let target = redirect::target_of(response.status(), response.headers(), &request.address.url);
            let Some(target) = target.filter(|_| limit > 0) else {
                self.run.trace.enter(Phase::Body);
                let received = receive(response, &mut connection, self.declared, self.run).await?;
                self.pool.put_back(connection);
                return Ok(received);
            };
            if followed == limit {
                let times = if followed == 1 { "redirect" } else { "redirects" };
                return Err(Failure::new(FailureKind::Protocol, format!("more than {followed} {times}")));
            }
            let status = response.status();
            drop(response);
            guard = Guard::RedirectFrom(connection.end().reach());
            self.pool.put_back(connection);
            let next = target.and_then(|target| {
                redirect::check_host(&prepared.address.origin.host, &target.origin.host, self.declared.to_any_host)?;
                redirect::following(&request, target, status)
            });
            self.run.trace.note(|| {
                let what = if next.is_ok() { "is followed" } else { "is not followed" };
                format!("status {}, a redirect that {what}", status.as_u16())
            });
            request = Arc::new(next?);
        }
        unreachable!("redirects are counted up to a limit")
    }

    /// Sends this request of a run that begins at `first`, and waits for the head of its answer.
    async fn ask(
        &mut self,
        request: &Prepared,
        first: &Address,
        guard: Guard,
    ) -> Result<(HttpConnection, Response<Incoming>), Failure> {
        loop {
            let mut connection = self.connection_for(request, first, guard).await?;
            let mut sent = match self.declared.way.reading_proxy(&request.address.origin) {
                _ if connection.is_http2() => request.to_send_as_http2(),
                Some(proxy) => request.to_send_through(proxy),
                None => request.to_send(),
            };
            if is_looked_at(self.declared, self.run) && request.method != Method::HEAD {
                sent.headers_mut().entry(ACCEPT_ENCODING).or_insert(encoding::ACCEPTED);
            }
            if !self.cookies.is_empty() {
                let is_private = connection.end().is_private();
                self.add_cookies(sent.headers_mut(), CookieSite { url: &request.address.url, is_private });
            }
            match connection.send(sent, self.declared.max_body, &self.run.trace).await {
                Ok(response) => return Ok((connection, response)),
                // The first answer of this kind; what has an effect is ready for it from the start.
                Err(_) if connection.is_short_of_fields() && self.fields_for(request) == HeadFields::Usual => {
                    self.pool.expect_many_fields();
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// What is expected of the head of the answer. Nothing with an effect may have to be sent twice.
    fn fields_for(&self, request: &Prepared) -> HeadFields {
        if request.method.is_safe() { self.pool.fields() } else { HeadFields::Many }
    }

    fn add_cookies(&self, headers: &mut HeaderMap, site: CookieSite<'_>) {
        let text = self.cookies.header(headers.get(COOKIE).map(HeaderValue::as_bytes), site);
        if let Some(mut header) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            header.set_sensitive(true);
            headers.insert(COOKIE, header);
        }
    }

    fn take_cookies(&mut self, headers: &HeaderMap, site: CookieSite<'_>) {
        let (mut taken, mut refused) = (0, 0);
        for cookie in headers.get_all(SET_COOKIE) {
            *(if self.cookies.set(cookie.as_bytes(), site) { &mut taken } else { &mut refused }) += 1;
        }
        if taken + refused > 0 {
            let refused = if refused > 0 { format!(", {refused} not taken") } else { String::new() };
            let cookies = if taken == 1 { "cookie" } else { "cookies" };
            self.run.trace.note(|| format!("{taken} {cookies} set{refused}"));
        }
    }

    /// A connection for this request of a run that begins at `first`.
    async fn connection_for(
        &mut self,
        request: &Prepared,
        first: &Address,
        guard: Guard,
    ) -> Result<HttpConnection, Failure> {
        let (declared, origin) = (self.declared, &request.address.origin);
        // A name for the server of the check is none for one that it redirects to, and neither is its socket. The proxy
        // stays the same.
        let is_elsewhere = !is_same_host(&origin.host, &first.origin.host);
        let elsewhere = is_elsewhere.then(|| declared.tls.clone().expecting_the_host());
        let tls = elsewhere.as_ref().unwrap_or(&declared.tls);
        let way = match &declared.way {
            Way::Socket(_) if is_elsewhere => &Way::Address,
            way => way,
        };
        let (family, version, fields) = (declared.family, declared.version, self.fields_for(request));
        let dialer = HttpDialer { network: self.network, tls, way, family, version, guard, fields };
        let taken = self.pool.take(origin, &dialer, &self.run.trace).await;
        let presented = match &taken {
            Ok(connection) => connection.expiry(),
            Err(failure) => failure.facts.tls_not_after.map(|at| Expiry { at, of_issuer: false }),
        };
        self.expiry = self.expiry.into_iter().chain(presented).min();
        taken
    }
}

/// No part of the text or JSON behind it (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

async fn receive(
    response: Response<Incoming>,
    connection: &mut HttpConnection,
    declared: &HttpSection,
    run: &RunContext,
) -> Result<Received, Failure> {
    let (head, mut incoming) = response.into_parts();
    let (status, headers) = (head.status.as_u16(), head.headers);
    let announced = incoming.size_hint().exact();
    run.trace.note(|| head_of(status, &headers, connection.is_http2()));
    let ends_with_connection =
        !connection.is_http2() && !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
    let limit = declared.max_body;
    let must_be_whole = run.keeps_answer() || declared.expect.needs_whole_body();
    let decoder = is_looked_at(declared, run).then(|| Decoder::of(&headers, Pace::most(limit)));
    let mut body = BodyRead { bytes: Vec::new(), limit, came: 0, decoder: decoder.flatten() };
    let is_cut = loop {
        let is_full = body.bytes.len() == limit && limit > 0;
        if is_full && (announced != Some(limit as u64) || body.decoder.is_some()) && !must_be_whole {
            // Whether there is more is not worth waiting for.
            break true;
        }
        let ended = match connection.piece(&mut incoming).await {
            Ok(Some(piece)) => match body.add(&piece).await {
                Ok(false) => continue,
                ended => ended,
            },
            Ok(None) => body.finish(),
            // Many a server hangs up without TLS's goodbye; where the end of the connection is the end of the body,
            // that is all there is to come.
            Err(error) if ends_with_connection && is_end_of_file(&error) => body.finish(),
            Err(error) => return Err(connection.failure(&error, true)),
        };
        match ended {
            Ok(is_cut) => break is_cut,
            // Of a status that fails the check anyway the body is of no more interest.
            Err(_) if !declared.expect.takes_status(status) => break true,
            Err(failure) => return Err(failure),
        }
    };
    run.trace.note(|| {
        let more = if is_cut { ", of which there is more" } else { "" };
        let came = body.decoder.as_ref().map(|_| format!(", decoded from {}", show_size(body.came as u64)));
        format!("body of {}{}{more}", show_size(body.bytes.len() as u64), came.unwrap_or_default())
    });
    let mut body = body.bytes;
    if body.starts_with(BYTE_ORDER_MARK) {
        body.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(Received { status, headers, body, is_cut })
}

/// Whether somebody looks at the body, so that it must not be compressed in a way that nobody here knows.
fn is_looked_at(declared: &HttpSection, run: &RunContext) -> bool {
    run.keeps_answer() || declared.expect.reads_body()
}

/// A body as far as it has come.
struct BodyRead {
    /// Decoded, where somebody looks at it.
    bytes: Vec<u8>,
    limit: usize,
    /// How many bytes have come.
    came: usize,
    decoder: Option<Decoder>,
}

impl BodyRead {
    /// Adds a piece as it came. Returns whether there is more of the body than its limit.
    async fn add(&mut self, piece: &[u8]) -> Result<bool, Failure> {
        self.came += piece.len();
        if let Some(decoder) = &mut self.decoder {
            return decoder.decode(piece, &mut self.bytes, self.limit).await;
        }
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        Ok(piece.len() > room)
    }

    /// The end has come: there is no more.
    fn finish(&self) -> Result<bool, Failure> {
        self.decoder.as_ref().map_or(Ok(()), Decoder::finish).map(|()| false)
    }
}

/// The head of an answer for somebody who debugs: no header's value but the type of the body.
fn head_of(status: u16, headers: &HeaderMap, is_http2: bool) -> String {
    let version = if is_http2 { " over HTTP/2" } else { "" };
    let count = headers.len();
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).and_then(|kind| kind.split(';').next());
    let kind = kind.map(|kind| format!(", {}", one_line(kind))).unwrap_or_default();
    format!("status {status}{version}, {count} header{}{kind}", if count == 1 { "" } else { "s" })
}

fn is_end_of_file(error: &hyper::Error) -> bool {
    failure::find::<std::io::Error>(error).is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
}
