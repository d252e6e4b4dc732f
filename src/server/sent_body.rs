//! The body of a request: read as far as a beat may be long, and thrown away otherwise.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap};
use serde::Deserialize;
use serde_json::error::Category;

use super::warnings::quoted;
use crate::base::credentials::masked;
use crate::base::redactor::Redactor;
use crate::model::beat::{Beat, BeatStatus};
use crate::model::outcome::one_line;

/// The longest body that is looked at: that of a beat.
const LONGEST: usize = 1024;
/// What is read of any other, so that a client can finish sending before it reads the answer.
const MOST_DISCARDED: usize = 64 * 1024;
/// And for how long.
pub(super) const BODY_TIME: Duration = Duration::from_secs(2);

/// What came behind the head of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum SentBody {
    /// Nothing.
    #[default]
    Empty,
    /// A short one, whole.
    Short(Bytes),
    /// One of more bytes than a beat may have.
    Long,
    /// One that did not come in time, or not to its end.
    Partial,
}

impl SentBody {
    /// Takes what comes. Whether it all came in time does not matter to most: if it did not, the connection is closed
    /// after the answer.
    pub(super) async fn take<B: Body<Data = Bytes> + Unpin>(body: B) -> Self {
        let mut is_long = body.size_hint().lower() > LONGEST as u64;
        let taking = async {
            let mut body = body;
            let mut read = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return Self::Partial };
                let Some(bytes) = frame.data_ref() else { continue };
                if is_long || read.len() + bytes.len() > LONGEST {
                    is_long = true;
                    discard(body).await;
                    break;
                }
                read.extend_from_slice(bytes);
            }
            Self::Short(read.freeze())
        };
        let taken = tokio::time::timeout(BODY_TIME, taking).await.unwrap_or(Self::Partial);
        if is_long { Self::Long } else { taken }
    }

    /// The beat that it is, or the code and the line that tell why it is none.
    pub(super) fn beat(&self, headers: &HeaderMap) -> Result<Beat, (StatusCode, String)> {
        let refused = |code, problem: &str| Err((code, format!("{problem}; {FORM}\n")));
        let is_encoded = |coding: &hyper::header::HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
        if headers.get_all(CONTENT_ENCODING).iter().any(is_encoded) {
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body of a beat is not compressed");
        }
        match self {
            Self::Empty => Ok(Beat::default()),
            Self::Short(bytes) if bytes.is_empty() => Ok(Beat::default()),
            Self::Short(bytes) => {
                parsed(bytes, &presented(headers)).or_else(|problem| refused(StatusCode::BAD_REQUEST, &problem))
            }
            Self::Long => refused(StatusCode::PAYLOAD_TOO_LARGE, "the body of a beat has at most 1024 bytes"),
            Self::Partial => refused(StatusCode::REQUEST_TIMEOUT, "the body of the beat did not come within 2 seconds"),
        }
    }
}

const FORM: &str = "send none, or {\"status\": \"ok\"|\"degraded\"|\"error\", \"message\": \"…\"}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBeat {
    status: Option<String>,
    message: Option<String>,
}

