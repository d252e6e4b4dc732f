//! The queue of one hook, and the worker that empties it: one event after the other, each tried three times.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use url::Url;

use super::lock;
use crate::base::quantity::show_duration;
use crate::config::hook::{HookConfig, HookEvent};
use crate::metrics::hooks::HookDeliveries;
use crate::probe::BoxFuture;

/// More events than these do not wait for one hook; the oldest gives way, so that the last word gets through.
const MOST_WAITING: usize = 64;
/// Backoff: the pause before each try of an event.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10)];

/// What came of one try.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "hooks"), allow(dead_code))] // without the feature nobody delivers
pub(super) enum Delivery {
    /// It was taken.
    Delivered,
    /// It was not, for this reason; the next try may be lucky.
    Again(String),
    /// It was not, and never will be.
    Final(String),
}

/// Sends to one hook.
pub(super) trait Deliver: Send + Sync {
    /// Tries once to deliver `body`.
    fn send(&self, body: &Arc<[u8]>) -> BoxFuture<'_, Delivery>;
}

/// The events that wait for one hook.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<OutboxState>,
    news: Notify,
}

#[derive(Debug)]
struct OutboxState {
    waiting: VecDeque<(HookEvent, Arc<[u8]>)>,
    /// Its place in the file, as diagnostics name it.
    name: String,
    hook: Arc<HookConfig>,
    deliveries: Arc<HookDeliveries>,
    stage: OutboxStage,
    /// An event has been taken from what waits, and what comes of it is not known yet.
    is_sending: bool,
    /// The last event was lost, and the log knows.
    loses: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutboxStage {
    Open,
    /// Its hook is gone: what waits is sent, then the worker ends.
    Retired,
    /// The daemon ends: the same, without pauses.
    Closing,
}

impl Outbox {
    pub(super) fn new(place: usize, hook: &HookConfig, deliveries: Arc<HookDeliveries>) -> Self {
        let state = OutboxState {
            waiting: VecDeque::new(),
            name: name(place),
            hook: Arc::new(hook.clone()),
            deliveries,
            stage: OutboxStage::Open,
            is_sending: false,
            loses: false,
        };
        Self { state: Mutex::new(state), news: Notify::new() }
    }

    pub(super) fn has_address_of(&self, hook: &HookConfig) -> bool {
        lock(&self.state).hook.url == hook.url
    }

    /// Whether `hook` is of the same host, so that a reload has changed but the way in.
    pub(super) fn has_host_of(&self, hook: &HookConfig) -> bool {
        let host = |hook: &HookConfig| Url::parse(hook.url.expose()).ok()?.host().map(|host| host.to_owned());
        host(&lock(&self.state).hook) == host(hook)
    }

    /// What waits goes to `hook` from the next try on, as far as it wants that.
    pub(super) fn change(&self, place: usize, hook: &HookConfig, deliveries: Arc<HookDeliveries>) {
        let mut state = lock(&self.state);
        (state.name, state.deliveries) = (name(place), deliveries);
        if *state.hook != *hook {
            state.hook = Arc::new(hook.clone());
            state.waiting.retain(|(event, _)| hook.on.has(*event));
        }
    }

    /// Whether the hook is told of such events.
    pub(super) fn wants(&self, event: HookEvent) -> bool {
        lock(&self.state).hook.on.has(event)
    }

    /// Puts `body` into the queue, if the hook is told of such events.
    pub(super) fn push(&self, event: HookEvent, body: &Arc<[u8]>) {
        let mut state = lock(&self.state);
        if !state.hook.on.has(event) {
            return;
        }
        if state.waiting.len() >= MOST_WAITING {
            state.waiting.pop_front();
            state.deliveries.dropped();
            state.lost("too many events wait");
        }
        state.waiting.push_back((event, Arc::clone(body)));
        self.news.notify_one();
    }

    /// Drops what waits and what is being sent: how many events these are.
    pub(super) fn give_up(&self) -> usize {
        let mut state = lock(&self.state);
        let waiting = std::mem::take(&mut state.waiting);
        let given_up = waiting.len() + usize::from(std::mem::take(&mut state.is_sending));
        (0..given_up).for_each(|_| state.deliveries.dropped());
        given_up
    }

