//! What the keys of the file say of their values: which of them cannot hold a secret, and what such a value looks like.
//! Only that is quoted by a diagnostic.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::rules::keys;
use super::similar::{all_nearest, nearest};
use crate::base::field::{Field, ValueType};

/// What a value looks like that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number, a duration, a size, a share, a span of these.
    Quantity,
    /// One of these words, or nearly.
    Words(&'static [&'static str]),
    /// A URL, shown without its passwords.
    Url,
    /// The path of a file.
    Path,
    /// A host, perhaps with a port; a name of one word.
    Host,
    /// A text for people, or a name that answers show anyway.
    Public,
}

/// Keys of texts that answers show anyway.
const PUBLIC: [&str; 7] = ["name", "version", "description", "listen", "formerly", "depends_on", "needs"];
/// Keys of paths.
const PATHS: [&str; 7] = ["path", "file", "ca_file", "cert_file", "key_file", "endpoint", "unix_socket"];
/// Keys of hosts and of names.
const HOSTS: [&str; 4] = ["address", "authority", "server_name", "queue"];
/// Keys of texts that are lists of words, which their kinds read.
const LISTS: [(&str, Form); 2] = [
    ("require_auth", Form::Words(&["scram-sha-256", "md5", "password", "none"])),
    // What is no origin may be anything.
    ("cors_origins", Form::Url),
];
/// Keys of other documents: scenarios, manifests.
const ELSEWHERE: [(&str, Form); 27] = [
    ("check", Form::Host),
    ("exits", Form::Quantity),
    ("starts_in", Form::Quantity),
    ("first_start", Form::Quantity),
    ("frozen", Form::Quantity),
    ("killed", Form::Quantity),
    ("for", Form::Quantity),
    ("from", Form::Quantity),
    ("to", Form::Quantity),
    ("period", Form::Quantity),
    ("initial_delay", Form::Quantity),
    ("outcome", Form::Words(&["fail", "slow", "hang"])),
    ("periodSeconds", Form::Quantity),
    ("timeoutSeconds", Form::Quantity),
    ("initialDelaySeconds", Form::Quantity),
    ("failureThreshold", Form::Quantity),
    ("successThreshold", Form::Quantity),
    ("terminationGracePeriodSeconds", Form::Quantity),
    ("port", Form::Quantity),
    ("host", Form::Host),
    ("hostname", Form::Host),
    ("scheme", Form::Words(&["http", "https"])),
    ("containerPort", Form::Quantity),
    ("kind", Form::Public),
    ("apiVersion", Form::Public),
    ("image", Form::Url),
    ("restartPolicy", Form::Words(&["Always", "OnFailure", "Never"])),
];
/// What people write where a word of another list is wanted.
const COMMON: [&str; 29] = [
    "yes",
    "no",
    "on",
    "off",
    "none",
    "all",
    "any",
    "never",
    "always",
    "maybe",
    "live",
    "ready",
    "startup",
    "liveness",
    "readiness",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "livez",
    "readyz",
    "critical",
    "warning",
    "optional",
    "required",
    "master",
    "slave",
    "verbose",
    "get",
    "post",
];
/// Units that are longer than four letters.
const LONG_UNITS: [&str; 12] = [
    "second",
    "seconds",
    "minute",
    "minutes",
    "hours",
    "millis",
    "milliseconds",
    "bytes",
    "percent",
    "kilobytes",
    "megabytes",
    "months",
];

/// The forms of the values of every key that is known; none where a value may be a secret.
static FORMS: LazyLock<HashMap<&'static str, Vec<Form>>> = LazyLock::new(|| {
    let mut forms = HashMap::new();
    gather(keys::TOP.fields, &mut forms);
    gather(keys::TOP.apart, &mut forms);
    for (name, form) in LISTS.into_iter().chain(ELSEWHERE) {
        forms.entry(name).or_default().push(form);
    }
    forms
});

fn gather(fields: &'static [Field], forms: &mut HashMap<&'static str, Vec<Form>>) {
    for field in fields {
        let known = forms.entry(field.name).or_default();
        let form = form_of(field.name, &field.value_type);
        known.extend(form.filter(|form| !known.contains(form)));
        gather_below(&field.value_type, forms);
    }
}

