//! `server.cors_origins`: whose pages may read what is said of the checks.

use std::sync::Arc;

use url::{Host, Url};

use crate::base::value::{Section, Value};
use crate::config::quote::shown;

/// More are not needed, and each request is compared with them.
const MOST: usize = 100;
const EXAMPLE: &str = "write scheme, host and port as a browser sends them: `https://grafana.example`";

/// The origins as browsers write them.
pub fn read(server: &Section) -> Arc<[String]> {
    let mut origins: Vec<String> = Vec::new();
    let given = server.list("cors_origins");
    if given.len() > MOST {
        let message = format!("{} origins, more than {MOST}", given.len());
        server.error("cors_origins", "invalid-origin", message, Some("name those that are used".into()));
        return Arc::default();
    }
    for spanned in given {
        let Value::Text(text) = &spanned.value else { continue };
        let origin = text.fixed().unwrap_or_default();
        match refusal(&origin) {
            None if origins.contains(&origin) => {
                let message = format!("`{}` is there twice", shown(&origin));
                server.report_at(&spanned.span, "repeated-item", message, Some("keep one of them".into()));
            }
            None => origins.push(origin),
            Some(_) if text.is_expanded() => {
                let message = format!("what `{}` stands for is not an origin", shown(&text.written));
                server.report_at(&spanned.span, "invalid-origin", message, Some(EXAMPLE.into()));
            }
            Some((message, help)) => {
                let help = help.unwrap_or_else(|| EXAMPLE.into());
                server.report_at(&spanned.span, "invalid-origin", message, Some(help));
            }
        }
    }
    origins.into()
}

/// What is wrong with an origin, and what to write instead where that can be told.
fn refusal(text: &str) -> Option<(String, Option<String>)> {
    match text {
        "*" => return Some(("`*` is no origin: each one is named".into(), None)),
        "null" => {
            let message = "`null` is no origin: it is what files and sandboxed frames of anybody send";
            return Some((message.into(), Some("serve the page from a host, and name that".into())));
        }
        _ => {}
    }
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let Some(url) = url.filter(|url| url.host().is_some_and(|host| is_plain(&host))) else {
        return Some((format!("`{}` is not an origin", shown(text)), None));
    };
    let origin = url.origin().ascii_serialization();
    (origin != text)
        .then(|| (format!("`{}` is not an origin as browsers send it", shown(text)), Some(format!("write `{origin}`"))))
}

/// A pattern is no host.
fn is_plain(host: &Host<&str>) -> bool {
    !matches!(host, Host::Domain(name) if name.contains('*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_as_browsers_send_it() {
        for good in ["https://grafana.example", "http://localhost:3000", "http://[::1]:8080", "http://10.0.0.1"] {
            assert_eq!(refusal(good), None, "{good}");
        }
        let help = |text: &str| refusal(text).map(|(_, help)| help);
        for (text, written) in [
            ("https://Grafana.example", "https://grafana.example"),
            ("https://grafana.example/", "https://grafana.example"),
            ("https://grafana.example:443", "https://grafana.example"),
            ("http://localhost:3000/d/1?x#y", "http://localhost:3000"),
            ("HTTP://localhost", "http://localhost"),
            ("https://user@grafana.example", "https://grafana.example"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(help(text), Some(Some(format!("write `{written}`"))), "{text}");
        }
        for text in ["", "grafana.example", "file:///x", "ftp://x", "https://", "https://*.example", "*"] {
            assert_eq!(help(text), Some(None), "{text}");
        }
        assert!(refusal("null").is_some());
    }
}
