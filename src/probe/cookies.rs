//! Cookies that servers set within a run, and which of them go back to whom (RFC 6265).
//!
//! By hand, as a run needs the rules of section 5 and nothing else: `cookie_store` brings 12 crates for them (dates, IDNA
//! tables, serialisation), and the list of public suffixes, which protects what a browser keeps for months, would be 0.2 MB
//! against a jar that ends with its run. In its place a cookie for a domain of one label is not taken.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;
use url::{Host, Url};

use crate::base::clock::Clock;

/// A jar holds no more cookies than this, and no more bytes of names and values; the oldest make room.
const MOST_COOKIES: usize = 64;
const MOST_BYTES: usize = 16 << 10;

/// Name and value of one cookie are no longer than this together, and its other attributes each (RFC 6265bis, section 5.6).
const LONGEST_COOKIE: usize = 4096;
const LONGEST_ATTRIBUTE: usize = 1024;

/// The cookies of one run. They may be secrets: nothing is shown of them.
#[derive(Clone, Default)]
pub struct CookieJar(Vec<Cookie>);

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookieJar({})", self.0.len())
    }
}

#[derive(Clone)]
struct Cookie {
    name: Box<[u8]>,
    value: Box<[u8]>,
    domain: Domain,
    path: String,
    /// It goes over connections alone that nobody can listen to.
    is_secure: bool,
    /// Its end, where it does not outlive the run anyway.
    until: Option<Instant>,
}

/// The hosts that a cookie goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Domain {
    Host(String),
    /// The host and all below it.
    Below(String),
}

/// A server that sets cookies, or gets them.
#[derive(Clone, Copy, Debug)]
pub struct CookieSite<'a> {
    /// What was requested of it.
    pub url: &'a Url,
    /// Whether nobody else can listen: over TLS, or on this machine.
    pub is_private: bool,
}

impl CookieSite<'_> {
    /// The host in one spelling.
    fn host(self) -> String {
        let host = self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        host.trim_end_matches('.').to_ascii_lowercase()
    }

    fn is_secure(self) -> bool {
        self.is_private
            || self.url.scheme() == "https"
            // As browsers and curl see it.
            || match self.url.host() {
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
                _ => matches!(self.host().rsplit('.').next(), Some("localhost")),
            }
    }
}

impl CookieJar {
    /// Takes what a server says in one `Set-Cookie`, as far as it may say it; whether it was taken.
    pub fn set(&mut self, header: &[u8], site: CookieSite<'_>) -> bool {
        let Some((cookie, is_over)) = Cookie::parse(header, site) else { return false };
        let earlier = self.0.iter().position(|other| other.is_same(&cookie));
        match (earlier, is_over) {
            (Some(place), true) => drop(self.0.remove(place)),
            (None, true) => {}
            // It keeps its place among those of the same path.
            (Some(place), false) => self.0[place] = cookie,
            (None, false) => self.0.push(cookie),
        }
        while self.0.len() > MOST_COOKIES || self.0.iter().map(Cookie::length).sum::<usize>() > MOST_BYTES {
            self.0.remove(0);
        }
        true
    }

    /// The header `Cookie` for a request: what the file itself gives (`own`), then what this server is to get back and
    /// `own` does not name.
    #[must_use]
    pub fn header(&self, own: Option<&[u8]>, site: CookieSite<'_>) -> Option<Vec<u8>> {
        let (host, now) = (site.host(), Instant::now());
        let is_own = |name: &[u8]| own.is_some_and(|own| pairs(own).any(|(other, _)| other == Some(name)));
        let mut due: Vec<&Cookie> = self.0.iter().filter(|cookie| cookie.is_for(&host, site, now)).collect();
        due.retain(|cookie| !is_own(&cookie.name));
        // Stable: of the same length the earlier one first (section 5.4).
        due.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        if due.is_empty() {
            return own.map(<[u8]>::to_vec);
        }
        let mut text: Vec<u8> = own.map(<[u8]>::to_vec).unwrap_or_default();
        for cookie in due {
            if !text.is_empty() {
                text.extend_from_slice(b"; ");
            }
            text.extend_from_slice(&cookie.name);
            text.push(b'=');
            text.extend_from_slice(&cookie.value);
        }
        Some(text)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the cookie `name` that was set last, whomever it is for.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|cookie| *cookie.name == *name.as_bytes()).map(|cookie| &*cookie.value)
    }

    /// The names and values, in the order in which they were set, whomever they are for.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|cookie| (&*cookie.name, &*cookie.value))
    }
}