fn gather_below(value_type: &'static ValueType, forms: &mut HashMap<&'static str, Vec<Form>>) {
    match value_type {
        ValueType::List(inner) | ValueType::OneOrMany(inner) | ValueType::Map(inner) => gather_below(inner, forms),
        ValueType::Section(fields) | ValueType::TextOrSection(fields) => gather(fields, forms),
        ValueType::Matcher(of) => gather(of.words, forms),
        ValueType::Choice { fields, one_of } => {
            gather(fields, forms);
            gather(one_of, forms);
        }
        _ => {}
    }
}

fn form_of(name: &str, value_type: &'static ValueType) -> Option<Form> {
    match value_type {
        ValueType::Bool => Some(Form::Words(&["true", "false"])),
        ValueType::Integer { .. }
        | ValueType::Number { .. }
        | ValueType::Decimal
        | ValueType::Duration { .. }
        | ValueType::DurationRange
        | ValueType::Size
        | ValueType::Share
        | ValueType::SizeOrShare
        | ValueType::Status => Some(Form::Quantity),
        ValueType::Word(words) | ValueType::BoolOrWord(words) => Some(Form::Words(words)),
        ValueType::Url { .. } => Some(Form::Url),
        ValueType::List(item) | ValueType::OneOrMany(item) => form_of(name, item),
        ValueType::TextOrSection(_) => form_of(name, &ValueType::Text),
        ValueType::Text | ValueType::Template if PUBLIC.contains(&name) => Some(Form::Public),
        ValueType::Text | ValueType::Template if PATHS.contains(&name) => Some(Form::Path),
        ValueType::Text | ValueType::Template if HOSTS.contains(&name) => Some(Form::Host),
        // Whatever is added: it is not shown until somebody says here that it may be.
        _ => None,
    }
}

/// The forms of the values of the key `name`, or of the key that it is a misspelling of. Where that may be one of several
/// whose values look different there are none: what one of them may show, another may not.
pub fn forms(name: &str) -> &'static [Form] {
    if let Some(forms) = FORMS.get(name) {
        return forms;
    }
    let mut meant = all_nearest(name, FORMS.keys().copied()).into_iter().filter_map(|key| FORMS.get(key));
    match meant.next() {
        Some(forms) if meant.all(|others| others == forms) => forms,
        _ => &[],
    }
}

/// Whether `name` is a key at the top of the file.
pub fn is_top_key(name: &str) -> bool {
    keys::TOP.fields.iter().chain(keys::TOP.apart).any(|field| field.name == name)
}

impl Form {
    /// Whether `text` looks like this.
    pub fn fits(self, text: &str) -> bool {
        match self {
            Self::Quantity => is_quantity(text) || is_one_word(text),
            Self::Words(words) => nearest(text, words.iter().chain(&COMMON).copied()).is_some() || is_one_word(text),
            Self::Url => is_host(text),
            Self::Path => is_path(text),
            Self::Host => is_host(text) || text.strip_prefix("unix:").is_some_and(is_path) || is_plain_word(text),
            Self::Public => true,
        }
    }
}

/// A word, as `soon` or `everything` where a quantity or one of a few words is wanted: nobody's secret, in a place that
/// takes none.
fn is_one_word(text: &str) -> bool {
    const LONGEST: usize = 12;
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// A number with units, as `1m30s`, `50..500ms`, `10 %` or `2xx`.
fn is_quantity(text: &str) -> bool {
    const LONGEST: usize = 24;
    const MOST_RUNS: usize = 4;
    let bare = text.trim().trim_matches(['\'', '"']);
    let starts = bare.trim_start_matches(['+', '-', '.']).starts_with(|first: char| first.is_ascii_digit());
    let runs: Vec<&str> = bare.split(|c: char| !c.is_alphabetic()).filter(|run| !run.is_empty()).collect();
    let is_unit = |run: &&str| run.chars().count() <= 4 || LONG_UNITS.contains(&run.to_ascii_lowercase().as_str());
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+-._, %µμ".contains(c);
    starts
        && bare.len() <= LONGEST
        && bare.chars().all(is_allowed)
        && runs.len() <= MOST_RUNS
        && runs.iter().all(is_unit)
}

/// `user.svc:8443/health`, `[::1]:80`, `localhost`.
fn is_host(text: &str) -> bool {
    let (host, rest) = text.split_at(text.find('/').unwrap_or(text.len()));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_host = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]%$(){}*".contains(c));
    let is_named = has_port || host == "localhost" || (host.contains('.') && host.split('.').all(is_label));
    is_host && is_named && rest.split('/').all(|segment| segment.is_empty() || is_plain_word(segment))
}

