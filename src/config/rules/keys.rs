//! The keys of the file: the top level and a check. Those of the kinds stand with their probes.

use std::sync::LazyLock;
use std::time::Duration;

use crate::base::field::{Field, Presence, ValueType};
use crate::config::hook::HookEvent;
use crate::config::read::Table;
use crate::model::route::RouteSet;
use crate::probe::KINDS;

/// The top level but for `checks`.
pub static SECTIONS: &[Field] = &[
    section("service", SERVICE, "Who this sidecar speaks for."),
    section("server", SERVER, "Its own port and how it answers there."),
    section(
        "defaults",
        DEFAULTS,
        "Taken by every check that does not say otherwise. A check goes before this section, this section before a \
         kind's or gate's own default, and that before what is built in.",
    ),
    section("history", HISTORY, "Where and how long the past of the checks is kept."),
    section("reload", RELOAD, "When the configuration is read again. `SIGHUP` always works."),
    section("metrics", METRICS, "What `/metrics` tells."),
    section("log", LOG, "What is logged, and how."),
    Field::with_default(
        "hooks",
        ValueType::List(&ValueType::Section(HOOK)),
        "[]",
        "Who is told of transitions, at most 16. Each is a `POST` of a CloudEvent 1.0 in JSON (`application/cloudevents+json`): \
         `type` is `probelet.check.error`, `.ok` or `.degraded` with the check as `subject`, or `probelet.endpoint.open` or \
         `.closed` with `readyz` or `livez`; `data` holds `state`, `from`, `root_causes`, `service` and `instance`, and with \
         `server.details: full` a `message`. Any 2xx is success. After a failure there are two more tries, a second and \
         ten seconds later; a 4xx but 408, 425 and 429 is final. Events come in order, and up to 64 wait for a hook. \
         Then one gives way that a later one of the same check or endpoint supersedes, or else the oldest of a check, \
         never the last word on an endpoint; `probelet_hook_deliveries_total` counts. That `/readyz` is closed while \
         the app starts is not told. Where failing checks keep it closed after that, it is told once: half a minute \
         after checks that gate `live` or `startup` have shown that the app has started, at once where `run --state` \
         remembers that the pod was ready, else after five minutes. So who was told that it is closed may be told again \
         after a restart of the sidecar. `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` are honoured. Redirects are followed \
         where they keep the event (307 and 308), to another origin only without `headers` and never from https to http. \
         At the end of the daemon what waits is sent without pauses until the drain is over, and for two seconds at \
         least; the rest is dropped, counted and logged.",
    ),
    Field::optional(
        "allow",
        REASONS,
        "Warnings that are meant to be so, each by its code with the reason. They are not reported, wherever in the file \
         they are; one that is meant at a single check is allowed there.",
    ),
];

/// The key `checks`, whose items are read one by one.
pub static CHECKS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let doc = "What is observed, in the order of all answers. With an empty list every endpoint is open.";
    vec![Field::with_default("checks", ValueType::List(&CHECK_SHAPE), "[]", doc)]
});

/// The keys of the top level.
pub static TOP: LazyLock<Table> =
    LazyLock::new(|| Table { fields: SECTIONS, apart: CHECKS.as_slice(), ..Table::default() });

/// The keys of a check.
pub static CHECK: LazyLock<Table> =
    LazyLock::new(|| Table { fields: CHECK_FIELDS, one_of: KIND_SECTIONS.as_slice(), ..Table::default() });

static CHECK_SHAPE: LazyLock<ValueType> =
    LazyLock::new(|| ValueType::Choice { fields: CHECK_FIELDS, one_of: KIND_SECTIONS.as_slice() });

/// A section per kind.
static KIND_SECTIONS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let section =
        |kind: &&'static crate::probe::ProbeKind| Field::required(kind.name, ValueType::Section(kind.fields), kind.doc);
    KINDS.iter().map(section).collect()
});

const fn section(name: &'static str, fields: &'static [Field], doc: &'static str) -> Field {
    Field { name, value_type: ValueType::Section(fields), presence: Presence::Default("{}"), doc }
}

const ANY_DURATION: ValueType = ValueType::Duration { min: Duration::ZERO };
const INTERVAL: ValueType = ValueType::Duration { min: Duration::from_millis(100) };
const TIMEOUT: ValueType = ValueType::Duration { min: Duration::from_millis(10) };
const REASONS: ValueType = ValueType::Map(&ValueType::Text);
const THRESHOLD: ValueType = ValueType::Integer { min: 1, max: 1_000_000 };

const SERVICE: &[Field] = &[
    Field::optional("name", ValueType::Text, "Its name in answers. Default: `$POD_NAME`, else the host name."),
    Field::optional("version", ValueType::Text, "Its version, shown in answers."),
    Field::with_default(
        "labels",
        ValueType::Map(&ValueType::Text),
        "{}",
        "What else tells it apart, as `{ team: orders, region: eu }`: shown in json, and as labels of `healthcheck_info`. At \
         most 16.",
    ),
];

