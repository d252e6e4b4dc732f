//! The kind `http`: how long a connection is kept, and what happens when a kept one breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use probelet::base::value::Value;
use probelet::probe::RunContext;
use probelet::probe::http::KIND;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::certs::{Authority, DAY, Folder};
use crate::fake::{self, Act, Fake};
use crate::section::SectionBuilder;
use crate::{LONG, said, said_of, said_where};

fn ok() -> Vec<u8> {
    fake::http(200, &[], "ok")
}

fn section(fake: &Fake) -> SectionBuilder {
    SectionBuilder::new().text("url", format!("http://127.0.0.1:{}/", fake.port()))
}

fn aged(fake: &Fake, age: Duration) -> SectionBuilder {
    section(fake).with("max_connection_age", Value::Duration(age))
}

#[tokio::test]
async fn successive_runs_share_a_connection() {
    let fake = Fake::answers(ok()).await;
    let mut probe = section(&fake).probe(&KIND);
    for _ in 0..5 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
    assert_eq!(fake.seen().accepted, 1);
    drop(probe);
    fake.until(|seen| seen.open == 0).await;
}

#[tokio::test]
async fn after_a_wrong_answer_a_fresh_connection_is_asked() {
    let fake = Fake::answers(fake::http(503, &[], "down")).await;
    let mut probe = section(&fake).probe(&KIND);
    for runs in 1..=3 {
        assert_eq!(said(&mut *probe, LONG).await, "mismatch: returned status 503");
        assert_eq!((fake.seen().accepted, fake.seen().requests.len()), (runs, runs));
    }
}

#[tokio::test]
async fn a_wrong_answer_on_a_kept_connection_is_not_believed() {
    // Behind a proxy each connection stays with its backend, also with one that is taken out.
    let fake =
        Fake::start(Act::serve(|number, _| Some(if number == 0 { ok() } else { fake::http(503, &[], "gone") }))).await;
    let mut probe = section(&fake).probe(&KIND);
    for runs in 1..=4 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        assert_eq!(fake.seen().accepted, runs);
    }
    let fake =
        Fake::start(Act::serve(|number, _| Some(fake::http(200, &[], if number == 0 { "well" } else { "ill" })))).await;
    let expect = SectionBuilder::new().text("body_contains", "well");
    let mut probe = section(&fake).section("expect", expect).probe(&KIND);
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
}

#[tokio::test]
async fn a_silent_kept_connection_leaves_time_for_a_fresh_one() {
    let fake = Fake::start(Act::serve(|number, _| {
        // The head of an answer whose body never comes.
        Some(if number == 0 { ok() } else { b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".into() })
    }))
    .await;
    let mut probe = section(&fake).probe(&KIND);
    for runs in 1..=3 {
        let run = RunContext { budget: Duration::from_secs(2), ..RunContext::default() };
        assert_eq!(said_of(&mut *probe, &run, LONG).await, "pass");
        assert_eq!(fake.seen().accepted, runs);
    }
    fake.until(|seen| seen.open == 1).await;
}

#[tokio::test]
async fn what_may_have_an_effect_is_never_sent_twice() {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        // Each connection has its first request answered; the second is carried out, and its connection closed.
        let fake = Fake::start(Act::serve(|number, _| (number == 0).then(ok))).await;
        let mut probe = section(&fake).with("method", Value::Word(method)).probe(&KIND);
        for runs in 1..=7 {
            assert_eq!(said(&mut *probe, LONG).await, "pass");
            assert_eq!((fake.seen().accepted, fake.seen().requests.len()), (runs, runs), "{method}");
        }
        // One that hangs up on every second one, on whatever connection, is not green.
        let count = AtomicUsize::new(0);
        let fake =
            Fake::start(Act::serve(move |_, _| count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2).then(ok))).await;
        let mut probe = section(&fake).with("method", Value::Word(method)).probe(&KIND);
        for runs in 1..=6 {
            let expected = ["connect: connection closed before the answer was complete", "pass"][runs % 2];
            assert_eq!(said(&mut *probe, LONG).await, expected, "{method}");
            assert_eq!(fake.seen().requests.len(), runs, "{method}");
        }
    }
}

#[tokio::test]
async fn a_redirect_that_repeats_a_post_has_a_fresh_connection() {
    let serve = |number, request: &str| match number {
        0 if request.starts_with("POST / ") => Some(fake::http(307, &[("Location", "/there")], "")),
        0 => Some(ok()),
        _ => None,
    };
    let fake = Fake::start(Act::serve(serve)).await;
    let section = section(&fake).with("method", Value::Word("POST")).with("max_redirects", Value::Integer(1));
    let mut probe = section.probe(&KIND);
    for runs in 1..=3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        assert_eq!((fake.seen().accepted, fake.seen().requests.len()), (2 * runs, 2 * runs));
    }
}

