//! The queue of one hook, and the worker that empties it: one event after the other, each tried three times.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use url::Url;

use super::event::HookMessage;
use super::lock;
use crate::base::quantity::show_duration;
use crate::config::hook::{HookConfig, HookEvent};
use crate::metrics::hooks::HookDeliveries;
use crate::probe::BoxFuture;

/// More events than these do not wait for one hook. There are fewer endpoints, so the last word of each has room.
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
    waiting: VecDeque<WaitingEvent>,
    /// Its place in the file, as diagnostics name it.
    name: String,
    hook: Arc<HookConfig>,
    deliveries: Arc<HookDeliveries>,
    stage: OutboxStage,
    /// An event has been taken from what waits, and what comes of it is not known yet.
    is_sending: bool,
    losses: OutboxLosses,
}

#[derive(Debug)]
struct WaitingEvent {
    event: HookEvent,
    subject: Arc<str>,
    body: Arc<[u8]>,
    /// Another of the same subject has come since.
    is_superseded: bool,
}

/// The events that were lost since one was delivered and none waited any more.
#[derive(Debug, Default)]
struct OutboxLosses {
    /// For want of room.
    dropped: u64,
    /// After all tries.
    failed: u64,
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
            losses: OutboxLosses::default(),
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
            state.waiting.retain(|waiting| hook.on.has(waiting.event));
        }
    }

    /// Whether the hook is told of such events.
    pub(super) fn wants(&self, event: HookEvent) -> bool {
        lock(&self.state).hook.on.has(event)
    }

    /// Puts `message` into the queue, if the hook is told of such events.
    pub(super) fn push(&self, message: &HookMessage) {
        let HookMessage { event, subject, body } = message.clone();
        let mut state = lock(&self.state);
        if !state.hook.on.has(event) {
            return;
        }
        // A check may have the name of an endpoint.
        let kind = event.is_of_an_endpoint();
        let is_same = |other: &&mut WaitingEvent| other.event.is_of_an_endpoint() == kind && other.subject == subject;
        if let Some(before) = state.waiting.iter_mut().rfind(is_same) {
            before.is_superseded = true;
        }
        state.waiting.push_back(WaitingEvent { event, subject, body, is_superseded: false });
        if state.waiting.len() > MOST_WAITING {
            state.drop_one();
        }
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
                if let Some(next) = state.waiting.pop_front() {
                    state.is_sending = true;
                    return Some(next.body);
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
    /// Drops what is missed least: the oldest event that a later one supersedes, else the oldest of a check.
    fn drop_one(&mut self) {
        let superseded = self.waiting.iter().position(|waiting| waiting.is_superseded);
        let of_a_check = || self.waiting.iter().position(|waiting| !waiting.event.is_of_an_endpoint());
        self.waiting.remove(superseded.or_else(of_a_check).unwrap_or_default());
        self.deliveries.dropped();
        self.losses.dropped += 1;
        if self.losses.dropped == 1 {
            self.log_loss("too many events wait");
        }
    }

    fn failed(&mut self, reason: &str) {
        self.deliveries.failed();
        self.losses.failed += 1;
        if self.losses.failed == 1 {
            self.log_loss(reason);
        }
    }

    /// One line, and one that says when it is over: a receiver that is away or slow is not news with each event.
    fn log_loss(&self, reason: &str) {
        tracing::warn!(hook = self.name, reason, "a hook was not told of an event");
    }

    fn delivered(&mut self) {
        self.deliveries.delivered();
        if !self.waiting.is_empty() {
            return;
        }
        let OutboxLosses { dropped, failed } = std::mem::take(&mut self.losses);
        if dropped + failed > 0 {
            tracing::info!(hook = self.name, dropped, failed, "a hook is told of events again");
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
            state.failed(&reason);
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
        tell(outbox, HookEvent::Error, text, text);
    }

    fn tell(outbox: &Outbox, event: HookEvent, subject: &str, text: &str) {
        outbox.push(&HookMessage { event, subject: subject.into(), body: text.as_bytes().into() });
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

    /// What is told, of all that the queue has kept.
    async fn kept(outbox: &Arc<Outbox>) -> Vec<String> {
        let told = served(outbox, |_| Some(Delivery::Delivered)).await;
        told.iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_word_of_an_endpoint_is_kept_however_many_checks_fail_after_it() {
        let (outbox, deliveries) = outbox();
        push(&outbox, "first");
        // Nor does a check of that name take its place.
        for (event, subject, text) in [
            (HookEvent::Readyz, "readyz", "ready"),
            (HookEvent::Livez, "livez", "dead"),
            (HookEvent::Readyz, "readyz", "unready"),
            (HookEvent::Error, "readyz", "check"),
        ] {
            tell(&outbox, event, subject, text);
        }
        (0..200).for_each(|number| push(&outbox, &number.to_string()));
        let told = kept(&outbox).await;
        assert_eq!(told[..3], ["dead", "unready", "138"]);
        assert_eq!((told.len(), told[63].as_str(), deliveries.read()), (64, "199", [64, 0, 141]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_later_event_supersedes_gives_way_first_and_the_order_stays() {
        let (outbox, _) = outbox();
        (0..62).for_each(|number| push(&outbox, &number.to_string()));
        for text in ["fails", "passes"] {
            tell(&outbox, HookEvent::Error, "flaps", text);
        }
        push(&outbox, "more");
        tell(&outbox, HookEvent::Error, "3", "again");
        let told = kept(&outbox).await;
        let others = (0..62).filter(|number| *number != 3).map(|number| number.to_string());
        let expected: Vec<String> = others.chain(["passes", "more", "again"].map(str::to_owned)).collect();
        assert_eq!(told, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_overflow_is_over_once_nothing_waits_and_no_sooner() {
        let (outbox, _) = outbox();
        let losses = || {
            let state = lock(&outbox.state);
            (state.losses.dropped, state.losses.failed)
        };
        (0..70).for_each(|number| push(&outbox, &number.to_string()));
        for number in 70..90 {
            outbox.next().await.unwrap();
            lock(&outbox.state).delivered();
            push(&outbox, &number.to_string());
            push(&outbox, &(1000 + number).to_string());
        }
        assert_eq!(losses(), (6 + 20, 0), "the receiver is slow, and each event that it takes is no news");
        let refused_once =
            |number| Some(if number == 1 { Delivery::Final("answered 404".into()) } else { Delivery::Delivered });
        served(&outbox, refused_once).await;
        assert_eq!(losses(), (0, 0));
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
