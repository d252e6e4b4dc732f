//! What passes between the driver and the server, checked and adapted message by message, without I/O.
//!
//! The driver trusts lengths and shapes that a server announces, asks for binary values and for all rows, and sets
//! the session up to its own taste. A probe wants none of that, so towards the server the startup message is ours,
//! values are asked for as text and one row at a time; towards the driver only sound messages get through, every
//! column is of the type `text`, and notices stay out.

use std::mem;

use super::require_auth::{AllowedMethods, AuthMethod};
use crate::probe::reuse::Activity;

/// No message, and no answer of one run, is longer than this.
pub const LONGEST: usize = 1 << 20;

/// More rounds of SCRAM than this are not worked through (PostgreSQL asks for 4096 unless told otherwise).
pub const MOST_ROUNDS: u32 = 100_000;

/// Why a conversation cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFault {
    /// What came is not PostgreSQL's protocol.
    Garbage,
    /// The answer is longer than [`LONGEST`].
    TooLong,
    /// The server asks for a way of authentication that the driver does not know.
    UnknownMethod,
    /// The server asks for a way of authentication that the URL does not allow.
    ForbiddenMethod(AuthMethod),
    /// The server asks for more rounds of SCRAM than [`MOST_ROUNDS`].
    TooManyRounds,
    /// A login must be bound to the TLS session, and cannot be.
    Unbound,
    /// The server does not know the password itself.
    Unproven,
    /// The query is a `COPY`.
    Copy,
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
    /// Whether the server ends the session with it.
    pub fn is_fatal(&self) -> bool {
        self.severity != "ERROR"
    }
}

/// The direction from the driver to the server.
pub struct FromDriver {
    buffer: Vec<u8>,
    /// The driver has sent its startup message, in whose place ours has gone before.
    has_started: bool,
}

impl FromDriver {
    /// A driver that has not said anything yet.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), has_started: false }
    }

    /// Takes what the driver wrote and gives what the server is to get.
    pub fn translate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.buffer.extend_from_slice(bytes);
        loop {
            // The startup message alone has no type in front of its length.
            let head = usize::from(self.has_started);
            let Some(length) = self.buffer.get(head..head + 4).map(be_length) else { return };
            let Some(end) = head.checked_add(length).filter(|end| *end <= self.buffer.len()) else { return };
            let mut message: Vec<u8> = self.buffer.drain(..end).collect();
            if self.has_started {
                adapt(&mut message);
                out.append(&mut message);
            }
            self.has_started = true;
        }
    }
}

/// A startup message of protocol 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("a URL is far shorter than 4 GiB");
    [length.to_be_bytes().as_slice(), &body].concat()
}

/// A message of this type.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a login is far shorter than 4 GiB");
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

/// Lets `Bind` ask for values as text (its last two bytes are the format of all columns), and `Execute` for one row
/// (its last four are the number of rows, 0 for all).
fn adapt(message: &mut [u8]) {
    let length = message.len();
    match message.first() {
        Some(b'B') if length >= 7 => message[length - 2..].copy_from_slice(&[0, 0]),
        Some(b'E') if length >= 9 => message[length - 4..].copy_from_slice(&1u32.to_be_bytes()),
        _ => {}
    }
}

/// The direction from the server to the driver.
pub struct FromServer {
    buffer: Vec<u8>,
    /// How many more bytes this run may bring.
    left: usize,
    ready: bool,
    /// How the user may have to prove who they are.
    methods: AllowedMethods,
    /// The server has asked for a proof.
    has_challenged: bool,
    /// Shows that something comes.
    pub activity: Activity,
    /// What the conversation has shown so far.
    pub seen: WireSummary,
}

/// What a conversation has shown.
#[derive(Default)]
pub struct WireSummary {
    /// The last error that the server reported in this run.
    pub error: Option<ServerError>,
    /// The server waits for a query, outside of a transaction.
    pub idle: bool,
    /// Process and secret, with which a query is cancelled.
    pub key: Option<[u8; 8]>,
    /// The type of the first column of the last result.
    pub first_type: Option<u32>,
}

impl FromServer {
    /// A conversation that begins.
    pub fn new(methods: AllowedMethods) -> Self {
        let (activity, seen) = (Activity::default(), WireSummary::default());
        Self { buffer: Vec::new(), left: LONGEST, ready: false, methods, has_challenged: false, activity, seen }
    }

    /// A run begins: its answer may be as long as any.
    pub fn begin(&mut self) {
        self.left = LONGEST;
        self.seen.error = None;
        self.seen.first_type = None;
    }

