//! What the command of an exec probe asks of probelet: `probelet ask`, or an HTTP client, by itself or in a shell.

use std::time::Duration;

use super::target::{ListenedPorts, Misconfiguration, ProbeTarget};
use crate::base::quantity::parse_duration;

/// A command that asks probelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeCommand {
    /// What it asks.
    pub target: ProbeTarget,
    /// Whether it passes while probelet cannot be reached: `probelet ask --if-unreachable ok`.
    pub fails_open: bool,
    /// How long it waits for the answer, where it says so.
    pub timeout: Option<Duration>,
}

/// The command `words` of an exec probe, as far as it asks probelet on one of `ports`.
#[must_use]
pub fn command(words: &[String], ports: &ListenedPorts) -> Option<ProbeCommand> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    of_words(&words, ports, NESTED)
}

/// Whether the command may bring a token: `probelet ask` finds the configured one, and an HTTP client brings one where
/// its words name credentials, or where a header comes from a file or a variable.
#[must_use]
pub fn brings_credentials(words: &[String]) -> bool {
    const NAMED: [&str; 9] = [
        "probelet ask",
        "authorization",
        "bearer",
        " --user",
        " --config",
        " --netrc",
        " --password",
        " --http-password",
        " -n ",
    ];
    let text = words.join(" ");
    let lower = text.to_ascii_lowercase();
    let mut is_header = false;
    let mut brings = |word: &str| {
        let word = word.trim_matches(['"', '\'']);
        let option = if is_cluster(word) { word[1..].find(|letter| WITH_VALUE.contains(letter)) } else { None };
        let (letter, value) = option.map_or(("", ""), |at| word[1 + at..].split_at(1));
        let header = if is_header { word } else { value };
        let is_header_value = is_header || letter == "H";
        is_header = (letter == "H" && value.is_empty()) || word == "--header";
        let is_of_url = word.split_once('@').is_some_and(|(user, host)| user.contains(':') && host.contains(':'));
        ["u", "K"].contains(&letter) || (is_header_value && header.starts_with(['@', '$'])) || is_of_url
    };
    NAMED.iter().any(|name| lower.contains(name)) || text.split([' ', '\t', '\n', ';']).any(&mut brings)
}

/// Shells in shells are looked into this deep.
const NESTED: u8 = 4;

fn of_words(words: &[&str], ports: &ListenedPorts, nested: u8) -> Option<ProbeCommand> {
    let words = without_wrappers(words);
    let (first, rest) = words.split_first()?;
    match base_name(first) {
        "sh" | "bash" | "ash" | "dash" | "ksh" | "zsh" => of_script(script(rest)?, ports, nested.checked_sub(1)?),
        "probelet" => of_ask(rest.strip_prefix(&["ask"])?, ports),
        name => of_client(name, rest, ports).map(|target| ProbeCommand { target, fails_open: false, timeout: None }),
    }
}

/// The command behind those that only start another one.
fn without_wrappers<'w>(mut words: &'w [&'w str]) -> &'w [&'w str] {
    while let [first, rest @ ..] = words {
        let name = base_name(first);
        if !["exec", "command", "env", "timeout", "nice", "nohup", "busybox", "tini", "dumb-init", "!"].contains(&name)
        {
            break;
        }
        let is_its_own = |word: &&&str| {
            let is_number = word.trim_end_matches(['s', 'm']).parse::<f64>().is_ok();
            word.starts_with('-') || (name == "env" && word.contains('=')) || (name == "timeout" && is_number)
        };
        words = &rest[rest.iter().take_while(is_its_own).count()..];
    }
    words
}

fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// The script of `sh -c script`, `sh -ec script` and their like.
fn script<'w>(words: &[&'w str]) -> Option<&'w str> {
    let options = words.iter().take_while(|word| word.starts_with('-')).count();
    let runs = words[..options].iter().any(|option| !option.starts_with("--") && option.contains('c'));
    words.get(options).copied().filter(|_| runs)
}