const LISTENER: &[Field] = &[
    Field::required("address", ValueType::Text, "The address, as above."),
    Field::with_default(
        "routes",
        ValueType::Word(&RouteSet::WORDS),
        "all",
        "What is answered there: `probes` (what kubelet and load balancers ask, with bodies as with `details: none`), \
         `metrics` (the same and `/metrics`), or `all`. See [Who may see what](#who-may-see-what).",
    ),
];

const SERVER: &[Field] = &[
    Field::with_default(
        "listen",
        ValueType::OneOrMany(&ValueType::TextOrSection(LISTENER)),
        ":10240",
        "Where it listens: `:10240` is that port on all addresses, IPv6 and IPv4; or one address as `127.0.0.1:10240` \
         or `[::1]:10240`; or a list of these. An item `{ address: \":10241\", routes: probes }` answers less than \
         everything. Another address needs a restart; other `routes` of an address apply with a reload.",
    ),
    Field::with_default(
        "drain",
        ANY_DURATION,
        "5s",
        "After `SIGTERM` the process ends once this long has passed since the first sign of termination (`SIGTERM` or \
         a drain).",
    ),
    Field::with_default(
        "details",
        ValueType::Word(&["full", "names", "none"]),
        "full",
        "What an answer's body may say: everything, names and states without messages, or the verdict alone. Status \
         codes never change.",
    ),
    Field::with_default("down_status", ValueType::Word(&["503", "500"]), "503", "What a closed endpoint answers."),
    Field::with_default(
        "control",
        ValueType::Bool,
        "true",
        "`false` turns off the routes that change something (drain, heartbeats).",
    ),
    Field::optional(
        "token",
        ValueType::Text,
        "A secret that requests must bring, as `Authorization: Bearer <token>` or as the password of basic authentication: \
         `${file:/run/secrets/token}`. The gates, `/alive`, `/ready`, `/-/healthy` and `/-/ready` answer without it too, \
         with the verdict alone.",
    ),
    Field::with_default(
        "cors_origins",
        ValueType::List(&ValueType::Text),
        "[]",
        "Origins whose pages may `GET` what is said of the checks, from a browser: exact ones, such as \
         `https://grafana.example`.",
    ),
];

const DEFAULTS: &[Field] = &[
    Field::optional("interval", INTERVAL, "From start to start of a check's runs. Default: `10s`."),
    Field::optional("timeout", TIMEOUT, "The hard limit of one run. Default: `2s`."),
    Field::optional(
        "failure_threshold",
        THRESHOLD,
        "This many failures in a row make a check `error`. Default: `1`; `3` for a check that gates `live`.",
    ),
    Field::optional("success_threshold", THRESHOLD, "This many passes in a row make a check `ok`. Default: `1`."),
];

const HISTORY: &[Field] = &[
    Field::optional(
        "path",
        ValueType::Text,
        "The SQLite file. Without one it is `history.db` in the state directory (`run --state`); without that, history is \
         kept in memory only. The file also holds what must outlive the sidecar's container: that the pod was ready, what \
         has started, a drain, pushed beats. That counts for the pod that wrote it, told by `$POD_UID`. Where the variable \
         is not set, every pod that opens the file is taken for the same one: set it where the file outlives the pod. A \
         change needs a restart.",
    ),
    Field::with_default("retention", ANY_DURATION, "7d", "How long single runs are kept."),
    Field::with_default(
        "max_size",
        ValueType::Size,
        "64MiB",
        "The file grows no larger than this. 128 KiB and 1 KiB for each check is the least that leaves room for a past.",
    ),
    Field::with_default(
        "max_memory",
        ValueType::Size,
        "8MiB",
        "Single runs and changes in memory take no more than this together: all of them without a file, with one those \
         that wait for the disk, for which there are 64 KiB whatever is written here. Each check has an equal share; one \
         that has more lets go of its oldest when there is no room left, which the log says and `kept_since` in `/v1` \
         shows. Figures stay.",
    ),
];

const RELOAD: &[Field] = &[Field::with_default(
    "watch",
    ValueType::Bool,
    "true",
    "Reload when the content of this file, or of any file that it names, has changed and then stayed the same for a \
     second. SIGHUP reloads at once.",
)];

const METRICS: &[Field] = &[
    Field::with_default(
        "level",
        ValueType::Word(&["full", "lean"]),
        "full",
        "`lean` tells at most 12 series of each check: no buckets of durations, no series by reason, transition or step, \
         the state it is in without those it is not in, passes and failures without skips and runs without a verdict (which \
         `probelet_void_runs_total` counts for all checks).",
    ),
    Field::optional(
        "buckets",
        ValueType::List(&ValueType::Duration { min: Duration::ZERO }),
        "The upper bounds of the buckets of `healthcheck_duration_seconds`, at most 32, the shortest first; without them \
         `[1ms, 2.5ms, 5ms, 10ms, 25ms, 50ms, 100ms, 250ms, 500ms, 1s, 2.5s, 5s, 10s]`. Each is a series of each check; \
         `+Inf` comes by itself, and `[]` leaves that alone. A reload that only takes some away counts on; with other bounds \
         the counts begin anew, as after a restart.",
    ),
    Field::with_default(
        "native_histograms",
        ValueType::Bool,
        "false",
        "`healthcheck_duration_seconds` is a native histogram, too: buckets that are 9 % wide and not declared, at most 160 of \
         them that hold something, in one series of each check, with both levels. Told in Prometheus' protobuf format to \
         those who ask for it: a Prometheus with `scrape_native_histograms: true` (before 3.8: \
         `--enable-feature=native-histograms`). Text shows the declared buckets alone.",
    ),
];