    /// Takes what the server sent and gives what the driver is to get.
    ///
    /// # Errors
    /// What came is not to be passed on; the conversation is over.
    pub fn translate(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), WireFault> {
        self.activity.show();
        self.left = self.left.checked_sub(bytes.len()).ok_or(WireFault::TooLong)?;
        self.buffer.extend_from_slice(bytes);
        loop {
            let Some(kind) = self.buffer.first().copied() else { return Ok(()) };
            if !is_known(kind) {
                return Err(WireFault::Garbage);
            }
            let Some(length) = self.buffer.get(1..5).map(be_length) else { return Ok(()) };
            match length {
                0..4 => return Err(WireFault::Garbage),
                // The first thing that a server says is short.
                LONGEST.. if !self.ready => return Err(WireFault::Garbage),
                LONGEST.. => return Err(WireFault::TooLong),
                _ if self.buffer.len() <= length => return Ok(()),
                _ => {}
            }
            let rest = self.buffer.split_off(length + 1);
            let message = mem::replace(&mut self.buffer, rest);
            self.pass(message, out)?;
        }
    }

    /// Passes on one whole message: a byte of type, four of length, the body.
    fn pass(&mut self, mut message: Vec<u8>, out: &mut Vec<u8>) -> Result<(), WireFault> {
        let body = &message[5..];
        let sound = match message[0] {
            b'R' => {
                if let Some(method) =
                    method_of(body).filter(|method| *method != AuthMethod::None || !self.has_challenged)
                {
                    self.has_challenged = true;
                    if !self.methods.contain(method) {
                        return Err(WireFault::ForbiddenMethod(method));
                    }
                }
                authentication_is_sound(body)?
            }
            b'K' => {
                self.seen.key = body.first_chunk().copied();
                self.seen.key.is_some()
            }
            b'Z' => {
                self.ready = true;
                self.seen.idle = body == b"I";
                matches!(body, b"I" | b"T" | b"E")
            }
            b'T' => match columns_as_text(&mut message[5..]) {
                Some(first) => {
                    self.seen.first_type = first;
                    true
                }
                None => false,
            },
            b't' => {
                matches!(body.split_first_chunk(), Some((count, types)) if types.len() == 4 * usize::from(u16::from_be_bytes(*count)))
            }
            b'D' => row_is_sound(body),
            b'E' => {
                self.seen.error = Some(server_error(body));
                out.extend_from_slice(SOME_ERROR);
                return Ok(());
            }
            // Notices, notifications and settings are of no use to a probe, and the driver would log some of them.
            b'N' | b'A' | b'S' => return Ok(()),
            b'G' | b'H' | b'W' | b'd' | b'c' if self.ready => return Err(WireFault::Copy),
            b'G' | b'H' | b'W' | b'd' | b'c' => false,
            _ => true,
        };
        if !sound {
            return Err(WireFault::Garbage);
        }
        out.append(&mut message);
        Ok(())
    }
}

/// All the driver needs to know of an error is that there is one; its text is kept in [`Seen::error`].
const SOME_ERROR: &[u8] = b"E\0\0\0\x22SERROR\0VERROR\0CXX000\0Mfailed\0\0";

fn is_known(kind: u8) -> bool {
    b"RKZTtDENASCI123nsGHWdc".contains(&kind)
}