/// What the sender presents of itself, which its message may repeat.
fn presented(headers: &HeaderMap) -> Redactor {
    /// No token that somebody has made is longer.
    const LONGEST: usize = 2 << 10;
    let values = headers.get_all(AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
    let words: Vec<&str> = values.flat_map(|value| value.split_whitespace().skip(1)).collect();
    let passwords = words.iter().filter_map(|word| password_of(word)).collect::<Vec<_>>();
    let secrets = words.into_iter().chain(passwords.iter().map(String::as_str));
    Redactor::of(secrets.map(|secret| &secret[..secret.floor_char_boundary(LONGEST)]))
}

/// The password that credentials of basic authentication hold, if they are such: the message may repeat it as it is.
fn password_of(credentials: &str) -> Option<String> {
    let pair = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

fn parsed(bytes: &[u8], presented: &Redactor) -> Result<Beat, String> {
    let problem = |error: &serde_json::Error| match error.classify() {
        Category::Data => "the body of a beat is an object with the texts `status` and `message`, and no others",
        Category::Io | Category::Syntax | Category::Eof => "the body of the beat is not JSON",
    };
    // A list would be taken for the members in their order.
    let is_list = bytes.trim_ascii_start().starts_with(b"[");
    let WrittenBeat { status, message } = match serde_json::from_slice(bytes) {
        Ok(_) if is_list => return Err(problem(&serde::de::Error::custom("a list")).to_owned()),
        Ok(written) => written,
        Err(error) => return Err(problem(&error).to_owned()),
    };
    let status = status.unwrap_or_else(|| BeatStatus::Ok.label().to_owned());
    let status = BeatStatus::named(&status).ok_or_else(|| format!("there is no status {}", quoted(&status)))?;
    // Masked before it is shortened: a credential that is cut short is not made like one any more.
    let message =
        message.map(|message| one_line(&masked(&presented.redact(&message)))).filter(|message| !message.is_empty());
    Ok(Beat { status, message })
}

/// Reads `body`, which nothing needs, to its end or to the limit.
async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MOST_DISCARDED {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    fn said(body: &str) -> String {
        match SentBody::Short(Bytes::copy_from_slice(body.as_bytes())).beat(&HeaderMap::new()) {
            Ok(beat) => format!("{} {}", beat.status.label(), beat.message.as_deref().unwrap_or("-")),
            Err((code, text)) => format!("{}: {}", code.as_u16(), text.split("; send none").next().unwrap()),
        }
    }

    #[test]
    fn a_beat_says_how_the_app_is_or_is_refused_in_words() {
        let not_json = "400: the body of the beat is not JSON";
        let form = "400: the body of a beat is an object with the texts `status` and `message`, and no others";
        for (body, expected) in [
            ("", "ok -"),
            ("{}", "ok -"),
            (r#"{"status":"ok"}"#, "ok -"),
            (r#" {"status": "degraded", "message": "queue is long"} "#, "degraded queue is long"),
            (r#"{"message":"a\r\n\u001b[31mb\u202e", "status":"error"}"#, "error a [31mb\u{fffd}"),
            (
                r#"{"status":"error","message":"connect postgres://u:pw@db failed"}"#,
                "error connect postgres://***@db failed",
            ),
            (
                r#"{"status":"degraded","message":"login: password=hunter2, again"}"#,
                "degraded login: password=***, again",
            ),
            (r#"{"status":"error","message":""}"#, "error -"),
            (r#"{"status":"error","message":null}"#, "error -"),
            (r#"{"status":"DOWN"}"#, "400: there is no status \"DOWN\""),
            (r#"{"status":""}"#, "400: there is no status \"\""),
            (r#"{"staus":"error"}"#, form),
            (r#"{"status":"ok","status":"error"}"#, form),
            (r#"{"status":1}"#, form),
            (r#""ok""#, form),
            ("null", form),
            (r#"["ok"]"#, form),
            (r#"["ok", "fine"]"#, form),
            ("status=ok", not_json),
            ("{", not_json),
            (r#"{"status":"ok"} x"#, not_json),
            ("\u{feff}{}", not_json),
        ] {
            assert_eq!(said(body), expected, "{body}");
        }
        let long = format!(r#"{{"message":"{}"}}"#, "é".repeat(300));
        assert_eq!(said(&long).chars().count(), "ok ".len() + 200);
        let deep = "[".repeat(1000);
        assert!(said(&deep).starts_with("400: "), "{}", said(&deep));
    }

    #[test]
    fn the_token_of_a_beat_is_not_shown_when_its_message_repeats_it() {
        let basic = format!("Basic {}", STANDARD.encode("cron:hunter2-hunter2"));
        for presented in ["Bearer hunter2-hunter2", &basic] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, presented.parse().unwrap())]);
            let body = Bytes::from_static(br#"{"status":"error","message":"401 for hunter2-hunter2, again"}"#);
            let beat = SentBody::Short(body).beat(&headers).unwrap();
            assert_eq!(beat.message.as_deref(), Some("401 for ***, again"), "{presented}");
        }
    }

    #[test]
    fn what_is_no_short_plain_body_is_refused_with_a_code_of_its_own() {
        let code = |body: SentBody, headers: &[(hyper::header::HeaderName, &'static str)]| {
            let value = |(name, value): &(hyper::header::HeaderName, &'static str)| {
                (name.clone(), hyper::header::HeaderValue::from_static(value))
            };
            body.beat(&headers.iter().map(value).collect()).map_or_else(|(code, _)| code.as_u16(), |_| 204)
        };
        assert_eq!(code(SentBody::Empty, &[]), 204);
        assert_eq!(code(SentBody::Short(Bytes::from_static(b"{}")), &[(CONTENT_ENCODING, "identity")]), 204);
        assert_eq!(code(SentBody::Short(Bytes::from_static(b"{}")), &[(CONTENT_ENCODING, "gzip")]), 415);
        assert_eq!(code(SentBody::Long, &[]), 413);
        assert_eq!(code(SentBody::Partial, &[]), 408);
    }

    /// Taken in these pieces, without a length ahead of them.
    async fn taken(pieces: &[usize]) -> SentBody {
        let piece = |length: &usize| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b' '; *length])));
        let pieces: Vec<_> = pieces.iter().map(piece).collect();
        SentBody::take(StreamBody::new(futures_util::stream::iter(pieces))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_say_how_long_it_is_is_read_as_far_as_a_beat_may_be_long() {
        assert_eq!(taken(&[]).await, SentBody::Short(Bytes::new()));
        assert_eq!(taken(&[1000, 24]).await, SentBody::Short(vec![b' '; 1024].into()));
        assert_eq!(taken(&[1000, 25]).await, SentBody::Long);
        assert_eq!(taken(&[1025]).await, SentBody::Long);
        assert_eq!(taken(&[1000, MOST_DISCARDED, MOST_DISCARDED]).await, SentBody::Long);
    }
}
