//! `grpc.health.v1.Health` and HTTP/2 over real sockets, asked by hyper's client: what is said, and when.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use probelet::base::grpc::{framed, health_check_request};
use probelet::base::token::Token;
use probelet::model::plan::Details;
use probelet::model::snapshot::Snapshot;
use probelet::model::state::State;
use std::sync::Arc;

use super::support::*;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const LIST: &str = "/grpc.health.v1.Health/List";

/// A client with one connection.
#[derive(Clone)]
struct Client(SendRequest<Full<Bytes>>);

impl Client {
    async fn of(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut send = self.0.clone();
        send.ready().await.unwrap();
        send.send_request(request.body(Full::new(body.into())).unwrap()).await.unwrap()
    }

    async fn call_with(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Called {
        let headers = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
        Called::from(self.ask("POST", path, &headers, body).await).await
    }

    async fn check(&self, service: &str) -> String {
        self.call_with(CHECK, &[], framed(&health_check_request(service))).await.shown()
    }

    async fn watch(&self, service: &str) -> Incoming {
        let headers = [("content-type", "application/grpc"), ("te", "trailers")];
        let body = framed(&health_check_request(service));
        self.ask("POST", WATCH, &headers, body).await.into_body()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let response = self.ask("GET", path, &[], Vec::new()).await;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// How a call ended.
struct Called {
    code: u16,
    message: Vec<u8>,
    status: HeaderMap,
}

impl Called {
    async fn from(response: Response<Incoming>) -> Self {
        let code = response.status().as_u16();
        let mut status = response.headers().clone();
        let body = response.into_body().collect().await.unwrap();
        if let Some(trailers) = body.trailers() {
            status.extend(trailers.clone());
        }
        Self { code, message: body.to_bytes().to_vec(), status }
    }

    /// `SERVING`, or the number and message of its status.
    fn shown(&self) -> String {
        let header = |name| self.status.get(name).map_or("-", |value| value.to_str().unwrap());
        match (&self.message[..], header("grpc-status")) {
            (b"\0\0\0\0\x02\x08\x01", "0") => "SERVING".into(),
            (b"\0\0\0\0\x02\x08\x02", "0") => "NOT_SERVING".into(),
            (b"", number) => format!("{} {number} {}", self.code, header("grpc-message")),
            (message, number) => format!("{number} {message:?}"),
        }
    }
}

/// The next message of a stream, as its status' number; the code and message that it ends with.
async fn next(body: &mut Incoming) -> Result<u8, String> {
    let frame = body.frame().await.unwrap().unwrap();
    if let Some(message) = frame.data_ref() {
        assert_eq!(message[..6], *b"\0\0\0\0\x02\x08");
        return Ok(message[6]);
    }
    let trailers = frame.into_trailers().unwrap();
    let header = |name| trailers.get(name).unwrap().to_str().unwrap().to_owned();
    Err(format!("{} {}", header("grpc-status"), header("grpc-message")))
}

fn answering(mut snapshot: Snapshot, change: impl FnOnce(&mut probelet::model::plan::Answers)) -> Snapshot {
    change(&mut Arc::make_mut(&mut snapshot.plan).answers);
    snapshot
}

fn several() -> Snapshot {
    let mut aside = definition("aside");
    aside.gates.ready = false;
    snapshot(vec![
        (definition("liveness"), state(State::Error, "it has the name of a gate")),
        (definition("cache"), state(State::Degraded, "slow")),
        (aside, state(State::Error, "gone")),
    ])
}

#[tokio::test]
async fn services_are_the_gates_and_the_checks_and_a_gates_name_wins() {
    let server = Server::of(several());
    let client = Client::of(server.address).await;
    for (service, expected) in [
        ("", "NOT_SERVING"),
        ("readiness", "NOT_SERVING"),
        ("liveness", "SERVING"),
        ("startup", "SERVING"),
        ("cache", "SERVING"),
        ("aside", "NOT_SERVING"),
        ("nobody", "200 5 unknown service"),
        ("readyz", "200 5 unknown service"),
    ] {
        assert_eq!(client.check(service).await, expected, "{service}");
    }
    // Whoever asks by HTTP finds the check.
    assert_eq!(client.get("/healthz/liveness").await.0, 503);
}

#[tokio::test]
async fn names_of_checks_are_known_to_those_who_may_see_them() {
    let server = Server::of(answering(several(), |answers| answers.details = Details::None));
    let client = Client::of(server.address).await;
    // Whoever knows a name asks for it as by HTTP; no name is told.
    for service in ["cache", "internal_api/user", "nobody"] {
        let by_http = client.get(&format!("/healthz/{service}")).await.0;
        let expected = match by_http {
            200 => ("SERVING", 1),
            503 => ("NOT_SERVING", 2),
            _ => ("200 5 unknown service", 3),
        };
        assert_eq!(client.check(service).await, expected.0, "{service}");
        assert_eq!(next(&mut client.watch(service).await).await, Ok(expected.1), "{service}");
    }
    assert_eq!(client.check("startup").await, "SERVING");
    let list = client.call_with(LIST, &[], framed(b"")).await.message;
    assert!(!String::from_utf8_lossy(&list).contains("cache"));

    let server = Server::of(answering(several(), |answers| answers.token = Some(Token::new("hunter2"))));
    let client = Client::of(server.address).await;
    assert_eq!(client.check("startup").await, "SERVING");
    let refused = "200 16 send the token of `server.token` as `authorization: Bearer <token>`";
    for service in ["cache", "nobody"] {
        assert_eq!(client.check(service).await, refused);
        let body = framed(&health_check_request(service));
        assert_eq!(client.call_with(WATCH, &[], body).await.shown(), refused);
    }
    assert_eq!(client.call_with(LIST, &[], framed(b"")).await.shown(), refused);
    let token = [("authorization", "Bearer hunter2")];
    assert_eq!(client.call_with(CHECK, &token, framed(&health_check_request("cache"))).await.shown(), "SERVING");
}

#[tokio::test]
async fn a_list_has_each_service_once_and_is_bounded() {
    let server = Server::of(several());
    let client = Client::of(server.address).await;
    let listed = client.call_with(LIST, &[], framed(b"")).await;
    let entry = |name: &str, status: u8| {
        let name = [&[10, u8::try_from(name.len()).unwrap()], name.as_bytes(), &[18, 2, 8, status]].concat();
        [&[10, u8::try_from(name.len()).unwrap()], &name[..]].concat()
    };
    let expected: Vec<u8> = [("", 2), ("readiness", 2), ("liveness", 1), ("startup", 1), ("cache", 1), ("aside", 2)]
        .iter()
        .flat_map(|(name, status)| entry(name, *status))
        .collect();
    assert_eq!(listed.message, framed(&expected));
    let crowd = (0..97).map(|check| (definition(&format!("check-{check}")), state(State::Ok, "fine")));
    let server = Server::of(snapshot(crowd.collect()));
    let listed = Client::of(server.address).await.call_with(LIST, &[], framed(b"")).await;
    assert_eq!(listed.shown(), "200 8 there are more than 100 services; ask for one by its name");
}

#[tokio::test]
async fn whoever_watches_is_told_at_once_and_then_each_change() {
    let mut server = Server::of(worried());
    let client = Client::of(server.address).await;
    let (mut ready, mut live) = (client.watch("readiness").await, client.watch("liveness").await);
    let (mut cache, mut later) = (client.watch("cache").await, client.watch("later").await);
    assert_eq!(next(&mut ready).await, Ok(1));
    assert_eq!(next(&mut live).await, Ok(1));
    assert_eq!(next(&mut cache).await, Ok(1));
    assert_eq!(next(&mut later).await, Ok(3));
    let turned = |cache: State| {
        snapshot(vec![
            (definition("internal_api/user"), state(State::Ok, "fine")),
            (definition("cache"), state(cache, "changed")),
        ])
    };
    server.recorder.publish(turned(State::Error));
    assert_eq!(next(&mut ready).await, Ok(2));
    assert_eq!(next(&mut cache).await, Ok(2));
    // What does not change is not told: the next that this one hears is the end.
    server.recorder.publish(turned(State::Ok));
    assert_eq!(next(&mut ready).await, Ok(1));
    let mut draining = turned(State::Ok);
    draining.draining = true;
    server.recorder.publish(draining);
    assert_eq!(next(&mut ready).await, Ok(2));
    // A reload brings a check.
    let other = vec![(definition("later"), state(State::Ok, "fine"))];
    server.recorder.publish(snapshot(other));
    assert_eq!(next(&mut later).await, Ok(1));
    let ended = tokio::task::spawn_blocking(move || server.end());
    assert_eq!(next(&mut live).await, Err("14 probelet ends".into()));
    ended.await.unwrap();
}

#[tokio::test]
async fn a_reload_that_lets_see_less_ends_watches_of_checks_and_leaves_those_of_gates() {
    let mut server = Server::of(worried());
    let client = Client::of(server.address).await;
    let (mut ready, mut cache) = (client.watch("").await, client.watch("cache").await);
    let (mut nobody, before) = (client.watch("nobody").await, (next(&mut ready).await, next(&mut cache).await));
    assert_eq!(next(&mut nobody).await, Ok(3));
    let token = Some(Token::new("hunter2"));
    server.recorder.publish(answering(worried(), |answers| answers.token = token));
    let over = Err("14 a reload has changed who may see this; connect again".to_owned());
    assert_eq!((next(&mut cache).await, next(&mut nobody).await), (over.clone(), over));
    let mut draining = answering(worried(), |answers| answers.token = token);
    draining.draining = true;
    server.recorder.publish(draining);
    assert_eq!((before.0, next(&mut ready).await), (Ok(1), Ok(2)));
}

#[tokio::test]
async fn what_is_no_such_call_is_told_so() {
    let server = Server::of(worried());
    let client = Client::of(server.address).await;
    let unknown = "200 12 there is grpc.health.v1.Health alone, with Check, Watch and List";
    for path in ["/grpc.health.v1.Health/Reset", "/orders.v1.Orders/Get", "/readyz", "/"] {
        assert_eq!(client.call_with(path, &[], framed(b"")).await.shown(), unknown, "{path}");
    }
    let request = || framed(&health_check_request(""));
    for (headers, body, expected) in [
        (&[][..], Vec::new(), "200 13 the request has no whole message"),
        (&[], b"\0\0\0\0\x09a".to_vec(), "200 13 the request has no whole message"),
        (&[], [request(), request()].concat(), "200 13 there is more than one message"),
        (&[], framed(b"\x0a\x09x"), "200 13 the message is no HealthCheckRequest"),
        (&[], framed(&[0; 5000]), "200 8 the message is longer than 4096 bytes"),
        (
            &[("grpc-encoding", "gzip")],
            b"\x01\0\0\0\0".to_vec(),
            "200 12 compressed messages are not read; send them as they are (grpc-encoding: identity)",
        ),
        (&[("grpc-encoding", "gzip")], request(), "SERVING"),
        (&[("grpc-timeout", "1x")], request(), "200 13 malformed grpc-timeout"),
        (&[("grpc-timeout", "1S")], request(), "SERVING"),
    ] {
        assert_eq!(client.call_with(CHECK, headers, body).await.shown(), expected, "{headers:?}");
    }
    for (kind, code) in [
        ("application/grpc+proto", 200),
        ("application/grpc;charset=utf-8", 200),
        ("application/grpc+json", 415),
        ("application/grpc-web", 415),
        ("application/json", 415),
        ("", 415),
    ] {
        let response = client.ask("POST", CHECK, &[("content-type", kind)], request()).await;
        assert_eq!(response.status(), code, "{kind}");
    }
    let response = client.ask("PUT", CHECK, &[("content-type", "application/grpc")], request()).await;
    assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().unwrap()), (405, "POST"));
    let over_http_1 = server.talk("POST /grpc.health.v1.Health/Check HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(parts(&over_http_1).0, 415);
}

#[tokio::test]
async fn a_watch_ends_when_its_clients_time_is_up() {
    let server = Server::of(worried());
    // Long enough for the first message on a busy machine.
    let headers = [("content-type", "application/grpc"), ("grpc-timeout", "1S")];
    let client = Client::of(server.address).await;
    let mut watch = client.ask("POST", WATCH, &headers, framed(b"")).await.into_body();
    assert_eq!(next(&mut watch).await, Ok(1));
    assert_eq!(next(&mut watch).await, Err("4 the client's time is up".into()));
}

#[tokio::test]
async fn two_hundred_watch_and_one_more_is_refused_and_whoever_ends_makes_room() {
    let server = Server::of(worried());
    let client = Client::of(server.address).await;
    let mut watching = Vec::new();
    for _ in 0..200 {
        let mut watch = client.watch("").await;
        assert_eq!(next(&mut watch).await, Ok(1));
        watching.push(watch);
    }
    // A stream of its own connection needs no place among those beyond the first.
    let other = Client::of(server.address).await;
    let full = "200 8 200 streams are open; end one of them";
    assert_eq!(other.call_with(WATCH, &[], framed(b"")).await.shown(), full);
    assert_eq!(other.check("").await, "SERVING");
    watching.clear();
    loop {
        let mut watch = other.watch("").await;
        if next(&mut watch).await == Ok(1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn every_route_is_answered_over_http_2_but_those_of_the_pod() {
    let server = Server::of(worried());
    let client = Client::of(server.address).await;
    assert_eq!(client.get("/livez").await, (200, "ok".into()));
    assert_eq!(client.get("/readyz?verbose").await.1.lines().last(), Some("readyz check passed"));
    assert_eq!(client.get("/nowhere").await.0, 404);
    assert!(client.get("/metrics").await.1.contains("route=\"/readyz\""));
    let mut stream = client.ask("GET", "/v1/stream", &[], Vec::new()).await.into_body();
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("event: snapshot"));
    for (method, path) in [("POST", "/-/drain"), ("PUT", "/v1/heartbeats/cache")] {
        let response = client.ask(method, path, &[("host", "localhost")], Vec::new()).await;
        assert_eq!(response.status(), 403);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).starts_with("forbidden: this is HTTP/2"), "{body:?}");
    }
    assert_eq!(server.told.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn calls_are_counted_by_their_method_and_kubelets_by_their_service() {
    let server = Server::of(worried());
    let client = Client::of(server.address).await;
    let kubelet = [("user-agent", "kube-probe/1.37 grpc-go/1.82.1")];
    client.call_with(CHECK, &kubelet, framed(&health_check_request("liveness"))).await;
    let metrics = client.get("/metrics").await.1;
    assert!(metrics.contains("route=\"/grpc.health.v1.Health/Check\",code=\"200\""), "{metrics}");
    let asked: Vec<_> = metrics.lines().filter(|line| line.starts_with("probelet_gate_last_asked")).collect();
    assert!(asked.len() == 1 && asked[0].contains("livez"), "{asked:?}");
}
