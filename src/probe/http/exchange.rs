//! One exchange: the request is sent, redirects are followed, the answer is read up to its limit.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::pin;

use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, HOST,
    HeaderMap, HeaderValue, LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use reqwest::{Method, Response, StatusCode};
use rustls::pki_types::ServerName;
use url::Url;

use super::Declared;
use super::client::Client;
use super::expect::Received;
use super::request::{Prepared, bare};
use super::watch::Hop;
use crate::base::quantity::show_size;
use crate::base::trace::Phase;
use crate::model::outcome::{Failure, FailureKind, one_line};
use crate::probe::Run;
use crate::probe::net::{failure, tls};

/// Sends the request, follows as many redirects as declared, and reads the answer.
pub(super) async fn exchange(
    declared: &Declared,
    prepared: &Prepared,
    client: &Client,
    run: &Run,
) -> Result<Received, Failure> {
    client.tls().trace(&run.trace);
    let mut request = Cow::Borrowed(prepared);
    for followed in 0.. {
        let greeting = greeting_of(declared, &request.url, prepared.url.host_str());
        let response = send(&request, greeting, client, run).await?;
        let Some(target) = redirect_of(&response, &request.url).filter(|_| declared.max_redirects > 0) else {
            run.trace.enter(Phase::Body);
            return receive(response, declared, run).await;
        };
        if followed == declared.max_redirects {
            let times = if followed == 1 { "redirect" } else { "redirects" };
            return Err(Failure::new(FailureKind::Protocol, format!("more than {followed} {times}")));
        }
        run.trace.note(|| format!("status {}, a redirect that is followed", response.status().as_u16()));
        request = Cow::Owned(redirected(request.into_owned(), target?, response.status()));
    }
    unreachable!("redirects are counted up to a limit")
}

/// The name to greet the server by where it is not the host: reqwest takes it from the URL.
fn greeting_of(declared: &Declared, url: &Url, first_host: Option<&str>) -> Option<String> {
    match declared.tls.server_name() {
        Some(ServerName::DnsName(name)) if url.scheme() == "https" && url.host_str() == first_host => {
            Some(name.as_ref().to_owned())
        }
        _ => None,
    }
}

async fn send(prepared: &Prepared, greeting: Option<String>, client: &Client, run: &Run) -> Result<Response, Failure> {
    let unusable = || Failure::new(FailureKind::Protocol, "the URL cannot be requested");
    let mut headers = prepared.headers.clone();
    let mut url = prepared.url.clone();
    let host = url.host_str().ok_or_else(unusable)?.to_owned();
    let hop = Hop { host: bare(&host).to_owned(), port: url.port_or_known_default().ok_or_else(unusable)? };
    if let Some(greeting) = greeting {
        let authority = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
        headers.entry(HOST).or_insert(HeaderValue::from_str(&authority).map_err(|_| unusable())?);
        url.set_host(Some(&greeting)).map_err(|_| unusable())?;
    }
    let mut builder = client.http().request(prepared.method.clone(), url);
    if let Some((user, password)) = &prepared.basic_auth {
        builder = builder.basic_auth(user.expose(), Some(password.expose()));
    }
    // After basic authentication, so that a header of the check's own replaces it.
    builder = builder.headers(headers);
    if let Some(body) = &prepared.body {
        builder = builder.body(body.clone());
    }
    client.watch().begin(hop, &run.trace);
    let mut sending = pin!(builder.send());
    let mut is_first = true;
    let sent = poll_fn(|context| {
        let polled = sending.as_mut().poll(context);
        // The client asks for a connection at once, unless it has one.
        if std::mem::take(&mut is_first) && !client.watch().has_dialled() {
            run.trace.enter(Phase::Answer);
        }
        polled
    });
    sent.await.map_err(|error| {
        let failure = failure_of(&error);
        match run.trace.current() {
            Some(Phase::Tls) => tls::of_handshake(failure),
            _ => failure,
        }
    })
}

/// Where the answer redirects to, if it does (RFC 9110, section 15.4).
fn redirect_of(response: &Response, from: &Url) -> Option<Result<Url, Failure>> {
    use StatusCode as Code;
    let redirects =
        [Code::MOVED_PERMANENTLY, Code::FOUND, Code::SEE_OTHER, Code::TEMPORARY_REDIRECT, Code::PERMANENT_REDIRECT];
    if !redirects.contains(&response.status()) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    let target = std::str::from_utf8(location.as_bytes()).ok().and_then(|location| from.join(location).ok());
    Some(match target {
        Some(url) if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() => Ok(url),
        _ => Err(Failure::new(FailureKind::Protocol, "a redirect leads to no HTTP address")),
    })
}

/// The request that follows a redirect: credentials stay with the origin they were meant for, and what was a POST
/// becomes a GET where browsers do so (RFC 9110, sections 15.4.2 to 15.4.4).
fn redirected(mut request: Prepared, mut target: Url, status: StatusCode) -> Prepared {
    let becomes_get = match status {
        StatusCode::SEE_OTHER => request.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => request.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        request.method = Method::GET;
        request.body = None;
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
            request.headers.remove(name);
        }
    }
    if target.origin() != request.url.origin() {
        request.basic_auth = None;
        for name in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, HOST] {
            request.headers.remove(name);
        }
    }
    // Neither fails for a URL with a host; what a server writes there is not ours to send.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    request.url = target;
    request
}

async fn receive(mut response: Response, declared: &Declared, run: &Run) -> Result<Received, Failure> {
    let announced = response.content_length();
    let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
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
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = limit - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    break true;
                }
            }
            Ok(None) => break false,
            // Many a server hangs up without TLS's goodbye; where the end of the connection is the end of the body,
            // that is all there is to come.
            Err(error) if ends_with_connection && is_end_of_file(&error) => break false,
            Err(error) => return Err(failure_of(&error)),
        }
    };
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

fn is_end_of_file(error: &reqwest::Error) -> bool {
    failure::find::<std::io::Error>(error).is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
}

/// What a client error means. Its own text is not used: it holds the URL.
fn failure_of(error: &reqwest::Error) -> Failure {
    if let Some(failure) = failure::of_chain(error) {
        return failure;
    }
    let Some(error) = failure::find::<hyper::Error>(error) else {
        return Failure::new(FailureKind::Protocol, "the request failed");
    };
    let (kind, message) = if error.is_parse_too_large() {
        (FailureKind::Protocol, "the answer's head is too large")
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        (FailureKind::Connect, "connection closed before the answer was complete")
    } else {
        (FailureKind::Protocol, "the answer is not HTTP")
    };
    Failure::new(kind, message).with_detail(error.to_string())
}
