"""The fleet: which root causes there are, which pods are worst, how soon a failure is seen, and whether the sidecars are well."""

from panels import *

OURS = 'namespace=~"$namespace", job=~"$job"'
CHECKS = f'{OURS}, check=~"$check"'
POD = "namespace, job, instance"
# `pod` is the name that Kubernetes knows it by, where the scrape configuration keeps it.
NAMED = "namespace, job, pod, instance"
NAMES = {"namespace": "Namespace", "job": "Service", "pod": "Pod", "instance": "Address"}
TO_POD = "/d/probelet-pod?${datasource:queryparam}&var-namespace=${__data.fields.Namespace}&var-pod=${__data.fields.Address}&${__url_time_range}"

# What kubelet is told; a pod that drains leaves on purpose.
SERVING = f'healthcheck_endpoint_open{{{OURS}, endpoint="readyz"}} unless on ({POD}) (probelet_draining{{{OURS}}} == 1)'
CLOSED_SHARE = f'1 - avg_over_time(healthcheck_endpoint_open{{{OURS}, endpoint="readyz"}}[$__range])'
WORST = f"topk(20, max by ({NAMED}) ({CLOSED_SHARE}))"
CAUSES = f"healthcheck_root_cause{{{CHECKS}}} == 1"
# A check that holds nothing back is told, and is no reason to get up.
CLOSES = f'healthcheck_info{{{CHECKS}, critical!="false", gates!=""}}'


def among_worst(expr):
    return f"max by ({NAMED}) ({expr}) and on ({POD}) {WORST}"


def panels():
    yield from overview()
    yield from causes()
    yield from pods()
    yield from detection()
    yield from sidecars()


def overview():
    yield row("Now")
    yield stat("Pods", "Sidecars that Prometheus knows.", f"count(probelet_build_info{{{OURS}}})", thresholds=PLAIN)
    yield stat(
        "Without traffic",
        "Pods whose /readyz is closed and that do not drain.",
        f"sum(({SERVING}) == bool 0)",
        unit="none",
    )
    yield stat(
        "Root causes that close traffic",
        "Checks that are critical, gate an endpoint, and fail while nothing that they depend on does. Each counts once, in however many pods.",
        f"count(count by (namespace, job, check) (({CAUSES}) and on ({POD}, check) {CLOSES})) or vector(0)",
    )
    yield stat(
        "Other root causes",
        "Checks that fail and close nothing: a service is degraded, nobody is without traffic.",
        f"count(count by (namespace, job, check) (({CAUSES}) unless on ({POD}, check) {CLOSES})) or vector(0)",
        thresholds=[("green", None), ("yellow", 1)],
    )
    yield stat(
        "Draining",
        "Pods that leave on purpose.",
        f"sum(probelet_draining{{{OURS}}})",
        thresholds=[("green", None), ("blue", 1)],
    )
    yield stat(
        "Sidecars not well",
        "Gone (cannot be scraped), stale (results older than they may be) or with a configuration that could not be loaded; the row at the bottom names them.",
        f"""
        count(
          (up{{{OURS}}} == 0 and on ({POD}) last_over_time(probelet_build_info{{{OURS}}}[1h]))
          or on ({POD}) (max by ({POD}) (healthcheck_state{{{OURS}, state="stale"}}) == 1)
          or on ({POD}) (probelet_config_last_reload_successful{{{OURS}}} == 0)
        ) or vector(0)
        """,
    )


