//! What is seen of a bad night afterwards: in the log, in the counters, and through a proxy that nobody has tuned.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::daemon::{Daemon, PATIENCE, exchange};
use crate::support::fake::{Act, Fake, http};
use crate::support::proxies::StockNginx;
use crate::support::servers::{is_open, until};

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

#[tokio::test]
async fn the_log_and_the_counters_tell_when_an_endpoint_closed_and_why() {
    let database = Fake::answers(http(200, &[], "")).await;
    let url = format!("http://127.0.0.1:{}/", database.port());
    let config = format!(
        "service: {{ name: shop, version: \"1.2.3\" }}\nserver: {{ drain: 0s }}\nlog: {{ format: json, level: debug }}\n\
         checks:\n  - {{ name: database, http: {{ url: \"{url}\" }}, interval: 100ms }}\n"
    );
    let mut daemon = Daemon::start_with(&config, &[], &[("POD_NAME", "shop-0")]).await;
    let opened = parsed(&daemon.logs("endpoint opened").await);
    assert_eq!(
        (&opened["level"], &opened["endpoint"], &opened["to"]),
        (&json!("INFO"), &json!("readyz"), &json!("open"))
    );
    let run = parsed(&daemon.logs("\"run\"").await);
    assert_eq!((&run["level"], &run["check"], &run["outcome"]), (&json!("DEBUG"), &json!("database"), &json!("pass")));
    assert!(run["ms"].is_number() && run["failures"] == 0 && run["phases"].as_str().unwrap().contains("first_byte "));
    database.act_without_cutting(Act::Answer(http(500, &[], "")));
    let closed = parsed(&daemon.logs("endpoint closed").await);
    assert_eq!((&closed["level"], &closed["root_causes"]), (&json!("WARN"), &json!("database")));
    let failed = parsed(&daemon.logs("check failed").await);
    assert_eq!(failed["address"], json!(url));
    assert_eq!(failed["dialled"], json!(format!("127.0.0.1:{}", database.port())));
    let length = |line: &Value, of: &str| line[of].as_str().is_some_and(|length| length.ends_with('s'));
    assert!(
        length(&opened, "closed_for") && length(&closed, "open_for") && length(&failed, "lasted"),
        "{closed} {failed}"
    );
    let metrics = daemon.get("/metrics").await.body;
    for count in ["readyz\",to=\"open\"} 1", "readyz\",to=\"closed\"} 1", "livez\",to=\"closed\"} 0"] {
        let line = format!("healthcheck_endpoint_transitions_total{{endpoint=\"{count}");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    database.act_without_cutting(Act::Answer(http(200, &[], "")));
    let recovered = parsed(&daemon.logs("\"from\":\"error\"").await);
    assert!(length(&recovered, "lasted") && recovered["to"] == "ok", "{recovered}");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.ends().await, Some(0));
    daemon.logs("probelet has stopped").await;
    let lines = daemon.log();
    let last = parsed(lines.last().unwrap());
    assert_eq!((&last["message"], &last["reason"]), (&json!("probelet has stopped"), &json!("SIGTERM")));
    for line in lines.iter().map(|line| parsed(line)).skip_while(|line| line["version"].is_null()) {
        let about = [&line["service"], &line["version"], &line["instance"]];
        assert_eq!(about, [&json!("shop"), &json!("1.2.3"), &json!("shop-0")], "{line}");
    }
}

#[tokio::test]
async fn a_degraded_check_has_its_reason_in_the_log_and_a_disabled_one_is_shown_and_nothing_else() {
    let config = "log: { format: json }\nchecks:\n  - { name: slow, simulated: { latency: 20ms }, degraded_above: 1ms }\n  \
                  - { name: old, disabled: waits for the new cluster, postgres: { url: \"${UNSET}\" } }\n  \
                  - { name: behind, simulated: {}, depends_on: [old] }\n";
    let mut daemon = Daemon::start(config).await;
    let degraded = parsed(&daemon.logs("\"to\":\"degraded\"").await);
    let reason = degraded["reason"].as_str().unwrap();
    assert!(reason.starts_with("slow OK (") && reason.ends_with("), above 1ms"), "{degraded}");
    let json = daemon.get("/healthz?format=json").await.json();
    let reason = json!([{ "name": "old", "kind": "postgres", "reason": "waits for the new cluster" }]);
    assert_eq!((&json["disabled"], json["checks"].as_array().unwrap().len()), (&reason, 2));
    let text = daemon.get("/healthz?format=text").await.body;
    assert!(text.contains("old                           OFF     disabled: waits for the new cluster\n"), "{text}");
    assert_eq!(daemon.get("/healthz/old").await.status, 404);
    let metrics = daemon.get("/metrics").await.body;
    let series: Vec<&str> = metrics.lines().filter(|line| line.contains("check=\"old\"")).collect();
    assert_eq!(series, ["healthcheck_disabled{check=\"old\",kind=\"postgres\"} 1"]);
}

#[tokio::test]
async fn behind_an_nginx_as_it_is_shipped_the_page_comes_and_events_arrive_one_by_one() {
    let daemon = Daemon::start("checks: [{ name: a, simulated: {}, interval: 100ms }]").await;
    let nginx = StockNginx::start(daemon.address);
    until("nginx listens", || is_open(nginx.address));
    let address = ([127, 0, 0, 1], nginx.address).into();
    for prefix in ["", "/health/of/shop"] {
        let page = format!("GET {prefix}/ HTTP/1.1\r\nHost: shop\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
        let page = exchange(address, page.as_bytes()).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        for (stream, event) in [("v1/stream", "event: tick"), ("health/$stream?poll_interval=0.1", "data: ")] {
            let mut events = TcpStream::connect(address).await.unwrap();
            let ask = format!("GET {prefix}/{stream} HTTP/1.1\r\nHost: shop\r\n\r\n");
            events.write_all(ask.as_bytes()).await.unwrap();
            let mut seen = String::new();
            // A few small events are far less than a buffer of nginx.
            let arrive = async {
                let mut buffer = [0; 4096];
                while seen.matches(event).count() < 3 {
                    let read = events.read(&mut buffer).await.unwrap();
                    assert!(read > 0, "it ended: {seen}");
                    seen += &String::from_utf8_lossy(&buffer[..read]);
                }
            };
            let arrived = tokio::time::timeout(PATIENCE, arrive).await;
            assert!(arrived.is_ok(), "{prefix}/{stream} is kept back: {seen}");
        }
    }
}