impl Cookie {
    /// A cookie as section 5.2 reads it and section 5.3 takes it; whether it has ended already.
    fn parse(header: &[u8], site: CookieSite<'_>) -> Option<(Self, bool)> {
        let mut attributes = pairs(header);
        let (name, value) = attributes.next()?;
        let name = name.filter(|name| !name.is_empty() && name.len() + value.len() <= LONGEST_COOKIE)?;
        let host = site.host();
        let mut cookie = Self {
            name: name.into(),
            value: value.into(),
            domain: Domain::Host(host.clone()),
            path: default_path(site.url),
            is_secure: false,
            until: None,
        };
        let (mut expires, mut max_age, mut names_path) = (None, None, false);
        for (key, value) in attributes.filter(|(_, value)| value.len() <= LONGEST_ATTRIBUTE) {
            // An attribute without a value stands alone.
            let (key, value) = match key {
                Some(key) => (key, value),
                None => (value, &b""[..]),
            };
            let text = String::from_utf8_lossy(value);
            match key.to_ascii_lowercase().as_slice() {
                b"expires" => expires = seconds_of(&text).or(expires),
                b"max-age" => max_age = seconds_of_age(&text).or(max_age),
                b"domain" if !text.is_empty() => cookie.domain = domain_of(&text, &host)?,
                b"path" => {
                    names_path = text.starts_with('/');
                    cookie.path = if names_path { text.into_owned() } else { default_path(site.url) };
                }
                b"secure" => cookie.is_secure = true,
                _ => {}
            }
        }
        let is_host_only = matches!(cookie.domain, Domain::Host(_));
        let keeps_prefix = match cookie.name.to_ascii_lowercase().as_slice() {
            [b'_', b'_', b's', b'e', b'c', b'u', b'r', b'e', b'-', ..] => cookie.is_secure,
            [b'_', b'_', b'h', b'o', b's', b't', b'-', ..] => {
                cookie.is_secure && is_host_only && names_path && cookie.path == "/"
            }
            _ => true,
        };
        if !keeps_prefix || cookie.is_secure && !site.is_secure() {
            return None;
        }
        // What `Max-Age` says is said in this run's own time; a date needs the wall clock once.
        let left = max_age.or_else(|| Some(expires? - Clock::Machine.read().wall.whole_seconds()));
        cookie.until = left.and_then(|left| Instant::now().checked_add(Duration::from_secs(u64::try_from(left).ok()?)));
        Some((cookie, left.is_some_and(|left| left <= 0)))
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    const fn length(&self) -> usize {
        self.name.len() + self.value.len() + self.path.len()
    }

    fn is_for(&self, host: &str, site: CookieSite<'_>, now: Instant) -> bool {
        let is_of_domain = match &self.domain {
            Domain::Host(own) => own == host,
            Domain::Below(domain) => is_below(host, domain),
        };
        is_of_domain
            && is_within(site.url.path(), &self.path)
            && (!self.is_secure || site.is_secure())
            && self.until.is_none_or(|until| now < until)
    }
}

/// The pairs of a list that semicolons part; one without `=` has a value alone.
fn pairs(list: &[u8]) -> impl Iterator<Item = (Option<&[u8]>, &[u8])> {
    list.split(|byte| *byte == b';').map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(equals) => (Some(pair[..equals].trim_ascii()), pair[equals + 1..].trim_ascii()),
        None => (None, pair.trim_ascii()),
    })
}

