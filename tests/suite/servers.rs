//! The daemon beside real servers, which are frozen, killed and restarted while it runs.

use crate::support::certs::Authority;
use crate::support::daemon::Daemon;
use crate::support::postgres::{Pooler, Postgres};
use crate::support::rabbitmq::Rabbit;
use crate::support::redis::Redis;

/// The passwords of the servers, which nobody may read anywhere.
const SECRETS: [&str; 3] = ["hunter2", "hunter3", "n0t-the-password"];

fn assert_shows_no_secret(place: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {place}: {text}");
    }
}

async fn reason(daemon: &Daemon, check: &str, reason: &str) {
    let line = format!("healthcheck_failures_total{{check=\"{check}\",reason=\"{reason}\"}} ");
    let counted = |body: &str| body.lines().any(|found| found.strip_prefix(&line).is_some_and(|count| count != "0"));
    daemon.until("/metrics", |reply| counted(&reply.body)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_freeze_die_and_return_are_seen_for_what_they_are() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let identity = authority.server(&["localhost"]);
    let mut rabbit = Rabbit::launch(&identity, &clients);
    let mut postgres = Postgres::start(&identity, &clients);
    let mut redis = Redis::start(&identity, &clients, None);
    let mut pooler = Pooler::start(&postgres, "plain", &[("probe", "hunter2")]);
    rabbit.until_ready();
    let folder = crate::support::certs::Folder::new();
    let ca = folder.write("ca.pem", authority.pem());
    let client = clients.client("probe");
    let (certificate, key) = (folder.write("client.pem", &client.certificate), folder.write("client.key", &client.key));
    let config = format!(
        "
defaults: {{ interval: 300ms, timeout: 3s }}
checks:
  - name: postgres
    postgres: {{ url: \"${{DATABASE_URL}}\", query: SELECT 40 + 2, expect: \"42\" }}
  - name: postgres_tls
    postgres:
      url: postgres://probe:${{PASSWORD}}@localhost:{pg}/orders?sslmode=verify-full&sslrootcert=${{CA}}
  - name: pooled
    postgres: {{ url: \"postgres://probe:${{PASSWORD}}@localhost:{pooler}/orders?sslmode=disable\" }}
    depends_on: [postgres]
  - name: redis
    redis: {{ url: \"redis://:${{PASSWORD}}@localhost:{redis}/0\", role: primary }}
  - name: redis_tls
    redis: {{ url: \"rediss://:${{PASSWORD}}@localhost:{redis_tls}/0\", tls: {{ ca_file: \"${{CA}}\", cert_file: \"{certificate}\", key_file: \"{key}\" }} }}
  - name: amqp
    amqp: {{ url: \"amqp://probe:${{PASSWORD}}@localhost:{amqp}\" }}
  - name: amqp_tls
    amqp: {{ url: \"amqps://probe:${{PASSWORD}}@localhost:{amqp_tls}\", tls: {{ ca_file: \"${{CA}}\", cert_file: \"{certificate}\", key_file: \"{key}\" }} }}
  - name: wrong_password
    postgres: {{ url: \"postgres://probe:n0t-the-password@localhost:{pg}/orders?sslmode=disable\" }}
    gates: []
",
        pg = postgres.port,
        pooler = pooler.port,
        redis = redis.port,
        redis_tls = redis.tls_port,
        amqp = rabbit.port,
        amqp_tls = rabbit.tls_port,
    );
    let path = folder.write("config.yaml", config);
    let url = postgres.url("probe:hunter2", "sslmode=disable");
    let environment = [("PASSWORD", "hunter2"), ("DATABASE_URL", url.as_str()), ("CA", ca.as_str())];
    let daemon = Daemon::start_in(folder, path.into(), &[], &environment).await;

    daemon.until_status("/readyz", 200).await;
    reason(&daemon, "wrong_password", "auth").await;
    let metrics = daemon.get("/metrics").await.body;
    for check in ["postgres_tls", "redis_tls", "amqp_tls"] {
        let fact = format!("healthcheck_tls_not_after_timestamp_seconds{{check=\"{check}\"}} ");
        assert!(metrics.contains(&fact), "the end of the certificate of {check} is not told");
    }

    for check in ["postgres", "redis", "amqp"] {
        let freeze: &mut dyn FnMut(bool) = match check {
            "postgres" => &mut |freeze| if freeze { postgres.server().freeze() } else { postgres.server().thaw() },
            "redis" => &mut |freeze| if freeze { redis.server().freeze() } else { redis.server().thaw() },
            _ => &mut |freeze| if freeze { rabbit.broker().freeze() } else { rabbit.broker().thaw() },
        };
        freeze(true);
        daemon.until_state(check, "error").await;
        reason(&daemon, check, "timeout").await;
        assert_eq!(daemon.get("/livez").await.status, 200);
        freeze(false);
        daemon.until_state(check, "ok").await;
        pooler.assert_runs();
    }
    daemon.until_status("/readyz", 200).await;

    postgres.server().kill();
    redis.server().kill();
    rabbit.broker().kill();
    for check in ["postgres", "redis", "amqp"] {
        daemon.until_state(check, "error").await;
        reason(&daemon, check, "connect").await;
    }
    let pooled = daemon.until_state("pooled", "skipped").await;
    assert_eq!(
        (&pooled["message"], &pooled["root_causes"][0]),
        (&"Skipped due to upstream failure".into(), &"postgres".into())
    );
    let readyz = daemon.get("/readyz").await;
    assert_eq!(readyz.status, 503);
    assert!(readyz.body.contains("[-]pooled skipped: waits for postgres\n"), "{}", readyz.body);

    postgres.restart();
    redis.restart();
    rabbit.relaunch();
    rabbit.until_ready();
    daemon.until_status("/readyz", 200).await;

    for path in ["/healthz", "/healthz?format=json", "/healthz?format=updown", "/health", "/readyz?verbose", "/metrics"]
    {
        assert_shows_no_secret(path, &daemon.get(path).await.body);
    }
    for line in daemon.log() {
        assert_shows_no_secret("the log", &line);
    }
}
