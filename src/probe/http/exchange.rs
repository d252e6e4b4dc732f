//! One exchange: the request is sent, redirects are followed, the answer is read up to its limit.

use std::sync::Arc;

use hyper::Response;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING};

use super::connections::{ConnectionPool, HttpConnection, HttpDialer};
use super::expect::Received;
use super::redirect::{self, Guard};
use super::request::{Address, Prepared};
use super::{HttpSection, failure_of};
use crate::base::quantity::show_size;
use crate::base::trace::Phase;
use crate::model::outcome::{Failure, FailureKind, one_line};
use crate::probe::RunContext;
use crate::probe::net::presented::Expiry;
use crate::probe::net::reach::Reach;
use crate::probe::net::{Network, failure};

/// A run on its way through one or more requests.
pub(super) struct Exchange<'a> {
    pub(super) declared: &'a HttpSection,
    pub(super) network: &'a Network,
    pub(super) run: &'a RunContext,
    pub(super) pool: &'a mut ConnectionPool,
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
            let mut connection = self.connection_for(&request, &prepared.address, guard).await?;
            let response = connection.send(request.to_send(), self.declared.max_body, &self.run.trace).await?;
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
            self.run.trace.note(|| format!("status {}, a redirect", status.as_u16()));
            drop(response);
            guard = Guard::RedirectFrom(Reach::of(connection.peer()));
            self.pool.put_back(connection);
            let target = target?;
            redirect::check_host(&prepared.address.origin.host, &target.origin.host, self.declared.to_any_host)?;
            request = Arc::new(redirect::following(&request, target, status)?);
            self.run.trace.note(|| format!("status {}, a redirect that is followed", status.as_u16()));
        }
        unreachable!("redirects are counted up to a limit")
    }

    /// A connection for this request of a run that begins at `first`.
    async fn connection_for(
        &mut self,
        request: &Prepared,
        first: &Address,
        guard: Guard,
    ) -> Result<HttpConnection, Failure> {
        let (declared, origin) = (self.declared, &request.address.origin);
        // A name for the server of the check is none for one that it redirects to.
        let elsewhere = (origin.host != first.origin.host).then(|| declared.tls.clone().expecting_the_host());
        let tls = elsewhere.as_ref().unwrap_or(&declared.tls);
        let dialer = HttpDialer { network: self.network, tls, guard };
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
    run.trace.note(|| head_of(status, &headers));
    let ends_with_connection = !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
    let limit = declared.max_body;
    let must_be_whole = run.keep_answer || declared.expect.needs_whole_body();
    let mut body = Vec::new();
    let is_cut = loop {
        let is_full = body.len() == limit && limit > 0;
        if is_full && announced != Some(limit as u64) && !must_be_whole {
            // Whether there is more is not worth waiting for.
            break true;
        }
        match connection.piece(&mut incoming).await {
            Ok(Some(piece)) => {
                let room = limit - body.len();
                body.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.len() > room {
                    break true;
                }
            }
            Ok(None) => break false,
            // Many a server hangs up without TLS's goodbye; where the end of the connection is the end of the body,
            // that is all there is to come.
            Err(error) if ends_with_connection && is_end_of_file(&error) => break false,
            Err(error) => return Err(failure_of(&error, true)),
        }
    };
    if body.starts_with(BYTE_ORDER_MARK) {
        body.drain(..BYTE_ORDER_MARK.len());
    }
    run.trace.note(|| {
        let more = if is_cut { ", of which there is more" } else { "" };
        format!("body of {}{more}", show_size(body.len() as u64))
    });
    Ok(Received { status, headers, body, is_cut })
}

/// The head of an answer for somebody who debugs: no header's value but the type of the body.
fn head_of(status: u16, headers: &HeaderMap) -> String {
    let count = headers.len();
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).and_then(|kind| kind.split(';').next());
    let kind = kind.map(|kind| format!(", {}", one_line(kind))).unwrap_or_default();
    format!("status {status}, {count} header{}{kind}", if count == 1 { "" } else { "s" })
}

fn is_end_of_file(error: &hyper::Error) -> bool {
    failure::find::<std::io::Error>(error).is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
}
