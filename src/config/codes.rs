//! The catalogue of diagnostic codes: stable names, what they mean, and a file with the problem and without it.

use crate::base::value::Severity;

/// A kind of problem.
#[derive(Debug)]
pub struct Code {
    /// The stable name: `unknown-key`.
    pub name: &'static str,
    /// Whether the configuration can be used nevertheless.
    pub severity: Severity,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// Why it matters and what to do, in a few sentences.
    pub explanation: &'static str,
    /// A file, or the part of one, with the problem.
    pub wrong: &'static str,
    /// The same without it.
    pub right: &'static str,
}

const fn error(
    name: &'static str,
    meaning: &'static str,
    explanation: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> Code {
    Code { name, severity: Severity::Error, meaning, explanation, wrong, right }
}

const fn warning(
    name: &'static str,
    meaning: &'static str,
    explanation: &'static str,
    wrong: &'static str,
    right: &'static str,
) -> Code {
    Code { name, severity: Severity::Warning, meaning, explanation, wrong, right }
}

/// Every code, errors first, each group in the order in which a file is looked at.
pub static CODES: &[Code] = &[
    // The file and its YAML
    error(
        "unreadable-file",
        "A file cannot be read: the configuration itself, or one that it names.",
        "The message names the file and says what the system said. In Kubernetes the usual reasons are a volume that is \
         not mounted into the sidecar's container, a key that the Secret or ConfigMap does not have, and a file that \
         only another user may read. Only regular files are read, of at most 1 MiB each; together they may hold 8 MiB, and \
         32 MiB counted at each place that names one.",
        "checks:\n  - name: db\n    simulated: { ok_message: \"${file:/run/secrets/no-such-file}\" }\n",
        "checks:\n  - name: db\n    simulated: { ok_message: \"${file:/etc/hostname}\" }\n",
    ),
    error(
        "too-large",
        "The configuration is larger than any can be.",
        "A configuration may have 1 MiB and 100,000 values. One that has more is most likely not a configuration, or repeats \
         with thousands of checks what `defaults` says once. Of the manifests that one may stand in, `run` reads 1 MiB and \
         the other commands 64 MiB. What its expansions bring in may have 4 MiB, counted at each place \
         that they bring it to.",
        "# a file of 2 MiB\n",
        "# a few kilobytes\n",
    ),
    error(
        "not-utf8",
        "The file is not UTF-8 text.",
        "YAML files are UTF-8. Editors on Windows may save UTF-16; save the file as UTF-8 instead.",
        "# a file saved as UTF-16 or Latin-1\n",
        "# the same, saved as UTF-8\n",
    ),
    error(
        "invalid-character",
        "The file holds a control character, which YAML does not allow.",
        "Such characters come in by copying from a terminal or from a broken file. Where one is wanted in a value, write \
         it as an escape inside double quotes.",
        "# a file with a NUL or an escape character in it\n",
        "checks:\n  - name: db\n    simulated: { ok_message: \"a\\tb\" }\n",
    ),
    error(
        "syntax",
        "The file is not valid YAML.",
        "Nothing else of the file is looked at before this is mended. The place is where the parser stopped; the cause \
         may be on the line before it. Usual causes: a tab, a missing quote or bracket, keys of one mapping that are not \
         indented by the same amount, and a text with `: ` or ` #` in it that needs quotes.",
        "checks:\n  - name: db\n     simulated: {}\n",
        "checks:\n  - name: db\n    simulated: {}\n",
    ),
    error(
        "too-deep",
        "Lists and mappings are nested more than 64 levels deep.",
        "No key needs more than ten.",
        "# [[[[[[…]]]]]]\n",
        "# [[1]]\n",
    ),
    error(
        "alias-bomb",
        "Aliases make the document grow beyond all bounds.",
        "An alias (`*name`) stands for what its anchor (`&name`) marks. Aliases of aliases multiply; together they may add \
         1 MiB. An alias inside of what it names would never end.",
        "service: { name: &loop [*loop] }\n",
        "service: { name: &shop shop, version: *shop }\n",
    ),
    error(
        "several-documents",
        "The file holds more than one YAML document, or the manifest more than one configuration.",
        "A line `---` ends a document and begins another. It is not clear which one is meant, so none is used.",
        "checks: []\n---\nchecks: []\n",
        "checks: []\n",
    ),
    error(
        "empty-document",
        "The file, or its list of checks, is empty.",
        "Without checks every endpoint is open. That must be said (`checks: []`) and not happen because a file was cut off \
         or a template rendered nothing.",
        "checks:\n",
        "checks: []\n",
    ),
    error(
        "duplicate-key",
        "A key is twice in one mapping.",
        "Other readers of YAML silently take one of the two. Keep the one that is meant.",
        "checks:\n  - name: db\n    interval: 5s\n    simulated: {}\n    interval: 10s\n",
        "checks:\n  - name: db\n    interval: 5s\n    simulated: {}\n",
    ),
    error(
        "unsupported-tag",
        "A tag (`!name`) means nothing here.",
        "Only the tags of YAML itself are known: `!!str`, `!!int`, `!!float`, `!!bool`, `!!null`, `!!seq` and `!!map`. Use \
         `${NAME}` for the environment and `${file:/path}` for files.",
        "checks:\n  - name: !env CHECK_NAME\n    simulated: {}\n",
        "checks:\n  - name: ${CHECK_NAME:-db}\n    simulated: {}\n",
    ),
    error(
        "invalid-merge",
        "A merge key (`<<`) does not stand before a mapping.",
        "`<<: *name` takes over the keys of the mapping that `&name` marks, or of a list of such; keys that are written \
         out win.",
        "checks:\n  - name: db\n    <<: 5s\n    simulated: {}\n",
        "checks:\n  - &usual\n    name: db\n    interval: 5s\n    simulated: {}\n  - <<: *usual\n    name: cache\n",
    ),
    // Keys and values
    error(
        "unknown-key",
        "A key is not known at this place.",
        "A key that does nothing would be a check that is not made, so it is an error. The help names the key that was \
         probably meant, the section into which it belongs, or all keys of this place.",
        "checks:\n  - name: db\n    timeot: 2s\n    simulated: {}\n",
        "checks:\n  - name: db\n    timeout: 2s\n    simulated: {}\n",
    ),
    error(
        "missing-key",
        "A key that must be there is missing or has no value.",
        "It is reported at the item that lacks it.",
        "checks:\n  - simulated: {}\n",
        "checks:\n  - name: db\n    simulated: {}\n",
    ),
    error(
        "wrong-type",
        "A value is of another type than the key wants.",
        "A list where one value is wanted, a text where a number is wanted, and the like. Numbers, `true` and `false` stand \
         without quotes. A value that is one single expansion (`${NAME}`) is read as the type that is wanted.",
        "checks:\n  - name: db\n    gates: ready\n    simulated: {}\n",
        "checks:\n  - name: db\n    gates: [ready]\n    simulated: {}\n",
    ),
    error(
        "out-of-range",
        "A number or a duration is outside of its bounds.",
        "The message names the bounds.",
        "checks:\n  - name: db\n    interval: 50ms\n    timeout: 20ms\n    simulated: {}\n",
        "checks:\n  - name: db\n    interval: 100ms\n    timeout: 20ms\n    simulated: {}\n",
    ),
    error(
        "invalid-duration",
        "A text is not a duration.",
        "Durations are a number with a unit, or several: `250ms`, `10s`, `1m30s`, `14d`. Units are `ms`, `s`, `m`, `h`, `d` \
         and `w`. A bare number has no unit, so it is not clear what it means.",
        "checks:\n  - name: db\n    interval: 5\n    simulated: {}\n",
        "checks:\n  - name: db\n    interval: 5s\n    simulated: {}\n",
    ),
    error(
        "invalid-size",
        "A text is not a size.",
        "Sizes are a number with a unit: `64KiB`, `5GiB` in powers of 1024, `500MB` in powers of 1000.",
        "history: { max_size: 64 }\nchecks: []\n",
        "history: { max_size: 64MiB }\nchecks: []\n",
    ),
    error(
        "invalid-share",
        "A text is not a share.",
        "Shares are a number from 0 to 100 with a percent sign.",
        "checks:\n  - name: data\n    disk: { path: /, min_free_inodes: 5 }\n",
        "checks:\n  - name: data\n    disk: { path: /, min_free_inodes: 5% }\n",
    ),
    error(
        "unknown-word",
        "A value is none of the words that the key knows.",
        "The message names them all.",
        "checks:\n  - name: db\n    gates: [redy]\n    simulated: {}\n",
        "checks:\n  - name: db\n    gates: [ready]\n    simulated: {}\n",
    ),
    error(
        "invalid-url",
        "A text is not a URL of the kind that is wanted.",
        "The scheme says how to talk to the server, so it must be there. In a user name or password the characters `@`, \
         `/`, `:`, `?` and `#` are percent-encoded; what an expansion brings in there is encoded by itself.",
        "checks:\n  - name: user\n    http: { url: \"user.svc:8443/health\" }\n",
        "checks:\n  - name: user\n    http: { url: \"https://user.svc:8443/health\" }\n",
    ),
    error(
        "invalid-pattern",
        "A text is not a regular expression.",
        "The syntax is that of RE2 and Go, without look-around and back-references. Single quotes keep backslashes as they \
         are.",
        "checks:\n  - name: user\n    http: { url: \"http://user.svc/\", expect: { body_matches: \"(ok\" } }\n",
        "checks:\n  - name: user\n    http: { url: \"http://user.svc/\", expect: { body_matches: \"(ok)\" } }\n",
    ),
    error(
        "costly-pattern",
        "A regular expression may take too long on the body that it is for.",
        "How long a search takes is bounded by the size of the pattern, in which `{1,1000}` counts a thousand times, and by \
         `max_body`. Together they may need no more than about four seconds of a processor's time, whatever the target \
         answers. A run whose search takes longer than its `timeout` ends with it. Lower `max_body`, or write smaller numbers \
         in `{…}`; often `+` or `*` serve as well.",
        "checks:\n  - name: user\n    http:\n      url: http://localhost:8080/version\n      max_body: 4MiB\n      expect: { \
         body_matches: '[a-z]{1,1000}!' }\n",
        "checks:\n  - name: user\n    http:\n      url: http://localhost:8080/version\n      max_body: 4MiB\n      expect: { \
         body_matches: '[a-z]+!' }\n",
    ),
    error(
        "invalid-status",
        "A value is not a status code.",
        "Write one code (`204`), a class (`2xx`), a span (`200-299`), or a list of these.",
        "checks:\n  - name: user\n    http: { url: \"http://user.svc/\", expect: { status: 99 } }\n",
        "checks:\n  - name: user\n    http: { url: \"http://user.svc/\", expect: { status: 204 } }\n",
    ),
    error(
        "invalid-address",
        "A text is not an address to listen on.",
        "`:10240` is that port on all addresses; `127.0.0.1:10240` and `[::1]:10240` are one address. Names are not \
         resolved.",
        "server: { listen: \"localhost:10240\" }\nchecks: []\n",
        "server: { listen: \"127.0.0.1:10240\" }\nchecks: []\n",
    ),
    error(
        "invalid-label",
        "A label of the service cannot be one of `healthcheck_info`.",
        "Names are those that Prometheus takes: letters, digits and `_`, without a digit or `__` at the beginning. `check`, \
         `kind`, `critical`, `gates` and `runbook` are there already. At most 16.",
        "service: { labels: { kind: shop } }\nchecks: []\n",
        "service: { labels: { service_kind: shop } }\nchecks: []\n",
    ),
    error(
        "invalid-origin",
        "A text is not an origin whose pages could be let in.",
        "An origin is what a browser sends in the header `Origin`: scheme, host, and a port that is not the scheme's own, in \
         small letters and without a slash behind it. Each one is named; there are no patterns, and `null` is anybody's.",
        "server: { cors_origins: [\"https://grafana.example/\"] }\nchecks: []\n",
        "server: { cors_origins: [\"https://grafana.example\"] }\nchecks: []\n",
    ),
    error(
        "invalid-value",
        "A value has the right type and cannot be used.",
        "The message says why.",
        "checks:\n  - name: db\n    simulated: { error_rate: 0.8, timeout_rate: 0.4 }\n",
        "checks:\n  - name: db\n    simulated: { error_rate: 0.6, timeout_rate: 0.4 }\n",
    ),
    // Expansions
    error(
        "unset-variable",
        "An environment variable is not set.",
        "`${NAME}` must be set in the sidecar's own container: the app's environment is not the sidecar's. \
         `${NAME:-default}` gives a default, which also stands for an empty variable.",
        "service: { version: \"${NO_SUCH_VARIABLE}\" }\nchecks: []\n",
        "service: { version: \"${NO_SUCH_VARIABLE:-1.0}\" }\nchecks: []\n",
    ),
    error(
        "invalid-expansion",
        "A `${` does not begin an expansion.",
        "Known are `${NAME}`, `${NAME:-default}`, `${file:/path}` and, in the steps of a workflow, \
         `${steps.<step>.<name>}`. `$${` stands for a literal `${`.",
        "service: { version: \"${VERSION\" }\nchecks: []\n",
        "service: { version: \"${VERSION:-1.0}\" }\nchecks: []\n",
    ),
    error(
        "misplaced-capture",
        "A captured value stands where none can.",
        "`${steps.<step>.<name>}` is filled in when a step of a workflow runs. It may stand in the path and the query of a \
         URL, in the value of a header, in a body and in a query; not in a host, a name or a number, and not outside a \
         workflow.",
        "checks:\n  - name: db\n    simulated: { ok_message: \"${steps.login.token}\" }\n",
        "checks:\n  - name: db\n    simulated: { ok_message: \"$${steps.login.token}\" }\n",
    ),
    // Checks
    error(
        "missing-kind",
        "A check (or a step) does not say what to observe.",
        "It needs one section that is named after a kind of probe and holds its keys.",
        "checks:\n  - name: db\n",
        "checks:\n  - name: db\n    simulated: {}\n",
    ),
    error(
        "two-kinds",
        "A check (or a step) says twice what to observe.",
        "One check observes one thing; make two checks.",
        "checks:\n  - name: db\n    simulated: {}\n    disk: { path: / }\n",
        "checks:\n  - name: db\n    simulated: {}\n  - name: root\n    disk: { path: / }\n",
    ),
    error(
        "invalid-name",
        "A name does not follow the rule for names.",
        "A name is a letter or digit, then letters, digits and `_./-`, at most 100 characters: it stands in metrics, in \
         paths and in logs.",
        "checks:\n  - name: my database\n    simulated: {}\n",
        "checks:\n  - name: my_database\n    simulated: {}\n",
    ),
    error(
        "duplicate-name",
        "Two checks (or two steps) have the same name.",
        "The name is what tells them apart in answers, metrics and history.",
        "checks:\n  - name: db\n    simulated: {}\n  - name: db\n    simulated: {}\n",
        "checks:\n  - name: db\n    simulated: {}\n  - name: db_replica\n    simulated: {}\n",
    ),
    error(
        "unknown-check",
        "`depends_on` names a check that is not there.",
        "Without its parent the check would never be skipped, and the root cause never be named.",
        "checks:\n  - name: db\n    simulated: {}\n  - name: orders\n    depends_on: [dv]\n    simulated: {}\n",
        "checks:\n  - name: db\n    simulated: {}\n  - name: orders\n    depends_on: [db]\n    simulated: {}\n",
    ),
    error(
        "dependency-ring",
        "Checks depend on each other in a ring.",
        "Each would wait for the next, and none would ever run.",
        "checks:\n  - name: a\n    depends_on: [b]\n    simulated: {}\n  - name: b\n    depends_on: [a]\n    simulated: {}\n",
        "checks:\n  - name: a\n    simulated: {}\n  - name: b\n    depends_on: [a]\n    simulated: {}\n",
    ),
    error(
        "repeated-item",
        "An item is twice in a list.",
        "Once is enough; the other was probably meant to be something else.",
        "checks:\n  - name: db\n    gates: [ready, ready]\n    simulated: {}\n",
        "checks:\n  - name: db\n    gates: [ready, startup]\n    simulated: {}\n",
    ),
    error(
        "overlapping-address",
        "An address to listen on is part of another one.",
        "`:10240` is that port on all addresses, so that nothing else can listen on it. Give what is to answer less, or only \
         within the pod, a port of its own.",
        "server:\n  listen: [\"127.0.0.1:10240\", { address: \":10240\", routes: probes }]\nchecks: []\n",
        "server:\n  listen: [\"127.0.0.1:10241\", { address: \":10240\", routes: probes }]\nchecks: []\n",
    ),
    error(
        "degraded-above-timeout",
        "`degraded_above` is not below `timeout`.",
        "A run ends at its timeout, so no pass can be slower than that.",
        "checks:\n  - name: db\n    timeout: 1s\n    degraded_above: 1s\n    simulated: {}\n",
        "checks:\n  - name: db\n    timeout: 1s\n    degraded_above: 500ms\n    simulated: {}\n",
    ),
    error(
        "at-startup-gates-live",
        "A check that is critical at startup only cannot gate `live`.",
        "`critical: at_startup` holds back a new pod until its dependencies are there. A failing `/livez` restarts the \
         container, again and again for as long as the dependency is away.",
        "checks:\n  - name: db\n    critical: at_startup\n    gates: [live, ready]\n    simulated: {}\n",
        "checks:\n  - name: db\n    critical: at_startup\n    gates: [ready]\n    simulated: {}\n",
    ),
    error(
        "push-without-control",
        "A heartbeat is to be pushed, and the route for it is turned off.",
        "`server.control: false` turns off the routes that change something, and `PUT /v1/heartbeats/<check>` is one of them; \
         so does `routes` at every address. They take requests from the same pod alone; where even that is too much, let the app touch a file.",
        "server: { control: false }\nchecks:\n  - name: main_loop\n    heartbeat: { push: true, max_age: 30s }\n",
        "server: { control: false }\nchecks:\n  - name: main_loop\n    heartbeat: { file: /run/app/alive, max_age: 30s }\n",
    ),
    // Files and steps
    error(
        "bad-certificate",
        "A certificate, CA or key file cannot be used.",
        "Files are PEM. `ca_file` holds the certificates to trust; `cert_file` the client's certificate, with those that \
         signed it behind it; `key_file` the key that belongs to it.",
        "checks:\n  - name: user\n    http: { url: \"https://user.svc/\", tls: { ca_file: /etc/hostname } }\n",
        "checks:\n  - name: user\n    http: { url: \"https://user.svc/\", tls: { ca_file: /etc/ca.pem } }\n",
    ),
    error(
        "invalid-matcher",
        "A matcher says nothing, or can never hold.",
        "A matcher is a mapping of words of which all must hold: `{ above: 5, below: 10 }`. It needs at least one. Words that \
         exclude each other are most likely a slip, such as bounds in the wrong order; with them the check would always \
         fail. What is not there (`exists: false`) is neither above nor equal to anything.",
        "checks:\n  - name: user\n    http:\n      url: http://user.svc/\n      expect: { json: { /depth: { above: 10, below: \
         5 } } }\n",
        "checks:\n  - name: user\n    http:\n      url: http://user.svc/\n      expect: { json: { /depth: { above: 5, below: \
         10 } } }\n",
    ),
    error(
        "invalid-pointer",
        "A key of `json` is not a JSON Pointer.",
        "A pointer (RFC 6901) is empty for the whole document, or begins with `/` and names the keys and positions on the \
         way, such as `/items/0/state`, or `/items/*/state` for every item. In a key `~` is written `~0` and `/` is written \
         `~1`.",
        "checks:\n  - name: user\n    http:\n      url: http://user.svc/\n      expect: { json: { data.status: ok } }\n",
        "checks:\n  - name: user\n    http:\n      url: http://user.svc/\n      expect: { json: { /data/status: ok } }\n",
    ),
    error(
        "no-steps",
        "A workflow has no steps.",
        "It would pass without having looked at anything.",
        "checks:\n  - name: path\n    workflow: { steps: [] }\n",
        "checks:\n  - name: path\n    workflow: { steps: [{ name: login, simulated: {} }] }\n",
    ),
    error(
        "too-many-steps",
        "A workflow has more steps than any needs.",
        "Split it into several checks, which may depend on each other.",
        "# a workflow of 101 steps\n",
        "# two workflows of 50 steps\n",
    ),
    error(
        "unknown-step",
        "A step that is needed, or whose value is used, is not there.",
        "`needs` and `${steps.<step>.<name>}` name steps of the same workflow.",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - { name: login, simulated: {} }\n        - { name: \
         order, needs: [logn], simulated: {} }\n",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - { name: login, simulated: {} }\n        - { name: \
         order, needs: [login], simulated: {} }\n",
    ),
    error(
        "needs-ring",
        "Steps need each other in a ring.",
        "None of them could ever run. A step without `needs` needs the one before it.",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - { name: a, needs: [b], simulated: {} }\n        - { \
         name: b, simulated: {} }\n",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - { name: a, simulated: {} }\n        - { name: b, \
         simulated: {} }\n",
    ),
    error(
        "invalid-capture",
        "A `capture` or a `message` does not say where its value is found.",
        "Known are `json:<pointer>`, `header:<name>` and `regex:<pattern with one group>`; for a `capture` also `cookie:<name>` \
         and `status`.",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: login\n          http: { url: \
         \"http://localhost:8080/login\" }\n          capture: { token: /access_token }\n",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: login\n          http: { url: \
         \"http://localhost:8080/login\" }\n          capture: { token: \"json:/access_token\" }\n",
    ),
    error(
        "unknown-capture",
        "A value is used that its step does not capture.",
        "`${steps.<step>.<name>}` needs `<name>` in the `capture` of that step.",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: login\n          http: { url: \
         \"http://localhost:8080/login\" }\n          capture: { token: \"json:/t\" }\n        - name: order\n          http: { \
         url: \"http://localhost:8080/${steps.login.tokn}\" }\n",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: login\n          http: { url: \
         \"http://localhost:8080/login\" }\n          capture: { token: \"json:/t\" }\n        - name: order\n          http: { \
         url: \"http://localhost:8080/${steps.login.token}\" }\n",
    ),
    error(
        "own-capture",
        "A step uses a value that it captures itself.",
        "The value is there only after the step has run.",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: login\n          http: { url: \
         \"http://localhost:8080/${steps.login.token}\" }\n          capture: { token: \"json:/t\" }\n",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: login\n          http: { url: \
         \"http://localhost:8080/login\" }\n          capture: { token: \"json:/t\" }\n",
    ),
    error(
        "step-not-needed",
        "A step uses a value of a step that it does not need.",
        "The value may not be there when the step runs. Name the step in `needs`, directly or further up.",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: login\n          http: { url: \
         \"http://localhost:8080/login\" }\n          capture: { token: \"json:/t\" }\n        - name: order\n          needs: \
         []\n          http: { url: \"http://localhost:8080/${steps.login.token}\" }\n",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: login\n          http: { url: \
         \"http://localhost:8080/login\" }\n          capture: { token: \"json:/t\" }\n        - name: order\n          needs: \
         [login]\n          http: { url: \"http://localhost:8080/${steps.login.token}\" }\n",
    ),
    error(
        "capture-in-literal",
        "A captured value stands inside a literal, a name or a comment of an SQL query.",
        "Captured values are bound as parameters, which cannot stand there. Give the value a place of its own, with a cast \
         where the column wants one: `WHERE id = ${steps.order.id}::bigint`.",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: order\n          http: { url: \
         \"http://localhost:8080/orders\" }\n          capture: { id: \"json:/id\" }\n        - name: row\n          postgres:\n            \
         url: postgres://probe@db/orders\n            query: \"SELECT 'order-${steps.order.id}'\"\n",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: order\n          http: { url: \
         \"http://localhost:8080/orders\" }\n          capture: { id: \"json:/id\" }\n        - name: row\n          postgres:\n            \
         url: postgres://probe@db/orders\n            query: \"SELECT 'order-' || ${steps.order.id}\"\n",
    ),
    error(
        "push-in-step",
        "A step of a workflow waits for a heartbeat that is pushed.",
        "Beats are pushed to checks, by their names: nobody can push one to a step. Give the heartbeat a check of its own; the \
         check with the workflow names it in `depends_on` where it makes no sense without. A step may look at a `file`.",
        "checks:\n  - name: path\n    workflow:\n      steps:\n        - name: loop\n          heartbeat: { push: true, max_age: 30s }\n        \
         - name: order\n          http: { url: \"http://localhost:8080/orders\" }\n",
        "checks:\n  - name: loop\n    heartbeat: { push: true, max_age: 30s }\n  - name: path\n    depends_on: [loop]\n    \
         workflow:\n      steps:\n        - name: order\n          http: { url: \"http://localhost:8080/orders\" }\n",
    ),
    // Silenced warnings
    error(
        "unknown-code",
        "What `allow` names is no diagnostic code.",
        "Each key of `allow` is the code of a warning, as it stands in brackets in the report: `warning[external-gate]`.",
        "checks:\n  - name: user\n    gates: [live]\n    allow: { external-gat: its agent runs on this node }\n    http: { url: \"http://localhost/health\" }\n",
        "checks:\n  - name: user\n    gates: [live]\n    allow: { external-gate: its agent runs on this node }\n    http: { url: \"http://user.svc/health\" }\n",
    ),
    error(
        "not-a-warning",
        "`allow` names the code of an error.",
        "With an error the configuration cannot be used, whatever the reason for it. Only warnings can be silenced.",
        "checks:\n  - name: user\n    allow: { unknown-key: it is for another tool }\n    simulated: {}\n",
        "checks:\n  - name: user\n    simulated: {}\n",
    ),
    error(
        "empty-reason",
        "`allow` names a warning without a reason.",
        "The reason is for whoever reads the file next and wonders whether the warning was seen.",
        "checks:\n  - name: user\n    gates: [live]\n    allow: { external-gate: \"\" }\n    http: { url: \"http://user.svc/health\" }\n",
        "checks:\n  - name: user\n    gates: [live]\n    allow: { external-gate: its agent runs on this node }\n    http: { url: \"http://user.svc/health\" }\n",
    ),
    // Warnings
    warning(
        "timeout-above-interval",
        "A run may take longer than the time to the next one.",
        "Runs of one check never overlap: one that overruns skips to the next beat, so that a hanging dependency is seen \
         later than the interval promises.",
        "checks:\n  - name: db\n    interval: 1s\n    timeout: 5s\n    simulated: {}\n",
        "checks:\n  - name: db\n    interval: 5s\n    timeout: 1s\n    simulated: {}\n",
    ),
    warning(
        "external-gate",
        "A dependency that runs elsewhere can have the app restarted.",
        "When `/livez` or `/startupz` closes, kubelet restarts the app. That cannot mend a database or another service: it \
         turns its outage into one of every app that asks for it. Gate `ready` instead; with `critical: at_startup` a new \
         pod waits for the dependency, and an outage later does not empty the whole Service.",
        "checks:\n  - name: user\n    gates: [live]\n    http: { url: \"http://user.svc/health\" }\n",
        "checks:\n  - name: user\n    gates: [ready]\n    critical: at_startup\n    http: { url: \"http://user.svc/health\" }\n",
    ),
    warning(
        "uncritical-live",
        "A check that is not critical gates `live`.",
        "With `critical: false` a failure never closes anything, so `/livez` stays open whatever this check finds.",
        "checks:\n  - name: app\n    critical: false\n    gates: [live]\n    simulated: {}\n",
        "checks:\n  - name: app\n    critical: true\n    gates: [live]\n    simulated: {}\n",
    ),
    warning(
        "former-name-taken",
        "`formerly` names a check that is still there, or from which another one goes on.",
        "A check that has another name than before goes on with the history of the former one, its counts, and what it kept \
         closed. While a check has that name, switched off or not, all of that stays with it; of two checks with the same former \
         name the first goes on. The other begins anew, as if it had no `formerly`.",
        "checks:\n  - name: orders_db\n    formerly: db\n    simulated: {}\n  - name: db\n    simulated: {}\n",
        "checks:\n  - name: orders_db\n    formerly: db\n    simulated: {}\n  - name: users_db\n    simulated: {}\n",
    ),
    warning(
        "small-history",
        "`history.max_size` leaves hardly any room for a past.",
        "Of a file that is too large the oldest goes first, and its tables and what lasts are in it whatever happens. Where they \
         take most of what is allowed, a change is gone as soon as it is over, and figures tell of the last moments alone: a \
         check that flaps then shows 100 %.",
        "history: { path: /var/lib/probelet/history.db, max_size: 64KiB }\nchecks: []\n",
        "history: { path: /var/lib/probelet/history.db, max_size: 1MiB }\nchecks: []\n",
    ),
    warning(
        "plain-secret",
        "A password stands in the file in plain text.",
        "Configurations end up in repositories, ConfigMaps and tickets. Take the secret from the environment or from a \
         mounted file; it is then never shown anywhere.",
        "checks:\n  - name: user\n    http: { url: \"http://probe:hunter2@user.svc/health\" }\n",
        "checks:\n  - name: user\n    http: { url: \"http://probe:${USER_PASSWORD:-}@user.svc/health\" }\n",
    ),
    warning(
        "password-in-clear",
        "A database that answers without TLS can ask for the password itself.",
        "PostgreSQL's default `sslmode=prefer` speaks TLS where the server offers it. Whoever answers in its place offers \
         none, asks for the password in clear or as MD5, and gets it. With `require_auth: scram-sha-256` nobody gets it; \
         `sslmode=require` in the URL insists on TLS, `verify-full` also on the right server.",
        "checks:\n  - name: db\n    postgres: { url: \"${DATABASE_URL:-postgres://probe@db/orders}\" }\n",
        "checks:\n  - name: db\n    postgres:\n      url: \"${DATABASE_URL:-postgres://probe@db/orders}\"\n      require_auth: scram-sha-256\n",
    ),
    warning(
        "bare-tcp",
        "An open port is taken for a healthy server.",
        "PostgreSQL, RabbitMQ and Redis accept connections while they cannot serve, and a connection without a word costs \
         PostgreSQL a process and RabbitMQ a line in its log. The kinds `postgres`, `amqp` and `redis` ask the server \
         itself.",
        "checks:\n  - name: db\n    tcp: { address: \"db:5432\" }\n",
        "checks:\n  - name: db\n    postgres: { url: \"postgres://probe@db:5432/orders\" }\n",
    ),
    warning(
        "ineffective-key",
        "A key is there and changes nothing.",
        "Beside what else is said in its section it can have no effect. It was probably meant to have one.",
        "checks:\n  - name: data\n    disk: { path: /, min_free: 20%, degraded_below: 10% }\n",
        "checks:\n  - name: data\n    disk: { path: /, min_free: 10%, degraded_below: 20% }\n",
    ),
    warning(
        "unused-allow",
        "`allow` silences a warning that is not there.",
        "What it was for has been mended, or the warning is at another check: on a check `allow` is for that check alone, at \
         the top level for the whole file. Left in place it would hide the next mistake of this kind.",
        "checks:\n  - name: user\n    allow: { external-gate: its agent runs on this node }\n    http: { url: \"http://user.svc/health\" }\n",
        "checks:\n  - name: user\n    http: { url: \"http://user.svc/health\" }\n",
    ),
];
