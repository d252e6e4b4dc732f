//! Name resolution, single-flight: concurrent requests for one name share one lookup, so a resolver that hangs holds
//! one thread, not one per run.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{oneshot, watch};

use crate::model::outcome::{Failure, FailureKind};
use crate::probe::{BoxFuture, exhausted};

/// What a lookup found, or why it found nothing, with the resolver's own error line.
type LookupResult = Result<Arc<[IpAddr]>, Failure>;

/// The lookups under way, by name.
type LookupsInFlight = Arc<Mutex<HashMap<String, watch::Receiver<Option<LookupResult>>>>>;

/// More lookups at once would need more threads than a sidecar should have (redirects may name any host).
const MOST_AT_ONCE: usize = 64;

/// Resolves names, each once at a time.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    resolver: Resolver,
    under_way: LookupsInFlight,
}

impl Lookups {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, under_way: Arc::default() }
    }

    /// The addresses of `host`. A name that is being looked up is not looked up twice: the caller waits for that
    /// lookup.
    pub(super) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let mut lookup = self.join(host)?;
        let found = match lookup.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_) => None,
        };
        match found {
            Some(Ok(addresses)) if !addresses.is_empty() => Ok(addresses.to_vec()),
            Some(Ok(_)) | None => Err(unresolved()),
            Some(Err(failure)) => Err(failure),
        }
    }

    fn join(&self, host: &str) -> Result<watch::Receiver<Option<LookupResult>>, Failure> {
        let mut under_way = lock(&self.under_way);
        if let Some(lookup) = under_way.get(host)
            && lookup.has_changed().is_ok()
        {
            return Ok(lookup.clone());
        }
        if under_way.len() >= MOST_AT_ONCE {
            return Err(Failure::new(FailureKind::Resolve, "too many names wait for the resolver"));
        }
        let (sender, receiver) = watch::channel(None);
        under_way.insert(host.to_owned(), receiver.clone());
        let lookup = (self.resolver.0)(host.to_owned());
        let (host, entries) = (host.to_owned(), Arc::clone(&self.under_way));
        // On a task of its own: it goes on when the run that asked first is over, and the next run joins it.
        tokio::spawn(async move {
            let found = lookup.await.map(bounded).map_err(|error| why_unresolved(&error));
            lock(&entries).remove(&host);
            sender.send_replace(Some(found));
        });
        Ok(receiver)
    }
}

/// More addresses of one family than this are not kept; far fewer are tried.
const MOST_OF_A_FAMILY: usize = 32;

/// Each address once, in the order of the resolver, and no more of them than anybody needs.
fn bounded(found: Vec<IpAddr>) -> Arc<[IpAddr]> {
    let mut kept: Vec<IpAddr> = Vec::new();
    for address in found {
        let of_family = kept.iter().filter(|other| other.is_ipv6() == address.is_ipv6()).count();
        if of_family < MOST_OF_A_FAMILY && !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept.into()
}

fn unresolved() -> Failure {
    Failure::new(FailureKind::Resolve, "name does not resolve")
}

/// The resolver does not tell whether it could not open its socket or its files: then its answer says nothing of the
/// name.
fn why_unresolved(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<NoThread>()) {
        Some(NoThread(cause)) => exhausted::of_thread(cause),
        None => exhausted::of_io(error)
            .or_else(exhausted::of_descriptors)
            .unwrap_or_else(|| unresolved().with_detail(error.to_string())),
    }
}

/// The system gives us no thread to ask the resolver on.
#[derive(Debug)]
struct NoThread(io::Error);

impl fmt::Display for NoThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no thread: {}", self.0)
    }
}

