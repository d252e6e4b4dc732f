//! Pages of other origins (`server.cors_origins`): which of them a browser lets read an answer.

use hyper::Method;
use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};

use super::answer::Answer;
use super::request::IncomingRequest;
use crate::model::plan::Answers;
use crate::model::route::Route;

/// More than pages ask for.
const LONGEST_LIST: usize = 512;

/// What a browser is told beside an answer.
#[derive(Debug, Default)]
pub(super) enum Cors {
    /// Nothing: no page is to read it.
    #[default]
    Silent,
    /// The answer would be another one for another page.
    Varies,
    /// The page of this origin may read it.
    Lets(HeaderValue),
}

impl Cors {
    /// What is said beside the answer to `incoming`.
    pub(super) fn of(incoming: &IncomingRequest<'_>, route: Route, answers: &Answers) -> Self {
        if answers.cors_origins.is_empty() || !route.is_for_pages() || route.set() > incoming.routes {
            return Self::Silent;
        }
        let mut given = incoming.headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (given.next(), given.next()) else { return Self::Varies };
        if answers.cors_origins.iter().any(|known| known.as_bytes() == origin.as_bytes()) {
            Self::Lets(origin.clone())
        } else {
            Self::Varies
        }
    }

    /// The answer to a browser that asks whether the page may ask: it brings no token yet, and the endpoint may be
    /// closed.
    pub(super) fn preflight(&self, incoming: &IncomingRequest<'_>) -> Option<Answer> {
        let asks = *incoming.method == Method::OPTIONS && incoming.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        (asks && matches!(self, Self::Lets(_))).then(|| Answer::text(StatusCode::NO_CONTENT, ""))
    }

    /// Says it in `headers`, those of an answer; of one to a [`preflight`](Self::preflight) that wants these headers.
    pub(super) fn say(self, headers: &mut HeaderMap, preflight: Option<&HeaderMap>) {
        if matches!(self, Self::Silent) {
            return;
        }
        let varies = headers.get(VARY).and_then(|value| value.to_str().ok()).unwrap_or("Accept");
        if let Ok(varies) = HeaderValue::try_from(format!("{varies}, Origin")) {
            headers.insert(VARY, varies);
        }
        let Self::Lets(origin) = self else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let Some(asked) = preflight else {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("X-Health-Status"));
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|wanted| is_list_of_names(wanted)) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    }
}

fn is_list_of_names(value: &HeaderValue) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(byte);
    value.len() <= LONGEST_LIST && value.as_bytes().iter().all(is_of_name)
}