fn be_length(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

/// What a message of authentication asks for, where it is the first of its method.
fn method_of(body: &[u8]) -> Option<AuthMethod> {
    match u32::from_be_bytes(*body.first_chunk()?) {
        0 => Some(AuthMethod::None),
        3 => Some(AuthMethod::Password),
        5 => Some(AuthMethod::Md5),
        10 => Some(AuthMethod::Scram),
        _ => None,
    }
}

/// The driver reads `key=value` items without looking whether they are there, and works through any number of rounds.
fn authentication_is_sound(body: &[u8]) -> Result<bool, WireFault> {
    let Some((method, rest)) = body.split_first_chunk() else { return Ok(false) };
    Ok(match u32::from_be_bytes(*method) {
        0 | 3 => rest.is_empty(),
        5 => rest.len() == 4,
        10 => {
            let names = rest.split(|byte| *byte == 0);
            if !rest.ends_with(&[0, 0]) {
                return Ok(false);
            }
            if names.clone().all(|name| !name.starts_with(b"SCRAM-SHA-256")) {
                return Err(WireFault::UnknownMethod);
            }
            true
        }
        11 | 12 => {
            for item in rest.split(|byte| *byte == b',') {
                let rounds = match item {
                    [b'i', b'=', rounds @ ..] => {
                        std::str::from_utf8(rounds).ok().and_then(|rounds| rounds.parse().ok())
                    }
                    [key, b'=', ..] if key.is_ascii_alphabetic() => Some(0),
                    _ => None,
                };
                match rounds {
                    Some(0..=MOST_ROUNDS) => {}
                    Some(_) => return Err(WireFault::TooManyRounds),
                    None => return Ok(false),
                }
            }
            true
        }
        2 | 6 | 7 | 8 | 9 => return Err(WireFault::UnknownMethod),
        _ => false,
    })
}

/// Declares every column of a row description to be `text`, which is what the values will be; gives the true type of
/// the first column, if there is a column.
fn columns_as_text(body: &mut [u8]) -> Option<Option<u32>> {
    const TEXT: u32 = 25;
    let (count, mut rest) = body.split_first_chunk_mut()?;
    let mut first = None;
    for column in 0..u16::from_be_bytes(*count) {
        let name = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..name]).ok()?;
        // After the name: table (4), column (2), type (4), size (2), modifier (4), format (2).
        let (column_type, tail) = rest.get_mut(name + 1..)?.split_at_mut_checked(18)?;
        let column_type = column_type.get_mut(6..10)?;
        if column == 0 {
            first = column_type.first_chunk().copied().map(u32::from_be_bytes);
        }
        column_type.copy_from_slice(&TEXT.to_be_bytes());
        rest = tail;
    }
    rest.is_empty().then_some(first)
}

fn row_is_sound(body: &[u8]) -> bool {
    let Some((count, mut rest)) = body.split_first_chunk() else { return false };
    for _ in 0..u16::from_be_bytes(*count) {
        let Some((length, tail)) = rest.split_first_chunk() else { return false };
        // A negative length stands for NULL, without bytes.
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let Some(tail) = tail.get(length..) else { return false };
        rest = tail;
    }
    rest.is_empty()
}

