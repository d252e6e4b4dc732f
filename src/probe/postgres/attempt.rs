//! The way in: over TLS or not, and once more the other way where `sslmode` leaves that open, by libpq's rules.
//!
//! `prefer` goes on without TLS where the handshake fails, `prefer` and `allow` try the other way where the server refuses
//! the login before it is done, whatever it says, unless it takes nobody now. All else is the end of the run: no
//! connection, an answer that makes no sense, an error behind the authentication.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::{PostgresConnection, PostgresError};
use super::login::{self, Login};
use super::messages::LONGEST;
use super::target::TlsMode;
use super::{PostgresServer, explain, not_postgres, sqlstate};
use crate::base::clock::Timestamp;
use crate::base::trace::{Phase, Trace};
use crate::model::outcome::{Failure, FailureKind};
use crate::probe::endpoint::Stream;
use crate::probe::net::failure;
use crate::probe::net::metered::{Meter, MeteredStream};
use crate::probe::net::tls::TlsClient;

/// A connection that the server has let in.
pub struct LoggedIn {
    /// The connection.
    pub connection: PostgresConnection,
    /// The meter on it.
    pub meter: Arc<Meter>,
    /// The end of validity of the server's certificate.
    pub not_after: Option<Timestamp>,
}

/// An attempt that came to nothing.
struct Refused {
    failure: Failure,
    /// Where libpq would try the other way, if it would: the name may have several addresses.
    other_way_at: Option<String>,
    /// `pg_hba.conf` lets nobody in this way, which says nothing of what is wrong with the other one.
    by_rule: bool,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, other_way_at: None, by_rule: false }
    }
}

impl PostgresServer {
    /// Logs in, in a second attempt if need be.
    ///
    /// # Errors
    /// When nobody is let in. It names first what would help most where two attempts failed.
    pub(super) async fn log_in(&self, trace: &Trace) -> Result<LoggedIn, Failure> {
        let over_tls = self.tls.as_ref().map(|(tls, mode)| (tls, *mode));
        let (first, second, names) = match over_tls {
            Some((_, TlsMode::Allow)) => (None, over_tls, ["without TLS", "over TLS"]),
            _ => (over_tls, None, ["over TLS", "without TLS"]),
        };
        let refused = match self.attempt(&self.spec.target.address, first, trace).await {
            Ok(logged_in) => return Ok(logged_in),
            Err(refused) => refused,
        };
        let (Some(host), Some((_, TlsMode::Allow | TlsMode::Prefer))) = (&refused.other_way_at, over_tls) else {
            return Err(refused.failure);
        };
        trace.note(|| format!("{}: {}", names[0], refused.failure.message));
        let again = self.attempt(host, second, trace).await;
        again.map_err(|again| both_failed([refused, again], names))
    }

    /// Logs in over TLS where there is some, or without.
    async fn attempt(
        &self,
        host: &str,
        tls: Option<(&TlsClient, TlsMode)>,
        trace: &Trace,
    ) -> Result<LoggedIn, Refused> {
        let target = &self.spec.target;
        let stream = self.network.dial(host, target.port, self.spec.family, trace).await?;
        let (address, meter) = (stream.socket().peer(), Arc::clone(stream.meter()));
        let here = || address.map(|address| address.ip().to_string());
        let DialedStream { stream, not_after, certificate } = match tls {
            None => DialedStream::plain(stream),
            Some((tls, mode)) => self.encrypt(stream, tls, mode, trace).await.map_err(|(failure, in_handshake)| {
                let may_go_without = in_handshake && mode == TlsMode::Prefer;
                Refused { other_way_at: may_go_without.then(here).flatten(), ..failure.into() }
            })?,
        };
        trace.enter(Phase::Login);
        meter.allow("the login", LONGEST);
        let login = Login {
            parameters: &target.startup_parameters(),
            user: target.user.expose(),
            password: target.password.expose(),
            binding: target.binding,
            certificate: certificate.as_deref(),
            methods: target.methods,
        };
        let mut connection = PostgresConnection::new(stream, address);
        let (error, code) = match login.authenticate(&mut connection).await {
            Ok(()) => match login::until_let_in(&mut connection).await {
                Ok(()) => return Ok(LoggedIn { connection, meter, not_after }),
                Err(error) => (error, None),
            },
            Err(PostgresError::Server(error)) => (PostgresError::Server(error.clone()), Some(error.code)),
            Err(error) => (error, None),
        };
        let mut failure = explain(&error, false, self.spec.secretive);
        if login.password.is_empty() && failure.message == sqlstate::WRONG_PASSWORD {
            failure.message = "the server wants a password, and the URL holds none".into();
        }
        failure.facts.tls_not_after = not_after;
        // A server without TLS that went on has been tried without it already.
        let is_as_asked = tls.is_some() == certificate.is_some();
        let may_differ = is_as_asked && code.as_ref().is_some_and(|code| code != "57P03");
        let by_rule = code.is_some_and(|code| code == "28000");
        Err(Refused { failure, other_way_at: may_differ.then(here).flatten(), by_rule })
    }

