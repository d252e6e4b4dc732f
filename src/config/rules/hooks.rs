//! The list `hooks`.

use url::Url;

use crate::base::secret::Secret;
use crate::base::value::{Section, Value};
use crate::config::hook::{HookConfig, HookEvents};

/// Each has a queue of its own.
const MOST: usize = 16;
/// What we write into the request ourselves.
const OURS: [&str; 6] = ["connection", "content-length", "content-type", "host", "te", "transfer-encoding"];

/// Reads the list. What cannot be used is reported.
pub fn read(top: &Section) -> Vec<HookConfig> {
    let items = top.list("hooks");
    if items.is_empty() {
        return Vec::new();
    }
    if !cfg!(feature = "hooks") {
        let help =
            "use a probelet that has the feature `hooks`, as the image and a plain `cargo build` do, or remove the key";
        top.error("hooks", "invalid-value", "this probelet was built without hooks", Some(help.into()));
    }
    if items.len() > MOST {
        let message = format!("there are {} hooks, and at most {MOST} can be told", items.len());
        top.error("hooks", "invalid-value", message, Some("let a relay tell the others".into()));
    }
    let section = |item: &&crate::base::value::Spanned| match &item.value {
        Value::Section(fields) => hook(fields),
        _ => None,
    };
    items.iter().filter_map(section).collect()
}

fn hook(fields: &Section) -> Option<HookConfig> {
    let headers = headers(fields);
    let url = fields.text("url")?.fixed()?;
    if Url::parse(&url).ok().is_none_or(|url| !url.has_host()) {
        let help = "write it as `https://host/path`";
        fields.error("url", "invalid-value", "not a URL with a host", Some(help.into()));
        return None;
    }
    Some(HookConfig {
        url: Secret::new(url),
        on: events(fields),
        headers: headers?,
        timeout: fields.duration("timeout").unwrap_or_default(),
    })
}

fn events(fields: &Section) -> HookEvents {
    let given = fields.list("on");
    let mut words: Vec<&str> = Vec::with_capacity(given.len());
    for spanned in &given {
        let Value::Word(word) = spanned.value else { continue };
        if words.contains(&word) {
            let message = format!("`{word}` is there twice");
            fields.report_at(&spanned.span, "repeated-item", message, Some("keep one of them".into()));
        } else {
            words.push(word);
        }
    }
    if given.is_empty() {
        let help = "name what it is to be told of, such as `on: [error]`, or remove the hook";
        fields.warning("on", "ineffective-key", "this hook is never told anything", Some(help.into()));
    }
    HookEvents::named(&words)
}

fn headers(fields: &Section) -> Option<Vec<(String, Secret)>> {
    let mut headers: Vec<(String, Secret)> = Vec::new();
    let mut sound = true;
    let mut wrong = |place, code, message: String, help: Option<&str>| {
        fields.report_at(place, code, message, help.map(str::to_owned));
        sound = false;
    };
    for (name, spanned) in fields.map("headers") {
        let Value::Text(text) = &spanned.value else { continue };
        let value = text.fixed().unwrap_or_default();
        let place = spanned.key_span();
        let lower = name.to_ascii_lowercase();
        if !is_header_name(name) {
            wrong(place, "invalid-value", "not the name of a header".into(), None);
        } else if OURS.contains(&lower.as_str()) {
            let message = format!("`{lower}` follows from the event and from `url`");
            wrong(place, "invalid-value", message, Some("remove it"));
        } else if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            let message = "this header is there twice: upper and lower case make no difference in its name";
            wrong(place, "duplicate-key", message.into(), Some("keep one of them"));
        } else if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            let message = "a header's value cannot hold a line break or control character";
            let help = "a file's trailing line break is dropped, others are not";
            wrong(&spanned.span, "invalid-value", message.into(), Some(help));
        } else {
            headers.push((name.clone(), Secret::new(value)));
        }
    }
    sound.then_some(headers)
}

/// A token (RFC 9110, section 5.6.2).
fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use crate::config::hook::{HookConfig, HookEvent};
    use crate::config::source::Environment;

    fn hooks(text: &str) -> Result<Vec<HookConfig>, String> {
        let environment = Environment::of([("TOKEN", "hunter2")]);
        let loaded = crate::config::read("test", text.as_bytes(), &environment, Box::new(|_| Ok(Vec::new())));
        loaded.config.map(|config| config.hooks).ok_or_else(|| loaded.report.text(false))
    }

    #[cfg(feature = "hooks")]
    #[test]
    fn a_hook_is_read_with_its_defaults() {
        let text =
            "hooks: [{ url: \"https://relay.example/${TOKEN}\", headers: { X-Token: \"${TOKEN}\" } }]\nchecks: []\n";
        let hooks = hooks(text).unwrap();
        let [hook] = hooks.as_slice() else { panic!("{hooks:?}") };
        assert_eq!(hook.url.expose(), "https://relay.example/hunter2");
        assert_eq!(hook.headers[0].1.expose(), "hunter2");
        assert_eq!(hook.timeout.as_secs(), 5);
        assert!(HookEvent::ALL.into_iter().all(|event| hook.on.has(event)));
        assert!(!format!("{hook:?}").contains("hunter2"));
    }

    #[cfg(feature = "hooks")]
    #[test]
    fn a_hook_is_told_of_what_it_names() {
        let hooks = hooks("hooks: [{ url: \"http://relay/\", on: [error, livez] }]\nchecks: []\n").unwrap();
        let told = HookEvent::ALL.map(|event| hooks[0].on.has(event));
        assert_eq!(told, [true, false, false, false, true]);
    }

    #[cfg(not(feature = "hooks"))]
    #[test]
    fn a_build_without_hooks_says_so() {
        let report = hooks("hooks: [{ url: \"http://relay/\" }]\nchecks: []\n").unwrap_err();
        assert!(report.contains("this probelet was built without hooks"), "{report}");
        assert!(hooks("hooks: []\nchecks: []\n").is_ok());
    }

    #[test]
    fn no_more_hooks_than_anybody_needs() {
        let many = "  - { url: \"http://relay/\" }\n".repeat(17);
        let report = hooks(&format!("hooks:\n{many}checks: []\n")).unwrap_err();
        assert!(report.contains("there are 17 hooks, and at most 16 can be told"), "{report}");
    }
}
