//! The URL of a database, read as libpq reads it: `postgres://user:password@host:port/database?sslmode=…`.

use super::parameters::Parameters;
use super::require_auth::{AllowedMethods, AuthMethod};
use super::role::RequiredRole;
use super::scram::Binding;
use crate::base::secret::Secret;
use crate::base::value::{Section, Text};
use crate::probe::endpoint::{self, decode};
use crate::probe::net::tls::{TlsSpec, certificates_of, identity_of, key_of};
use crate::probe::net::{ZONE, has_zone, literal};

/// Where the database is and how to get in.
#[derive(Clone, Debug)]
pub struct PostgresTarget {
    /// Host name or address, without brackets. The server's certificate must be for it.
    pub host: String,
    /// Where to connect to: `hostaddr`, else the host.
    pub address: String,
    /// The port.
    pub port: u16,
    /// Whom to log in as.
    pub user: Secret,
    /// With which password; empty without one.
    pub password: Secret,
    /// The database.
    pub database: Secret,
    /// `application_name` and `options`, where the URL has them.
    pub settings: Vec<(&'static str, Secret)>,
    /// How to encrypt, and when; nothing with `disable`.
    pub tls: Option<(TlsSpec, TlsMode)>,
    /// Whether a login is bound to the TLS session.
    pub binding: Binding,
    /// What the server may ask for.
    pub methods: AllowedMethods,
    /// What the server must be, if that matters.
    pub role: Option<RequiredRole>,
}

/// What `sslmode` says of when to encrypt. Which certificates are believed is the TLS client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Where the server lets nobody in without it.
    Allow,
    /// Unless the server does not offer it, or lets nobody in with it.
    Prefer,
    /// Always.
    Require,
}

impl PostgresTarget {
    /// The parameters of the startup message. The encoding makes texts comparable; all else is left as the server and
    /// the user's role have it, because a pooler would pass it on to others.
    pub fn startup_parameters(&self) -> Vec<(&str, &str)> {
        let mut parameters =
            vec![("user", self.user.expose()), ("database", self.database.expose()), ("client_encoding", "UTF8")];
        parameters.extend(self.settings.iter().map(|(name, value)| (*name, value.expose())));
        parameters
    }

    /// Whether somebody who answers in the server's place, or who listens, gets to know the password.
    pub fn may_tell_the_password(&self) -> bool {
        let is_allowed = [AuthMethod::Password, AuthMethod::Md5].into_iter().any(|method| self.methods.contain(method));
        let has_password = !self.password.expose().is_empty();
        has_password && is_allowed && !matches!(self.tls, Some((_, TlsMode::Require)))
    }
}

const EXAMPLE: &str = "postgres://user:password@host:5432/database";

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Reads the key `url` and the files that it names.
pub fn read(fields: &Section) -> Option<PostgresTarget> {
    let url = endpoint::url_of(fields, EXAMPLE)?;
    let wrong = |message: &str| {
        fields.error("url", "invalid-url", message, Some(format!("write it as {EXAMPLE}")));
        None
    };
    let Some(parameters) = Parameters::of(&url) else { return wrong("the URL holds what is neither text nor UTF-8") };
    let part = |text: &str| decode(text).filter(|text| !text.is_empty());
    let user = parameters.last(&["user"]).or_else(|| part(url.username()));
    let password = parameters.last(&["password"]).or_else(|| part(url.password().unwrap_or_default()));
    let database = parameters.last(&["dbname"]).or_else(|| part(url.path().trim_start_matches('/')));
    let address = parameters.last(&["hostaddr"]);
    let host = parameters.last(&["host"]).or_else(|| part(url.host_str().unwrap_or_default()));
    let port = match parameters.last(&["port"]) {
        Some(port) => port.parse().ok(),
        None => Some(url.port().unwrap_or(5432)),
    };
    let Some(user) = user else { return wrong("the URL names no user") };
    let Some(host) = host.or_else(|| address.clone()) else { return wrong("the URL names no host") };
    let Some(port) = port.filter(|port| *port > 0) else { return wrong("the port is not a number from 1 to 65535") };
    if host.starts_with('/') {
        return wrong("a database is reached by TCP, not by a Unix socket");
    }
    let address = address.as_ref().unwrap_or(&host);
    if has_zone(address) {
        fields.error("url", "invalid-url", ZONE.0, Some(ZONE.1.into()));
        return None;
    }
    if host.contains(',') || address.contains(',') {
        return wrong("the URL names several hosts: write a check for each");
    }
    if address != &host && literal(address).is_none() {
        fields.error("url", "invalid-url", "`hostaddr` is not an IP address", Some("names stand in `host`".into()));
        return None;
    }
    parameters.warn(fields);
    let settings = ["application_name", "options"]
        .into_iter()
        .filter_map(|name| Some((name, parameters.last(&[name])?.into())))
        .collect();
    Some(PostgresTarget {
        address: bare(address),
        host: bare(&host),
        port,
        database: Secret::new(database.unwrap_or_else(|| user.clone())),
        user: user.into(),
        password: password.unwrap_or_default().into(),
        settings,
        tls: encryption(fields, &parameters)?,
        binding: binding(fields, &parameters)?,
        methods: methods(fields, &parameters)?,
        role: role(fields, &parameters)?,
    })
}

fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Nothing is returned when there is a problem, and nothing inside when no role is wanted.
fn role(fields: &Section, parameters: &Parameters) -> Option<Option<RequiredRole>> {
    let key = fields.word("role").map(RequiredRole::of_key);
    let attributes = parameters.last(&["target_session_attrs"]).unwrap_or_else(|| "any".into());
    let Ok(attributes) = RequiredRole::of_attributes(&attributes) else {
        let message = "`target_session_attrs` is one of any, read-write, read-only, primary, standby, prefer-standby";
        fields.error("url", "invalid-url", message, None);
        return None;
    };
    match (key, attributes) {
        (Some(key), Some(attributes)) => {
            let both = key.and(attributes);
            if both.is_none() {
                let message = "`role` and the URL's `target_session_attrs` exclude each other";
                fields.error("role", "invalid-value", message, Some("keep the one that is meant".into()));
            }
            both.map(Some)
        }
        (key, attributes) => Some(key.or(attributes)),
    }
}

fn binding(fields: &Section, parameters: &Parameters) -> Option<Binding> {
    let wrong = |message: &str, help: &str| {
        fields.error("url", "invalid-url", message, Some(help.into()));
        None
    };
    let is_plain = parameters.last(MODE).as_deref() == Some("disable");
    match parameters.last(&["channel_binding"]).as_deref() {
        None | Some("prefer") => Some(Binding::Preferred),
        Some("disable") => Some(Binding::Disabled),
        Some("require") if is_plain => {
            wrong("`channel_binding=require` needs TLS", "write `sslmode=require`, or a stricter one")
        }
        Some("require") => Some(Binding::Required),
        Some(_) => wrong("`channel_binding` is one of disable, prefer, require", "libpq's default is `prefer`"),
    }
}

/// What both the key and the URL allow.
fn methods(fields: &Section, parameters: &Parameters) -> Option<AllowedMethods> {
    let parsed = |key: &str, code: &'static str, written: Option<String>| {
        let methods = AllowedMethods::parse(&written.unwrap_or_default());
        methods.map_err(|(message, help)| fields.error(key, code, message, Some(help))).ok()
    };
    let by_key = parsed("require_auth", "invalid-value", fields.text("require_auth").and_then(Text::fixed))?;
    let by_url = parsed("url", "invalid-url", parameters.last(&["require_auth"]))?;
    let both = by_key.and(by_url);
    if both.is_none() {
        let message = "`require_auth` and that of the URL exclude each other";
        fields.error("require_auth", "invalid-value", message, Some("keep the one that is meant".into()));
    }
    both
}

/// Nothing is returned when there is a problem, and nothing inside with `disable`.
fn encryption(fields: &Section, parameters: &Parameters) -> Option<Option<(TlsSpec, TlsMode)>> {
    let mode = parameters.last(MODE).unwrap_or_else(|| "prefer".into());
    if !MODES.contains(&mode.as_str()) {
        let help = mode_meant(&mode).map(|near| format!("did you mean `{near}`?"));
        fields.error("url", "invalid-url", format!("`sslmode` is one of {}", MODES.join(", ")), help);
        return None;
    }
    let when = match mode.as_str() {
        "disable" => return Some(None),
        "allow" => TlsMode::Allow,
        "prefer" => TlsMode::Prefer,
        _ => TlsMode::Require,
    };
    let file = |names: &[&str]| match parameters.last(names) {
        Some(path) => fields.file_at("url", path.as_ref()).map(Some),
        None => Some(None),
    };
    // libpq takes the word `system` for the machine's own authorities.
    let roots = match parameters.last(ROOTS).as_deref() {
        Some("system") => None,
        _ => file(ROOTS)?,
    };
    let certificate = file(&["ssl-cert", "sslcert"])?;
    let key = file(&["ssl-key", "sslkey"])?;
    match tls(&mode, roots.as_deref(), certificate.as_deref(), key.as_deref()) {
        Ok(tls) => Some(Some((tls, when))),
        Err(message) => {
            fields.error("url", "bad-certificate", message, None);
            None
        }
    }
}

/// The mode that another driver has this word for, or that it is a misspelling of.
fn mode_meant(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    match word.as_str() {
        // It encrypts and believes every certificate, and so does `require`.
        "no-verify" | "required" | "true" | "on" | "yes" | "1" | "enable" | "enabled" => Some("require"),
        "false" | "off" | "no" | "0" | "none" | "disabled" => Some("disable"),
        "verify-identity" | "verify" => Some("verify-full"),
        _ => {
            let distance = |mode: &'static str| (strsim::damerau_levenshtein(&word, mode), mode);
            let (distance, mode) = MODES.into_iter().map(distance).min_by_key(|(distance, _)| *distance)?;
            (distance <= mode.len() / 3).then_some(mode)
        }
    }
}

fn tls(mode: &str, roots: Option<&[u8]>, certificate: Option<&[u8]>, key: Option<&[u8]>) -> Result<TlsSpec, String> {
    let about = |parameter: &str, message: String| format!("`{parameter}`: {message}");
    let mut tls = TlsSpec::default();
    if let Some(pem) = roots {
        tls = tls.trusting(pem).map_err(|message| about("sslrootcert", message))?;
    }
    tls = match mode {
        "verify-full" => tls,
        "verify-ca" => tls.for_any_host(),
        // As in libpq: who names an authority wants it to be asked.
        "require" if roots.is_some() => tls.for_any_host(),
        _ => tls.trusting_anyone(),
    };
    match (certificate, key) {
        (None, None) => Ok(tls),
        (Some(certificate), Some(key)) => {
            let certificates = certificates_of(certificate).map_err(|message| about("sslcert", message))?;
            let key = key_of(key).map_err(|message| about("sslkey", message))?;
            Ok(tls.presenting(identity_of(certificates, key).map_err(|message| about("sslkey", message))?))
        }
        _ => Err("a client certificate needs both `sslcert` and `sslkey`".into()),
    }
}

const MODE: &[&str] = &["ssl-mode", "sslmode"];

const ROOTS: &[&str] = &["ssl-ca", "ssl-root-cert", "sslrootcert"];