/// The first command of a script that asks probelet.
fn of_script(script: &str, ports: &ListenedPorts, nested: u8) -> Option<ProbeCommand> {
    let commands = commands(script);
    let (place, mut found) = commands.iter().enumerate().find_map(|(place, command)| {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        Some((place, of_words(&words, ports, nested)?))
    })?;
    let next = commands.get(place + 1).map(|command| command.words.join(" ")).unwrap_or_default();
    found.target = match (commands[place].then, found.target) {
        // Whatever reads the answer is taken to judge it.
        (Separator::Pipe, ProbeTarget::AnswerIgnored(path)) => ProbeTarget::Probelet(path),
        (Separator::Or, ProbeTarget::Probelet(path)) if ["true", ":", "exit 0"].contains(&next.as_str()) => {
            ProbeTarget::AnswerIgnored(path)
        }
        (_, target) => target,
    };
    Some(found)
}

/// A command of a script, and what stands behind it.
struct ShellCommand {
    words: Vec<String>,
    then: Separator,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    Next,
    Or,
    Pipe,
}

/// The commands of a script, as far as one can tell without being a shell: quotes and separators are known.
fn commands(script: &str) -> Vec<ShellCommand> {
    let mut found = Vec::new();
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, ';' | '\n' | '&' | '|' | '(' | ')' | '{' | '}')
                if letter != '{' && letter != '}' || word.is_none() =>
            {
                words.extend(word.take());
                let then = match letter {
                    '|' if letters.next_if_eq(&'|').is_some() => Separator::Or,
                    '|' => Separator::Pipe,
                    _ => Separator::Next,
                };
                if !words.is_empty() {
                    found.push(ShellCommand { words: std::mem::take(&mut words), then });
                }
            }
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        found.push(ShellCommand { words, then: Separator::Next });
    }
    found
}

/// `probelet ask` with these arguments.
fn of_ask(arguments: &[&str], ports: &ListenedPorts) -> Option<ProbeCommand> {
    let mut arguments = arguments.iter();
    let (mut about, mut fails_open, mut timeout, mut port) = ("readyz", false, None, None);
    while let Some(argument) = arguments.next() {
        let (name, value) = argument.split_once('=').map_or((*argument, None), |(name, value)| (name, Some(value)));
        if !name.starts_with('-') {
            about = argument;
            continue;
        }
        let value = value.or_else(|| arguments.next().copied()).unwrap_or_default();
        match name {
            "--timeout" => timeout = parse_duration(value).ok(),
            "--if-unreachable" => fails_open = value == "ok",
            // Another probelet than this pod's says nothing about it.
            "--url" => port = Some(target(value, ports)?.port),
            _ => {}
        }
    }
    let path = match about {
        "livez" | "readyz" | "startupz" | "healthz" => format!("/{about}"),
        "daemon" => "/-/healthy".into(),
        check => format!("/healthz/{check}"),
    };
    Some(ProbeCommand { target: ports.target(path, port), fails_open, timeout })
}

/// A program that fetches something: curl, wget, or any other with a URL of probelet among its words.
fn of_client(name: &str, words: &[&str], ports: &ListenedPorts) -> Option<ProbeTarget> {
    if ["nc", "ncat", "netcat"].contains(&name) {
        let is_ours = |word: &&str| word.parse().is_ok_and(|port| ports.contains(port));
        let only_connects = words.iter().any(|word| is_cluster(word) && word.contains('z'));
        return (only_connects && words.iter().any(is_ours)).then_some(ProbeTarget::BarePort);
    }
    let AddressedPath { before, port, path } = words.iter().find_map(|word| target(word, ports))?;
    if name.starts_with("grpc") {
        let wants_tls = words.iter().any(|word| ["-tls", "--tls"].contains(word));
        return Some(if wants_tls {
            ProbeTarget::Misconfigured(Misconfiguration::Tls)
        } else {
            ports.target(path_of_service(service(words)), Some(port))
        });
    }
    match name {
        _ if before.ends_with("https://") => Some(ProbeTarget::Misconfigured(Misconfiguration::Tls)),
        "curl" if !words.iter().any(|word| curl_fails(word)) => Some(ProbeTarget::AnswerIgnored(path)),
        _ => Some(ports.target(path, Some(port))),
    }
}

/// The service that `grpc_health_probe` asks for: `-service=x`, or the word behind `-service`.
fn service<'a>(words: &[&'a str]) -> &'a str {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.trim_start_matches('-').split_once('=') {
            Some(("service", service)) => return service,
            None if word.starts_with('-') && word.trim_start_matches('-') == "service" => {
                return rest.next().copied().unwrap_or_default();
            }
            _ => {}
        }
    }
    ""
}

