"""One pod: its endpoints, checks and latencies, who waits for whom, who asks, and the daemon's own figures."""

from panels import *

OURS = 'namespace=~"$namespace", instance="$pod"'
CHECKS = f'{OURS}, check=~"$check"'
YES_NO = words({0: ("no", "green"), 1: ("yes", "red")})


def panels():
    yield from overview()
    yield from checks()
    yield from latencies()
    yield from endpoints()
    yield from targets()
    yield from daemon()


def overview():
    yield row("Now")
    for endpoint, meaning in (
        ("readyz", "Whether the pod takes traffic."),
        ("livez", "Closed: kubelet restarts the app."),
        ("startupz", "Closed: the app is still starting."),
        ("healthz", "The whole verdict; closes nothing by itself."),
    ):
        expr = f'max(healthcheck_endpoint_open{{{OURS}, endpoint="{endpoint}"}})'
        yield stat(f"/{endpoint}", meaning, expr, (3, 4), thresholds=[("red", None), ("green", 1)], mappings=OPEN_WORDS)
    yield stat(
        "Application",
        "application_health_status: what /healthz says.",
        f"max(application_health_status{{{OURS}}})",
        (3, 4),
        thresholds=[("red", None), ("yellow", 1), ("green", 2)],
        mappings=words({0: ("down", "red"), 1: ("degraded", "yellow"), 2: ("up", "green")}),
    )
    yield stat(
        "Draining",
        "The pod leaves on purpose.",
        f"max(probelet_draining{{{OURS}}})",
        (3, 4),
        thresholds=[("green", None), ("blue", 1)],
        mappings=words({0: ("no", "green"), 1: ("yes", "blue")}),
    )
    yield stat(
        "Sidecar up for",
        "Since the start of the daemon, not of the app.",
        f"time() - max(process_start_time_seconds{{{OURS}}} and on (instance) probelet_build_info{{{OURS}}})",
        (3, 4),
        "s",
        thresholds=PLAIN,
    )
    yield stat(
        "Version",
        "Of the sidecar, with its revision.",
        f"count by (version, revision) (probelet_build_info{{{OURS}}})",
        (3, 4),
        thresholds=PLAIN,
        legend="{{version}} {{revision}}",
        text="name",
    )


def checks():
    yield row("Checks")
    made = table(
        "Checks now",
        "A check that is not critical, or gates nothing, closes no traffic. The runbook is the one that its configuration declares.",
        [
            ("Known", f"max by (check, kind, critical, gates, runbook) (healthcheck_info{{{CHECKS}}})", {}),
            ("State", f"{states(CHECKS, 'check')}", {"mappings": STATE_WORDS, **COLOURED}),
            ("Root cause", f"max by (check) (healthcheck_root_cause{{{CHECKS}}})", {"mappings": YES_NO, **COLOURED}),
            ("Failures in a row", f"max by (check) (healthcheck_consecutive_failures{{{CHECKS}}})", {}),
            ("Last pass", f"max by (check) (time() - healthcheck_last_success_timestamp_seconds{{{CHECKS}}})", {"unit": "s"}),
            ("Last run", f"max by (check) (time() - healthcheck_last_run_timestamp_seconds{{{CHECKS}}})", {"unit": "s"}),
            ("Interval", f"max by (check) (healthcheck_interval_seconds{{{CHECKS}}})", {"unit": "s"}),
            ("Timeout", f"max by (check) (healthcheck_timeout_seconds{{{CHECKS}}})", {"unit": "s"}),
        ],
        (24, 10),
        names={"check": "Check", "kind": "Kind", "critical": "Critical", "gates": "Gates", "runbook": "Runbook"},
        sort="State",
        # Always 1: its labels are what it is for.
        hidden=("Value #A",),
    )
    yield link(made, "Runbook", "Open the runbook", "${__value.raw}")
    yield timeline(
        "States",
        "Each check over time. Grey is skipped: it waits for another.",
        states(CHECKS, "check"),
        "{{check}}",
        (24, 9),
        STATE_WORDS,
    )
    yield table(
        "Who waits for whom",
        "Checks that are skipped, and the root cause that they wait for. Empty when nothing waits.",
        [("Waits", f"healthcheck_waits_for{{{CHECKS}}} == 1", {})],
        (8, 8),
        names={"check": "Check", "root_cause": "Root cause"},
        sort="Root cause",
        hidden=("Value", "__name__", "namespace", "job", "instance", "pod", "container", "endpoint"),
    )
    yield timeline(
        "Root causes",
        "When each check was a root cause.",
        f"max by (check) (healthcheck_root_cause{{{CHECKS}}})",
        "{{check}}",
        (8, 8),
        YES_NO,
    )
    yield timeline(
        "Steps of workflows",
        "Absent while a workflow is skipped.",
        f"max by (check, step) (healthcheck_step_status{{{CHECKS}}})",
        "{{check}}: {{step}}",
        (8, 8),
        words({0: ("failed", "red"), 1: ("passed", "green")}),
    )