/// The hosts of an attribute `Domain`; nothing where the cookie is not this host's to set.
fn domain_of(text: &str, host: &str) -> Option<Domain> {
    let domain = text.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
    match domain.as_str() {
        "" => Some(Domain::Host(host.to_owned())),
        // An address, or a name of one label: nobody is below it.
        same if same == host && (!same.contains('.') || is_address(same)) => Some(Domain::Host(host.to_owned())),
        domain if domain.contains('.') && is_below(host, domain) => Some(Domain::Below(domain.to_owned())),
        _ => None,
    }
}

/// Section 5.1.3.
fn is_below(host: &str, domain: &str) -> bool {
    let above = host.strip_suffix(domain);
    host == domain || above.is_some_and(|above| above.ends_with('.')) && !is_address(host)
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// Section 5.1.4.
fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(last) => url.path()[..last].to_owned(),
    }
}

/// Section 5.1.4.
fn is_within(path: &str, cookie_path: &str) -> bool {
    path.strip_prefix(cookie_path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie_path.ends_with('/'))
}

/// The seconds of an attribute `Max-Age`, if it is one (section 5.2.2).
fn seconds_of_age(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Longer than can be counted is longer than any run.
    is_number.then(|| if text.starts_with('-') { -1 } else { digits.parse().unwrap_or(i64::from(u32::MAX)) })
}

