//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::Service;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::answer::Answer;
use super::body::Body;
use super::connection_state::{ConnectionState, TrackedSocket};
use super::http2::preface::{self, Protocol};
use super::http2::streams::OpenStream;
use super::listen::ListenerRoutes;
use super::request::ConnectionAddresses;
use super::respond::{Responding, respond};
use super::sent_body::SentBody;
use super::shared::Shared;
use super::{App, grpc, http2};
use crate::base::clock::Moment;

/// The bound on a request's head: its line and headers.
pub(super) const HEAD_SIZE: usize = 16 * 1024;
/// What is read and thrown away after the last answer, so that the client gets to read it.
const LINGER_SIZE: usize = 256 * 1024;
/// And for how long.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// What all connections of a server share.
#[derive(Clone, Debug)]
pub(super) struct ConnectionContext {
    pub(super) app: Arc<App>,
    pub(super) shared: Arc<Shared>,
    /// True once the server is to end.
    pub(super) closing: watch::Receiver<bool>,
}

/// Why a connection ends.
enum ConnectionEnd {
    /// It came to its own end, or to an error.
    Over,
    /// Its client took too long, or it is a stream and the server ends.
    Cut,
    /// It has to make room.
    Asked,
}

/// Serves a connection until one of the two sides has had enough.
pub(super) async fn attend(
    mut context: ConnectionContext,
    mut socket: TcpStream,
    ends: ConnectionAddresses,
    address: ListenerRoutes,
    state: Arc<ConnectionState>,
) {
    let Some((protocol, first)) = preface::read(&mut socket, &state, &mut context.closing).await else { return };
    let service = RequestService(Arc::new(RequestOrigin {
        app: Arc::clone(&context.app),
        shared: Arc::clone(&context.shared),
        ends,
        address,
        state: Arc::clone(&state),
    }));
    if protocol == Protocol::Http2 {
        let socket = TrackedSocket::http2(socket, first, Arc::clone(&state));
        return Box::pin(http2::attend(socket, service, &mut context.closing, &state)).await;
    }
    let io = TokioIo::new(TrackedSocket::new(socket, first, Arc::clone(&state)));
    let mut connection = rules().serve_connection(io, service);
    match run(&mut connection, &mut context.closing, &state).await {
        ConnectionEnd::Cut => {}
        ConnectionEnd::Over => {
            let socket = connection.into_parts().io.into_inner().socket;
            // With its buffer it is larger than all the rest of a connection, and lasts a moment.
            let lingering = Box::pin(linger(socket));
            tokio::select! {
                () = lingering => {}
                () = state.asked_to_leave() => {}
            }
        }
        ConnectionEnd::Asked => {
            // A request that has just arrived is still answered.
            tokio::task::yield_now().await;
            poll_fn(|cx| {
                let _ = poll(&mut connection, &state, cx);
                Poll::Ready(())
            })
            .await;
        }
    }
}

/// Answers the requests of one connection.
pub(super) struct RequestService(Arc<RequestOrigin>);

/// Where requests come from: their connection, and what they are answered from.
struct RequestOrigin {
    app: Arc<App>,
    shared: Arc<Shared>,
    ends: ConnectionAddresses,
    address: ListenerRoutes,
    state: Arc<ConnectionState>,
}

impl Service<Request<Incoming>> for RequestService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let (head, body) = request.into_parts();
        let mut asked = Asked {
            progress: RequestProgress {
                origin: Arc::clone(&self.0),
                stream: None,
                has_body: head.method != Method::HEAD,
            },
            head,
            body: SentBody::Empty,
        };
        if asked.head.version == Version::HTTP_2 {
            let Some(stream) = OpenStream::begin(&self.0.state, &self.0.shared.further_streams) else {
                return Answering::Later(Box::pin(async move { asked.refuse() }));
            };
            asked.progress.stream = Some(Box::new(stream));
            if grpc::is_call(&asked.head) {
                return Answering::Later(Box::pin(asked.call(body)));
            }
        }
        if body.is_end_stream() {
            return Answering::Asked(asked);
        }
        Answering::Later(Box::pin(async move {
            let asked = Asked { body: SentBody::take(body).await, ..asked };
            poll_fn(|cx| asked.progress.has_its_turn(cx)).await;
            let response = match asked.respond() {
                Responding::Now(response, _) => response,
                Responding::Later(response) => response.await,
            };
            asked.progress.answered_now(response)
        }))
    }
}

/// A request.
pub(super) struct Asked {
    head: Parts,
    progress: RequestProgress,
    body: SentBody,
}

impl Asked {
    fn respond(&self) -> Responding {
        let RequestOrigin { app, shared, ends, address, .. } = &*self.progress.origin;
        respond(app, shared, *ends, address, &self.head, &self.body)
    }

    /// Answers a call of gRPC.
    async fn call(self, body: Incoming) -> Response<Body> {
        let message = grpc::read_message(&self.head, body).await;
        poll_fn(|cx| self.progress.has_its_turn(cx)).await;
        let RequestOrigin { app, shared, ends, address, .. } = &*self.progress.origin;
        let response = grpc::respond(app, shared, *ends, address, &self.head, message);
        self.progress.answered_now(response)
    }

    /// More streams are open than there is room for.
    fn refuse(self) -> Response<Body> {
        self.progress.origin.state.has_answered();
        let response =
            if grpc::is_call(&self.head) { grpc::busy() } else { Answer::too_many_streams().into_response() };
        if self.progress.has_body { response } else { without_body(response) }
    }
}