impl std::error::Error for NoThread {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a name becomes addresses: getaddrinfo, unless a test says otherwise.
pub(super) struct Resolver(Box<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>);

impl Resolver {
    pub(super) fn new(
        resolver: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(resolver))
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(|host| {
            Box::pin(async move {
                let (sender, receiver) = oneshot::channel();
                // The runtime's own threads for this panic where the system gives none.
                let thread = thread::Builder::new().name("resolver".into()).stack_size(STACK);
                let asked = thread.spawn(move || drop(sender.send(addresses_of(&host))));
                asked.map_err(|error| io::Error::other(NoThread(error)))?;
                receiver.await.unwrap_or_else(|_| Err(io::Error::other("the lookup panicked")))
            })
        })
    }
}

/// For the C library and its plugins.
const STACK: usize = 512 * 1024;

/// Asks the system's resolver. It blocks.
fn addresses_of(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    /// A resolver that hangs until it is let go, and counts.
    fn hanging() -> (Lookups, Arc<AtomicUsize>, Arc<Semaphore>) {
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, gated) = (Arc::clone(&count), Arc::clone(&gate));
        let lookups = Lookups::new(Resolver::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            let gate = Arc::clone(&gated);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                Ok(vec!["192.0.2.1".parse().unwrap()])
            })
        }));
        (lookups, count, gate)
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_hangs_is_asked_once_and_answers_whoever_waits_then() {
        let (lookups, count, gate) = hanging();
        for _ in 0..5 {
            let limit = std::time::Duration::from_secs(1);
            assert!(tokio::time::timeout(limit, lookups.resolve("db")).await.is_err());
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        gate.add_permits(1);
        assert_eq!(lookups.resolve("db").await.unwrap(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        gate.add_permits(1);
        lookups.resolve("db").await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2, "an answer is not kept");
    }

    #[tokio::test]
    async fn of_ten_thousand_addresses_the_first_of_each_family_are_kept() {
        let lookups = Lookups::new(Resolver::new(|_| {
            let v6 = (0..10_000u16).map(|number| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number / 2]));
            let v4 = (0..10_000u32).map(|number| IpAddr::from(number.to_be_bytes()));
            let all = v6.chain(v4).collect();
            Box::pin(async move { Ok(all) })
        }));
        let found = lookups.resolve("db").await.unwrap();
        let (v6, v4): (Vec<IpAddr>, Vec<_>) = found.iter().partition(|address| address.is_ipv6());
        assert_eq!((v6.len(), v4.len()), (MOST_OF_A_FAMILY, MOST_OF_A_FAMILY));
        assert_eq!(v6[1], "2001:db8::1".parse::<IpAddr>().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn lookups_at_once_are_bounded() {
        let (lookups, count, _gate) = hanging();
        for number in 0..MOST_AT_ONCE {
            lookups.join(&format!("host-{number}")).unwrap();
        }
        let failure = lookups.resolve("one-more").await.unwrap_err();
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (FailureKind::Resolve, "too many names wait for the resolver")
        );
        assert_eq!(count.load(Ordering::Relaxed), MOST_AT_ONCE);
    }

    #[tokio::test]
    async fn a_resolver_that_dies_is_asked_anew() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let lookups = Lookups::new(Resolver::new(move |_| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                assert!(number > 0, "the first lookup dies");
                Ok(vec!["192.0.2.1".parse().unwrap()])
            })
        }));
        assert_eq!(lookups.resolve("db").await.unwrap_err().message, "name does not resolve");
        assert!(lookups.resolve("db").await.is_ok());
    }

    #[tokio::test]
    async fn a_name_without_addresses_does_not_resolve() {
        let lookups = Lookups::new(Resolver::new(|_| Box::pin(async { Ok(Vec::new()) })));
        assert_eq!(lookups.resolve("db").await.unwrap_err().message, "name does not resolve");
        let lookups = Lookups::new(Resolver::new(|_| Box::pin(async { Err(io::Error::other("no such name")) })));
        let failure = lookups.resolve("db").await.unwrap_err();
        assert_eq!((failure.kind, failure.detail.as_deref()), (FailureKind::Resolve, Some("no such name")));
    }
}
