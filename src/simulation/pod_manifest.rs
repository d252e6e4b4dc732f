//! Manifests of Kubernetes, as far as pods and their probes go: Pods, and whatever holds the template of one.
//!
//! Everything else in a manifest is left alone: other kinds, other keys, what is only valid in the eyes of the API.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use super::pod::{Container, Handler, Hook, Pod, PodProbe, Port, ProbeTiming};
use crate::base::value::{Problem, Severity};
use crate::config::diagnostic::Report;
use crate::config::nodes::{child, documents, items, written};
use crate::config::read::words;
use crate::config::source::Input;
use crate::config::tree::Node;
use crate::config::{path, text, tree, unreadable};

/// The kinds that hold a pod's specification, and where.
const KINDS: [(&str, &[&str]); 7] = [
    ("Pod", &["spec"]),
    ("Deployment", &["spec", "template", "spec"]),
    ("StatefulSet", &["spec", "template", "spec"]),
    ("DaemonSet", &["spec", "template", "spec"]),
    ("ReplicaSet", &["spec", "template", "spec"]),
    ("Job", &["spec", "template", "spec"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
];

/// The most pods of a file, and the most containers of a pod.
const MAX: usize = 100;

/// The pods in the manifests of `input`, in order.
#[must_use]
pub fn load(input: &Input) -> (Vec<Pod>, Report) {
    let name = input.name();
    match &input.content {
        Ok(bytes) => read(&name, bytes),
        Err(error) => {
            (Vec::new(), Report::new(&name, vec![unreadable("manifest", "check the path", &name, error)], None, None))
        }
    }
}

/// The pods in the manifests in `bytes`, which the report calls `file_name`.
#[must_use]
pub fn read(file_name: &str, bytes: &[u8]) -> (Vec<Pod>, Report) {
    let mut manifests = ManifestReader::default();
    let text =
        text::decode_manifests(bytes, text::MAX_MANIFESTS).map_err(|problem| manifests.problems.push(*problem)).ok();
    for (first_line, document) in text.into_iter().flat_map(documents) {
        manifests.first_line = first_line;
        manifests.document(&document);
    }
    let shown = text.map(Cow::Borrowed).or_else(|| text::as_far_as_shown(bytes));
    (manifests.pods, Report::new(file_name, manifests.problems, shown.as_deref(), None))
}

#[derive(Default)]
struct ManifestReader {
    pods: Vec<Pod>,
    problems: Vec<Problem>,
    first_line: u32,
}

impl ManifestReader {
    fn document(&mut self, text: &str) {
        let mut found = Vec::new();
        let root = tree::parse(text, &mut |problem| found.push(problem));
        // A document without content (a comment, the rest behind a last `---`) is no manifest and no mistake.
        for problem in found.into_iter().filter(|problem| problem.code != "empty-document") {
            self.report(problem);
        }
        if let Some(root) = root {
            self.manifest(&root, "");
        }
    }

    fn manifest(&mut self, node: &Node, at: &str) {
        let Some(kind) = child(node, "kind").and_then(written) else { return };
        if kind == "List" {
            for (index, item) in items(child(node, "items")).enumerate() {
                // A list in a list is nothing that anybody writes: only the pods of this one are looked at.
                if child(item, "kind").and_then(written) != Some("List") {
                    self.manifest(item, &path::item(&path::child(at, "items"), index));
                }
            }
        }
        let Some((kind, steps)) = KINDS.iter().find(|(known, _)| *known == kind) else { return };
        let mut spec = node;
        let mut at = at.to_owned();
        for step in *steps {
            let Some(next) = child(spec, step) else { return };
            (spec, at) = (next, path::child(&at, step));
        }
        let name = child(node, "metadata").and_then(|metadata| child(metadata, "name")).and_then(written);
        let name = name.map_or_else(|| (*kind).to_owned(), |name| format!("{kind} {name}"));
        let default = Pod::default();
        let grace = self.count(spec, "terminationGracePeriodSeconds", &at);
        let grace = grace.map_or(default.grace, |seconds| Duration::from_secs(seconds.into()));
        let host_network = child(spec, "hostNetwork").and_then(written) == Some("true");
        let containers = self.containers(spec, &at);
        if containers.len() > MAX {
            self.too_many("containers in a pod", spec, &at);
        } else if self.pods.len() < MAX {
            self.pods.push(Pod { name, grace, host_network, containers });
        } else {
            self.too_many("pods", node, "");
        }
    }

    fn containers(&mut self, spec: &Node, at: &str) -> Vec<Container> {
        let mut containers = Vec::new();
        let unwritable = unwritable(spec);
        for (list, only_sidecars) in [("initContainers", true), ("containers", false)] {
            for (index, node) in items(child(spec, list)).enumerate() {
                let goes_on = child(node, "restartPolicy").and_then(written) == Some("Always");
                if !only_sidecars || goes_on {
                    let at = path::item(&path::child(at, list), index);
                    let container = self.container(node, &at, &unwritable);
                    containers.push(Container { native: only_sidecars, ..container });
                }
            }
        }
        containers
    }

    /// `unwritable` are the volumes that nothing can be kept on.
    fn container(&mut self, node: &Node, at: &str, unwritable: &[&str]) -> Container {
        let text = |key| child(node, key).and_then(written).unwrap_or_default().to_owned();
        let port = |node: &Rc<Node>| {
            let number = child(node, "containerPort").and_then(written)?.parse().ok()?;
            Some((child(node, "name").and_then(written).map(str::to_owned), number))
        };
        let probe = |key| child(node, key).filter(|probe| !probe.is_null()).map(|probe| (key, probe));
        let (startup, readiness, liveness) = (probe("startupProbe"), probe("readinessProbe"), probe("livenessProbe"));
        let mut read =
            |found: Option<(&str, &Node)>| found.map(|(key, probe)| self.probe(probe, &path::child(at, key)));
        Container {
            name: text("name"),
            image: text("image"),
            native: false,
            runs: ["command", "args"].into_iter().flat_map(|key| words_of(child(node, key))).collect(),
            env: items(child(node, "env")).filter_map(|variable| environment_variable(variable)).collect(),
            writable: items(child(node, "volumeMounts")).filter_map(|mount| writable(mount, unwritable)).collect(),
            pre_stop: child(node, "lifecycle").and_then(|lifecycle| child(lifecycle, "preStop")).map(hook),
            ports: items(child(node, "ports")).filter_map(port).collect(),
            startup: read(startup),
            readiness: read(readiness),
            liveness: read(liveness),
        }
    }

    fn probe(&mut self, node: &Node, at: &str) -> PodProbe {
        let default = ProbeTiming::default();
        let seconds = |count: u32| Duration::from_secs(count.into());
        let mut count = |key| self.count(node, key, at);
        // The API takes 0 for "not given", but for the delay, where it is the default.
        let mut given = |key| count(key).filter(|count| *count > 0);
        let timing = ProbeTiming {
            initial_delay: given("initialDelaySeconds").map_or(default.initial_delay, seconds),
            period: given("periodSeconds").map_or(default.period, seconds),
            timeout: given("timeoutSeconds").map_or(default.timeout, seconds),
            failures: given("failureThreshold").unwrap_or(default.failures),
            successes: given("successThreshold").unwrap_or(default.successes),
        };
        let grace = self.count(node, "terminationGracePeriodSeconds", at);
        PodProbe { asks: handler(node), timing, grace: grace.map(|seconds| Duration::from_secs(seconds.into())) }
    }

    /// The whole number that `key` holds.
    fn count(&mut self, node: &Node, key: &str, at: &str) -> Option<u32> {
        let value = child(node, key).filter(|value| !value.is_null())?;
        let count =
            written(value).and_then(|text| text.parse::<u32>().ok()).filter(|count| i32::try_from(*count).is_ok());
        if count.is_none() {
            let message = format!("expected a whole number, found {}", words::found(value, key));
            let help = Some("Kubernetes wants a number of seconds or of answers, without a unit".to_owned());
            let span = value.mark.span(path::child(at, key));
            self.report(Problem { severity: Severity::Error, code: "wrong-type", message, help, span });
        }
        count
    }

    fn too_many(&mut self, what: &str, node: &Node, at: &str) {
        let message = format!("more than {MAX} {what}");
        let help = Some("give the manifest of one workload".to_owned());
        let span = node.mark.span(at);
        self.report(Problem { severity: Severity::Error, code: "too-large", message, help, span });
    }

    fn report(&mut self, mut problem: Problem) {
        problem.span.line = problem.span.line.saturating_add(self.first_line);
        if self.problems.len() < crate::base::value::ParseSession::MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

fn handler(node: &Node) -> Handler {
    let text = |section: &Node, key| child(section, key).and_then(written).map(str::to_owned);
    if let Some(http) = child(node, "httpGet") {
        let path = text(http, "path").filter(|path| !path.is_empty()).unwrap_or_else(|| "/".into());
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let tls = text(http, "scheme").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let host = text(http, "host").filter(|host| !host.is_empty());
        let mut headers = items(child(http, "httpHeaders")).filter_map(|header| text(header, "name"));
        let authorized = headers.any(|name| name.eq_ignore_ascii_case("authorization"));
        return Handler::Http { path, port: port(http), tls, host, authorized };
    }
    if let Some(tcp) = child(node, "tcpSocket") {
        return Handler::Tcp(port(tcp));
    }
    if let Some(grpc) = child(node, "grpc") {
        let port = text(grpc, "port").and_then(|port| port.parse().ok()).unwrap_or_default();
        return Handler::Grpc { port, service: text(grpc, "service").unwrap_or_default() };
    }
    if let Some(exec) = child(node, "exec") {
        return Handler::Exec(words_of(child(exec, "command")));
    }
    Handler::Unknown
}

/// The texts of a list.
fn words_of(list: Option<&Node>) -> Vec<String> {
    items(list).filter_map(|word| written(word)).map(str::to_owned).collect()
}

fn environment_variable(node: &Node) -> Option<(String, Option<String>)> {
    let text = |key| child(node, key).and_then(written).map(str::to_owned);
    Some((text("name")?, text("value")))
}

/// The names of the volumes that nothing can be kept on.
fn unwritable<'n>(spec: &'n Node<'_>) -> Vec<&'n str> {
    let is_read_only = |volume: &&Rc<Node>| {
        ["configMap", "secret", "downwardAPI", "projected", "image"].iter().any(|kind| child(volume, kind).is_some())
    };
    let name = |volume| child(volume, "name").and_then(written);
    items(child(spec, "volumes")).filter(is_read_only).filter_map(|volume| name(volume)).collect()
}

/// Where a volume is mounted, if the container can write to it.
fn writable(mount: &Node, unwritable: &[&str]) -> Option<String> {
    let text = |key| child(mount, key).and_then(written);
    let is_writable = text("readOnly") != Some("true") && !unwritable.contains(&text("name")?);
    text("mountPath").filter(|_| is_writable).map(str::to_owned)
}

fn hook(node: &Node) -> Hook {
    let seconds = |sleep| child(sleep, "seconds").and_then(written)?.parse().ok().map(Duration::from_secs);
    match (child(node, "sleep").and_then(seconds), child(node, "exec")) {
        (Some(sleep), _) => Hook::Sleep(sleep),
        (None, Some(exec)) => Hook::Exec(words_of(child(exec, "command"))),
        (None, None) => Hook::Other,
    }
}

fn port(node: &Node) -> Port {
    let text = child(node, "port").and_then(written).unwrap_or_default();
    text.parse().map_or_else(|_| Port::Name(text.to_owned()), Port::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(text: &str) -> Vec<Pod> {
        let (pods, report) = read("pod.yaml", text.as_bytes());
        assert_eq!(report.text(false), "pod.yaml is valid\n");
        pods
    }

    const POD: &str = "\
kind: Pod
metadata: { name: shop }
spec:
  initContainers:
    - { name: migrate }
    - name: probelet
      image: example.org/probelet:1
      restartPolicy: Always
      ports: [{ name: health, containerPort: 10240 }]
      readinessProbe: { tcpSocket: { port: health } }
  containers:
    - name: app
      startupProbe:
        httpGet: { path: startupz, port: 10240 }
        failureThreshold: 30
        periodSeconds: 2
      livenessProbe:
        httpGet: { port: health, scheme: HTTPS, host: 127.0.0.1, httpHeaders: [{ name: authorization, value: x }] }
        timeoutSeconds: 0
      readinessProbe: { exec: { command: [probelet, ask, readyz] } }
";

    #[test]
    fn a_pod_is_read_with_the_defaults_of_kubernetes() {
        let pod = &pods(POD)[0];
        let names: Vec<_> = pod.containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!((pod.name.as_str(), names), ("Pod shop", vec!["probelet", "app"]));
        let [sidecar, app] = &pod.containers[..] else { panic!("two containers") };
        assert_eq!(sidecar.port_named("health"), Some(10240));
        let tcp =
            PodProbe { asks: Handler::Tcp(Port::Name("health".into())), timing: ProbeTiming::default(), grace: None };
        assert_eq!(sidecar.readiness, Some(tcp));
        let path = "/startupz".into();
        let http = Handler::Http { path, port: Port::Number(10240), tls: false, host: None, authorized: false };
        let timing = ProbeTiming { period: Duration::from_secs(2), failures: 30, ..ProbeTiming::default() };
        assert_eq!(app.startup, Some(PodProbe { asks: http, timing, grace: None }));
        let host = Some("127.0.0.1".into());
        let http =
            Handler::Http { path: "/".into(), port: Port::Name("health".into()), tls: true, host, authorized: true };
        assert_eq!(app.liveness, Some(PodProbe { asks: http, timing: ProbeTiming::default(), grace: None }));
        let exec = Handler::Exec(["probelet", "ask", "readyz"].map(str::to_owned).into());
        assert_eq!(app.readiness, Some(PodProbe { asks: exec, timing: ProbeTiming::default(), grace: None }));
    }

    #[test]
    fn what_a_container_runs_and_where_it_can_write_is_read() {
        let text = "\
kind: Pod
spec:
  terminationGracePeriodSeconds: 60
  initContainers:
    - name: probelet
      restartPolicy: Always
      command: [/probelet]
      args: [run, --state, /state]
      env: [{ name: A, value: b }, { name: C, valueFrom: { fieldRef: {} } }]
      lifecycle: { preStop: { exec: { command: [/probelet, drain] } } }
      livenessProbe: { httpGet: { port: 1 }, terminationGracePeriodSeconds: 1 }
      volumeMounts:
        - { name: config, mountPath: /etc/probelet }
        - { name: state, mountPath: /state }
        - { name: data, mountPath: /data, readOnly: true }
  containers: [{ name: app, lifecycle: { preStop: { sleep: { seconds: 5 } } } }]
  volumes: [{ name: config, configMap: {} }, { name: state, emptyDir: {} }]
";
        let pod = &pods(text)[0];
        let [sidecar, app] = &pod.containers[..] else { panic!("two containers") };
        assert_eq!((pod.grace, pod.host_network), (Duration::from_secs(60), false));
        assert!(sidecar.native && !app.native);
        assert_eq!(sidecar.runs.join(" "), "/probelet run --state /state");
        assert_eq!(sidecar.env, [("A".into(), Some("b".into())), ("C".into(), None)]);
        assert_eq!(sidecar.writable, ["/state"]);
        assert_eq!(sidecar.pre_stop, Some(Hook::Exec(vec!["/probelet".into(), "drain".into()])));
        assert_eq!(sidecar.liveness.as_ref().and_then(|probe| probe.grace), Some(Duration::from_secs(1)));
        assert_eq!(app.pre_stop, Some(Hook::Sleep(Duration::from_secs(5))));
    }

    #[test]
    fn templates_of_pods_are_found_in_every_document_and_list() {
        let text = "\
# rendered
---
kind: Service
metadata: { name: shop }
---
kind: Deployment
metadata: { name: shop }
spec: { template: { spec: { containers: [{ name: app }] } } }
--- # jobs
kind: List
items:
  - { kind: CronJob, metadata: { name: night }, spec: { jobTemplate: { spec: { template: { spec: {} } } } } }
  - { kind: DaemonSet, spec: { template: { spec: { containers: [] } } } }
---
";
        let names: Vec<_> = pods(text).into_iter().map(|pod| pod.name).collect();
        assert_eq!(names, ["Deployment shop", "CronJob night", "DaemonSet"]);
    }

    #[test]
    fn a_problem_has_its_place_in_the_whole_file() {
        let text = "\
kind: ConfigMap
---
kind: Pod
spec:
  containers:
    - livenessProbe: { periodSeconds: 10s }
---
a: [
";
        let (_, report) = read("pod.yaml", text.as_bytes());
        let found: Vec<_> = report
            .diagnostics()
            .iter()
            .map(|found| &found.problem)
            .map(|found| (found.span.line, found.span.column, found.span.path.text(), found.message.as_str()))
            .collect();
        let path = "spec.containers[0].livenessProbe.periodSeconds".to_owned();
        let whole = String::new();
        assert_eq!(
            found,
            [(6, 39, path, "expected a whole number, found `10s`"), (8, 4, whole, "`[` is never closed")]
        );
    }

    #[test]
    fn whatever_is_no_manifest_holds_no_pods() {
        for text in [
            "",
            "---\n---\n",
            "[]",
            "kind: [Pod]",
            "kind: Pod",
            "kind: Pod\nspec: 1",
            "kind: Pod\nspec: {containers: x}",
        ] {
            let (pods, report) = read("pod.yaml", text.as_bytes());
            assert!(report.is_valid() && pods.iter().all(|pod| pod.containers.is_empty()), "{text:?}");
        }
    }

    #[test]
    fn more_pods_or_containers_than_anybody_has_are_refused() {
        let first = |text: &str| {
            let (_, report) = read("pod.yaml", text.as_bytes());
            report.diagnostics().first().map(|found| found.problem.message.clone())
        };
        assert_eq!(first(&"kind: Pod\nspec: {}\n---\n".repeat(100)), None);
        assert_eq!(first(&"kind: Pod\nspec: {}\n---\n".repeat(101)).as_deref(), Some("more than 100 pods"));
        let text = format!("kind: Pod\nspec: {{ containers: [{}] }}\n", "{ name: x },".repeat(101));
        assert_eq!(first(&text).as_deref(), Some("more than 100 containers in a pod"));
        assert_eq!(first(&"---\n".repeat(250_000)), None);
    }
}
