//! The request as declared, and as it is sent once captured values are filled in.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TRANSFER_ENCODING, USER_AGENT,
};
use hyper::http::Extensions;
use hyper::http::uri::{self, Authority, PathAndQuery, Scheme};
use hyper::{Method, Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use url::{Position, Url};

use super::origin::{HttpOrigin, bare, credentials_of};
use super::proxy::HttpProxy;
use super::spelling;
use crate::base::value::{Section, SourceSpan, Text, TextPart, Value};
use crate::model::outcome::{Failure, FailureKind};
use crate::workflow::captures::{Captures, FillError};

/// The request as the file declares it.
pub(super) enum RequestSpec {
    /// The request itself, where no captured value is part of it.
    Ready(Arc<Prepared>),
    /// What it is made of in each run.
    Template(Box<RequestTemplate>),
}

/// A request before captured values are filled in.
pub(super) struct RequestTemplate {
    url: Text,
    parts: RequestParts,
}

/// What a request has beside its address.
struct RequestParts {
    method: Method,
    headers: Vec<(HeaderName, Text)>,
    /// How the file writes the names of `headers`.
    spelling: Extensions,
    body: Option<RequestBody>,
}

struct RequestBody {
    text: Text,
    format: BodyFormat,
}

/// What a captured value must not break out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyFormat {
    Json,
    Form,
    Xml,
    /// Without CDATA sections.
    Html,
    /// Nothing but one captured value and white space around it: it has whatever shape it has.
    Whole,
    Lines,
}

/// The request of one run, ready to be sent.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) address: Address,
    /// All of them but the length of a body.
    pub(super) headers: HeaderMap,
    spelling: Extensions,
    pub(super) body: Bytes,
    /// An expansion or a captured value is part of the body.
    pub(super) body_is_expanded: bool,
}

/// Where a request goes.
#[derive(Clone)]
pub(super) struct Address {
    /// Without user and password.
    pub(super) url: Url,
    pub(super) origin: Arc<HttpOrigin>,
    /// The header `Host` (RFC 9110, section 7.2).
    pub(super) host: HeaderValue,
    /// The target of the request in origin form (RFC 9112, section 3.2.1).
    target: PathAndQuery,
}

/// No HTTP request can go to a URL.
#[derive(Debug)]
pub(super) struct Unusable;

impl RequestSpec {
    /// Reads the keys of the request, with where it goes as far as that is known before a run. Problems are reported at
    /// their keys.
    pub(super) fn read(fields: &Section, method: &str) -> Option<(Self, RequestUrl)> {
        let url = fields.text("url")?;
        let headers = read_headers(fields);
        let Ok(parsed) = Url::parse(&stand_in(url)) else {
            let help = "write it as `http://host:port/path`";
            fields.error("url", "invalid-value", "not a URL with a host", Some(help.into()));
            return None;
        };
        let headers = headers?;
        let body = fields.text("body").filter(|body| !body.written.is_empty()).map(|text| RequestBody {
            text: text.clone(),
            format: format_of(text, headers.iter().find(|(name, _)| *name == CONTENT_TYPE).map(|(_, value)| value)),
        });
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let spelling = spelling::of(fields.map("headers").iter().map(|(name, _)| name.as_str()));
        let host = parsed.host_str().map(|host| bare(host).to_owned());
        let whereto = RequestUrl { host, is_plain: parsed.scheme() == "http" };
        let parts = RequestParts { method, headers, spelling, body };
        let needs_captures = url.captures().next().is_some() || parts.need_captures();
        let ready = if needs_captures { None } else { parts.prepared(parsed, &Captures::default()).ok() };
        let template = || Self::Template(Box::new(RequestTemplate { url: url.clone(), parts }));
        Some((ready.map_or_else(template, Self::Ready), whereto))
    }

    /// Whether the method may change something (RFC 9110, section 9.2.1).
    pub(super) fn may_have_effect(&self) -> bool {
        let method = match self {
            Self::Ready(request) => &request.method,
            Self::Template(template) => &template.parts.method,
        };
        !method.is_safe()
    }

    /// The request with its captured values.
    ///
    /// # Errors
    /// When a value was not captured or would change the shape of the request.
    pub(super) fn fill(&self, captured: &Captures) -> Result<Arc<Prepared>, Failure> {
        match self {
            Self::Ready(request) => Ok(Arc::clone(request)),
            Self::Template(template) => template.fill(captured),
        }
    }
}

/// Where a request goes, as far as that is known before a run.
pub(super) struct RequestUrl {
    /// The host that is dialled, without brackets.
    pub(super) host: Option<String>,
    /// It is without TLS.
    pub(super) is_plain: bool,
}

