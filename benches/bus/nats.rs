//! Request and reply over NATS, as its clients do them: a reply goes to an inbox of the caller, workers share a queue group.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SUBJECT: &str = "echo";

/// One connection.
pub(crate) struct Nats {
    reader: BufReader<TcpStream>,
    out: Vec<u8>,
}

/// A message, with where its reply goes.
struct Message {
    reply_to: String,
    payload: Vec<u8>,
}

/// The server's program; none where it is not installed.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    let mut programs = places.map(|place| place.join("nats-server"));
    programs.find(|program| program.is_file())
}

impl Nats {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        let mut nats = Nats {
            reader: BufReader::new(stream),
            out: Vec::new(),
        };
        assert!(nats.line()?.starts_with("INFO "));
        nats.send(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n")?;
        assert_eq!(nats.line()?, "PONG");
        Ok(nats)
    }

    /// A caller's connection.
    pub(crate) fn caller(port: u16, number: usize) -> io::Result<Self> {
        let mut nats = Self::connect(port)?;
        nats.subscribe(&format!("SUB {} 1", inbox(number)))?;
        Ok(nats)
    }

    /// A worker's connection.
    pub(crate) fn worker(port: u16) -> io::Result<Self> {
        let mut nats = Self::connect(port)?;
        nats.subscribe(&format!("SUB {SUBJECT} workers 1"))?;
        nats.patience(Some(Duration::from_millis(200)))?;
        Ok(nats)
    }

    /// Sends a request; returns the reply.
    pub(crate) fn request(&mut self, number: usize, payload: &[u8]) -> io::Result<Vec<u8>> {
        self.publish(&format!("{SUBJECT} {}", inbox(number)), payload)?;
        Ok(self.message()?.payload)
    }

    /// Answers one request with its own payload, if one comes before long.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        match self.message() {
            Ok(message) => self.publish(&message.reply_to, &message.payload),
            // Nothing, or nothing but a `PING`.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn patience(&self, time: Option<Duration>) -> io::Result<()> {
        self.reader.get_ref().set_read_timeout(time)
    }

    /// Has taken effect when it returns.
    fn subscribe(&mut self, command: &str) -> io::Result<()> {
        self.send(format!("{command}\r\nPING\r\n").as_bytes())?;
        assert_eq!(self.line()?, "PONG");
        Ok(())
    }

    fn publish(&mut self, to: &str, payload: &[u8]) -> io::Result<()> {
        self.out.clear();
        write!(self.out, "PUB {to} {}\r\n", payload.len())?;
        self.out.extend_from_slice(payload);
        self.out.extend_from_slice(b"\r\n");
        self.reader.get_mut().write_all(&self.out)
    }

    fn message(&mut self) -> io::Result<Message> {
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split(' ').collect();
            let (reply_to, length) = match words[..] {
                ["MSG", _, _, length] => ("", length),
                ["MSG", _, _, reply_to, length] => (reply_to, length),
                ["PING"] => {
                    self.send(b"PONG\r\n")?;
                    continue;
                }
                _ => return Err(io::Error::other(line)),
            };
            let length: usize = length.parse().map_err(io::Error::other)?;
            let mut payload = vec![0; length + 2];
            self.reader.read_exact(&mut payload)?;
            payload.truncate(length);
            let reply_to = reply_to.to_owned();
            return Ok(Message { reply_to, payload });
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

fn inbox(number: usize) -> String {
    format!("_INBOX.{number}")
}

/// Whether a server answers.
pub(crate) fn is_ready(port: u16) -> io::Result<()> {
    Nats::connect(port).map(drop)
}