#[tokio::test]
async fn an_age_is_of_no_use_where_nothing_is_kept() {
    let spec = |method| {
        SectionBuilder::new().text("url", "http://shop/").with("method", Value::Word(method)).read(&KIND).unwrap()
    };
    assert_eq!(spec("GET").max_connection_age(), Duration::from_secs(60));
    assert_eq!(spec("POST").max_connection_age(), Duration::ZERO);
    let section = SectionBuilder::new().text("url", "http://shop/").with("method", Value::Word("POST"));
    let problems = section.with("max_connection_age", Value::Duration(Duration::from_secs(1))).read(&KIND).err();
    let expected = "ineffective-key: `max_connection_age` has no effect on a POST: it always has a fresh connection";
    assert_eq!(problems, Some(vec![expected.into()]));
}

#[tokio::test]
async fn an_age_of_zero_is_a_fresh_connection_for_every_run() {
    let fake = Fake::answers(ok()).await;
    let mut probe = aged(&fake, Duration::ZERO).probe(&KIND);
    for runs in 1..=3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        fake.until(|seen| seen.accepted == runs && seen.open == 0).await;
    }
}

#[tokio::test]
async fn a_connection_is_replaced_when_it_has_reached_its_age() {
    let fake = Fake::answers(ok()).await;
    let mut probe = aged(&fake, Duration::from_secs(300)).probe(&KIND);
    for (pause, accepted) in [(0, 1), (299, 1), (2, 2), (1, 2)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(pause)).await;
        tokio::time::resume();
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        assert_eq!(fake.seen().accepted, accepted);
    }
    fake.until(|seen| seen.open == 1).await;
}

#[tokio::test]
async fn a_kept_connection_that_is_broken_is_replaced_within_the_run() {
    // Each connection answers one request and hangs up on the next.
    let hang_up = Act::serve(|number, _| (number == 0).then(ok));
    let fake = Fake::start(hang_up).await;
    let mut probe = section(&fake).probe(&KIND);
    for runs in 1..=4 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        assert_eq!(fake.seen().accepted, runs);
    }
    // The first run needed one request, each later one two.
    assert_eq!(fake.seen().requests.len(), 7);
}

#[tokio::test]
async fn a_kept_connection_is_replaced_once_and_then_it_is_a_failure() {
    let fake = Fake::answers(ok()).await;
    let mut probe = section(&fake).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    fake.act_without_cutting(Act::CloseAfter(vec![]));
    assert_eq!(said(&mut *probe, LONG).await, "connect: connection closed before the answer was complete");
    assert_eq!(fake.seen().accepted, 2);
    assert_eq!(said(&mut *probe, LONG).await, "connect: connection closed before the answer was complete");
    assert_eq!(fake.seen().accepted, 3, "a fresh connection that breaks is not replaced");
}

#[tokio::test]
async fn a_kept_connection_that_the_server_has_closed_is_not_asked() {
    let fake = Fake::start(Act::CloseAfter(ok())).await;
    let mut probe = section(&fake).probe(&KIND);
    for runs in 1..=3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        assert_eq!((fake.seen().accepted, fake.seen().requests.len()), (runs, runs));
        // Our end stays open until it is looked at.
        fake.until(|seen| seen.open == 0).await;
    }
}

#[tokio::test]
async fn each_server_on_the_way_keeps_its_connection_for_as_long_as_it_is_asked() {
    let other = Fake::answers(ok()).await;
    let location = format!("http://127.0.0.1:{}/", other.port());
    let first = Fake::answers(fake::http(302, &[("Location", &location)], "go there")).await;
    let mut probe = section(&first).with("max_redirects", Value::Integer(1)).probe(&KIND);
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
    assert_eq!((first.seen().accepted, other.seen().accepted), (1, 1));
    first.act_without_cutting(Act::Answer(ok()));
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    other.until(|seen| seen.open == 0).await;
    assert_eq!((first.seen().accepted, first.seen().open), (1, 1));
}

#[tokio::test]
async fn a_server_that_says_goodbye_in_its_answer_is_dialled_again() {
    for farewell in ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\n\r\nok"]
    {
        let fake = Fake::start(Act::CloseAfter(farewell.into())).await;
        let mut probe = section(&fake).probe(&KIND);
        for runs in 1..=2 {
            assert_eq!(said(&mut *probe, LONG).await, "pass");
            assert_eq!((fake.seen().accepted, fake.seen().requests.len()), (runs, runs), "{farewell}");
        }
    }
}

