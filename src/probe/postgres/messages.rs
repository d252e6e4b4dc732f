//! The messages of a PostgreSQL server, taken apart by the codec `postgres-protocol` once they are known to be sound,
//! without I/O.
//!
//! The codec makes room for whatever length a server announces. So a length is looked at here first, and a message is
//! given to the codec when it has come whole.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{
    DataRowBody, ErrorFields, ErrorResponseBody, Header, Message, RowDescriptionBody,
};

use super::require_auth::AuthMethod;
use crate::base::plain::is_plain;

/// No message, and no answer of one run, is longer than this.
pub const LONGEST: usize = 1 << 20;

/// Why a conversation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireFault {
    /// What came is not PostgreSQL's protocol.
    Garbage,
    /// The server has no process for the connection that could speak the protocol, and says why in these words.
    Refused(String),
    /// A message that does not belong where it came.
    OutOfOrder,
    /// The answer is longer than [`LONGEST`].
    TooLong,
    /// What is to be sent has a NUL character in it, which ends a text in this protocol.
    Unsendable,
    /// The server asks for a way of authentication that is not supported.
    UnknownMethod,
    /// The server asks for a way of authentication that `require_auth` forbids.
    ForbiddenMethod(AuthMethod),
    /// The server asks for more rounds of SCRAM than anybody needs.
    TooManyRounds,
    /// A login must be bound to the TLS session, and cannot be.
    Unbound,
    /// The server does not know the password itself.
    Unproven,
    /// The query is a `COPY`.
    Copy,
}

/// Takes the stream of a server apart.
#[derive(Default)]
pub struct MessageDecoder {
    buffer: BytesMut,
    has_logged_in: bool,
}

impl MessageDecoder {
    /// Where what the server sends is to be appended, with room for some more of it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        const ROOM: usize = 4096;
        self.buffer.reserve(ROOM);
        &mut self.buffer
    }

    /// The next message, if it has come whole. Notices, notifications and settings are of no use to a probe: they are
    /// passed over.
    ///
    /// # Errors
    /// The server does not speak the protocol, or too much of it; the conversation is over.
    pub fn next_message(&mut self) -> Result<Option<Message>, WireFault> {
        loop {
            let Some(tag) = self.buffer.first() else { return Ok(None) };
            // Another protocol is told by its first letter: the rest of a message may never come.
            if !TAGS.contains(tag) {
                return Err(WireFault::Garbage);
            }
            if !self.has_logged_in && is_plain_error(&self.buffer) {
                return refusal(&self.buffer)?.map_or(Ok(None), |words| Err(WireFault::Refused(words)));
            }
            let Some(header) = Header::parse(&self.buffer).map_err(garbage)? else { return Ok(None) };
            match usize::try_from(header.len()).map_err(|_| WireFault::Garbage)? {
                // What a server says before it has let anybody in is short.
                LONGEST.. if !self.has_logged_in => return Err(WireFault::Garbage),
                LONGEST.. => return Err(WireFault::TooLong),
                length if self.buffer.len() <= length => return Ok(None),
                _ => {}
            }
            match Message::parse(&mut self.buffer).map_err(garbage)? {
                Some(Message::NoticeResponse(_) | Message::NotificationResponse(_) | Message::ParameterStatus(_)) => {}
                Some(Message::ReadyForQuery(body)) => {
                    if !b"ITE".contains(&body.status()) {
                        return Err(WireFault::Garbage);
                    }
                    self.has_logged_in = true;
                    if self.buffer.is_empty() {
                        // An idle connection keeps no buffer.
                        self.buffer = BytesMut::new();
                    }
                    return Ok(Some(Message::ReadyForQuery(body)));
                }
                message => return Ok(message),
            }
        }
    }
}

/// The first letters of the messages that the codec knows.
const TAGS: &[u8] = b"RKZTtDENASCI123nsGHdc";

/// Whether these are the words of an error where its length should stand.
fn is_plain_error(bytes: &[u8]) -> bool {
    let [b'E', length @ ..] = bytes else { return false };
    length.first_chunk().is_some_and(|length| u32::from_be_bytes(*length) as usize >= LONGEST)
}

/// The words of a server that cannot start a process for the connection. It says them before it has read anything, as the
/// protocol was before its version 3: `E`, a line and a NUL, in one go. Nothing when the NUL is still to come.
fn refusal(bytes: &[u8]) -> Result<Option<String>, WireFault> {
    /// PostgreSQL has no more room for it.
    const LONGEST_LINE: usize = 1000;
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        // `ERROR` and the end of the line is another protocol, whose server says nothing more.
        let is_other = bytes.contains(&b'\n') || bytes.len() > LONGEST_LINE;
        return if is_other { Err(WireFault::Garbage) } else { Ok(None) };
    };
    let words = String::from_utf8_lossy(&bytes[1..end]);
    let words = words.strip_suffix('\n').unwrap_or(&words);
    if words.chars().all(is_plain) { Ok(Some(words.to_owned())) } else { Err(WireFault::Garbage) }
}

