//! Envoy, Caddy and Traefik, which look for themselves, with what `deploy/proxies.md` says of them.

use crate::consumers::{Sidecar, app, through, who_answers};
use crate::support::balancers::{Caddy, Envoy, Sites, Traefik};
use crate::support::daemon::PATIENCE;
use crate::support::proxies::Backend;

/// Waits until these apps answer, and no other: what Envoy thinks takes a moment to reach the thread that balances.
async fn until_who(port: u16, wanted: &str) {
    let wait = async { while who_answers(port).await != wanted {} };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "not {wanted} alone");
}

#[tokio::test]
async fn envoy_takes_a_backend_out_when_its_sidecar_says_so_and_in_again() {
    let (a, b) = (Sidecar::start().await, Sidecar::start().await);
    let (app_a, app_b) = (app("a").await, app("b").await);
    let backends = [(&app_a, &a), (&app_b, &b)]
        .map(|(app, sidecar)| Backend { app: app.address(), sidecar: sidecar.daemon.address });
    let [first, second] = &backends;
    let (http, grpc) = (Envoy::over_http(backends), Envoy::over_grpc(backends));
    for envoy in [&http, &grpc] {
        envoy.until_it_thinks(first, "healthy").await;
        envoy.until_it_thinks(second, "healthy").await;
    }
    until_who(http.port, "ab").await;

    a.turn("error").await;
    http.until_it_thinks(first, "/failed_active_hc").await;
    grpc.until_it_thinks(first, "/failed_active_hc").await;
    until_who(http.port, "b").await;

    a.turn("degraded").await;
    http.until_it_thinks(first, "/degraded_active_hc").await;
    grpc.until_it_thinks(first, "healthy").await;

    // Nobody else is left: what is degraded takes all.
    b.daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await;
    http.until_it_thinks(second, "/failed_active_hc").await;
    grpc.until_it_thinks(second, "/failed_active_hc").await;
    until_who(http.port, "a").await;
    b.daemon.ask("DELETE", "/-/drain", "").await;
    http.until_it_thinks(second, "healthy").await;
}

#[tokio::test]
async fn caddy_takes_a_backend_out_when_its_sidecar_says_so_and_in_again() {
    takes_out_and_in_again(|backends| Box::new(Caddy::start(backends))).await;
}

#[tokio::test]
async fn traefik_takes_a_backend_out_when_its_sidecar_says_so_and_in_again() {
    takes_out_and_in_again(|backends| Box::new(Traefik::start(backends))).await;
}

/// Plays what the sidecars say before a balancer with a site for each backend alone.
async fn takes_out_and_in_again(start: impl FnOnce([Backend; 2]) -> Box<dyn Sites>) {
    let (a, b) = (Sidecar::start().await, Sidecar::start().await);
    let (app_a, app_b) = (app("a").await, app("b").await);
    let balancer = start(
        [(&app_a, &a), (&app_b, &b)]
            .map(|(app, sidecar)| Backend { app: app.address(), sidecar: sidecar.daemon.address }),
    );
    let ports = balancer.ports();
    let until = async |site: usize, status: u16| {
        let wait = async {
            while through(ports[site]).await.status != status {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "site {site} does not answer {status}");
    };
    until(0, 200).await;
    assert_eq!(who_answers(ports[0]).await, "a");

    a.turn("error").await;
    until(0, 503).await;
    assert_eq!(who_answers(ports[1]).await, "b");

    a.turn("degraded").await;
    until(0, 200).await;

    b.daemon.ask("POST", "/-/drain", "Content-Length: 0\r\n").await;
    until(1, 503).await;
}