impl RequestTemplate {
    fn fill(&self, captured: &Captures) -> Result<Arc<Prepared>, Failure> {
        let url = captured.fill_url(&self.url).map_err(unfilled)?;
        self.parts.prepared(Url::parse(&url).map_err(|_| invalid_url())?, captured)
    }
}

impl RequestParts {
    fn need_captures(&self) -> bool {
        let headers = self.headers.iter().map(|(_, value)| value);
        let mut texts = headers.chain(self.body.as_ref().map(|body| &body.text));
        texts.any(|text| text.captures().next().is_some())
    }

    /// The request to `url`.
    fn prepared(&self, url: Url, captured: &Captures) -> Result<Arc<Prepared>, Failure> {
        let credentials = credentials_of(&url);
        let address = Address::new(url).map_err(|Unusable| invalid_url())?;
        let mut headers = HeaderMap::with_capacity(4 + usize::from(credentials.is_some()) + self.headers.len());
        headers.insert(HOST, address.host.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("probelet/", env!("CARGO_PKG_VERSION"))));
        // A cache on the way would answer for a server that is down (RFC 9111, section 5.2.1.4).
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.extend(credentials.map(|credentials| (AUTHORIZATION, credentials)));
        for (name, text) in &self.headers {
            let value = captured.fill_header(text).map_err(unfilled)?;
            let mut value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| mismatch(format!("the header {name} holds a line break or control character")))?;
            value.set_sensitive(is_filled_in(text));
            headers.insert(name.clone(), value);
        }
        let body = self.body.as_ref().map(|body| body.fill(captured)).transpose()?.unwrap_or_default();
        if self.body.as_ref().is_some_and(|body| body.format == BodyFormat::Json) {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        if body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) {
            // Some servers insist on it where a body is usual (RFC 9110, section 8.6).
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let (method, spelling) = (self.method.clone(), self.spelling.clone());
        let body_is_expanded = self.body.as_ref().is_some_and(|body| is_filled_in(&body.text));
        // A copy has no more room than they take: thousands of checks keep them.
        let headers = headers.clone();
        Ok(Arc::new(Prepared { method, address, headers, spelling, body: body.into(), body_is_expanded }))
    }
}

impl Prepared {
    /// The request as it is sent to the server.
    pub(super) fn to_send(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.address.target.clone());
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.spelling.clone();
        request
    }

    /// The same to a proxy that reads it (RFC 9112, section 3.2.2).
    pub(super) fn to_send_through(&self, proxy: &HttpProxy) -> Request<Full<Bytes>> {
        let mut request = self.to_send();
        *request.uri_mut() = self.address.whole(&self.address.host);
        if let Some(credentials) = proxy.credentials() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        request
    }

    /// The same over HTTP/2, where the host is part of the target (RFC 9113, section 8.3.1).
    pub(super) fn to_send_as_http2(&self) -> Request<Full<Bytes>> {
        let mut request = self.to_send();
        let host = request.headers_mut().remove(HOST);
        *request.uri_mut() = self.address.whole(host.as_ref().unwrap_or(&self.address.host));
        request
    }
}

impl Address {
    /// The address that is `url` without user and password.
    pub(super) fn new(mut url: Url) -> Result<Self, Unusable> {
        let is_secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(Unusable),
        };
        // Neither fails for a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let host = url.host_str().ok_or(Unusable)?;
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let port = url.port_or_known_default().ok_or(Unusable)?;
        let origin = Arc::new(HttpOrigin { is_secure, host: bare(host).to_owned(), port });
        let target = url[Position::BeforePath..Position::AfterQuery].parse().map_err(|_| Unusable)?;
        let host = authority.try_into().map_err(|_| Unusable)?;
        Ok(Self { origin, host, target, url })
    }

    /// The target of the request in absolute form, with this host.
    fn whole(&self, host: &HeaderValue) -> Uri {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(if self.origin.is_secure { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority =
            Authority::try_from(host.as_bytes()).or_else(|_| Authority::try_from(self.host.as_bytes())).ok();
        parts.path_and_query = Some(self.target.clone());
        // Without an authority there would be no host, and no address was made of such a URL.
        Uri::from_parts(parts).unwrap_or_else(|_| Uri::from(self.target.clone()))
    }
}

impl RequestBody {
    fn fill(&self, captured: &Captures) -> Result<Vec<u8>, Failure> {
        let filled = match self.format {
            BodyFormat::Json => captured.fill_json(&self.text),
            BodyFormat::Form => fill_form(&self.text, captured),
            BodyFormat::Xml => captured.fill_xml(&self.text),
            BodyFormat::Html => captured.fill_html(&self.text),
            BodyFormat::Whole => captured.fill(&self.text),
            BodyFormat::Lines => captured.fill_lines(&self.text),
        };
        let filled = filled.map_err(unfilled)?;
        if self.format == BodyFormat::Json && self.text.captures().next().is_some() && !self.has_kept_its_shape(&filled)
        {
            return Err(mismatch("a captured value changes the shape of the JSON body"));
        }
        Ok(filled.into_bytes())
    }

    /// A value that stands outside of a string is escaped like one inside, and may still add an element to a list: a
    /// rendering with a harmless stand-in shows the shape that was meant.
    fn has_kept_its_shape(&self, filled: &str) -> bool {
        match serde_json::from_str::<Json>(&stand_in(&self.text)) {
            Err(_) => true, // JSON by its content type alone
            Ok(meant) => serde_json::from_str::<Json>(filled).is_ok_and(|filled| has_same_shape(&meant, &filled)),
        }
    }
}

fn has_same_shape(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| has_same_shape(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len() && one.values().zip(other.values()).all(|(one, other)| has_same_shape(one, other))
        }
        (one, other) => !(one.is_array() || one.is_object() || other.is_array() || other.is_object()),
    }
}