fn is_label(text: &str) -> bool {
    is_plain_word(text) || text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A path of plain characters from a root.
pub fn is_path(text: &str) -> bool {
    const LONGEST: usize = 200;
    let is_rooted = ["/", "./", "../", "~/"].iter().any(|root| text.starts_with(root));
    is_rooted && text.len() <= LONGEST && text.chars().all(|c| c.is_alphanumeric() || "/._-~ @:+=%".contains(c))
}

/// Whether `text` is made of words, as keys and names of headers are, and not of a mixture that only a machine
/// remembers.
pub fn is_plain_word(text: &str) -> bool {
    const LONGEST: usize = 60;
    let is_word = |piece: &str| {
        piece.len() <= 3
            || piece.chars().all(char::is_alphabetic)
            || (piece.len() <= 5 && piece.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_separator = |c: char| "_-./ ~*$".contains(c);
    !text.is_empty()
        && text.chars().count() <= LONGEST
        && text.chars().all(|c| c.is_alphanumeric() || is_separator(c))
        && text.split(is_separator).all(is_word)
}

/// A variable that somebody wrote as others do: `$NAME`, `$(NAME)`, `%NAME%`.
pub fn is_foreign_variable(text: &str) -> bool {
    let text = text.trim();
    let bare = text.strip_prefix('$').map(|rest| rest.trim_start_matches('(').trim_end_matches(')'));
    let name = bare.or_else(|| text.strip_prefix('%')?.strip_suffix('%')).unwrap_or_default();
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
        && is_plain_word(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_may_be_one_of_several_shows_what_all_of_them_may() {
        let meant = all_nearest("s_on", FORMS.keys().copied());
        assert!(meant.iter().any(|key| FORMS[key] != FORMS[meant[0]]), "{meant:?}");
        assert_eq!(forms("s_on"), []);
        assert_eq!(forms("timeot"), forms("timeout"));
    }

    #[test]
    fn what_a_key_holds_is_known_from_the_tables() {
        assert_eq!(forms("interval"), [Form::Quantity]);
        assert_eq!(forms("timeot"), [Form::Quantity]);
        assert_eq!(forms("url"), [Form::Url]);
        assert_eq!(forms("gates"), [Form::Words(&["live", "ready", "startup"])]);
        for secret in ["body", "send", "headers", "query", "expect", "redis", "ok_message", "x-tenant", "Authorization"]
        {
            assert!(!forms(secret).iter().any(|form| form.fits("hunter2")), "{secret}");
        }
    }

    #[test]
    fn quantities_look_like_it() {
        for text in ["5", "10sec", "1m30", "50..500ms", "-3", "5 seconds", "'5s'", "2xx", "200-299", "1.5h", "10 %"] {
            assert!(is_quantity(text), "{text}");
        }
        for text in ["soon", "hunter2", "7hunter2", "9f86d081884c7d659a2f", "1Password1", ""] {
            assert!(!is_quantity(text), "{text}");
        }
    }

    #[test]
    fn words_are_plain_and_what_a_machine_made_is_not() {
        for text in ["timeot", "failureThreshold", "X-B3-TraceId", "/queue/0/depth", "data.config.yaml", "my check"] {
            assert!(is_plain_word(text), "{text}");
        }
        for text in ["hunter2", "ghp_16C7e42F292c", "a:b", "pass,word", ""] {
            assert!(!is_plain_word(text), "{text}");
        }
        for text in ["user.svc:8443/health", "localhost", "[::1]:80", "db-0.internal", "$HOST:5000"] {
            assert!(is_host(text), "{text}");
        }
        for text in ["hunter2", "hunter2.x9f8e7", "user:hunter2@db", "a b", "password"] {
            assert!(!is_host(text), "{text}");
        }
    }
}