const LOG: &[Field] = &[
    Field::with_default(
        "format",
        ValueType::Word(&["auto", "text", "json"]),
        "auto",
        "`auto` is text on a terminal and JSON otherwise.",
    ),
    Field::with_default(
        "level",
        ValueType::Word(&["error", "warn", "info", "debug", "trace"]),
        "info",
        "The least level that is logged. `RUST_LOG` wins when it is set.",
    ),
];

const HOOK: &[Field] = &[
    Field::required(
        "url",
        ValueType::Url { schemes: &["https", "http"] },
        "Where the events go. User and password in it are sent as basic authentication.",
    ),
    Field::with_default(
        "on",
        ValueType::List(&ValueType::Word(&HookEvent::WORDS)),
        "[error, ok, degraded, readyz, livez]",
        "What it is told of: checks that become `error`, `ok` or `degraded`, and `readyz` or `livez` when they open or \
         close.",
    ),
    Field::optional("headers", ValueType::Map(&ValueType::Text), "Headers that go along, by name."),
    Field::with_default("timeout", TIMEOUT, "5s", "The limit on one try."),
];

const CHECK_FIELDS: &[Field] = &[
    Field::required(
        "name",
        ValueType::Text,
        "A unique name: a letter or digit, then letters, digits and `_./-`, at most 100 characters.",
    ),
    Field::optional("description", ValueType::Text, "What is observed, for people."),
    Field::optional("runbook", ValueType::Url { schemes: &["https", "http"] }, "A link for people."),
    Field::optional(
        "interval",
        INTERVAL,
        "From start to start of its runs, at least 100ms. A run that overruns skips to the next beat. Checks of one \
         interval run right after each other where they ask different servers; where in the interval differs between pods. \
         A check of this pod that gates `live` or `startup` is run every second after a failure, backing off to its \
         interval within a minute. Default: `10s`; `2s` for a check of this pod \
         that gates `live` or `startup`; `60s` for a workflow.",
    ),
    Field::optional(
        "timeout",
        TIMEOUT,
        "The hard limit of one run, name resolution and TLS included, at least 10ms. Default: `2s`; `30s` for a \
         workflow.",
    ),
    Field::with_default(
        "initial_delay",
        ANY_DURATION,
        "0s",
        "How long to wait before the first run. No reload begins it anew.",
    ),
    Field::optional(
        "failure_threshold",
        THRESHOLD,
        "This many failures in a row make it `error`. Default: `1`; `3` for a check that gates `live`.",
    ),
    Field::optional("success_threshold", THRESHOLD, "This many passes in a row make it `ok`. Default: `1`."),
    Field::with_default(
        "critical",
        ValueType::BoolOrWord(&["at_startup"]),
        "true",
        "What a failure does: `true` closes the endpoints it gates; `false` only degrades; `at_startup` closes them \
         until `/readyz` has been open once, then only degrades.",
    ),
    Field::with_default(
        "gates",
        ValueType::List(&ValueType::Word(&["live", "ready", "startup"])),
        "[ready]",
        "The endpoints it can close: any of `live`, `ready`, `startup`. With `[]` it is only reported.",
    ),
    Field::with_default(
        "depends_on",
        ValueType::List(&ValueType::Text),
        "[]",
        "Names of checks. While one of them fails this check is skipped, and they are named as the cause.",
    ),
    Field::optional("degraded_above", ANY_DURATION, "A pass slower than this is degraded. Must be below `timeout`."),
    Field::optional(
        "stale_after",
        ANY_DURATION,
        "A result older than this is stale. Default: 3 × `interval` + `timeout`.",
    ),
    Field::optional(
        "formerly",
        ValueType::Text,
        "An earlier name, whose history this check continues; the reload that renames it keeps closed what it kept closed. No \
         check may have that name any more, and of two that had it the first goes on.",
    ),
    Field::optional(
        "disabled",
        ValueType::Text,
        "Why it is switched off, as in `disabled: waits for the new cluster`: then it is shown with that reason, but not run, \
         and nothing is judged by it. What depends on it depends on what it depends on itself. Its section may name variables \
         and files that are not there yet. `false` leaves it on.",
    ),
    Field::optional(
        "allow",
        REASONS,
        "Warnings about this check that are meant to be so, each by its code with the reason, as in \
         `external-gate: the agent on this node restarts it`. They are not reported.",
    ),
];