/// RFC 3986, section 2.3: everything but the unreserved characters is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn fill_form(text: &Text, captured: &Captures) -> Result<String, FillError> {
    text.render(|step, name| match captured.get(step, name) {
        Some(value) => Ok(utf8_percent_encode(value, RESERVED).to_string()),
        None => Err(FillError(format!("{name} of step {step} was not captured"))),
    })
}

/// Whether a part of the text is not written in the file: it may be a secret.
fn is_filled_in(text: &Text) -> bool {
    text.is_expanded() || text.captures().next().is_some()
}

fn invalid_url() -> Failure {
    mismatch("a captured value makes the URL invalid")
}

fn unfilled(error: FillError) -> Failure {
    mismatch(error.0)
}

fn mismatch(message: impl AsRef<str>) -> Failure {
    Failure::new(FailureKind::Mismatch, message)
}

fn read_headers(fields: &Section) -> Option<Vec<(HeaderName, Text)>> {
    let mut headers: Vec<(HeaderName, Text)> = Vec::new();
    let mut repeated = Vec::new();
    let mut sound = true;
    let mut wrong = |place, message: String, help: Option<&str>| {
        fields.report_at(place, "invalid-value", message, help.map(str::to_owned));
        sound = false;
    };
    for (name, located) in fields.map("headers") {
        let Value::Text(text) = &located.value else { continue };
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => wrong(located.key_span(), "not the name of a header".into(), None),
            Ok(header) if headers.iter().any(|(other, _)| *other == header) => repeated.push(located.key_span()),
            Ok(framing) if framing == CONTENT_LENGTH || framing == TRANSFER_ENCODING => {
                wrong(located.key_span(), format!("`{framing}` follows from the body"), Some("remove it"));
            }
            Ok(header) if HeaderValue::from_bytes(stand_in(text).as_bytes()).is_ok() => {
                headers.push((header, text.clone()));
            }
            Ok(_) => wrong(
                &located.span,
                "a header's value cannot hold a line break or control character".into(),
                Some("a file's trailing line break is dropped, others are not"),
            ),
        }
    }
    repeated.iter().for_each(|place| report_repeated(fields, place));
    (sound && repeated.is_empty()).then_some(headers)
}

/// Reports the name of a header that differs from an earlier one by its case alone.
pub(super) fn report_repeated(fields: &Section, place: &SourceSpan) {
    let message = "this header is there twice: upper and lower case make no difference in its name";
    fields.report_at(place, "duplicate-key", message, Some("keep one of them".into()));
}

fn format_of(body: &Text, content_type: Option<&Text>) -> BodyFormat {
    let content_type = content_type.map(|text| stand_in(text).to_ascii_lowercase()).unwrap_or_default();
    let is_json = || matches!(serde_json::from_str(&stand_in(body)), Ok(Json::Object(_) | Json::Array(_)));
    if content_type.contains("json") || is_json() {
        BodyFormat::Json
    } else if content_type.contains("x-www-form-urlencoded") {
        BodyFormat::Form
    } else if is_one_capture(body) {
        BodyFormat::Whole
    } else if content_type.contains("xml") || (content_type.is_empty() && stand_in(body).trim_start().starts_with('<'))
    {
        BodyFormat::Xml
    } else if content_type.contains("html") {
        BodyFormat::Html
    } else {
        BodyFormat::Lines
    }
}