def latencies():
    yield row("Latencies and failures")
    rate = f"sum by (check) (rate(healthcheck_duration_seconds_%s{{{CHECKS}}}[$__rate_interval]))"
    quantile = f"histogram_quantile(%s, sum by (le, check) (rate(healthcheck_duration_seconds_bucket{{{CHECKS}}}[$__rate_interval])))"
    yield lines(
        "Time of a run",
        "Mean of each check.",
        [query(f"{rate % 'sum'} / ({rate % 'count'} > 0)", "{{check}}")],
        unit="s",
    )
    yield lines(
        "Slow runs",
        "The slowest twentieth takes longer than this. Needs buckets, which `metrics: { level: lean }` leaves out.",
        [query(quantile % "0.95", "{{check}}")],
        unit="s",
    )
    yield heatmap(
        "How long runs take",
        "All runs of the chosen checks.",
        f"sum by (le) (increase(healthcheck_duration_seconds_bucket{{{CHECKS}}}[$__rate_interval]))",
    )
    yield lines(
        "Why runs fail",
        "By check and reason.",
        [query(f"sum by (check, reason) (rate(healthcheck_failures_total{{{CHECKS}}}[$__rate_interval])) > 0", "{{check}}: {{reason}}")],
        unit="ops",
        stacked=True,
    )
    yield lines(
        "Runs",
        "By outcome. void: the sidecar itself lacked descriptors, threads, memory or ports; it says nothing of the target.",
        [query(f"sum by (outcome) (rate(healthcheck_runs_total{{{CHECKS}}}[$__rate_interval]))", "{{outcome}}")],
        unit="ops",
        stacked=True,
    )
    yield lines(
        "Changes",
        "Changes of state; counted, so also what no scrape saw.",
        [query(f"sum by (check, to) (increase(healthcheck_transitions_total{{{CHECKS}}}[$__rate_interval])) > 0", "{{check}} to {{to}}")],
    )


def endpoints():
    yield row("Endpoints, and who asks")
    yield timeline(
        "Endpoints",
        "Open and closed over time.",
        f"max by (endpoint) (healthcheck_endpoint_open{{{OURS}}})",
        "/{{endpoint}}",
        (12, 8),
        OPEN_WORDS,
    )
    yield bars(
        "kubelet asked",
        "Seconds since kubelet last asked. An endpoint that is not here was never asked: no probe of the app points at it. /startupz is asked while the app starts.",
        f"max by (endpoint) (time() - probelet_gate_last_asked_timestamp_seconds{{{OURS}}})",
        "/{{endpoint}}",
        (6, 8),
        "s",
        thresholds=[("green", None), ("yellow", 60), ("red", 600)],
    )
    yield bars(
        "Times closed",
        "Within the time shown.",
        f'sum by (endpoint) (increase(healthcheck_endpoint_transitions_total{{{OURS}, to="closed"}}[$__range]))',
        "/{{endpoint}}",
        (6, 8),
        decimals=0,
    )
    yield lines(
        "Answers",
        "By route and code.",
        [query(f"sum by (route, code) (rate(probelet_http_request_duration_seconds_count{{{OURS}}}[$__rate_interval])) > 0", "{{route}} {{code}}")],
        unit="reqps",
    )
    yield lines(
        "Time to answer",
        "Mean by route. No answer waits for a probe.",
        [
            query(
                f"""
                sum by (route) (rate(probelet_http_request_duration_seconds_sum{{{OURS}}}[$__rate_interval]))
                / (sum by (route) (rate(probelet_http_request_duration_seconds_count{{{OURS}}}[$__rate_interval])) > 0)
                """,
                "{{route}}",
            )
        ],
        unit="s",
    )


