//! The login: the server says how the user is to prove who they are, and lets them in.

use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use super::connection::{PostgresConnection, PostgresError};
use super::messages::WireFault;
use super::require_auth::{AllowedMethods, AuthMethod};
use super::scram::{Binding, Scram};

/// Who logs in, and how.
pub struct Login<'a> {
    /// Those of the startup message, user and database included.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The user.
    pub user: &'a str,
    /// The password; empty without one.
    pub password: &'a str,
    /// Whether the login is bound to the TLS session.
    pub binding: Binding,
    /// The server's certificate, where there is TLS.
    pub certificate: Option<&'a [u8]>,
    /// What the server may ask for.
    pub methods: AllowedMethods,
}

impl Login<'_> {
    /// Says who logs in, and proves it. The server may ask for one proof, and a login by SCRAM is over when it has given
    /// its own.
    ///
    /// # Errors
    /// When the server lets nobody in, or asks for what it may not ask for.
    pub async fn authenticate(&self, connection: &mut PostgresConnection) -> Result<(), PostgresError> {
        connection.send(|buffer| frontend::startup_message(self.parameters.iter().copied(), buffer)).await?;
        let asked = connection.receive().await?;
        self.allows(&asked)?;
        match asked {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => {
                connection.send(|buffer| frontend::password_message(self.password.as_bytes(), buffer)).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(self.user.as_bytes(), self.password.as_bytes(), body.salt());
                connection.send(|buffer| frontend::password_message(hash.as_bytes(), buffer)).await?;
            }
            Message::AuthenticationSasl(body) => self.scram(&body, connection).await?,
            _ => return Err(WireFault::OutOfOrder.into()),
        }
        match connection.receive().await? {
            Message::AuthenticationOk => Ok(()),
            _ => Err(WireFault::OutOfOrder.into()),
        }
    }

    /// Whether the server may ask for this.
    fn allows(&self, asked: &Message) -> Result<(), WireFault> {
        let method = match asked {
            Message::AuthenticationOk => AuthMethod::None,
            Message::AuthenticationCleartextPassword => AuthMethod::Password,
            Message::AuthenticationMd5Password(_) => AuthMethod::Md5,
            Message::AuthenticationSasl(_) => AuthMethod::Scram,
            Message::AuthenticationKerberosV5
            | Message::AuthenticationScmCredential
            | Message::AuthenticationGss
            | Message::AuthenticationGssContinue(_)
            | Message::AuthenticationSspi => return Err(WireFault::UnknownMethod),
            _ => return Err(WireFault::OutOfOrder),
        };
        if !self.methods.contain(method) {
            return Err(WireFault::ForbiddenMethod(method));
        }
        // Nothing but SCRAM can be bound.
        if self.binding == Binding::Required && method != AuthMethod::Scram {
            return Err(WireFault::Unbound);
        }
        Ok(())
    }

    async fn scram(
        &self,
        offered: &AuthenticationSaslBody,
        connection: &mut PostgresConnection,
    ) -> Result<(), PostgresError> {
        let offered: Vec<&str> = offered.mechanisms().collect().map_err(|_| WireFault::Garbage)?;
        let (mut scram, mechanism, first) = Scram::begin(self.password, &offered, self.binding, self.certificate)?;
        connection.send(|buffer| frontend::sasl_initial_response(mechanism, &first, buffer)).await?;
        // A server that lets somebody in without its own proof may be any server.
        let challenge = match connection.receive().await? {
            Message::AuthenticationSaslContinue(body) => scram.prove(body.data()).await?,
            Message::AuthenticationOk => return Err(WireFault::Unproven.into()),
            _ => return Err(WireFault::OutOfOrder.into()),
        };
        connection.send(|buffer| frontend::sasl_response(&challenge, buffer)).await?;
        match connection.receive().await? {
            Message::AuthenticationSaslFinal(body) => Ok(scram.verify(body.data())?),
            Message::AuthenticationOk => Err(WireFault::Unproven.into()),
            _ => Err(WireFault::OutOfOrder.into()),
        }
    }
}

/// Waits, behind the authentication, until the server takes queries.
///
/// # Errors
/// When it takes none.
pub async fn until_let_in(connection: &mut PostgresConnection) -> Result<(), PostgresError> {
    loop {
        match connection.receive().await? {
            Message::BackendKeyData(key) => connection.can_be_cancelled_with(&key),
            Message::ReadyForQuery(_) => return Ok(()),
            _ => return Err(WireFault::OutOfOrder.into()),
        }
    }
}