/// The path that answers as a service of gRPC does.
pub(super) fn path_of_service(service: &str) -> String {
    match service {
        "" | "readiness" => "/readyz".into(),
        "liveness" => "/livez".into(),
        "startup" => "/startupz".into(),
        check => format!("/healthz/{check}"),
    }
}

/// The service of gRPC that stands for an endpoint.
pub fn service_of_path(path: &str) -> Option<&'static str> {
    ["readiness", "liveness", "startup"].into_iter().find(|service| path_of_service(service) == path)
}

/// An address of this pod's probelet in a text.
struct AddressedPath {
    /// What stands before the host.
    before: String,
    port: u16,
    path: String,
}

fn is_cluster(word: &str) -> bool {
    word.starts_with('-') && !word.starts_with("--")
}

/// The short options of curl that take what follows them.
const WITH_VALUE: &str = "AbcCdDeEFhHKmoPQrtTuUwxXyYz";

/// Whether an option of curl makes it fail on an answer of 400 or more.
fn curl_fails(word: &str) -> bool {
    let short = || word[1..].chars().take_while(|letter| !WITH_VALUE.contains(*letter)).any(|letter| letter == 'f');
    word.starts_with("--fail") || (is_cluster(word) && short())
}

/// The address of this pod's probelet in `text`: `localhost:10240/livez`.
fn target(text: &str, ports: &ListenedPorts) -> Option<AddressedPath> {
    for (colon, _) in text.match_indices(':') {
        let digits = text[colon + 1..].chars().take_while(char::is_ascii_digit).count();
        let behind = &text[colon + 1 + digits..];
        let port = text[colon + 1..colon + 1 + digits].parse().ok().filter(|port| ports.contains(*port));
        let host = text[..colon].rsplit(['/', '@', '=', ' ', '\'', '"']).next().unwrap_or_default();
        let Some(port) = port.filter(|_| is_this_pod(host)) else { continue };
        let path: String = behind.chars().take_while(|c| !" \t\n'\"`\\;,)|".contains(*c)).collect();
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        return Some(AddressedPath { before: text[..colon - host.len()].to_owned(), port, path });
    }
    None
}

