//! One try over HTTP: an ordinary client, with the proxies of the environment and with redirects.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client as HttpClient, Response, StatusCode, Url};

use tokio::time::{Instant, timeout_at};

use super::outbox::{Deliver, Delivery};
use crate::config::hook::HookConfig;
use crate::probe::BoxFuture;
use crate::probe::net::Network;
use crate::probe::net::tls::TlsSpec;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/cloudevents+json");
/// No more redirects than these are followed.
const MOST_REDIRECTS: usize = 5;
/// No more than this is read of an answer's body, so that the connection can serve the next event; nobody looks at it.
const MOST_OF_A_BODY: usize = 16 << 10;
/// Nor is it waited for longer than this: the verdict is known.
const LONGEST_BODY: Duration = Duration::from_millis(250);
/// A connection that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// What sends to one hook.
pub(super) struct HookClient {
    http: HttpClient,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
}

/// A client for `hook`; the error says what it cannot be made of.
pub(super) fn connect(hook: &HookConfig, network: &Arc<Network>) -> Result<HookClient, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &hook.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header has no name")?;
        let mut value =
            HeaderValue::from_str(value.expose()).or_else(|_| HeaderValue::from_bytes(value.expose().as_bytes()));
        if let Ok(value) = &mut value {
            value.set_sensitive(true);
        }
        headers.append(name, value.map_err(|_| "a header has no value")?);
    }
    headers.insert(CONTENT_TYPE, MEDIA_TYPE);
    let bare = hook.headers.is_empty();
    let http = HttpClient::builder()
        .user_agent(concat!("probelet/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(TlsSpec::default().client(network).config())
        .dns_resolver(Arc::new(Lookup(Arc::clone(network))))
        .redirect(Policy::custom(
            move |attempt| if may_follow(&attempt, bare) { attempt.follow() } else { attempt.stop() },
        ))
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE)
        .http1_only()
        .build()
        .map_err(|error| why(&error))?;
    let url = Url::parse(hook.url.expose()).map_err(|_| "not a URL")?;
    Ok(HookClient { http, url, headers, timeout: hook.timeout })
}

/// A redirect is followed where it keeps the event (others make a GET of the POST), never to where it can be read on the
/// way, and to another origin only where no header of the hook goes along.
fn may_follow(attempt: &Attempt<'_>, bare: bool) -> bool {
    let keeps_the_event = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let from = attempt.previous();
    let to = attempt.url();
    let stays = from.first().is_some_and(|first| first.origin() == to.origin());
    let is_lowered = from.last().is_some_and(|last| last.scheme() == "https") && to.scheme() != "https";
    keeps_the_event && !is_lowered && (stays || bare) && from.len() <= MOST_REDIRECTS
}

impl Deliver for HookClient {
    fn send(&self, body: &Arc<[u8]>) -> BoxFuture<'_, Delivery> {
        let request = self.http.post(self.url.clone()).headers(self.headers.clone()).body(body.to_vec());
        // Not later than who waits for this has patience.
        let until = Instant::now() + self.timeout;
        Box::pin(async move {
            match request.send().await {
                Ok(answer) => {
                    let delivery = judged(answer.status());
                    // The verdict stands, whatever becomes of the body.
                    let _ = timeout_at(until.min(Instant::now() + LONGEST_BODY), use_up(answer)).await;
                    delivery
                }
                Err(error) => Delivery::Again(why(&error)),
            }
        })
    }
}

fn judged(status: StatusCode) -> Delivery {
    let code = status.as_u16();
    match code {
        200..=299 => Delivery::Delivered,
        408 | 425 | 429 => Delivery::Again(format!("answered {code}")),
        300..=399 => {
            Delivery::Final(format!("answered {code}: this redirect is not followed, write its end into `url`"))
        }
        400..=499 => Delivery::Final(format!("answered {code}")),
        _ => Delivery::Again(format!("answered {code}")),
    }
}

/// Reads the body as far as that is no trouble.
async fn use_up(mut answer: Response) {
    let mut read = 0;
    while read <= MOST_OF_A_BODY {
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// Why nothing came of it, in words that hold no address and nothing of the answer.
fn why(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(failure) = inner.downcast_ref::<Unresolved>() {
            return failure.0.clone();
        }
        if inner.is::<rustls::Error>() {
            return "the TLS handshake failed".into();
        }
        cause = match inner.downcast_ref::<io::Error>() {
            // What is wrapped in it is no source of it.
            Some(error) => match error.get_ref() {
                Some(wrapped) => Some(wrapped),
                None => return error.kind().to_string(),
            },
            None => inner.source(),
        };
    }
    if error.is_connect() { "no connection".into() } else { "no answer in HTTP".into() }
}

/// Name resolution as the probes do it: on threads of its own, not on a pool that panics where there is no thread.
struct Lookup(Arc<Network>);

/// A name that was not found, in words without it.
#[derive(Debug)]
struct Unresolved(String);

impl std::fmt::Display for Unresolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unresolved {}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let network = Arc::clone(&self.0);
        Box::pin(async move {
            match network.resolve(name.as_str()).await {
                // The port is that of the URL.
                Ok(addresses) => {
                    Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
                }
                Err(failure) => Err(Unresolved(failure.message).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;
    use crate::base::secret::Secret;
    use crate::config::hook::HookEvents;

    #[tokio::test]
    async fn an_event_is_delivered_though_the_body_of_the_answer_never_comes() {
        let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = HookConfig {
            url: Secret::new(format!("http://{}/", receiver.local_addr().unwrap())),
            on: HookEvents::default(),
            headers: Vec::new(),
            timeout: Duration::from_secs(30),
        };
        let client = connect(&hook, &Arc::default()).unwrap();
        let receiving = async {
            let (mut stream, _) = receiver.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"{}") {
                assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            stream
        };
        let sending = timeout(hook.timeout, client.send(&b"{}".as_slice().into()));
        let (delivery, _stream) = tokio::join!(sending, receiving);
        assert_eq!(delivery, Ok(Delivery::Delivered));
    }
}