/// Whether it is a captured value with nothing but white space around it.
fn is_one_capture(text: &Text) -> bool {
    let is_blank = |part: &&TextPart| matches!(part, TextPart::Plain(text) if text.trim().is_empty());
    let mut parts = text.parts.iter().filter(|part| !is_blank(part));
    matches!((parts.next(), parts.next()), (Some(TextPart::Capture { .. }), None))
}

/// The text with a harmless value in each place of a captured one.
fn stand_in(text: &Text) -> Cow<'_, str> {
    if let Some(whole) = text.whole() {
        return whole.into();
    }
    match text.render(|_, _| Ok::<_, Infallible>("0".to_owned())) {
        Ok(text) => text.into(),
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text in which `<>` stands for `${steps.order.id}`.
    fn template(text: &str) -> Text {
        let mut parts = Vec::new();
        for (index, plain) in text.split("<>").enumerate() {
            if index > 0 {
                parts.push(TextPart::Capture { step: "order".into(), name: "id".into() });
            }
            parts.extend((!plain.is_empty()).then(|| TextPart::Plain(plain.into())));
        }
        Text { parts, written: text.into() }
    }

    fn fill(body: &str, content_type: Option<&str>, value: &str) -> Result<String, String> {
        let text = template(body);
        let format = format_of(&text, content_type.map(template).as_ref());
        let mut captured = Captures::default();
        captured.insert("order", "id", value.into());
        let filled = RequestBody { text, format }.fill(&captured);
        filled.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|failure| failure.message)
    }

    #[test]
    fn a_captured_value_does_not_change_the_shape_of_a_body() {
        let reshaped = || Err("a captured value changes the shape of the JSON body".to_owned());
        assert_eq!(fill(r#"{"id":"<>"}"#, None, r#"a","x":"b"#), Ok(r#"{"id":"a\",\"x\":\"b"}"#.into()));
        assert_eq!(fill(r#"{"id":<>}"#, None, "17"), Ok(r#"{"id":17}"#.into()));
        assert_eq!(fill(r#"{"id":<>}"#, None, r#"1,"x":2"#), reshaped());
        assert_eq!(fill("[<>]", None, "1,2"), reshaped());
        assert_eq!(fill("[<>]", None, "[1]"), reshaped());
        assert_eq!(fill("a=<>&b=1", Some("application/x-www-form-urlencoded"), "x&c=2"), Ok("a=x%26c%3D2&b=1".into()));
        assert_eq!(fill("id <>", None, "a\"b"), Ok("id a\"b".into()));
        let broken = || Err("id of step order holds a line break or control character".to_owned());
        assert_eq!(fill("id <>", Some("text/plain"), "a\nid b"), broken());
        assert_eq!(fill("<>", None, "a\nb"), Ok("a\nb".into()));
        assert_eq!(fill("\n <>\n", None, "a\nb"), Ok("\n a\nb\n".into()));
        assert_eq!(fill("<>\n<>", None, "a\nb"), broken());
        assert_eq!(fill("<o><></o>", None, "</o>"), Ok("<o>&#60;/o&#62;</o>".into()));
        assert_eq!(fill("\n<o><></o>", Some("application/soap+xml"), "&"), Ok("\n<o>&#38;</o>".into()));
        assert_eq!(fill("<o><></o>", Some("text/plain"), "&"), Ok("<o>&</o>".into()));
        assert_eq!(fill("<p><![CDATA[<>", Some("text/html"), "&"), Ok("<p><![CDATA[&#38;".into()));
        assert_eq!(fill("id <>", Some("application/json"), "a\"b"), Ok("id a\\\"b".into()));
    }

    #[test]
    fn credentials_leave_the_url_decoded() {
        let url = Url::parse("http://us%40er:p%2Fw@h/x").unwrap();
        assert_eq!(credentials_of(&url).unwrap(), "Basic dXNAZXI6cC93"); // us@er:p/w
        let address = Address::new(url).unwrap();
        assert_eq!((address.url.as_str(), address.host.as_bytes()), ("http://h/x", b"h".as_slice()));
        assert!(credentials_of(&address.url).is_none());
    }

    #[test]
    fn every_path_and_query_of_a_url_can_be_requested() {
        let characters = (' '..='\u{ff}').filter(|character| !matches!(character, '#' | '?'));
        for character in characters {
            for text in [format!("http://h/a{character}b"), format!("http://h/?a{character}b")] {
                assert!(Address::new(Url::parse(&text).unwrap()).is_ok(), "{text}");
            }
        }
    }
}
