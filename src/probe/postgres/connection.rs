//! A connection to a PostgreSQL server: messages go out, messages and errors come in, and it ends in good order.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{BackendKeyDataBody, Message};
use postgres_protocol::message::frontend::{self, BindError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::messages::{ColumnValue, MessageDecoder, ServerError, WireFault, first_type};
use crate::probe::endpoint::Stream;
use crate::probe::farewell;
use crate::probe::reuse::Activity;

/// Why there is no answer.
#[derive(Debug)]
pub enum PostgresError {
    /// The server says so.
    Server(ServerError),
    /// The server closed the connection.
    Closed,
    /// The connection failed.
    Io(io::Error),
    /// What came makes no sense.
    Fault(WireFault),
}

impl From<WireFault> for PostgresError {
    fn from(fault: WireFault) -> Self {
        Self::Fault(fault)
    }
}

/// What the server does for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// It waits for a query.
    Idle,
    /// It waits for a query, in a transaction.
    InTransaction,
    /// It works on an answer, or is about to say more.
    Answering,
    /// Nothing more comes, or nothing that makes sense.
    Ended,
}

/// The answer to a query.
pub struct QueryAnswer {
    /// The first column of the first row.
    pub value: ColumnValue,
    /// Its type, if there is a column.
    pub value_type: Option<u32>,
}

/// A connection.
pub struct PostgresConnection {
    stream: Box<dyn Stream>,
    decoder: MessageDecoder,
    /// Encoded and not yet written.
    unsent: BytesMut,
    state: ServerState,
    /// Where the server is, and its process and secret: for a request to cancel.
    address: Option<SocketAddr>,
    key: Option<(i32, i32)>,
    /// Shows that something comes.
    pub activity: Activity,
}

impl PostgresConnection {
    /// A connection over `stream`, which leads to `address`, before anybody has logged in.
    pub fn new(stream: Box<dyn Stream>, address: Option<SocketAddr>) -> Self {
        Self {
            stream,
            decoder: MessageDecoder::default(),
            unsent: BytesMut::new(),
            state: ServerState::Answering,
            address,
            key: None,
            activity: Activity::default(),
        }
    }

    /// The same, where this has been read of the stream already.
    pub fn having_read(mut self, bytes: &[u8]) -> Self {
        self.decoder.buffer().extend_from_slice(bytes);
        self
    }

    /// What the server does.
    pub const fn state(&self) -> ServerState {
        self.state
    }

    /// With what a query is cancelled.
    pub fn can_be_cancelled_with(&mut self, key: &BackendKeyDataBody) {
        self.key = Some((key.process_id(), key.secret_key()));
    }

    /// Executes a statement that answers nothing but that it is done.
    ///
    /// # Errors
    /// When it is not done.
    pub async fn execute(&mut self, statement: &str) -> Result<(), PostgresError> {
        self.send(|buffer| frontend::query(statement, buffer)).await?;
        let done = async {
            match self.receive().await? {
                Message::CommandComplete(_) => self.ready().await,
                other => Err(unexpected(&other)),
            }
        };
        let done = done.await;
        self.settle(done).await
    }

    /// Asks a query, as the unnamed statement, with these values for `$1` and so on, all as text, and takes one row.
    ///
    /// # Errors
    /// When it has no answer.
    pub async fn query(&mut self, sql: &str, values: &[String]) -> Result<QueryAnswer, PostgresError> {
        self.send(|buffer| encode_query(sql, values, buffer)).await?;
        let answer = self.answer().await;
        self.settle(answer).await
    }

    async fn answer(&mut self) -> Result<QueryAnswer, PostgresError> {
        for completes in [
            |message: &Message| matches!(message, Message::ParseComplete),
            |message: &Message| matches!(message, Message::BindComplete),
        ] {
            let message = self.receive().await?;
            if !completes(&message) {
                return Err(unexpected(&message));
            }
        }
        let value_type = match self.receive().await? {
            Message::RowDescription(columns) => first_type(&columns)?,
            Message::NoData => None,
            other => return Err(unexpected(&other)),
        };
        let mut value = ColumnValue::NoRow;
        loop {
            match self.receive().await? {
                Message::DataRow(row) if value == ColumnValue::NoRow => value = ColumnValue::first_of(&row)?,
                // One row was asked for, which not everything that speaks this protocol heeds.
                Message::DataRow(_) => {}
                Message::CommandComplete(_) | Message::PortalSuspended | Message::EmptyQueryResponse => break,
                other => return Err(unexpected(&other)),
            }
        }
        self.ready().await?;
        Ok(QueryAnswer { value, value_type })
    }

