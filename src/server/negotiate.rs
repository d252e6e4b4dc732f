//! Which format an answer has: by `?format=`, by `Accept`, or text.

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap};

use crate::metrics::ExpositionFormat;

/// A format of an answer about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerFormat {
    /// Lines for people, and for kubelet.
    Text,
    /// The full JSON.
    Json,
    /// `application/health+json`.
    HealthJson,
    /// JSON for consumers of UP and DOWN.
    Updown,
}

impl AnswerFormat {
    /// Their names, for a client that asks for another.
    pub(super) const NAMES: &'static str = "text, json, health+json, updown";

    /// The format called `name`.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            "health+json" => Some(Self::HealthJson),
            "updown" => Some(Self::Updown),
            _ => None,
        }
    }

    /// The format that `Accept` likes best; text when it likes none.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let offers = [
            (Self::Text, "text", "plain"),
            (Self::Json, "application", "json"),
            (Self::HealthJson, "application", "health+json"),
        ];
        let ranges = ranges(headers);
        let mut best = (Self::Text, None);
        for (format, kind, subtype) in offers {
            let liking = liking(&ranges, kind, subtype);
            if liking.is_some() && liking > best.1 {
                best = (format, liking);
            }
        }
        best.0
    }
}

/// The format of the metrics that `Accept` names and likes best; text when it names none.
pub(super) fn exposition(headers: &HeaderMap) -> ExpositionFormat {
    let ranges = ranges(headers);
    let quality = |is_it: fn(&Range<'_>) -> bool| {
        ranges.iter().filter(|range| is_it(range)).map(|range| range.quality).max().unwrap_or_default()
    };
    let messages = quality(|range| {
        range.is("application", "vnd.google.protobuf")
            && range.proto == Some("io.prometheus.client.MetricFamily")
            && range.encoding == Some("delimited")
    });
    let open = quality(|range| {
        range.is("application", "openmetrics-text")
            && range.version.is_none_or(|version| version == "1.0.0" || version == "1.0")
    });
    let plain = quality(|range| range.is("text", "plain"));
    if messages > 0 && messages >= open.max(plain) {
        ExpositionFormat::Protobuf
    } else if open > 0 && open >= plain {
        ExpositionFormat::OpenMetrics
    } else {
        ExpositionFormat::Text
    }
}

/// Whether `Accept` asks for HTML by name, and for nothing else that there is rather.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    let quality = |kind: &str, subtype: &str| {
        ranges.iter().filter(|range| range.is(kind, subtype)).map(|range| range.quality).max().unwrap_or_default()
    };
    let html = quality("text", "html");
    html > 0 && html >= quality("text", "plain") && html >= quality("application", "json")
}

/// Whether `Accept-Encoding` asks for gzip, and not for no compression rather.
pub(super) fn wants_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let (mut gzip, mut any, mut identity) = (None, None, 0);
    for coding in values.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts
            .filter_map(|part| part.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
            .map_or(1000, |(_, value)| quality(value.trim()));
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = gzip.max(Some(quality)),
            "identity" => identity = quality,
            "*" => any = Some(quality),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or_default();
    gzip > 0 && gzip >= identity
}

/// How much a type is liked: by its quality, then by how precisely it is named, then by coming first.
fn liking(ranges: &[Range<'_>], kind: &str, subtype: &str) -> Option<(u16, u8, std::cmp::Reverse<usize>)> {
    let matching = ranges.iter().enumerate().filter_map(|(place, range)| {
        let precision = match (range.kind, range.subtype) {
            ("*", "*") => 0,
            (k, "*") if k.eq_ignore_ascii_case(kind) => 1,
            _ if range.is(kind, subtype) => 2,
            _ => return None,
        };
        Some((precision, range.quality, std::cmp::Reverse(place)))
    });
    // The most precise range decides, also when it says no.
    let (precision, quality, place) = matching.max_by_key(|(precision, _, place)| (*precision, *place))?;
    (quality > 0).then_some((quality, precision, place))
}

/// A media range of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
    version: Option<&'a str>,
    proto: Option<&'a str>,
    encoding: Option<&'a str>,
}

impl Range<'_> {
    fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }
}

fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(range).collect()
}