def causes():
    yield row("Root causes")
    yield table(
        "Root causes now",
        "What fails while nothing that it depends on does. What waits for it is skipped and not listed.",
        [
            ("Pods", f"count by (namespace, job, check) ({CAUSES})", {}),
            (
                "Share of pods",
                f"""
                count by (namespace, job, check) ({CAUSES})
                / on (namespace, job) group_left () count by (namespace, job) (probelet_build_info{{{OURS}}})
                """,
                {"unit": "percentunit"},
            ),
            (
                "Failing for",
                f"""
                max by (namespace, job, check) (
                  (time() - healthcheck_last_success_timestamp_seconds{{{CHECKS}}}) and on ({POD}, check) ({CAUSES})
                )
                """,
                {"unit": "s"},
            ),
            (
                "Closes traffic",
                f"""
                max by (namespace, job, check) (
                  ({CAUSES}) * on ({POD}, check) group_left () (count by ({POD}, check) ({CLOSES}))
                )
                """,
                {"mappings": words({1: ("yes", "red")}), **COLOURED, "noValue": "no"},
            ),
        ],
        (14, 8),
        names={"namespace": "Namespace", "job": "Service", "check": "Check"},
        sort="Pods",
    )
    yield lines(
        "Pods in which a check is a root cause",
        "One line for each check that was one. Many pods at once: what they share; one pod: the pod.",
        [query(f"sum by (namespace, job, check) (healthcheck_root_cause{{{CHECKS}}}) > 0", "{{job}} {{check}}")],
        (10, 8),
        stacked=True,
        decimals=0,
    )
    yield lines(
        "Why runs fail",
        "Failed runs by reason: resolve and connect are the network's, tls a certificate's, timeout, auth, protocol and mismatch the target's.",
        [query(f"sum by (reason) (rate(healthcheck_failures_total{{{CHECKS}}}[$__rate_interval]))", "{{reason}}")],
        unit="ops",
        stacked=True,
    )
    yield lines(
        "Changes of checks",
        "Transitions are counters: what changes between two scrapes is counted too.",
        [query(f"sum by (to) (rate(healthcheck_transitions_total{{{CHECKS}}}[$__rate_interval]))", "to {{to}}")],
        unit="ops",
    )


def pods():
    yield row("Pods")
    worst = table(
        "Worst pods",
        "Those that were without traffic for the largest share of the time shown. The address opens the dashboard of the pod.",
        [
            ("Time closed", WORST, {"unit": "percentunit", **COLOURED, "thresholds": steps((None, "green"), (0.001, "yellow"), (0.05, "red"))}),
            (
                "/readyz",
                among_worst(f'healthcheck_endpoint_open{{{OURS}, endpoint="readyz"}}'),
                {"mappings": OPEN_WORDS, **COLOURED},
            ),
            (
                "/livez",
                among_worst(f'healthcheck_endpoint_open{{{OURS}, endpoint="livez"}}'),
                {"mappings": OPEN_WORDS, **COLOURED},
            ),
            ("Checks that fail", among_worst(f'sum by ({NAMED}) (healthcheck_state{{{OURS}, state="error"}})'), {}),
            (
                "Times closed",
                among_worst(f'increase(healthcheck_endpoint_transitions_total{{{OURS}, endpoint="readyz", to="closed"}}[$__range])'),
                {"decimals": 0},
            ),
            ("Restarts of the sidecar", among_worst(f"changes(process_start_time_seconds{{{OURS}}}[$__range])"), {}),
        ],
        (24, 9),
        names=NAMES,
        sort="Time closed",
    )
    yield link(worst, "Address", "Open this pod", TO_POD)
    yield lines(
        "Pods with a closed endpoint",
        "By endpoint. /readyz: no traffic; /livez: kubelet restarts the app; /startupz: still starting; /healthz: the whole verdict, which closes nothing by itself.",
        [query(f"sum by (endpoint) (healthcheck_endpoint_open{{{OURS}}} == bool 0)", "/{{endpoint}}")],
        decimals=0,
    )
    yield lines(
        "Endpoints that closed",
        "How often an endpoint closed, over all pods: flapping shows here before it shows elsewhere.",
        [query(f'sum by (endpoint) (increase(healthcheck_endpoint_transitions_total{{{OURS}, to="closed"}}[$__rate_interval]))', "/{{endpoint}}")],
        stacked=True,
    )


