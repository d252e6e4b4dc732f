//! The codes of what is said about a pod: stable names, what they mean, and a manifest with the problem and without it.

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It cannot work.
    Error,
    /// It works, until a night comes on which it does harm.
    Warning,
    /// It is a choice, and there is another one.
    Note,
}

impl Level {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A kind of problem in the manifest of a pod.
#[derive(Debug)]
pub struct Pitfall {
    /// The stable name: `startup-deadlock`.
    pub name: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// Why it matters and what to do, in a few sentences.
    pub explanation: &'static str,
    /// The part of a manifest with the problem.
    pub wrong: &'static str,
    /// The same without it.
    pub right: &'static str,
}

/// Every code, errors first.
pub static PITFALLS: &[&Pitfall] = &[
    &STARTUP_DEADLOCK,
    &PROBE_NEVER_PASSES,
    &STARTUP_TOO_SHORT,
    &PROBE_IGNORES_CHECKS,
    &PROBE_RESTARTS_SIDECAR,
    &LIVENESS_TOO_WIDE,
    &STARTUP_TOO_WIDE,
    &READINESS_TOO_NARROW,
    &PROBE_HOST,
    &LOOPBACK_ONLY,
    &SUCCESS_THRESHOLD,
    &ASK_TIMEOUT,
    &GATE_NOT_ASKED,
    &SLOW_CUT_OFF,
    &NO_STARTUP_PROBE,
    &SIDECAR_LIVENESS,
    &SIDECAR_GRACE,
    &NO_STATE,
    &CONFIG_ERROR_EXIT,
    &NO_DRAIN,
    &GRACE_TOO_SHORT,
    &NAMED_PORT,
    &FAILS_CLOSED,
];

pub(crate) static STARTUP_DEADLOCK: Pitfall = Pitfall {
    name: "startup-deadlock",
    level: Level::Error,
    meaning: "A native sidecar waits for the app, which is started after it: the pod never starts.",
    explanation: "Kubelet starts the containers of the app once the startupProbe of every native sidecar (an init container \
                  with `restartPolicy: Always`) has passed. When that probe asks an endpoint that a check of the app itself \
                  keeps closed, each waits for the other for ever. The sidecar's own startupProbe asks `/-/healthy`; \
                  `/startupz` is for the startupProbe of the app.",
    wrong: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    startupProbe: { httpGet: { path: /startupz, \
            port: 10240 } }\n",
    right: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    startupProbe: { httpGet: { path: /-/healthy, \
            port: 10240 } }\n",
};

pub(crate) static PROBE_NEVER_PASSES: Pitfall = Pitfall {
    name: "probe-never-passes",
    level: Level::Error,
    meaning: "A probe asks probelet in a way that has no good answer.",
    explanation: "A path that there is not, one that never ends or that `server.details: none` turns off, a protocol that \
                  probelet does not speak, the name of a port that another container declares: such a probe fails for \
                  ever, whatever the checks say.",
    wrong: "containers:\n  - name: app\n    readinessProbe: { httpGet: { path: /readz, port: 10240 } }\n",
    right: "containers:\n  - name: app\n    readinessProbe: { httpGet: { path: /readyz, port: 10240 } }\n",
};

pub(crate) static STARTUP_TOO_SHORT: Pitfall = Pitfall {
    name: "startup-too-short",
    level: Level::Error,
    meaning: "A container is restarted before it can have started, although all is well.",
    explanation: "The probe gives up (`failureThreshold` times `periodSeconds`) before the checks can have passed: \
                  `initial_delay` and `success_threshold` take longer.",
    wrong: "# with `initial_delay: 20s` at a check that gates `startup`\ncontainers:\n  - name: app\n    startupProbe:\n      \
            httpGet: { path: /startupz, port: 10240 }\n      periodSeconds: 1\n      failureThreshold: 5\n",
    right: "# with `initial_delay: 20s` at a check that gates `startup`\ncontainers:\n  - name: app\n    startupProbe:\n      \
            httpGet: { path: /startupz, port: 10240 }\n      periodSeconds: 2\n      failureThreshold: 60\n",
};

pub(crate) static PROBE_IGNORES_CHECKS: Pitfall = Pitfall {
    name: "probe-ignores-checks",
    level: Level::Warning,
    meaning: "A probe asks probelet, and passes whatever the checks say.",
    explanation: "It only opens a connection, asks for what is always 200, or runs a command that does not mind the answer: \
                  curl fails on 503 only with `-f`, and with `|| true` nothing fails.",
    wrong: "containers:\n  - name: app\n    readinessProbe: { exec: { command: [curl, \"localhost:10240/readyz\"] } }\n",
    right: "containers:\n  - name: app\n    readinessProbe: { httpGet: { path: /readyz, port: 10240 } }\n",
};

pub(crate) static PROBE_RESTARTS_SIDECAR: Pitfall = Pitfall {
    name: "probe-restarts-sidecar",
    level: Level::Warning,
    meaning: "A probe restarts probelet for a failure of the app.",
    explanation: "Kubelet restarts the container that has the probe. `/livez` and `/startupz` are about the app: ask them \
                  from the app's container. The sidecar's own probes ask `/-/healthy`.",
    wrong: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    livenessProbe: { httpGet: { path: /livez, port: \
            10240 } }\n",
    right: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    livenessProbe: { httpGet: { path: /-/healthy, \
            port: 10240 } }\n",
};

pub(crate) static LIVENESS_TOO_WIDE: Pitfall = Pitfall {
    name: "liveness-too-wide",
    level: Level::Warning,
    meaning: "A liveness probe restarts the app for what a restart cannot mend.",
    explanation: "`/readyz`, `/healthz` and `/` also close for dependencies, while a drain goes on, and after a restart of the \
                  sidecar for shared dependencies that are `at_startup`. Only `/livez` closes by the app's own fault.",
    wrong: "containers:\n  - name: app\n    livenessProbe: { httpGet: { path: /readyz, port: 10240 } }\n",
    right: "containers:\n  - name: app\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n",
};

pub(crate) static STARTUP_TOO_WIDE: Pitfall = Pitfall {
    name: "startup-too-wide",
    level: Level::Warning,
    meaning: "A startup probe restarts a container for what a restart cannot mend.",
    explanation: "Until the startup probe has passed kubelet restarts the container again and again, with growing pauses. \
                  `/startupz` waits for the app itself; what else the traffic needs is for `/readyz`.",
    wrong: "containers:\n  - name: app\n    startupProbe: { httpGet: { path: /readyz, port: 10240 } }\n",
    right: "containers:\n  - name: app\n    startupProbe: { httpGet: { path: /startupz, port: 10240 } }\n",
};

pub(crate) static READINESS_TOO_NARROW: Pitfall = Pitfall {
    name: "readiness-too-narrow",
    level: Level::Warning,
    meaning: "The app gets traffic while it should not.",
    explanation: "Only `/readyz` closes for everything that gates `ready`, and for a drain.",
    wrong: "containers:\n  - name: app\n    readinessProbe: { httpGet: { path: /livez, port: 10240 } }\n",
    right: "containers:\n  - name: app\n    readinessProbe: { httpGet: { path: /readyz, port: 10240 } }\n",
};

pub(crate) static PROBE_HOST: Pitfall = Pitfall {
    name: "probe-host",
    level: Level::Warning,
    meaning: "A probe asks the loopback address of the node.",
    explanation: "Kubelet asks from the node. Without `host` it asks the pod.",
    wrong: "containers:\n  - name: app\n    readinessProbe:\n      httpGet: { path: /readyz, port: 10240, host: 127.0.0.1 }\n",
    right: "containers:\n  - name: app\n    readinessProbe: { httpGet: { path: /readyz, port: 10240 } }\n",
};

pub(crate) static LOOPBACK_ONLY: Pitfall = Pitfall {
    name: "loopback-only",
    level: Level::Warning,
    meaning: "Kubelet cannot reach probelet, which listens on loopback alone.",
    explanation: "Kubelet asks the pod's address. Listen on all of them, `server: { listen: \":10240\" }`, or let the probes \
                  run `probelet ask`.",
    wrong: "# with `server: { listen: \"127.0.0.1:10240\" }`\ncontainers:\n  - name: app\n    readinessProbe: { httpGet: { \
            path: /readyz, port: 10240 } }\n",
    right: "# with `server: { listen: \":10240\" }`\ncontainers:\n  - name: app\n    readinessProbe: { httpGet: { path: \
            /readyz, port: 10240 } }\n",
};

pub(crate) static SUCCESS_THRESHOLD: Pitfall = Pitfall {
    name: "success-threshold",
    level: Level::Warning,
    meaning: "Kubernetes refuses the manifest.",
    explanation: "A liveness or startup probe has `successThreshold: 1`, always.",
    wrong: "containers:\n  - name: app\n    livenessProbe:\n      httpGet: { path: /livez, port: 10240 }\n      successThreshold: 2\n",
    right: "containers:\n  - name: app\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n",
};

pub(crate) static ASK_TIMEOUT: Pitfall = Pitfall {
    name: "ask-timeout",
    level: Level::Warning,
    meaning: "`probelet ask` waits longer than kubelet does.",
    explanation: "Kubelet gives up after `timeoutSeconds`, and its event then says nothing of the cause.",
    wrong: "containers:\n  - name: app\n    readinessProbe: { exec: { command: [probelet, ask, --timeout, 2s] } }\n",
    right: "containers:\n  - name: app\n    readinessProbe:\n      exec: { command: [probelet, ask, --timeout, 2s] }\n      timeoutSeconds: 3\n",
};

pub(crate) static GATE_NOT_ASKED: Pitfall = Pitfall {
    name: "gate-not-asked",
    level: Level::Warning,
    meaning: "Checks close an endpoint that no probe asks.",
    explanation: "What a check closes has an effect only where somebody asks: kubelet by a probe of the app's container.",
    wrong: "containers:\n  - name: app\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n",
    right: "containers:\n  - name: app\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n    readinessProbe: { \
            httpGet: { path: /readyz, port: 10240 } }\n",
};

pub(crate) static SLOW_CUT_OFF: Pitfall = Pitfall {
    name: "slow-cut-off",
    level: Level::Warning,
    meaning: "Traffic goes on for minutes after a check has failed for the first time.",
    explanation: "The thresholds of the check and of kubelet's probe multiply. One of them is enough to keep blips out.",
    wrong: "# with `failure_threshold: 5` at a check\ncontainers:\n  - name: app\n    readinessProbe:\n      httpGet: { path: \
            /readyz, port: 10240 }\n      periodSeconds: 60\n",
    right: "# with `failure_threshold: 5` at a check\ncontainers:\n  - name: app\n    readinessProbe:\n      httpGet: { path: \
            /readyz, port: 10240 }\n      periodSeconds: 5\n",
};

pub(crate) static NO_STARTUP_PROBE: Pitfall = Pitfall {
    name: "no-startup-probe",
    level: Level::Warning,
    meaning: "The app has no startup probe that asks `/startupz`.",
    explanation: "Kubelet asks `/startupz` only while a container has not started. That is how probelet learns that there is \
                  a new one: what it saw of the last one then counts for nothing. Without it a restarted app gets traffic \
                  before it serves, and a slow start is ended by the liveness probe.",
    wrong: "containers:\n  - name: app\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n    readinessProbe: { \
            httpGet: { path: /readyz, port: 10240 } }\n",
    right: "containers:\n  - name: app\n    startupProbe:\n      httpGet: { path: /startupz, port: 10240 }\n      periodSeconds: \
            2\n      failureThreshold: 60\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n    readinessProbe: { \
            httpGet: { path: /readyz, port: 10240 } }\n",
};

pub(crate) static SIDECAR_LIVENESS: Pitfall = Pitfall {
    name: "sidecar-liveness",
    level: Level::Warning,
    meaning: "When probelet hangs, the app is restarted instead of it.",
    explanation: "A frozen or starved sidecar answers no probe. Its own liveness probe has to restart it before that of the \
                  app gives up: every 3 s, at the second failure.",
    wrong: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    livenessProbe: { httpGet: { path: /-/healthy, \
            port: 10240 } }\n",
    right: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    livenessProbe:\n      httpGet: { path: \
            /-/healthy, port: 10240 }\n      periodSeconds: 3\n      failureThreshold: 2\n      terminationGracePeriodSeconds: \
            1\n",
};

pub(crate) static SIDECAR_GRACE: Pitfall = Pitfall {
    name: "sidecar-grace",
    level: Level::Warning,
    meaning: "A sidecar that hangs is given the whole grace period of the pod to end.",
    explanation: "When its liveness probe gives up, kubelet runs the preStop hook and waits for the grace period. It does \
                  nothing else for the pod meanwhile, and restarts the app next. `terminationGracePeriodSeconds: 1` at the \
                  sidecar's own liveness probe is for this case alone: the pod's own end keeps its 30 s.",
    wrong: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    livenessProbe:\n      httpGet: { path: \
            /-/healthy, port: 10240 }\n      periodSeconds: 3\n      failureThreshold: 2\n",
    right: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    livenessProbe:\n      httpGet: { path: \
            /-/healthy, port: 10240 }\n      periodSeconds: 3\n      failureThreshold: 2\n      terminationGracePeriodSeconds: \
            1\n",
};

pub(crate) static NO_STATE: Pitfall = Pitfall {
    name: "no-state",
    level: Level::Warning,
    meaning: "What probelet knows is lost when its own container restarts.",
    explanation: "With `--state DIR` (or `PROBELET_STATE`) on a volume, an emptyDir is enough, a sidecar that was restarted \
                  within its pod goes on as it was: a pod that was ready stays so while a shared database is away, and the \
                  last good configuration is used while the present one is not valid.",
    wrong: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    args: [run, --config-error, serve]\n",
    right: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    args: [run, --config-error, serve, --state, \
            /var/lib/probelet]\n    volumeMounts: [{ name: state, mountPath: /var/lib/probelet }]\nvolumes: [{ name: state, \
            emptyDir: {} }]\n",
};

pub(crate) static CONFIG_ERROR_EXIT: Pitfall = Pitfall {
    name: "config-error-exit",
    level: Level::Warning,
    meaning: "A mistake in the configuration ends probelet, and kubelet restarts the app.",
    explanation: "Without a valid configuration `probelet run` ends, nothing listens, and the liveness probe of the app is \
                  refused. With `--config-error serve` it goes on with the last good one, or says why it has none.",
    wrong: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    args: [run]\n",
    right: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    args: [run, --config-error, serve]\n",
};

pub(crate) static NO_DRAIN: Pitfall = Pitfall {
    name: "no-drain",
    level: Level::Warning,
    meaning: "`/readyz` stays open while the pod ends.",
    explanation: "SIGTERM reaches a native sidecar only after the app is gone. Its preStop hook is run when termination \
                  begins: `probelet drain` closes `/readyz` then, and waits for `server.drain`.",
    wrong: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n",
    right: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    lifecycle: { preStop: { exec: { command: \
            [/probelet, drain] } } }\n",
};

pub(crate) static GRACE_TOO_SHORT: Pitfall = Pitfall {
    name: "grace-too-short",
    level: Level::Warning,
    meaning: "A preStop hook uses up the time that the pod has to end.",
    explanation: "`terminationGracePeriodSeconds` (30 unless said) covers the hook and the end of the container after it. When \
                  the hook takes all of it, the container is killed in the middle of its requests.",
    wrong: "containers:\n  - name: app\n    lifecycle: { preStop: { sleep: { seconds: 30 } } }\n    livenessProbe: { httpGet: { \
            path: /livez, port: 10240 } }\n",
    right: "terminationGracePeriodSeconds: 60\ncontainers:\n  - name: app\n    lifecycle: { preStop: { sleep: { seconds: 30 } } \
            }\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n",
};

pub(crate) static NAMED_PORT: Pitfall = Pitfall {
    name: "named-port",
    level: Level::Warning,
    meaning: "A probe names its port.",
    explanation: "Where Istio rewrites the probes of a pod, it reads a port that is a name as 0. A number is read everywhere.",
    wrong: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    ports: [{ name: health, containerPort: 10240 \
            }]\n    livenessProbe: { httpGet: { path: /-/healthy, port: health } }\n",
    right: "initContainers:\n  - name: probelet\n    restartPolicy: Always\n    ports: [{ name: health, containerPort: 10240 \
            }]\n    livenessProbe: { httpGet: { path: /-/healthy, port: 10240 } }\n",
};

pub(crate) static FAILS_CLOSED: Pitfall = Pitfall {
    name: "fails-closed",
    level: Level::Note,
    meaning: "While probelet crash-loops, the app is restarted.",
    explanation: "Nothing listens then, and the liveness probe of the app is refused. `probelet install DIR`, run by an init \
                  container, puts the binary where the app's container finds it; `probelet ask livez --if-unreachable ok` \
                  fails only when probelet says so, and kubelet's event then names the cause.",
    wrong: "containers:\n  - name: app\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n",
    right: "containers:\n  - name: app\n    livenessProbe:\n      exec:\n        command: [/p/probelet, ask, livez, --if-unreachable, ok]\n",
};

/// Something to think about, and what to write instead.
#[derive(Clone, Debug)]
pub struct Advice {
    /// The kind of problem.
    pub pitfall: &'static Pitfall,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Advice {
    /// Whether it is about the same container in the same way.
    pub(crate) fn says(&self, other: &Self) -> bool {
        let subject = |advice: &Self| advice.message.split(' ').next().unwrap_or_default().to_owned();
        std::ptr::eq(self.pitfall, other.pitfall) && subject(self) == subject(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::source::Environment;
    use crate::simulation::advice;
    use crate::simulation::roles::containers;

    const CONFIG: &str = "\
checks:
  - { name: database, tcp: { address: \"db:5000\" }, critical: at_startup }
  - { name: app, http: { url: http://localhost:8080/live }, gates: [live], depends_on: [database] }
";

    /// What an example needs beside itself: a configuration, and what else is in the pod.
    fn around(name: &str) -> (String, &'static str) {
        let configuration = match name {
            "startup-too-short" => CONFIG.replace("depends_on: [database]", "initial_delay: 20s"),
            "loopback-only" => format!("server: {{ listen: \"127.0.0.1:10240\" }}\n{CONFIG}"),
            "slow-cut-off" => CONFIG.replace("critical: at_startup", "failure_threshold: 5"),
            _ => CONFIG.to_owned(),
        };
        let needs_app = ["sidecar-liveness", "startup-deadlock"].contains(&name);
        let needs_sidecar = name == "fails-closed";
        let app = "containers:\n  - name: app\n    livenessProbe: { httpGet: { path: /livez, port: 10240 } }\n";
        let sidecar = "initContainers: [{ name: probelet, image: probelet, restartPolicy: Always }]\n";
        (
            configuration,
            if needs_app {
                app
            } else if needs_sidecar {
                sidecar
            } else {
                ""
            },
        )
    }

    /// The codes of what is said about the pod in `example`.
    fn codes(pitfall: &Pitfall, example: &str) -> Vec<&'static str> {
        let (configuration, more) = around(pitfall.name);
        let example = match pitfall.name {
            "loopback-only" if example == pitfall.right => return Vec::new(),
            _ => example.replace("name: probelet\n", "name: probelet\n    image: probelet\n"),
        };
        let spec: String = format!("{example}{more}").lines().map(|line| format!("  {line}\n")).collect();
        let (pods, report) =
            crate::simulation::pod_manifest::read("pod.yaml", format!("kind: Pod\nspec:\n{spec}").as_bytes());
        assert_eq!(report.text(false), "pod.yaml is valid\n");
        let environment = Environment::of::<String, String>([]);
        let nothing = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
        let config = config::read("config.yaml", configuration.as_bytes(), &environment, nothing).config.unwrap();
        let advice = advice::advice(&config, &pods[0], &containers(&pods[0], &config));
        advice.into_iter().map(|advice| advice.pitfall.name).collect()
    }

    #[test]
    fn each_wrong_example_gets_its_code_and_the_right_one_does_not() {
        for pitfall in PITFALLS {
            let (wrong, right) = (codes(pitfall, pitfall.wrong), codes(pitfall, pitfall.right));
            assert!(wrong.contains(&pitfall.name), "{}: {wrong:?}", pitfall.name);
            assert!(!right.contains(&pitfall.name), "{}: {right:?}", pitfall.name);
        }
    }

    #[test]
    fn the_manifests_that_we_ship_lack_no_guard() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
        for (file, notes) in [("kubernetes.yaml", &["fails-closed"][..]), ("kubernetes-exec.yaml", &[])] {
            let text = std::fs::read(folder.join(file)).unwrap();
            let (pods, _) = crate::simulation::pod_manifest::read(file, &text);
            let environment = Environment::of::<String, String>([]);
            let nothing = Box::new(|_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into()));
            let config = config::read("config.yaml", CONFIG.as_bytes(), &environment, nothing).config.unwrap();
            let advice = advice::advice(&config, &pods[0], &containers(&pods[0], &config));
            let messages: Vec<_> = advice.iter().map(|advice| (advice.pitfall.name, advice.message.as_str())).collect();
            assert_eq!(messages.iter().map(|(name, _)| *name).collect::<Vec<_>>(), notes, "{file}: {messages:?}");
        }
    }

    #[test]
    fn names_are_unique_and_none_is_that_of_a_configurations_code() {
        let names: Vec<_> = PITFALLS.iter().map(|pitfall| pitfall.name).collect();
        let mut all: Vec<_> = names.into_iter().chain(config::CODES.iter().map(|code| code.name)).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