fn garbage<E>(_: E) -> WireFault {
    WireFault::Garbage
}

/// The first column of the first row.
#[derive(Debug, PartialEq, Eq)]
pub enum ColumnValue {
    /// There is no row.
    NoRow,
    /// It is NULL, or the row has no column.
    Null,
    /// Its text.
    Text(Vec<u8>),
}

impl ColumnValue {
    /// That of a row.
    ///
    /// # Errors
    /// When the row is not what it says of itself.
    pub fn first_of(row: &DataRowBody) -> Result<Self, WireFault> {
        let mut first = None;
        let mut columns = row.ranges();
        while let Some(column) = columns.next().map_err(garbage)? {
            first = first.or(Some(column));
        }
        Ok(first.flatten().map_or(Self::Null, |range| Self::Text(row.buffer()[range].to_vec())))
    }

    /// The text; nothing where there is none.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::NoRow | Self::Null => &[],
        }
    }
}

/// The type of the first column of a result, if it has a column.
///
/// # Errors
/// When the description is not what it says of itself.
pub fn first_type(description: &RowDescriptionBody) -> Result<Option<u32>, WireFault> {
    let mut first = None;
    let mut columns = description.fields();
    while let Some(column) = columns.next().map_err(garbage)? {
        first = first.or(Some(column.type_oid()));
    }
    Ok(first)
}

/// An error that the server reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`.
    pub severity: String,
    /// The SQLSTATE, five letters and digits.
    pub code: String,
    /// The server's own words.
    pub message: String,
    /// More of them, where there are.
    pub detail: String,
}