/// Whether `host` is the pod's own: a loopback address, or what a shell puts in, as for `$POD_IP`.
fn is_this_pod(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || host.starts_with('$') || address.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the words (or, behind `sh -c`, the script) ask.
    fn asked(line: &str) -> Option<ProbeCommand> {
        let words: Vec<String> = match line.split_once(" -- ") {
            Some((shell, script)) => shell.split(' ').chain([script]).map(str::to_owned).collect(),
            None => line.split(' ').map(str::to_owned).collect(),
        };
        command(&words, &ListenedPorts::one(10240))
    }

    fn target(line: &str) -> Option<ProbeTarget> {
        asked(line).map(|command| command.target)
    }

    #[test]
    fn probelet_ask_asks_probelet() {
        for (line, path) in [
            ("/usr/bin/probelet ask livez", "/livez"),
            ("probelet ask", "/readyz"),
            ("probelet ask --timeout 500ms startupz", "/startupz"),
            ("probelet ask --timeout=1s", "/readyz"),
            ("probelet ask daemon", "/-/healthy"),
            ("probelet ask db_connection", "/healthz/db_connection"),
            ("/x/probelet ask readyz --url http://127.0.0.1:10240", "/readyz"),
            ("probelet ask --url=http://[::1]:10240 livez", "/livez"),
            ("probelet ask livez --if-unreachable ok", "/livez"),
            ("sh -c -- exec /opt/probelet ask livez", "/livez"),
            ("timeout 2 probelet ask livez", "/livez"),
        ] {
            assert_eq!(target(line), Some(ProbeTarget::Probelet(path.into())), "{line}");
        }
        for line in ["probelet ask --url http://elsewhere:10240", "probelet drain", "sh -c -- true", "probelet", "sh"] {
            assert_eq!(target(line), None, "{line}");
        }
    }

    #[test]
    fn what_it_does_without_an_answer_is_read_too() {
        let command = asked("probelet ask livez --if-unreachable=ok --timeout 2s").unwrap();
        assert!(command.fails_open && command.timeout == Some(Duration::from_secs(2)));
        assert!(!asked("probelet ask livez --if-unreachable fail").unwrap().fails_open);
    }

    #[test]
    fn http_clients_ask_probelet_by_themselves_and_in_a_shell() {
        for line in [
            "sh -c -- curl -f localhost:10240/livez",
            "/bin/bash -ec -- set -x; curl -sSf http://127.0.0.1:10240/livez || exit 1",
            "sh -c -- curl -s -o /dev/null -w '%{http_code}' \"http://localhost:10240/livez\" | grep 200",
            "sh -c -- [ \"$(curl -sf http://$POD_IP:10240/livez)\" = ok ]",
            "curl --fail-with-body http://[::1]:10240/livez",
            "wget -q -O- http://localhost:10240/livez",
            "busybox wget --spider http://localhost:10240/livez",
            "env A=b timeout -k 1 3 wget -qO- localhost:10240/livez",
            "python3 -c import urllib.request;urllib.request.urlopen('http://localhost:10240/livez')",
            "sh -c -- sh -c 'wget -qO- localhost:10240/livez'",
        ] {
            assert_eq!(target(line), Some(ProbeTarget::Probelet("/livez".into())), "{line}");
        }
        let all = Some(ProbeTarget::Probelet("/readyz?exclude=a&verbose".into()));
        assert_eq!(target("sh -c -- curl -f 'localhost:10240/readyz?exclude=a&verbose'"), all);
        for line in
            ["curl -f localhost:8080/livez", "curl -f http://other:10240/livez", "sh -c -- echo localhost 10240"]
        {
            assert_eq!(target(line), None, "{line}");
        }
    }

    #[test]
    fn commands_that_pass_whatever_is_answered_are_told_apart() {
        for line in [
            "curl localhost:10240/livez",
            "sh -c -- curl -s -o f localhost:10240/livez",
            "sh -c -- curl -f localhost:10240/livez || true",
        ] {
            assert_eq!(target(line), Some(ProbeTarget::AnswerIgnored("/livez".into())), "{line}");
        }
        assert_eq!(target("nc -z localhost 10240"), Some(ProbeTarget::BarePort));
        assert_eq!(target("nc localhost 10240"), None);
        assert_eq!(target("grpc_health_probe -addr=localhost:10240"), Some(ProbeTarget::Probelet("/readyz".into())));
        for line in ["--service=liveness", "-service liveness"] {
            let line = format!("grpc_health_probe -addr localhost:10240 {line}");
            assert_eq!(target(&line), Some(ProbeTarget::Probelet("/livez".into())), "{line}");
        }
        assert_eq!(
            target("grpc_health_probe -addr=localhost:10240 -tls"),
            Some(ProbeTarget::Misconfigured(Misconfiguration::Tls))
        );
        assert_eq!(
            target("curl -fk https://localhost:10240/livez"),
            Some(ProbeTarget::Misconfigured(Misconfiguration::Tls))
        );
    }

    #[test]
    fn commands_that_may_bring_the_token_are_told_apart() {
        let brings = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            brings_credentials(&words)
        };
        for line in [
            "/bin/probelet ask healthz",
            "curl -f -H 'Authorization: Bearer x' localhost:10240/healthz",
            "curl -f -H @/run/headers localhost:10240/healthz",
            "curl -f --header \"$AUTH\" localhost:10240/healthz",
            "curl -fsu :x localhost:10240/healthz",
            "curl -f --user :x localhost:10240/healthz",
            "curl -f http://user:x@localhost:10240/healthz",
            "wget -q --header=Authorization:x localhost:10240/healthz",
        ] {
            assert!(brings(line), "{line}");
        }
        for line in ["curl -sf localhost:10240/healthz", "curl -f -H Accept:x localhost:10240/", "wget -qO- $IP:10240/"]
        {
            assert!(!brings(line), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_command_breaks_the_reader(words in proptest::collection::vec("(sh|-c|curl|env|probelet|ask|--url|[ -~]{0,40}|\\PC{0,10})", 0..6)) {
            drop(command(&words, &ListenedPorts::one(10240)));
        }
    }
}