/// Reads severity, SQLSTATE and message; what is missing or odd is replaced.
fn server_error(body: &[u8]) -> ServerError {
    let field = |wanted: u8| {
        body.split(|byte| *byte == 0)
            .find_map(|field| field.strip_prefix(&[wanted]))
            .map(|text| String::from_utf8_lossy(text).into_owned())
    };
    // `V` is never translated; servers before 9.6 have only `S`, which is.
    let severity = field(b'V').or_else(|| field(b'S')).unwrap_or_default();
    let code = field(b'C').filter(|code| code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    ServerError {
        severity: if matches!(severity.as_str(), "FATAL" | "PANIC") { severity } else { "ERROR".into() },
        code: code.unwrap_or_else(|| "XX000".into()),
        message: field(b'M').unwrap_or_default(),
        detail: field(b'D').unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_method() -> AllowedMethods {
        AllowedMethods::parse("").unwrap()
    }

    fn from_server(bytes: &[u8]) -> Result<Vec<u8>, WireFault> {
        let mut out = Vec::new();
        FromServer::new(any_method()).translate(bytes, &mut out).map(|()| out)
    }

    fn column(name: &str, column_type: u32) -> Vec<u8> {
        [name.as_bytes(), &[0; 7], &column_type.to_be_bytes(), &[0; 8]].concat()
    }

    #[test]
    fn the_startup_message_stays_behind_whatever_pieces_it_comes_in() {
        let drivers = [&[0, 0, 0, 9], 196_608u32.to_be_bytes().as_slice(), &[0], &message(b'S', b"")].concat();
        let mut wire = FromDriver::new();
        let mut out = Vec::new();
        for byte in drivers {
            wire.translate(&[byte], &mut out);
        }
        assert_eq!(out, message(b'S', b""));
        let ours = startup(&[("user", "bob"), ("database", "orders")]);
        assert_eq!(ours, b"\0\0\0\x22\0\x03\0\0user\0bob\0database\0orders\0\0");
    }

    #[test]
    fn values_are_asked_for_as_text_and_one_row_at_a_time() {
        let mut wire = FromDriver { buffer: Vec::new(), has_started: true };
        let mut out = Vec::new();
        wire.translate(&message(b'B', b"\0\0\0\x01\0\x01\0\0\0\x01\0\x01"), &mut out);
        wire.translate(&message(b'E', b"\0\0\0\0\0"), &mut out);
        wire.translate(&message(b'S', b""), &mut out);
        let wanted =
            [message(b'B', b"\0\0\0\x01\0\x01\0\0\0\x01\0\0"), message(b'E', b"\0\0\0\0\x01"), message(b'S', b"")];
        assert_eq!(out, wanted.concat());
    }

    #[test]
    fn every_column_becomes_text() {
        let mut wire = FromServer::new(any_method());
        let mut out = Vec::new();
        let given = [&[0, 2], column("a", 16).as_slice(), &column("b", 2950)].concat();
        wire.translate(&message(b'T', &given), &mut out).unwrap();
        let wanted = [&[0, 2], column("a", 25).as_slice(), &column("b", 25)].concat();
        assert_eq!(out, message(b'T', &wanted));
        assert_eq!(wire.seen.first_type, Some(16));
    }

    #[test]
    fn notices_and_settings_stay_out() {
        let sent = [message(b'S', b"TimeZone\0UTC\0"), message(b'N', b"Mhello\0\0"), message(b'Z', b"I")].concat();
        assert_eq!(from_server(&sent), Ok(message(b'Z', b"I")));
    }

    #[test]
    fn an_error_is_kept_and_the_driver_only_learns_that_there_is_one() {
        let mut wire = FromServer::new(any_method());
        let mut out = Vec::new();
        let sent = message(b'E', b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"\xff\"\0\0");
        wire.translate(&sent, &mut out).unwrap();
        assert_eq!(out, SOME_ERROR);
        assert_eq!(be_length(&SOME_ERROR[1..5]), SOME_ERROR.len() - 1);
        let error = wire.seen.error.unwrap();
        assert!(error.is_fatal());
        assert_eq!(error.code, "28P01");
        assert_eq!(error.message, "password authentication failed for user \"\u{fffd}\"");
    }

    #[test]
    fn what_would_break_the_driver_does_not_reach_it() {
        let cases: [(&[u8], WireFault); 24] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", WireFault::Garbage),
            (b"SSH-2.0-OpenSSH_9.2\r\n", WireFault::Garbage),
            (b"-ERR unknown command\r\n", WireFault::Garbage),
            (b"R\xff\xff\xff\xff", WireFault::Garbage),
            (b"R\0\0\0\x03", WireFault::Garbage),
            (&message(b'R', b""), WireFault::Garbage),
            (&message(b'R', b"\0\0\0\x05ab"), WireFault::Garbage),
            (&message(b'R', b"\0\0\0\x07"), WireFault::UnknownMethod),
            (&message(b'R', b"\0\0\0\x63"), WireFault::Garbage),
            (&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256"), WireFault::Garbage),
            (&message(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0"), WireFault::UnknownMethod),
            (&message(b'R', b"\0\0\0\x0br=abc,,i=4096"), WireFault::Garbage),
            (&message(b'R', b"\0\0\0\x0br=abc,s=YQ==,i=4294967295"), WireFault::TooManyRounds),
            (&message(b'R', b"\0\0\0\x0cv"), WireFault::Garbage),
            (&message(b'K', b"\0\0\0\x01"), WireFault::Garbage),
            (&message(b'Z', b""), WireFault::Garbage),
            (&message(b'Z', b"X"), WireFault::Garbage),
            (&message(b't', b"\0\x02\0\0\0\x01"), WireFault::Garbage),
            (&message(b'T', b"\0\x01name"), WireFault::Garbage),
            (&message(b'T', b"\xff\xff"), WireFault::Garbage),
            (&message(b'D', b"\0\x01\0\0\0\x05abc"), WireFault::Garbage),
            (&message(b'D', b"\0\x01"), WireFault::Garbage),
            (&message(b'H', b"\0\0\0"), WireFault::Garbage),
            (&[message(b'Z', b"T"), message(b'H', b"\0\0\0")].concat(), WireFault::Copy),
        ];
        for (sent, fault) in cases {
            assert_eq!(from_server(sent), Err(fault), "{}", sent.escape_ascii());
        }
    }

    #[test]
    fn an_answer_has_an_end() {
        let mut wire = FromServer::new(any_method());
        let row = message(b'D', &[[0, 1, 0, 0, 0x10, 0].as_slice(), &[b'x'; 4096]].concat());
        let mut passed = 0;
        let fault = loop {
            let mut out = Vec::new();
            match wire.translate(&row, &mut out) {
                Ok(()) => passed += out.len(),
                Err(fault) => break fault,
            }
        };
        assert_eq!(fault, WireFault::TooLong);
        assert!(passed <= LONGEST, "{passed}");
        wire.begin();
        assert_eq!(wire.translate(&row, &mut Vec::new()), Ok(()));
    }
}
