//! A plain HTTP client: one connection, one request after the other.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to a server on loopback.
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects.
    pub fn new(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// `GET path`: the status code and the body.
    pub fn get(&mut self, path: &str) -> Result<(u16, String)> {
        self.ask(path)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<(u16, String)> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", text)) => length = text.parse().map_err(Error::other)?,
                Some(("transfer-encoding", "chunked")) => chunked = true,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if chunked {
            while let size @ 1.. = usize::from_str_radix(&self.line()?, 16).map_err(Error::other)? {
                self.take(size, &mut body)?;
                self.line()?;
            }
            self.line()?;
        } else {
            self.take(length, &mut body)?;
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// `GET path`, and no more than how the answer begins: its status code.
    pub fn begin(&mut self, path: &str) -> Result<u16> {
        self.ask(path)?;
        let mut first = [0; 12];
        self.0.read_exact(&mut first)?;
        std::str::from_utf8(&first[9..])
            .ok()
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| ErrorKind::InvalidData.into())
    }

    fn ask(&mut self, path: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn take(&mut self, size: usize, into: &mut Vec<u8>) -> Result<()> {
        let start = into.len();
        into.resize(start + size, 0);
        self.0.read_exact(&mut into[start..])
    }
}

/// `GET path` on a connection of its own; nothing if nobody answers.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    Client::new(port).ok()?.get(path).ok()
}
