//! Redirects that would have the daemon act on itself.

use crate::support::daemon::Daemon;
use crate::support::fake::{self, Act, Fake};

#[tokio::test]
async fn a_target_cannot_drain_its_pod_through_a_check() {
    let target = Fake::answers(fake::http(200, &[], "ok")).await;
    let daemon = Daemon::start(&format!(
        "checks:\n  - name: app\n    interval: 100ms\n    http:\n      url: http://localhost:{}/\n      method: POST\n      \
         max_redirects: 3\n      redirects: any\n",
        target.port()
    ))
    .await;
    daemon.until_status("/readyz", 200).await;
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let location = format!("http://{host}:{}/-/drain", daemon.address.port());
        target.act(Act::Answer(fake::http(307, &[("Location", &location)], ""))).await;
        let closed = daemon.until("/readyz", |reply| reply.status == 503).await;
        assert_eq!(
            closed.body,
            "[-]app failed: redirected to probelet itself, which is never followed\n\
             readyz check failed: root cause app\n",
            "{host}"
        );
        target.mend(fake::http(200, &[], "ok")).await;
        daemon.until_status("/readyz", 200).await;
    }
}
