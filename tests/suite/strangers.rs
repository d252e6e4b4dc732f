//! Proxies in the pod, which bring strangers to the sidecar over loopback: what those may not do there.

use std::net::SocketAddr;

use crate::support::daemon::{Daemon, Reply, exchange};
use crate::support::proxies::{Backend, Haproxy, StockNginx};
use crate::support::servers::{is_open, until};

const CONFIG: &str = "checks:\n  - { name: loop, heartbeat: { push: true, max_age: 30s } }\n";
const REQUESTS: [(&str, &str); 3] = [("POST", "/-/drain"), ("DELETE", "/-/drain"), ("PUT", "/v1/heartbeats/loop")];

/// Asks the proxy on `port` for what changes something, with these headers.
async fn asked(port: u16, headers: &str) -> Vec<Reply> {
    let mut replies = Vec::new();
    for (method, path) in REQUESTS {
        let request = format!("{method} {path} HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
        replies.push(exchange(SocketAddr::from(([127, 0, 0, 1], port)), request.as_bytes()).await);
    }
    replies
}

#[track_caller]
fn assert_all(replies: &[Reply], status: u16, body: &str) {
    for reply in replies {
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.body.contains(body), "{reply:?}");
    }
}

#[tokio::test]
async fn strangers_behind_a_proxy_in_the_pod_change_nothing() {
    let daemon = Daemon::start(CONFIG).await;
    let nginx = StockNginx::start(daemon.address);
    let telling = StockNginx::start_with(
        daemon.address,
        "proxy_http_version 1.1; proxy_set_header X-Real-IP $remote_addr; proxy_set_header Connection \"\";",
    );
    let backend = Backend { app: daemon.address, sidecar: daemon.address };
    let haproxy = Haproxy::start(&["", "option forwardfor"], &[backend]);
    for port in [nginx.address, telling.address, haproxy.ports[0], haproxy.ports[1]] {
        until("the proxy listens", || is_open(port));
    }
    haproxy.until_all_think("a", "UP").await;
    assert_all(&asked(nginx.address, "Host: shop.example\r\n").await, 403, "HTTP/1.0");
    assert_all(&asked(nginx.address, "Host: localhost\r\n").await, 403, "HTTP/1.0");
    assert_all(&asked(telling.address, "Host: localhost\r\n").await, 403, "x-real-ip");
    assert_all(&asked(haproxy.ports[0], "Host: shop.example\r\n").await, 403, "another host");
    assert_all(&asked(haproxy.ports[1], "Host: localhost\r\n").await, 403, "x-forwarded-for");
    // What only looks goes on through all of them.
    for port in [nginx.address, telling.address, haproxy.ports[0]] {
        let request = b"GET /livez HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(SocketAddr::from(([127, 0, 0, 1], port)), request).await.status, 200);
    }
    assert!(daemon.get("/metrics").await.body.contains("\nprobelet_draining 0\n"));
}

#[tokio::test]
async fn behind_a_proxy_that_says_nothing_of_itself_the_token_is_wanted() {
    let config = format!("server: {{ token: \"${{TOKEN}}\" }}\n{CONFIG}");
    let daemon = Daemon::start_with(&config, &[], &[("TOKEN", "hunter2")]).await;
    // As nginx 1.29.7 is of itself.
    let nginx = StockNginx::start_with(daemon.address, "proxy_http_version 1.1; proxy_set_header Connection \"\";");
    let backend = Backend { app: daemon.address, sidecar: daemon.address };
    let haproxy = Haproxy::start(&[""], &[backend]);
    for port in [nginx.address, haproxy.ports[0]] {
        until("the proxy listens", || is_open(port));
    }
    haproxy.until_all_think("a", "UP").await;
    for port in [nginx.address, haproxy.ports[0]] {
        assert_all(&asked(port, "Host: localhost\r\n").await, 401, "server.token");
        assert_all(&asked(port, "Host: localhost\r\nAuthorization: Bearer hunter3\r\n").await, 401, "server.token");
        let livez = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(SocketAddr::from(([127, 0, 0, 1], port)), livez).await.status, 200);
    }
    let refused = daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await;
    assert_eq!(refused.status, 401);
    assert_eq!(daemon.get("/metrics").await.status, 401);
    // Prometheus with `authorization`, a browser with basic authentication (any user, the token as the password).
    for credentials in ["Bearer hunter2", "Basic YW5uYTpodW50ZXIy"] {
        let metrics = daemon.ask("GET", "/metrics", &format!("Authorization: {credentials}\r\n")).await;
        assert!(metrics.body.contains("\nprobelet_draining 0\n"), "{metrics:?}");
    }
    let beat = "Content-Length: 0\r\nAuthorization: Bearer hunter2\r\n";
    assert_eq!(daemon.ask("PUT", "/v1/heartbeats/loop", beat).await.status, 204);
    assert!(!daemon.log().concat().contains("hunter"));
}