impl ServerError {
    /// Reads severity, SQLSTATE and message; what is missing or odd is replaced.
    pub fn read(body: &ErrorResponseBody) -> Self {
        let field = |tag: u8| text_of(body.fields(), tag);
        // `V` is never translated; servers before 9.6 have only `S`, which is.
        let severity = field(b'V').or_else(|| field(b'S')).unwrap_or_default();
        let code = field(b'C').filter(|code| code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        Self {
            severity: if matches!(severity.as_str(), "FATAL" | "PANIC") { severity } else { "ERROR".into() },
            code: code.unwrap_or_else(|| "XX000".into()),
            message: field(b'M').unwrap_or_default(),
            detail: field(b'D').unwrap_or_default(),
        }
    }

    /// Whether the server ends the session with it.
    pub fn is_fatal(&self) -> bool {
        self.severity != "ERROR"
    }
}

fn text_of(mut fields: ErrorFields<'_>, tag: u8) -> Option<String> {
    while let Ok(Some(field)) = fields.next() {
        if field.type_() == tag {
            return Some(String::from_utf8_lossy(field.value_bytes()).into_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    fn first(bytes: &[u8]) -> Result<Option<Message>, WireFault> {
        let mut decoder = MessageDecoder::default();
        decoder.buffer().extend_from_slice(bytes);
        decoder.next_message()
    }

    /// What is wrong with a message, or with what is in it.
    fn fault(bytes: &[u8]) -> Option<WireFault> {
        match first(bytes) {
            Ok(Some(Message::DataRow(row))) => ColumnValue::first_of(&row).err(),
            Ok(Some(Message::RowDescription(columns))) => first_type(&columns).err(),
            other => other.err(),
        }
    }

    fn column(name: &str, column_type: u32) -> Vec<u8> {
        [name.as_bytes(), &[0; 7], &column_type.to_be_bytes(), &[0; 8]].concat()
    }

    #[test]
    fn messages_come_in_whatever_pieces() {
        let sent = [message(b'1', b""), message(b'C', b"BEGIN\0"), message(b'Z', b"T")].concat();
        let mut decoder = MessageDecoder::default();
        let mut tags = String::new();
        for byte in sent {
            decoder.buffer().extend_from_slice(&[byte]);
            match decoder.next_message().unwrap() {
                Some(Message::ParseComplete) => tags += "1",
                Some(Message::CommandComplete(_)) => tags += "C",
                Some(Message::ReadyForQuery(_)) => tags += "Z",
                Some(_) => tags += "?",
                None => {}
            }
        }
        assert_eq!(tags, "1CZ");
        assert_eq!(decoder.buffer.capacity(), 0, "nothing is kept of it");
    }

    #[test]
    fn notices_and_settings_are_passed_over() {
        let notes =
            [message(b'S', b"TimeZone\0UTC\0"), message(b'N', b"Mhello\0\0"), message(b'A', b"\0\0\0\x01c\0p\0")];
        assert!(matches!(first(&[notes.concat(), message(b'Z', b"I")].concat()), Ok(Some(Message::ReadyForQuery(_)))));
        assert!(matches!(first(&notes.concat()), Ok(None)));
    }

    #[test]
    fn an_error_is_read_whatever_is_in_it() {
        let read = |body: &[u8]| match first(&message(b'E', body)) {
            Ok(Some(Message::ErrorResponse(body))) => ServerError::read(&body),
            _ => panic!("no error"),
        };
        let error = read(b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"\xff\"\0\0");
        assert!(error.is_fatal());
        assert_eq!(error.code, "28P01");
        assert_eq!(error.message, "password authentication failed for user \"\u{fffd}\"");
        for odd in [b"".as_slice(), b"\0", b"SFEHLER\0C1\0", b"Chunter2", b"C42\n01\0\0trailing"] {
            let error = read(odd);
            assert_eq!((error.severity.as_str(), error.code.as_str(), error.is_fatal()), ("ERROR", "XX000", false));
        }
    }

    #[test]
    fn a_refusal_in_plain_words_is_understood_and_nothing_else_is_taken_for_one() {
        let words = "could not fork new process for connection: Resource temporarily unavailable";
        let refused = |words: &str| Err(WireFault::Refused(words.into()));
        let said = |bytes: &[u8]| first(bytes).map(|message| message.is_some());
        let sent = format!("E{words}\n\0");
        assert_eq!(said(sent.as_bytes()), refused(words));
        assert_eq!(said(sent.trim_end_matches(['\n', '\0']).as_bytes()), Ok(false), "more may come");
        assert_eq!(said("Eне удалось\n\0".as_bytes()), refused("не удалось"));
        assert_eq!(said(b"E\xe9chec\n\0"), refused("\u{fffd}chec"));
        for other in [b"ERROR\r\n".as_slice(), b"ERROR\r\n\0", b"EHLO\x1b[2J\0", &[b'E'; 1001]] {
            assert_eq!(said(other), Err(WireFault::Garbage), "{}", other.escape_ascii());
        }
        let mut decoder = MessageDecoder::default();
        decoder.buffer().extend_from_slice(&[&message(b'Z', b"I"), sent.as_bytes()].concat());
        assert!(matches!(decoder.next_message(), Ok(Some(Message::ReadyForQuery(_)))));
        assert_eq!(decoder.next_message().err(), Some(WireFault::TooLong), "a process has spoken already");
    }

    #[test]
    fn what_is_not_the_protocol_is_seen() {
        for sent in [
            b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(),
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"-ERR unknown command\r\n",
            b"OK",
            b"R\xff\xff\xff\xff",
            b"R\0\0\0\x03",
            &message(b'R', b""),
            &message(b'R', b"\0\0\0\0more"),
            &message(b'R', b"\0\0\0\x05ab"),
            &message(b'R', b"\0\0\0\x63"),
            &message(b'K', b"\0\0\0\x01"),
            &message(b'Z', b""),
            &message(b'Z', b"X"),
            &message(b'S', b"TimeZone"),
            &message(b'1', b"more"),
            &message(b'T', b"\0\x01name"),
            &message(b'T', b"\xff\xff"),
            &message(b'T', &[&[0, 1], column("a", 16).as_slice(), b"more"].concat()),
            &message(b'D', b"\0\x01\0\0\0\x05abc"),
            &message(b'D', b"\0\x01\x7f\xff\xff\xffabc"),
            &message(b'D', b"\0\x01"),
            &message(b'D', b"\0\x01\0\0\0\x01ab"),
        ] {
            assert_eq!(fault(sent), Some(WireFault::Garbage), "{}", sent.escape_ascii());
        }
    }

    #[test]
    fn a_message_has_an_end() {
        let huge = [message(b'Z', b"T"), b"D\x00\x10\x00\x00".to_vec()].concat();
        let mut decoder = MessageDecoder::default();
        decoder.buffer().extend_from_slice(&huge);
        assert!(matches!(decoder.next_message(), Ok(Some(Message::ReadyForQuery(_)))));
        assert!(matches!(decoder.next_message(), Err(WireFault::TooLong)));
        let longest = [message(b'Z', b"T"), b"D\x00\x0f\xff\xff".to_vec()].concat();
        let mut decoder = MessageDecoder::default();
        decoder.buffer().extend_from_slice(&longest);
        assert!(matches!(decoder.next_message(), Ok(Some(Message::ReadyForQuery(_)))));
        assert!(matches!(decoder.next_message(), Ok(None)));
        assert!(decoder.buffer.capacity() < LONGEST, "what is only announced takes no room");
    }

    #[test]
    fn the_first_column_of_a_row_is_taken() {
        let value = |body: &[u8]| match first(&message(b'D', body)) {
            Ok(Some(Message::DataRow(row))) => ColumnValue::first_of(&row).unwrap(),
            _ => panic!("no row"),
        };
        assert_eq!(value(b"\0\0"), ColumnValue::Null);
        assert_eq!(value(b"\0\x01\xff\xff\xff\xff"), ColumnValue::Null);
        assert_eq!(value(b"\0\x02\0\0\0\x01a\0\0\0\x01b"), ColumnValue::Text(b"a".to_vec()));
        let described = |body: &[u8]| match first(&message(b'T', body)) {
            Ok(Some(Message::RowDescription(columns))) => first_type(&columns).unwrap(),
            _ => panic!("no description"),
        };
        assert_eq!(described(&[&[0, 2], column("a", 16).as_slice(), &column("b", 2950)].concat()), Some(16));
        assert_eq!(described(&[0, 0]), None);
    }
}