    async fn ready(&mut self) -> Result<(), PostgresError> {
        match self.receive().await? {
            Message::ReadyForQuery(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Brings an answer to its end: behind an error the server says that it is ready, unless it ends the session.
    async fn settle<T>(&mut self, answer: Result<T, PostgresError>) -> Result<T, PostgresError> {
        match &answer {
            Ok(_) => {}
            Err(PostgresError::Server(error)) if !error.is_fatal() => self.until_ready().await,
            Err(PostgresError::Fault(WireFault::TooLong | WireFault::Copy)) => self.state = ServerState::Answering,
            Err(_) => self.state = ServerState::Ended,
        }
        answer
    }

    async fn until_ready(&mut self) {
        loop {
            match self.receive().await {
                Ok(Message::ReadyForQuery(_)) => return,
                Ok(_) => {}
                Err(PostgresError::Server(error)) if !error.is_fatal() => {}
                Err(_) => {
                    self.state = ServerState::Ended;
                    return;
                }
            }
        }
    }

    /// Sends messages. That the server takes nothing more is no error here: it may have said why, and that is still to
    /// be read.
    ///
    /// # Errors
    /// When the messages cannot be made; nothing is sent then.
    pub async fn send(&mut self, encode: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), PostgresError> {
        let mut messages = BytesMut::new();
        encode(&mut messages).map_err(|_| WireFault::Unsendable)?;
        self.state = ServerState::Answering;
        self.unsent.unsplit(messages);
        let _ = self.flush().await;
        Ok(())
    }

    /// Writes what is pending. Dropped in the middle, it leaves exactly the rest.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let written = self.stream.write(&self.unsent).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.unsent.advance(written);
        }
        self.unsent = BytesMut::new();
        self.stream.flush().await
    }

    /// The next message.
    ///
    /// # Errors
    /// When the next message is an error, or nothing comes any more.
    pub async fn receive(&mut self) -> Result<Message, PostgresError> {
        loop {
            match self.decoder.next_message()? {
                None => {}
                Some(Message::ErrorResponse(body)) => return Err(PostgresError::Server(ServerError::read(&body))),
                Some(message) => {
                    if let Message::ReadyForQuery(body) = &message {
                        self.state = if body.status() == b'I' { ServerState::Idle } else { ServerState::InTransaction };
                    }
                    return Ok(message);
                }
            }
            match self.stream.read_buf(self.decoder.buffer()).await {
                Ok(0) => return Err(PostgresError::Closed),
                Ok(_) => self.activity.show(),
                Err(error) => return Err(PostgresError::Io(error)),
            }
        }
    }

    /// Takes leave of the server, and waits until it has hung up: then there is room for another connection.
    pub async fn close(mut self) {
        // Half a message would not end where this begins.
        if self.unsent.is_empty() {
            frontend::terminate(&mut self.unsent);
            let _ = self.flush().await;
        }
        let _ = self.stream.shutdown().await;
        let mut rest = [0; 4096];
        while let Ok(1..) = self.stream.read(&mut rest).await {}
    }

    /// Asks the server, beside everything else, to give up what it is doing for this connection. A server that waits
    /// for a lock does not notice that nobody waits for it any more: without this every run whose time is up would
    /// leave one more busy connection behind.
    ///
    /// It is the server who hangs up, once it has passed the request on: `PgBouncer` since 1.18 ends with `bad client
    /// state: 0` where the client does so first while the server behind it is slow (its issue 801). It also needs the
    /// old connection for as long. Where many requests wait already, the connection is only closed.
    pub fn cancel(self) {
        // PgBouncer itself gives up after `cancel_wait_timeout`, or `server_connect_timeout`: 10 and 15 s.
        const PATIENCE: Duration = Duration::from_secs(60);
        static PLACES: Semaphore = Semaphore::const_new(16);
        let (Some(address), Some((process, secret)), Ok(place)) = (self.address, self.key, PLACES.try_acquire()) else {
            return;
        };
        let cancelling = tokio::spawn(async move {
            let request = async {
                let mut stream = TcpStream::connect(address).await?;
                let mut message = BytesMut::new();
                frontend::cancel_request(process, secret, &mut message);
                stream.write_all(&message).await?;
                stream.read_u8().await
            };
            let _ = timeout(PATIENCE, async {
                let _ = request.await;
                self.close().await;
            })
            .await;
            drop(place);
        });
        // Who ends the process waits for it too, though not for as long.
        drop(farewell::say(async { drop(cancelling.await) }));
    }
}

/// Asks for one row of `sql` in one go: the unnamed statement, and its columns as text.
fn encode_query(sql: &str, values: &[String], buffer: &mut BytesMut) -> io::Result<()> {
    /// The type `text` in PostgreSQL's catalogue.
    const TEXT: u32 = 25;
    frontend::parse("", sql, values.iter().map(|_| TEXT), buffer)?;
    let bound = frontend::bind(
        "",
        "",
        [],
        values,
        |value, buffer| {
            buffer.extend_from_slice(value.as_bytes());
            Ok(IsNull::No)
        },
        [],
        buffer,
    );
    bound.map_err(|error| match error {
        BindError::Serialization(error) => error,
        BindError::Conversion(error) => io::Error::other(error),
    })?;
    frontend::describe(b'P', "", buffer)?;
    frontend::execute("", 1, buffer)?;
    frontend::sync(buffer);
    Ok(())
}

/// What a message means that was not to be expected.
fn unexpected(message: &Message) -> PostgresError {
    PostgresError::Fault(match message {
        Message::CopyInResponse(_) | Message::CopyOutResponse(_) | Message::CopyData(_) | Message::CopyDone => {
            WireFault::Copy
        }
        _ => WireFault::OutOfOrder,
    })
}