def detection():
    yield row("Time to detect, and latency")
    yield bars(
        "Time to detect, at most",
        """From the moment a target stops answering until the first run that failed has ended: an interval and a timeout. With a
        failure_threshold above 1 it is longer: `probelet explain` counts that in, and says when kubelet acts.""",
        f"topk(10, max by (job, check) (healthcheck_interval_seconds{{{CHECKS}}} + on ({POD}, check) healthcheck_timeout_seconds{{{CHECKS}}}))",
        "{{job}} {{check}}",
        unit="s",
    )
    yield lines(
        "Age of results",
        "The oldest result that counts, by service; skipped checks are not run. Above interval and timeout a sidecar does not look in time.",
        [
            query(
                f"""
                max by (namespace, job) (
                  (time() - healthcheck_last_run_timestamp_seconds{{{CHECKS}}})
                  unless on ({POD}, check) (healthcheck_state{{{CHECKS}, state="skipped"}} == 1)
                )
                """,
                "{{job}}",
            )
        ],
        (8, 8),
        "s",
    )
    yield lines(
        "Runs that start late",
        "How late a sidecar began its runs at worst within half a minute. Seconds mean that it gets too little processor time.",
        [query(f"max by (namespace, job) (probelet_scheduler_worst_lag_seconds{{{OURS}}})", "{{job}}")],
        (8, 8),
        "s",
    )
    yield heatmap(
        "How long runs take",
        "All runs of the chosen checks. Empty with `metrics: { level: lean }`, which has no buckets.",
        f"sum by (le) (increase(healthcheck_duration_seconds_bucket{{{CHECKS}}}[$__rate_interval]))",
    )
    yield lines(
        "The slowest checks",
        "Mean time of a run, over all pods of a service; the ten that are slowest.",
        [
            query(
                f"""
                topk(10,
                  sum by (job, check) (rate(healthcheck_duration_seconds_sum{{{CHECKS}}}[$__rate_interval]))
                  / (sum by (job, check) (rate(healthcheck_duration_seconds_count{{{CHECKS}}}[$__rate_interval])) > 0)
                )
                """,
                "{{job}} {{check}}",
            )
        ],
        unit="s",
    )


def sidecars():
    yield row("Sidecars")
    for title, description, expr in (
        ("Reload failed", "They go on with the last good configuration, or have none.", f"probelet_config_last_reload_successful{{{OURS}}} == bool 0"),
        ("Stale", "A result is older than it may be: /readyz is closed by that.", f'healthcheck_state{{{OURS}, state="stale"}}'),
        ("Gone", "They were sidecars within the last hour and cannot be scraped.", f"(up{{{OURS}}} == bool 0) and on ({POD}) last_over_time(probelet_build_info{{{OURS}}}[1h])"),
    ):
        yield link(
            table(
                title,
                description,
                [(title, f"max by ({NAMED}) ({expr})", {"mappings": words({0: ("no", "green"), 1: ("yes", "red")}), **COLOURED})],
                (8, 8),
                names=NAMES,
                sort=title,
            ),
            "Address",
            "Open this pod",
            TO_POD,
        )
    yield lines(
        "Versions",
        "Sidecars by version and revision.",
        [query(f"count by (version, revision) (probelet_build_info{{{OURS}}})", "{{version}} {{revision}}")],
        (8, 8),
        stacked=True,
        decimals=0,
    )
    yield lines(
        "Configurations",
        "Sidecars by service and by the hash of their file: more than one for a service while a change rolls out, or when it stopped half-way.",
        [query(f"count by (job, hash) (probelet_config_info{{{OURS}}})", "{{job}} {{hash}}")],
        (8, 8),
        stacked=True,
        decimals=0,
    )
    yield lines(
        "Memory",
        "Resident memory of the largest sidecar of each service.",
        [query(f"max by (namespace, job) (process_resident_memory_bytes{{{OURS}}} and on ({POD}) probelet_build_info{{{OURS}}})", "{{job}}")],
        (8, 8),
        "bytes",
    )


def steps(*pairs):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in pairs]}


def variables():
    yield source_variable()
    yield variable("namespace", "Namespace", "label_values(probelet_build_info, namespace)")
    yield variable("job", "Service", 'label_values(probelet_build_info{namespace=~"$namespace"}, job)')
    yield variable("check", "Check", f"label_values(healthcheck_status{{{OURS}}}, check)")


def render():
    description = "Every service with a probelet beside it: root causes, the worst pods, time to detect, latencies, and the sidecars themselves."
    return dashboard("probelet-fleet", "probelet / fleet", description, list(variables()), list(panels()))
