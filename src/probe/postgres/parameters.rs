//! The parameters behind the question mark of a database's URL: libpq's, and those of applications that share it.

use url::Url;

use crate::base::value::Section;
use crate::probe::endpoint::{self, decode};

/// The parameters, decoded. Those that are not libpq's (an application may share the URL) are ignored.
pub struct Parameters(Vec<(String, String)>);

/// What means something here.
const HONOURED: &[&str] = &[
    "user",
    "password",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "application_name",
    "options",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "target_session_attrs",
    "channel_binding",
    "require_auth",
];

/// Parameters of libpq that would change whether a login succeeds, and change nothing here.
const IGNORED: &[&str] = &[
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "passfile",
    "replication",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
];

impl Parameters {
    /// Those of `url`; nothing when one of them, or another part of the URL, is no text.
    pub fn of(url: &Url) -> Option<Self> {
        let parts = [url.username(), url.password().unwrap_or_default(), url.path()];
        parts.into_iter().all(|part| decode(part).is_some()).then_some(())?;
        endpoint::parameters(url).map(Self)
    }

    /// The value of the last parameter that has one of these names, unless it is empty.
    pub fn last(&self, names: &[&str]) -> Option<String> {
        let found = self.0.iter().rev().find(|(name, _)| names.contains(&name.as_str()));
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    /// Warns of what libpq would heed and this does not, and of what is nearly a parameter that is heeded.
    pub fn warn(&self, fields: &Section) {
        for (name, _) in &self.0 {
            if let Some(name) = IGNORED.iter().find(|known| *known == name) {
                let message = format!("the parameter `{name}` of the URL has no effect here");
                let help = "what it asks for is not done by this check: remove it from its URL";
                fields.warning("url", "ineffective-key", message, Some(help.into()));
            } else if let Some(near) = nearly(name) {
                let help = format!("did you mean `{near}`?");
                fields.warning("url", "ineffective-key", "a parameter of the URL is not one of libpq's", Some(help));
            }
        }
    }
}

/// The parameter that `name` is a slip of the pen for, if there is one.
fn nearly(name: &str) -> Option<&'static str> {
    const LEAST: usize = 7;
    let name = name.to_ascii_lowercase();
    let near = |known: &&&str| known.len() >= LEAST && strsim::osa_distance(known, &name) <= 2;
    HONOURED.iter().find(near).copied().filter(|known| *known != name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_seen() {
        assert_eq!(nearly("target_sesion_attrs"), Some("target_session_attrs"));
        assert_eq!(nearly("chanel_binding"), Some("channel_binding"));
        for other in ["sslmode", "schema", "pgbouncer", "connection_limit", "statement_timeout", "port", "ports"] {
            assert_eq!(nearly(other), None, "{other}");
        }
    }
}