/// The same without its body, as `HEAD` is answered: over HTTP/2 the library would send it.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    let length = response.body().length();
    if length > 0 {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.map(|_| Body::full(Bytes::new()))
}

/// Where the progress of a request is recorded.
struct RequestProgress {
    origin: Arc<RequestOrigin>,
    /// The stream that it came on, over HTTP/2.
    stream: Option<Box<OpenStream>>,
    has_body: bool,
}

impl RequestProgress {
    /// Whether its connection has something left of its turn.
    fn has_its_turn(&self, cx: &Context<'_>) -> Poll<()> {
        match &self.stream {
            Some(stream) => stream.has_its_turn(cx),
            None => self.origin.state.share_left(cx).map(|_| ()),
        }
    }

    /// Its answer waits.
    fn waits(&mut self) {
        match &mut self.stream {
            Some(stream) => stream.waits(),
            None => self.origin.state.waits(),
        }
    }

    /// It has just been answered with `response`.
    fn answered_now(self, response: Response<Body>) -> Response<Body> {
        let now = self.origin.state.now();
        self.answered(response, now)
    }

    /// It has been answered with `response`, at `now`.
    fn answered(mut self, response: Response<Body>, now: Moment) -> Response<Body> {
        let response = if self.has_body { response } else { without_body(response) };
        let length = response.body().length();
        let streaming = !response.body().is_full();
        match self.stream.take() {
            None => {
                self.origin.state.answered(streaming, length, now);
                response
            }
            Some(mut stream) => {
                stream.answered(streaming, length);
                response.map(|body| body.on(stream))
            }
        }
    }
}

/// An answer: there at once, if the connection has something left of its share, but for requests that have a body or
/// are answered from elsewhere.
#[allow(clippy::large_enum_variant)] // a connection has one at a time, and most are the large one
pub(super) enum Answering {
    Asked(Asked),
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    /// It has been answered.
    Over,
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Self::Asked(asked) = &*self {
            ready!(asked.progress.has_its_turn(cx));
            let response = asked.respond();
            if let Self::Asked(Asked { mut progress, .. }) = std::mem::replace(&mut *self, Self::Over) {
                match response {
                    Responding::Now(response, now) => return Poll::Ready(Ok(progress.answered(response, now))),
                    Responding::Later(response) => {
                        progress.waits();
                        *self = Self::Later(Box::pin(async move { progress.answered_now(response.await) }));
                    }
                }
            }
        }
        let Self::Later(response) = &mut *self else { return Poll::Pending };
        response.as_mut().poll(cx).map(Ok)
    }
}

/// The limits on time are kept by the state, which costs no timer per request.
fn rules() -> Builder {
    let mut rules = Builder::new();
    rules
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(HEAD_SIZE)
        .max_header_size(HEAD_SIZE)
        .half_close(true);
    rules
}

type Http1Connection = Connection<TokioIo<TrackedSocket>, RequestService>;

/// Runs the connection until it ends for one reason or another.
async fn run(
    connection: &mut Http1Connection,
    closing: &mut watch::Receiver<bool>,
    state: &ConnectionState,
) -> ConnectionEnd {
    let mut watchdog = pin!(tokio::time::sleep(state.time_left()));
    let mut is_closing = false;
    loop {
        tokio::select! {
            biased;
            () = poll_fn(|cx| poll(connection, state, cx)) => return ConnectionEnd::Over,
            () = state.asked_to_leave() => return ConnectionEnd::Asked,
            () = watchdog.as_mut() => match state.time_left() {
                Duration::ZERO => return ConnectionEnd::Cut,
                left => watchdog.set(tokio::time::sleep(left)),
            },
            _ = closing.wait_for(|closing| *closing), if !is_closing => {
                if state.is_streaming() {
                    return ConnectionEnd::Cut;
                }
                is_closing = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
        }
    }
}

fn poll(connection: &mut Http1Connection, state: &ConnectionState, cx: &mut Context<'_>) -> Poll<()> {
    state.has_its_turn(cx);
    // What went wrong is the client's business: it has been told with a 400, or is gone.
    let done = connection.poll_without_shutdown(cx).map(|_| ());
    state.turn_ends();
    done
}

/// Says that nothing more will come and waits a while for the client to do the same: closing a socket with unread
/// bytes resets it, and the last answer is lost.
async fn linger(mut socket: TcpStream) {
    let wait = async {
        socket.shutdown().await?;
        let mut rest = [0; 4096];
        let mut read = 0;
        while read < LINGER_SIZE {
            match socket.read(&mut rest).await? {
                0 => break,
                more => read += more,
            }
        }
        std::io::Result::Ok(())
    };
    // Either way the socket is closed now.
    let _ = tokio::time::timeout(LINGER_TIME, wait).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_head_says_how_long_it_would_be_and_has_no_body() {
        for (text, length) in [("ok", Some("2")), ("", None)] {
            let response = without_body(Answer::text(hyper::StatusCode::OK, text).into_response());
            let told = response.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap());
            assert_eq!((told, response.body().length()), (length, 0));
        }
    }

    #[test]
    fn a_connection_is_small() {
        fn size<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
            size_of::<F>()
        }
        // Every connection has it for as long as it is open, and most are streams or idle.
        assert!(size(attend) < 2048, "{} bytes", size(attend));
    }
}