/// The moment of an attribute `Expires`, in seconds since 1970, if it is a date (section 5.1.1).
fn seconds_of(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let is_delimiter = |c: char| !(c.is_ascii_alphanumeric() || c == ':' || !c.is_ascii());
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        let digits = token.bytes().take_while(u8::is_ascii_digit).count();
        let number = || token[..digits].parse::<i64>().ok();
        let word = token.to_ascii_lowercase();
        let named = || MONTHS.iter().position(|month| word.starts_with(month)).map(|month| month as i64 + 1);
        match digits {
            _ if time.is_none() && token.contains(':') => time = Some(time_of(token)?),
            1 | 2 if day.is_none() => day = number(),
            0 if month.is_none() && named().is_some() => month = named(),
            2 | 4 if year.is_none() => year = number(),
            _ => {}
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let (day, month) = (day.filter(|day| (1..=31).contains(day))?, month?);
    (year >= 1601)
        .then(|| days_since_1970(year, month, day) * 86_400)
        .map(|days| days + time.unwrap_or_default())
        .filter(|_| time.is_some())
}

/// The seconds of `23:59:59` since midnight.
fn time_of(token: &str) -> Option<i64> {
    let mut parts = token.split(':').map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        part[..digits].parse::<i64>().ok().filter(|_| digits <= 2)
    });
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    (hours <= 23 && minutes <= 59 && seconds <= 59).then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Of the Gregorian calendar, whose years begin with March here, so that a leap day is the last one.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes to `to` of what `from` has set, one header a line.
    fn sent_in(jar: &mut CookieJar, from: &str, headers: &str, to: &str) -> String {
        let (from, to) = (Url::parse(from).unwrap(), Url::parse(to).unwrap());
        for header in headers.lines() {
            jar.set(header.trim().as_bytes(), CookieSite { url: &from, is_private: false });
        }
        let header = jar.header(None, CookieSite { url: &to, is_private: false });
        header.map(|header| String::from_utf8(header).unwrap()).unwrap_or_default()
    }

    fn sent(from: &str, headers: &str, to: &str) -> String {
        sent_in(&mut CookieJar::default(), from, headers, to)
    }

    #[test]
    fn a_cookie_goes_to_the_hosts_that_it_is_for() {
        for (from, header, to, expected) in [
            ("http://a.test/", "s=1", "http://a.test/x", "s=1"),
            ("http://a.test/", "s=1", "http://A.TEST.:8080/x", "s=1"),
            ("http://a.test/", "s=1", "http://b.a.test/", ""),
            ("http://a.test/", "s=1", "http://b.test/", ""),
            ("http://a.test/", "s=1; Domain=a.test", "http://b.a.test/", "s=1"),
            ("http://a.test/", "s=1; domain=.A.Test", "http://b.a.test/", "s=1"),
            ("http://b.a.test/", "s=1; Domain=a.test", "http://c.a.test/", "s=1"),
            ("http://b.a.test/", "s=1; Domain=a.test", "http://xa.test/", ""),
            ("http://b.a.test/", "s=1; Domain=b.a.test", "http://a.test/", ""),
            ("http://a.test/", "s=1; Domain=b.test", "http://b.test/", ""),
            ("http://a.test/", "s=1; Domain=b.a.test", "http://b.a.test/", ""),
            ("http://a.test/", "s=1; Domain=test", "http://a.test/", ""),
            ("http://a.test/", "s=1; Domain=", "http://a.test/", "s=1"),
            ("http://shop/", "s=1; Domain=shop", "http://shop/", "s=1"),
            ("http://shop/", "s=1; Domain=shop", "http://a.shop/", ""),
            ("http://10.0.0.1/", "s=1", "http://10.0.0.1:81/", "s=1"),
            ("http://10.0.0.1/", "s=1; Domain=10.0.0.1", "http://10.0.0.1/", "s=1"),
            ("http://10.0.0.1/", "s=1; Domain=0.0.1", "http://10.0.0.1/", ""),
            ("http://[fd00::1]/", "s=1", "http://[fd00::1]/", "s=1"),
        ] {
            assert_eq!(sent(from, header, to), expected, "{header} of {from} to {to}");
        }
    }

    #[test]
    fn a_cookie_goes_to_the_paths_that_it_is_for_the_longest_first() {
        for (from, header, to, expected) in [
            ("http://a/login/do", "s=1", "http://a/login/x", "s=1"),
            ("http://a/login/do", "s=1", "http://a/", ""),
            ("http://a/login", "s=1", "http://a/", "s=1"),
            ("http://a/login", "s=1; Path=/app", "http://a/app", "s=1"),
            ("http://a/login", "s=1; Path=/app", "http://a/app/x?y", "s=1"),
            ("http://a/login", "s=1; Path=/app", "http://a/apple", ""),
            ("http://a/login", "s=1; Path=/app/", "http://a/app/x", "s=1"),
            ("http://a/login", "s=1; Path=app", "http://a/x", "s=1"),
            ("http://a/", "s=1\nt=2; Path=/x\nu=3", "http://a/x", "t=2; s=1; u=3"),
        ] {
            assert_eq!(sent(from, header, to), expected, "{header} of {from} to {to}");
        }
    }

    #[test]
    fn a_secure_cookie_goes_where_nobody_listens() {
        for (from, header, to, expected) in [
            ("https://a.test/", "s=1; Secure", "https://a.test/", "s=1"),
            ("https://a.test/", "s=1; Secure", "http://a.test/", ""),
            ("http://a.test/", "s=1; Secure", "https://a.test/", ""),
            ("http://localhost/", "s=1; Secure", "http://localhost/", "s=1"),
            ("http://127.0.0.1/", "s=1; Secure", "http://127.0.0.1/", "s=1"),
            ("http://[::1]/", "s=1; secure", "http://[::1]/", "s=1"),
            ("https://a.test/", "__Secure-s=1", "https://a.test/", ""),
            ("https://a.test/", "__Secure-s=1; Secure", "https://a.test/", "__Secure-s=1"),
            ("https://a.test/", "__Host-s=1; Secure; Path=/", "https://a.test/", "__Host-s=1"),
            ("https://a.test/", "__host-s=1; Secure", "https://a.test/", ""),
            ("https://a.test/", "__Host-s=1; Secure; Path=/; Domain=a.test", "https://a.test/", ""),
        ] {
            assert_eq!(sent(from, header, to), expected, "{header} of {from} to {to}");
        }
        let (mut jar, url) = (CookieJar::default(), Url::parse("http://app.test/").unwrap());
        assert!(!jar.set(b"s=1; Secure", CookieSite { url: &url, is_private: false }));
        assert!(jar.set(b"s=1; Secure", CookieSite { url: &url, is_private: true }));
    }

    #[test]
    fn a_cookie_is_replaced_removed_and_ends() {
        for (headers, expected) in [
            ("s=1\ns=2", "s=2"),
            ("s=1\nt=1\ns=2", "s=2; t=1"),
            ("s=1\ns=; Max-Age=0", ""),
            ("s=1\ns=2; Max-Age=-1", ""),
            ("s=1\ns=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""),
            ("s=1\ns=2; Expires=Thu, 01-Jan-70 00:00:01 GMT", ""),
            ("s=1; Expires=Fri, 31 Dec 2100 23:59:59 GMT", "s=1"),
            ("s=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=100", "s=1"),
            ("s=1; Max-Age=99999999999999999999", "s=1"),
            ("s=1; Max-Age=soon", "s=1"),
            ("s=1; Expires=soon", "s=1"),
            ("s=1; Path=/x\ns=; Max-Age=0", ""),
            ("s=\"a b\"; HttpOnly; SameSite=Lax", "s=\"a b\""),
            ("s=a=b", "s=a=b"),
            ("  s = 1 ;x", "s=1"),
            ("nothing", ""),
            ("=1", ""),
            ("", ""),
        ] {
            assert_eq!(sent("http://a/", headers, "http://a/"), expected, "{headers}");
        }
        assert_eq!(sent("http://a/", "s=1; Path=/x\ns=; Max-Age=0", "http://a/x"), "s=1", "another cookie");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cookie_lasts_as_long_as_it_says() {
        let mut jar = CookieJar::default();
        assert_eq!(sent_in(&mut jar, "http://a/", "s=1; Max-Age=10", "http://a/"), "s=1");
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(sent_in(&mut jar, "http://a/", "", "http://a/"), "s=1");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(sent_in(&mut jar, "http://a/", "", "http://a/"), "");
    }

    #[test]
    fn a_jar_is_bounded() {
        let mut jar = CookieJar::default();
        for number in 0..1000 {
            sent_in(&mut jar, "http://a/", &format!("s{number}=1"), "http://a/");
        }
        assert_eq!((jar.len(), jar.value("s999"), jar.value("s0")), (MOST_COOKIES, Some(&b"1"[..]), None));
        for number in 0..100 {
            sent_in(&mut jar, "http://a/", &format!("s{number}={}", "x".repeat(4000)), "http://a/");
        }
        assert!(sent_in(&mut jar, "http://a/", "", "http://a/").len() <= MOST_BYTES + 4 * MOST_COOKIES);
        sent_in(&mut jar, "http://a/", &format!("long={}", "x".repeat(LONGEST_COOKIE)), "http://a/");
        assert_eq!(jar.value("long"), None);
        assert_eq!(format!("{jar:?}"), format!("CookieJar({})", jar.len()));
    }

    #[test]
    fn what_the_file_says_stays_and_what_it_names_is_not_sent_twice() {
        let (mut jar, url) = (CookieJar::default(), Url::parse("http://a/").unwrap());
        let site = CookieSite { url: &url, is_private: false };
        jar.set(b"s=1", site);
        jar.set(b"t=2", site);
        let header = |own: &str| String::from_utf8(jar.header(Some(own.as_bytes()), site).unwrap()).unwrap();
        assert_eq!(header("lang=en"), "lang=en; s=1; t=2");
        assert_eq!(header("s=own; lang=en"), "s=own; lang=en; t=2");
    }

    #[test]
    fn dates_are_read_as_servers_write_them() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("6 november 1994 8:49:37", Some(784_111_777)),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800)),
            ("Tue, 19 Jan 2038 03:14:08 GMT", Some(2_147_483_648)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Sun, 06 Nov 1994 24:00:00 GMT", None),
            ("Sun, 32 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994", None),
            ("06 1994 08:49:37", None),
            ("0", None),
            ("é:é", None),
        ] {
            assert_eq!(seconds_of(text), expected, "{text}");
        }
    }
}
