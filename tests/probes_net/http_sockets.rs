//! The kind `http` over Unix sockets.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use probelet::base::value::Value;
use probelet::probe::Probe;
use probelet::probe::http::KIND;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake::{self, Fake};
use crate::section::SectionBuilder;
use crate::servers::{Folder, until};
use crate::webservers::WebServer;
use crate::{LONG, said, said_where};

fn section(path: &Path) -> SectionBuilder {
    SectionBuilder::new().text("url", "http://app.test/health").text("unix_socket", path.to_str().unwrap())
}

fn probe(path: &Path) -> Box<dyn Probe> {
    section(path).probe(&KIND)
}

#[tokio::test]
async fn nginx_is_asked_over_its_socket_and_connections_are_kept() {
    let settings = "  server { listen unix:app.sock; listen 127.0.0.1:PORT0; \
                    location / { return 200 \"$host connection $connection_requests\"; } }";
    let nginx = WebServer::nginx(settings, &[]);
    let path = nginx.folder.path().join("app.sock");
    for wanted in ["app.test connection 1", "app.test connection"] {
        let expect = SectionBuilder::new().text("body_contains", wanted);
        let mut probe = section(&path).section("expect", expect).probe(&KIND);
        for _ in 0..3 {
            // The second request over a connection answers something else, which is asked once more over a fresh one.
            assert_eq!(said(&mut *probe, LONG).await, "pass");
        }
    }
    let expect = SectionBuilder::new().text("body_matches", "connection [3-9]");
    let mut kept = section(&path).section("expect", expect).probe(&KIND);
    assert_eq!(said(&mut *kept, LONG).await, "mismatch: nothing in the body matches the expected pattern");
}

#[tokio::test]
async fn what_is_wrong_with_a_socket_is_told() {
    let folder = Folder::new("sockets");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "").unwrap();
    drop(UnixListener::bind(at("stale")).unwrap());
    let _datagram = UnixDatagram::bind(at("datagram")).unwrap();
    for (name, expected) in [
        ("missing", "connect: there is no socket at its path"),
        ("file/app.sock", "connect: there is no socket at its path"),
        ("file", "connect: the file at the socket's path is not a socket"),
        ("", "connect: the file at the socket's path is not a socket"),
        ("stale", "connect: connection refused: nobody listens on the socket"),
        ("datagram", "connect: the socket is not one for connections"),
    ] {
        assert_eq!(said(&mut *probe(&at(name)), LONG).await, expected, "{name}");
    }
    let listener = UnixListener::bind(at("locked")).unwrap();
    std::fs::set_permissions(at("locked"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let is_permitted = std::os::unix::net::UnixStream::connect(at("locked")).is_ok();
    if !is_permitted {
        assert_eq!(said(&mut *probe(&at("locked")), LONG).await, "connect: no permission to connect to the socket");
    }
    drop(listener);
}

#[tokio::test]
async fn a_server_that_accepts_nothing_more_ends_the_run_and_is_well_once_it_does() {
    let folder = Folder::new("sockets");
    let path = folder.path().join("app.sock");
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&socket, 0).unwrap();
    let waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let mut probe = probe(&path);
    for _ in 0..2 {
        let expected = "timeout: connecting";
        assert_eq!(said_where(&mut *probe, expected).await, expected);
    }
    drop(waiting);
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(&fake::http(200, &[], "ok")).await;
            }
        }
    });
    assert_eq!(said(&mut *probe, LONG).await, "pass");
    serving.abort();
}

#[tokio::test]
async fn redirects_stay_on_the_socket_for_its_host_alone() {
    let other = Fake::answers(fake::http(200, &[], "elsewhere")).await;
    let settings = format!(
        "  server {{ listen unix:app.sock; listen 127.0.0.1:PORT0;\n    location /near {{ return 302 /there; }}\n    \
         location /far {{ return 302 http://127.0.0.1:{}/; }}\n    \
         location /own {{ return 302 http://app.test:1234/there; }}\n    location /there {{ return 200 here; }} }}",
        other.port()
    );
    let nginx = WebServer::nginx(&settings, &[]);
    let path = nginx.folder.path().join("app.sock");
    let ask = async |from: &str, redirects: &'static str, wanted: &str| {
        let section = SectionBuilder::new().text("url", format!("http://app.test/{from}"));
        let section = section.text("unix_socket", path.to_str().unwrap()).with("max_redirects", Value::Integer(2));
        let section = section.with("redirects", Value::Word(redirects));
        let expect = SectionBuilder::new().text("body_contains", wanted);
        said(&mut *section.section("expect", expect).probe(&KIND), LONG).await
    };
    let refused = "mismatch: redirected to another host: only `redirects: any` follows there";
    assert_eq!(ask("near", "same_host", "here").await, "pass");
    assert_eq!(ask("own", "same_host", "here").await, "pass");
    assert_eq!(ask("far", "same_host", "here").await, refused);
    assert_eq!(ask("far", "any", "elsewhere").await, "pass");
}

#[tokio::test]
async fn an_app_that_binds_its_socket_anew_is_found() {
    let folder = Folder::new("sockets");
    let path = folder.path().join("app.sock");
    let mut probe = probe(&path);
    for _ in 0..2 {
        let _ = std::fs::remove_file(&path);
        assert_eq!(said(&mut *probe, LONG).await, "connect: there is no socket at its path");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(&fake::http(200, &[], "ok")).await.unwrap();
        });
        assert_eq!(said(&mut *probe, LONG).await, "pass");
        serving.await.unwrap();
        until("the socket is there", || path.exists());
    }
}

#[test]
fn a_check_over_a_socket_is_one_of_this_pod() {
    let spec = section(Path::new("/run/app.sock")).read(&KIND).unwrap();
    assert_eq!(spec.hosts(), ["localhost"]);
    assert_eq!(spec.target().unwrap(), "http://app.test/health over /run/app.sock");
    for (path, expected) in [
        ("run/app.sock".to_owned(), "invalid-value: not an absolute path"),
        (
            format!("/{}", "x".repeat(107)),
            "invalid-value: longer than 107 bytes, the longest path that a socket can have",
        ),
    ] {
        assert_eq!(section(Path::new(&path)).read(&KIND).err(), Some(vec![expected.to_owned()]));
    }
}
