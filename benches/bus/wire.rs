//! A plain blocking client: one command, one reply.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

/// A reply, as far as the benchmark reads it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Text(Vec<u8>),
    Number(i64),
    Null,
    List(Vec<Reply>),
}

/// One connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Reply {
    /// The text of a string.
    pub(crate) fn text(&self) -> &[u8] {
        match self {
            Reply::Text(text) => text,
            other => panic!("not a string: {other:?}"),
        }
    }

    /// The values of a list.
    pub(crate) fn items(&self) -> &[Reply] {
        match self {
            Reply::List(items) => items,
            other => panic!("not a list: {other:?}"),
        }
    }

    /// The value of a field of a flat map.
    pub(crate) fn field(&self, name: &str) -> &Reply {
        let pair = self.items().chunks_exact(2);
        let mut found = pair.filter(|pair| pair[0].text() == name.as_bytes());
        &found.next().unwrap_or_else(|| panic!("no {name}"))[1]
    }
}

impl Client {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(Client {
            reader: BufReader::new(stream),
            out: Vec::new(),
        })
    }

    /// Sends a command and reads its reply; an error reply is an error.
    pub(crate) fn call(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        self.out.clear();
        write!(self.out, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.out, "${}\r\n", word.len())?;
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
        self.reader.get_mut().write_all(&self.out)?;
        self.read()
    }

    fn read(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let line = line.trim_ascii_end();
        let (kind, rest) = line.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
        let text = String::from_utf8_lossy(rest);
        let number = || text.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            b'+' => Reply::Text(rest.to_vec()),
            b'-' => return Err(io::Error::other(text.into_owned())),
            b':' => Reply::Number(number()?),
            b'$' | b'*' if number()? < 0 => Reply::Null,
            b'$' => {
                let mut bytes = vec![0; usize::try_from(number()?).map_err(io::Error::other)? + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Text(bytes)
            }
            b'*' => {
                let items = (0..number()?).map(|_| self.read());
                Reply::List(items.collect::<io::Result<_>>()?)
            }
            _ => return Err(io::Error::other(format!("not a reply: {line:?}"))),
        })
    }
}