    /// Asks for TLS. An error says whether it came of the handshake itself.
    async fn encrypt(
        &self,
        mut stream: MeteredStream,
        tls: &TlsClient,
        mode: TlsMode,
        trace: &Trace,
    ) -> Result<DialedStream, (Failure, bool)> {
        const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
        let lost = |error| (failure::of_io(&error), false);
        trace.enter(Phase::Tls);
        // A server that takes nothing may have said why.
        let _ = stream.write_all(&SSL_REQUEST).await;
        match stream.read_u8().await.map_err(lost)? {
            b'S' => {
                let shaken = tls.handshake(&self.spec.target.host, stream, trace).await;
                let (stream, not_after) = shaken.map_err(|failure| (failure, true))?;
                let certificate = stream.certificate().map(|certificate| certificate.to_vec());
                Ok(DialedStream { stream: Box::new(stream), not_after, certificate })
            }
            b'N' if mode == TlsMode::Require => {
                Err((Failure::new(FailureKind::Tls, "the server does not offer TLS"), false))
            }
            b'N' => Ok(DialedStream::plain(stream)),
            b'E' => {
                stream.meter().allow("the login", LONGEST);
                let mut connection = PostgresConnection::new(Box::new(stream), None).having_read(b"E");
                let said = connection.receive().await.err();
                Err((said.map_or_else(not_postgres, |error| explain(&error, false, self.spec.secretive)), false))
            }
            _ => Err((not_postgres(), false)),
        }
    }
}

/// A way to the server, before anybody has logged in.
struct DialedStream {
    stream: Box<dyn Stream>,
    not_after: Option<Timestamp>,
    /// The server's own, where there is TLS.
    certificate: Option<Vec<u8>>,
}

impl DialedStream {
    fn plain(stream: MeteredStream) -> Self {
        Self { stream: Box::new(stream), not_after: None, certificate: None }
    }
}

/// The failure of two attempts. The second came further, unless a rule refused it whatever it would have proven.
fn both_failed([first, second]: [Refused; 2], [first_way, second_way]: [&str; 2]) -> Failure {
    let (main, other, way) = if second.by_rule && !first.by_rule {
        (first.failure, second.failure, second_way)
    } else {
        (second.failure, first.failure, first_way)
    };
    let not_after = main.facts.tls_not_after.or(other.facts.tls_not_after);
    let mut failure = if main.message == other.message {
        main
    } else {
        let failure = Failure::new(main.kind, format!("{}; {way}: {}", main.message, other.message));
        match (main.detail, other.detail) {
            (Some(main), Some(other)) => failure.with_detail(format!("{main}; {way}: {other}")),
            (Some(detail), None) => failure.with_detail(detail),
            (None, Some(detail)) => failure.with_detail(format!("{way}: {detail}")),
            (None, None) => failure,
        }
    };
    failure.facts.tls_not_after = not_after;
    failure
}