    pub(super) fn retire(&self) {
        lock(&self.state).stage = OutboxStage::Retired;
        self.news.notify_one();
    }

    pub(super) fn close(&self) {
        lock(&self.state).stage = OutboxStage::Closing;
        self.news.notify_one();
    }

    /// The next event; nothing once the hook is gone and has been told everything.
    #[must_use]
    async fn next(&self) -> Option<Arc<[u8]>> {
        loop {
            {
                let mut state = lock(&self.state);
                if let Some((_, body)) = state.waiting.pop_front() {
                    state.is_sending = true;
                    return Some(body);
                }
                if state.stage != OutboxStage::Open {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// Waits for `pause`, or until the daemon ends.
    async fn rest(&self, pause: Duration) {
        let until_the_end = async {
            while lock(&self.state).stage != OutboxStage::Closing {
                self.news.notified().await;
            }
        };
        let _ = tokio::time::timeout(pause, until_the_end).await;
    }

    fn hook(&self) -> Arc<HookConfig> {
        Arc::clone(&lock(&self.state).hook)
    }
}

impl OutboxState {
    /// One log line until an event gets through again: a receiver that is away is not news with each event.
    fn lost(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.loses, true) {
            tracing::warn!(hook = self.name, reason, "a hook was not told of an event");
        }
    }

    fn delivered(&mut self) {
        self.deliveries.delivered();
        if std::mem::take(&mut self.loses) {
            tracing::info!(hook = self.name, "a hook is told of events again");
        }
    }
}

fn name(place: usize) -> String {
    format!("hooks[{place}]")
}

/// Sends what is put into `outbox`, until its hook is gone. `connect` makes what sends to a hook.
pub(super) async fn serve<C: Deliver>(
    outbox: Arc<Outbox>,
    connect: impl Fn(&HookConfig) -> Result<C, String> + Send + Sync,
) {
    let mut client: Option<(Arc<HookConfig>, C)> = None;
    while let Some(body) = outbox.next().await {
        let mut reason = String::new();
        let mut is_delivered = false;
        for pause in PAUSES {
            outbox.rest(pause).await;
            // A reload may have brought another address, or what it takes to be let in.
            let hook = outbox.hook();
            if client.as_ref().is_none_or(|(of, _)| !Arc::ptr_eq(of, &hook)) {
                client = match connect(&hook) {
                    Ok(made) => Some((Arc::clone(&hook), made)),
                    Err(error) => {
                        reason = error;
                        None
                    }
                };
            }
            let Some((_, client)) = &client else { continue };
            match tokio::time::timeout(hook.timeout, client.send(&body)).await {
                Ok(Delivery::Delivered) => {
                    is_delivered = true;
                    break;
                }
                Ok(Delivery::Again(why)) => reason = why,
                Ok(Delivery::Final(why)) => {
                    reason = why;
                    break;
                }
                Err(_) => reason = format!("timed out after {}", show_duration(hook.timeout)),
            }
        }
        let mut state = lock(&outbox.state);
        if !std::mem::take(&mut state.is_sending) {
            // It was given up, and counted, a moment ago.
            return;
        }
        if is_delivered {
            state.delivered();
        } else {
            state.deliveries.failed();
            state.lost(&reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::base::secret::Secret;
    use crate::config::hook::HookEvents;

    fn hook(url: &str) -> HookConfig {
        HookConfig {
            url: Secret::new(url),
            on: HookEvents::named(&HookEvent::WORDS),
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
        }
    }

    fn outbox() -> (Arc<Outbox>, Arc<HookDeliveries>) {
        let deliveries = Arc::new(HookDeliveries::default());
        (Arc::new(Outbox::new(0, &hook("http://a/"), Arc::clone(&deliveries))), deliveries)
    }

    fn push(outbox: &Outbox, text: &str) {
        outbox.push(HookEvent::Error, &text.as_bytes().into());
    }

    /// Writes down when it is sent what and to whom, and finds what a function says of the number of the try.
    struct Receiver {
        url: String,
        began: Instant,
        log: Arc<Mutex<Vec<String>>>,
        finds: fn(usize) -> Option<Delivery>,
    }

    impl Deliver for Receiver {
        fn send(&self, body: &Arc<[u8]>) -> BoxFuture<'_, Delivery> {
            let line = format!("{} {} {}", self.began.elapsed().as_secs(), self.url, String::from_utf8_lossy(body));
            let mut log = self.log.lock().unwrap();
            log.push(line);
            let found = (self.finds)(log.len());
            Box::pin(async move {
                match found {
                    Some(delivery) => delivery,
                    None => std::future::pending().await,
                }
            })
        }
    }

    /// What was tried until nothing waits any more.
    async fn served(outbox: &Arc<Outbox>, finds: fn(usize) -> Option<Delivery>) -> Vec<String> {
        let log = Arc::default();
        let began = Instant::now();
        outbox.retire();
        let seen = Arc::clone(&log);
        serve(Arc::clone(outbox), move |hook| {
            Ok(Receiver { url: hook.url.expose().to_owned(), began, log: Arc::clone(&seen), finds })
        })
        .await;
        let lines: Vec<String> = log.lock().unwrap().clone();
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn three_tries_with_growing_pauses_and_the_next_event_after_them() {
        let (outbox, deliveries) = outbox();
        push(&outbox, "one");
        push(&outbox, "two");
        let tries = served(&outbox, |number| {
            Some(if number == 4 { Delivery::Delivered } else { Delivery::Again("answered 500".into()) })
        })
        .await;
        assert_eq!(tries, ["0 http://a/ one", "1 http://a/ one", "11 http://a/ one", "11 http://a/ two"]);
        assert_eq!(deliveries.read(), [1, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_answers_costs_three_timeouts_and_who_refuses_one_try() {
        let (outbox, deliveries) = outbox();
        push(&outbox, "one");
        assert_eq!(served(&outbox, |_| None).await, ["0 http://a/ one", "6 http://a/ one", "21 http://a/ one"]);
        assert_eq!(deliveries.read(), [0, 1, 0]);
        push(&outbox, "two");
        assert_eq!(served(&outbox, |_| Some(Delivery::Final("answered 404".into()))).await.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_events_give_way_and_are_counted() {
        let (outbox, deliveries) = outbox();
        for number in 0..70 {
            push(&outbox, &number.to_string());
        }
        let told = served(&outbox, |_| Some(Delivery::Delivered)).await;
        assert_eq!((told.len(), told[0].as_str()), (64, "0 http://a/ 6"));
        assert_eq!(deliveries.read(), [64, 0, 6]);
    }

    #[test]
    fn another_host_is_another_hook() {
        let (outbox, _) = outbox();
        assert!(outbox.has_host_of(&hook("https://a:8443/other")));
        assert!(!outbox.has_host_of(&hook("http://pager/")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_is_told_of_what_it_wants_alone() {
        let (outbox, deliveries) = outbox();
        let readyz = HookConfig { on: HookEvents::named(&["readyz"]), ..hook("http://a/") };
        outbox.change(0, &readyz, deliveries);
        push(&outbox, "error");
        assert_eq!(outbox.give_up(), 0);
        let (outbox, deliveries) = self::outbox();
        push(&outbox, "error");
        outbox.change(0, &readyz, deliveries);
        assert_eq!(outbox.give_up(), 0, "nor of what it did not want when that came");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_goes_to_the_address_that_a_reload_brought() {
        let (outbox, deliveries) = outbox();
        push(&outbox, "one");
        outbox.change(0, &hook("http://b/"), deliveries);
        assert_eq!(served(&outbox, |_| Some(Delivery::Delivered)).await, ["0 http://b/ one"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_sent_when_the_time_is_up_is_dropped_like_what_waits() {
        let (outbox, deliveries) = outbox();
        push(&outbox, "one");
        push(&outbox, "two");
        let sending = served(&outbox, |_| None);
        assert!(tokio::time::timeout(Duration::from_secs(1), sending).await.is_err());
        assert_eq!((outbox.give_up(), deliveries.read()), (2, [0, 0, 2]));
        assert_eq!(outbox.give_up(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_daemon_cuts_pauses_short() {
        let (outbox, _) = outbox();
        push(&outbox, "one");
        let sending = served(&outbox, |_| Some(Delivery::Again("answered 500".into())));
        let closing = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            outbox.close();
        };
        let began = Instant::now();
        let (tries, ()) = tokio::join!(sending, closing);
        assert_eq!((tries.len(), began.elapsed().as_secs()), (3, 0));
    }
}