#[tokio::test]
async fn a_server_that_restarts_between_runs_is_not_noticed() {
    let fake = Fake::answers(ok()).await;
    let mut probe = section(&fake).probe(&KIND);
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        fake.mend(ok()).await;
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_noticed_on_a_kept_connection() {
    let fake = Fake::answers(ok()).await;
    let mut probe = section(&fake).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    fake.act(Act::Refuse).await;
    assert_eq!(said(&mut *probe, LONG).await, "connect: connection refused");
    fake.mend(ok()).await;
    assert_eq!(said(&mut *probe, LONG).await, "pass");
}

#[tokio::test]
async fn a_run_that_was_cut_short_leaves_no_connection_behind() {
    let fake = Fake::silent().await;
    let mut probe = section(&fake).probe(&KIND);
    let silence = "timeout: waiting for the answer";
    assert_eq!(said_where(&mut *probe, silence).await, silence);
    fake.until(|seen| seen.open == 0).await;
    fake.act_without_cutting(Act::Answer(ok()));
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    assert_eq!(fake.seen().accepted, 2);
}

#[tokio::test]
async fn a_tls_connection_ends_with_a_goodbye() {
    let (authority, folder) = (Authority::new("known"), Folder::new());
    let ca_file = folder.write("ca.pem", authority.pem());
    for age in [Duration::ZERO, Duration::from_secs(300)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let acceptor = TlsAcceptor::from(authority.server(&["localhost"]).server());
        let server = tokio::spawn(async move {
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(&ok()).await.unwrap();
            // Without the goodbye (RFC 8446, section 6.1) this is an error.
            stream.read(&mut request).await
        });
        let section =
            SectionBuilder::new().text("url", url).section("tls", SectionBuilder::new().text("ca_file", &ca_file));
        let mut probe = section.with("max_connection_age", Value::Duration(age)).probe(&KIND);
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        drop(probe);
        assert_eq!(server.await.unwrap().unwrap(), 0, "{age:?}");
    }
}

#[tokio::test]
async fn the_certificate_of_a_replaced_connection_is_forgotten() {
    let (authority, folder) = (Authority::new("known"), Folder::new());
    let ca_file = folder.write("ca.pem", authority.pem());
    // Each connection answers one request and hangs up on the next.
    let fake = Fake::start(Act::serve(|number, _| (number == 0).then(ok))).await;
    let fake = fake.with_tls(authority.server_valid(&["localhost"], -DAY..2 * DAY + 3600).server());
    let fortnight = Value::Duration(Duration::from_secs(14 * 86_400));
    let tls = SectionBuilder::new().text("ca_file", ca_file).with("min_validity", fortnight);
    let section = SectionBuilder::new().text("url", format!("https://localhost:{}/", fake.port()));
    let mut probe = section.section("tls", tls).probe(&KIND);
    assert_eq!(said(&mut *probe, LONG).await, "degraded: certificate expires in 2d");
    fake.set_tls(Some(authority.server_valid(&["localhost"], -DAY..90 * DAY).server()));
    assert_eq!(said(&mut *probe, LONG).await, "pass");
}

#[tokio::test]
async fn a_server_that_closes_without_a_word_may_redirect_to_itself() {
    let redirect = || fake::http(302, &[("Location", "/there")], "");
    let serve = move |number, request: &str| match number {
        0 if request.starts_with("GET / ") => Some(redirect()),
        0 => Some(ok()),
        _ => None,
    };
    let fake = Fake::start(Act::serve(serve)).await;
    let mut probe = section(&fake).with("max_redirects", Value::Integer(1)).probe(&KIND);
    for _ in 0..3 {
        assert_eq!(said(&mut *probe, LONG).await, "pass");
    }
}

#[tokio::test]
async fn a_kept_tls_connection_still_reports_the_certificate() {
    let (authority, folder) = (Authority::new("known"), Folder::new());
    let ca_file = folder.write("ca.pem", authority.pem());
    let fake = Fake::answers(ok()).await.with_tls(Arc::clone(&authority.server(&["localhost"]).server()));
    let section = SectionBuilder::new().text("url", format!("https://localhost:{}/", fake.port()));
    let mut probe = section.section("tls", SectionBuilder::new().text("ca_file", ca_file)).probe(&KIND);
    for _ in 0..3 {
        let pass = probe.observe(&probelet::probe::RunContext::default()).await.unwrap();
        assert!(pass.facts.tls_not_after.is_some());
    }
    assert_eq!(fake.seen().accepted, 1);
}