fn range(text: &str) -> Option<Range<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let mut range = Range { kind, subtype, quality: 1000, version: None, proto: None, encoding: None };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            name if name.eq_ignore_ascii_case("q") => range.quality = quality(value.trim()),
            name if name.eq_ignore_ascii_case("version") => range.version = Some(unquoted(value)),
            name if name.eq_ignore_ascii_case("proto") => range.proto = Some(unquoted(value)),
            name if name.eq_ignore_ascii_case("encoding") => range.encoding = Some(unquoted(value)),
            _ => {}
        }
    }
    Some(range)
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches('"')
}

/// A quality in thousandths; what is none counts as none given.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 0 to 1000
fn quality(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u16,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(accept).unwrap())])
    }

    #[test]
    fn accept_is_followed_with_its_qualities_and_never_refused() {
        let cases = [
            ("", AnswerFormat::Text),
            ("*/*", AnswerFormat::Text),
            ("text/plain", AnswerFormat::Text),
            ("application/json", AnswerFormat::Json),
            ("Application/JSON; charset=utf-8", AnswerFormat::Json),
            ("application/health+json", AnswerFormat::HealthJson),
            ("application/*", AnswerFormat::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", AnswerFormat::Text),
            ("application/json, text/plain, */*", AnswerFormat::Json),
            ("text/plain, application/json", AnswerFormat::Text),
            ("text/plain;q=0.5, application/json;q=0.9", AnswerFormat::Json),
            ("text/plain;q=0.9, application/health+json;q=0.95, application/json;q=0.1", AnswerFormat::HealthJson),
            ("*/*;q=0.1, application/json", AnswerFormat::Json),
            ("application/json;q=0, */*", AnswerFormat::Text),
            ("text/plain;q=0, */*", AnswerFormat::Json),
            ("text/*;q=0.2, application/health+json;q=0.1", AnswerFormat::Text),
            ("image/png", AnswerFormat::Text),
            ("application/json;q=0", AnswerFormat::Text),
            ("nonsense;;q=,,/", AnswerFormat::Text),
            ("application/json;q=nonsense", AnswerFormat::Json),
        ];
        for (accept, format) in cases {
            assert_eq!(AnswerFormat::accepted(&headers(accept)), format, "{accept}");
        }
        assert_eq!(AnswerFormat::accepted(&HeaderMap::new()), AnswerFormat::Text);
    }

    #[test]
    fn the_metrics_are_in_the_format_that_is_asked_for_by_name() {
        use ExpositionFormat::{OpenMetrics, Protobuf, Text};
        let messages = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let others = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                      q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let old = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (others, OpenMetrics),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\"", OpenMetrics),
            (old, Text),
            ("*/*", Text),
            ("application/*", Text),
            ("text/plain, application/openmetrics-text;q=0.5", Text),
            ("application/openmetrics-text;q=0", Text),
            (messages, Protobuf),
            (
                &messages
                    .replace(';', " ; ")
                    .to_uppercase()
                    .replace("IO.PROMETHEUS.CLIENT.METRICFAMILY", "\"io.prometheus.client.MetricFamily\"")
                    .replace("DELIMITED", "delimited"),
                Protobuf,
            ),
            (&format!("{messages},{others}"), Protobuf),
            (&format!("{others},{messages};escaping=allow-utf-8;q=0.9"), Protobuf),
            (&format!("{messages};q=0.1,{others}"), OpenMetrics),
            (&format!("{messages};q=0,text/plain;q=0.1"), Text),
            ("application/vnd.google.protobuf", Text),
            ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", Text),
            (
                "application/vnd.google.protobuf;proto=Other;encoding=delimited,application/openmetrics-text",
                OpenMetrics,
            ),
            ("application/vnd.google.protobuf;proto;encoding==;;;=,q", Text),
            (";/;,,/,\u{7f}", Text),
        ] {
            let Ok(value) = HeaderValue::from_str(accept) else { continue };
            assert_eq!(exposition(&HeaderMap::from_iter([(ACCEPT, value)])), format, "{accept}");
        }
        assert_eq!(exposition(&HeaderMap::new()), Text);
    }

    #[test]
    fn gzip_is_for_those_who_ask_for_it_by_their_qualities() {
        for (accept, wants) in [
            ("gzip", true),
            ("GZIP;Q=0.1", true),
            ("x-gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("*", true),
            ("*;q=0.5, gzip;q=0", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("identity", false),
            ("identity, gzip;q=0.5", false),
            ("identity;q=0.5, gzip", true),
            ("br, deflate", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap())]);
            assert_eq!(wants_gzip(&headers), wants, "{accept}");
        }
        assert!(!wants_gzip(&HeaderMap::new()));
    }
}