def targets():
    yield row("What checks saw")
    yield bars(
        "Certificates end in",
        "The earliest end in the chain that the server presents.",
        f"max by (check) (healthcheck_tls_not_after_timestamp_seconds{{{CHECKS}}} - time())",
        "{{check}}",
        unit="s",
        thresholds=[("red", None), ("yellow", 2 * 86400), ("green", 14 * 86400)],
    )
    yield lines(
        "Disk that is free",
        "Share of the file system.",
        [query(f"max by (check) (healthcheck_disk_free_bytes{{{CHECKS}}} / healthcheck_disk_size_bytes{{{CHECKS}}})", "{{check}}")],
        (8, 8),
        "percentunit",
        max=1,
    )
    yield lines(
        "Queues",
        "Messages that wait, and who takes them.",
        [
            query(f"max by (check) (healthcheck_queue_messages{{{CHECKS}}})", "{{check}}: messages"),
            query(f"max by (check) (healthcheck_queue_consumers{{{CHECKS}}})", "{{check}}: consumers"),
        ],
        (8, 8),
        "short",
    )


def daemon():
    yield row("The sidecar itself")
    yield lines("Memory", "Resident; compare it with the limit.", [query(f"max(process_resident_memory_bytes{{{OURS}}})", "resident")], (8, 8), "bytes")
    yield lines(
        "CPU",
        "Of one core.",
        [query(f"max(rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval]))", "used")],
        (8, 8),
        "percentunit",
    )
    yield lines(
        "Runs that start late",
        "How late runs were begun at worst within half a minute.",
        [query(f"max(probelet_scheduler_worst_lag_seconds{{{OURS}}})", "late by")],
        (8, 8),
        "s",
    )
    yield lines(
        "Descriptors and threads",
        "Open descriptors, their limit is that of the container.",
        [query(f"max(process_open_fds{{{OURS}}})", "descriptors"), query(f"max(process_threads{{{OURS}}})", "threads")],
        (8, 8),
    )
    yield stat(
        "Last reload",
        "Whether the configuration that is there was adopted.",
        f"max(probelet_config_last_reload_successful{{{OURS}}})",
        thresholds=[("red", None), ("green", 1)],
        mappings=words({0: ("failed", "red"), 1: ("adopted", "green")}),
    )
    yield stat(
        "Adopted",
        "Since when this configuration is in force.",
        f"time() - max(probelet_config_last_reload_success_timestamp_seconds{{{OURS}}})",
        unit="s",
        thresholds=PLAIN,
    )
    yield stat(
        "Configuration",
        "The first digits of the SHA-256 of the file.",
        f"count by (hash) (probelet_config_info{{{OURS}}})",
        (8, 4),
        thresholds=PLAIN,
        legend="{{hash}}",
        text="name",
    )
    yield stat(
        "History is written",
        "To its file. No value without `history.path` or `--state`: it is in memory.",
        f"max(probelet_history_writable{{{OURS}}})",
        thresholds=[("red", None), ("green", 1)],
        mappings=words({0: ("no", "red"), 1: ("yes", "green")}),
        noValue="in memory",
    )
    yield stat(
        "Runs not kept",
        "Single runs that the history could not keep up with, within the time shown; changes are never dropped.",
        f"sum(increase(probelet_history_dropped_total{{{OURS}}}[$__range]))",
        decimals=0,
    )
    yield lines(
        "Hooks",
        "Events by hook (its place in the file) and what became of them.",
        [query(f"sum by (hook, outcome) (rate(probelet_hook_deliveries_total{{{OURS}}}[$__rate_interval]))", "{{hook}}: {{outcome}}")],
        (8, 8),
        "ops",
    )


def variables():
    yield source_variable()
    yield variable("namespace", "Namespace", "label_values(probelet_build_info, namespace)")
    # Shown by its name where the scrape configuration keeps it, chosen by its address, which is always there.
    yield variable(
        "pod",
        "Pod",
        'query_result(count by (instance, pod) (probelet_build_info{namespace=~"$namespace"}))',
        many=False,
        regex='/instance="(?<value>[^"]+)"(?:,\\s*pod="(?<text>[^"]+)")?/',
    )
    yield variable("check", "Check", f"label_values(healthcheck_status{{{OURS}}}, check)")


def render():
    description = "One pod with a probelet: its checks and their states over time, latencies, endpoints, who asks, and the daemon's own figures."
    return dashboard("probelet-pod", "probelet / pod", description, list(variables()), list(panels()))
