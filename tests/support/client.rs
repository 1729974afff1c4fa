//! A raw RESP client: what is sent and what comes back are exact bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::reply::{Reply, escape};
use super::{DEADLINE, frame};

/// What fits into the socket buffers, so that sending it cannot wait for the other side.
const AT_ONCE: usize = 16 * 1024;

/// One connection. Reads that get nothing within 10 s fail the test.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    /// How much of the buffer has been read already.
    start: usize,
    eof: bool,
}

impl Client {
    /// Connects to a port on loopback.
    #[track_caller]
    pub(crate) fn connect(port: u16) -> Self {
        Self::try_connect(port)
            .unwrap_or_else(|error| panic!("connect to 127.0.0.1:{port}: {error}"))
    }

    /// Connects to a port on loopback, if someone listens there.
    pub(crate) fn try_connect(port: u16) -> io::Result<Self> {
        Self::try_connect_to(Ipv4Addr::LOCALHOST.into(), port)
    }

    /// Connects to a port on any address of this host, if someone listens there.
    pub(crate) fn try_connect_to(address: IpAddr, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((address, port))?;
        stream.set_nodelay(true)?;
        Self::over(Stream::Tcp(stream))
    }

    /// Connects to a unix socket.
    pub(crate) fn try_connect_unix(path: &Path) -> io::Result<Self> {
        Self::over(Stream::Unix(UnixStream::connect(path)?))
    }

    fn over(stream: Stream) -> io::Result<Self> {
        let client = Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            eof: false,
        };
        client.stream.set_read_timeout(DEADLINE)?;
        Ok(client)
    }

    /// Changes how long a read waits.
    pub(crate) fn set_timeout(&self, timeout: Duration) {
        self.stream
            .set_read_timeout(timeout)
            .expect("set_read_timeout");
    }

    /// This client's own address, as `CLIENT LIST` shows it; TCP only.
    pub(crate) fn local_addr(&self) -> String {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().expect("a connected socket").to_string(),
            Stream::Unix(_) => panic!("a unix socket has no address"),
        }
    }

    /// Sends these bytes.
    #[track_caller]
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.try_send_raw(bytes).expect("send to the server");
    }

    /// Sends these bytes, unless the connection is gone.
    pub(crate) fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one command.
    #[track_caller]
    pub(crate) fn send<A: AsRef<[u8]>>(&mut self, command: &[A]) {
        self.send_raw(&encode(command));
    }

    /// Reads one reply: its exact bytes, attributes included.
    #[track_caller]
    pub(crate) fn read_reply_raw(&mut self) -> Vec<u8> {
        self.try_read_reply_raw()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reads one reply, or says why none came.
    pub(crate) fn try_read_reply_raw(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(len) = frame::end(self.unread())? {
                let reply = self.unread()[..len].to_vec();
                self.start += len;
                return Ok(reply);
            }
            match self.fill() {
                Ok(0) => {
                    return Err(format!(
                        "closed instead of a reply; unfinished: {:?}",
                        escape(self.unread())
                    ));
                }
                Ok(_) => {}
                Err(error) => {
                    return Err(format!(
                        "no reply: {error}; unfinished: {:?}",
                        escape(self.unread())
                    ));
                }
            }
        }
    }

    /// Reads one reply.
    #[track_caller]
    pub(crate) fn read_reply(&mut self) -> Reply {
        Reply::parse(&self.read_reply_raw())
    }

    /// Sends one command and reads its reply.
    #[track_caller]
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Reply {
        self.send(command);
        self.read_reply()
    }

    /// Sends one command and reads the exact bytes of its reply.
    #[track_caller]
    pub(crate) fn call_raw<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Vec<u8> {
        self.send(command);
        self.read_reply_raw()
    }

    /// Sends the commands in one go and reads as many replies.
    #[track_caller]
    pub(crate) fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[&[A]]) -> Vec<Reply> {
        let packet: Vec<u8> = commands
            .iter()
            .flat_map(|command| encode(command))
            .collect();
        let replies = self.exchange(&[&packet], commands.len());
        replies
            .unwrap_or_else(|error| panic!("{error}"))
            .iter()
            .map(|raw| Reply::parse(raw))
            .collect()
    }

    /// Sends the packets one by one while reading `count` replies, so that neither side waits for the other.
    pub(crate) fn exchange(
        &mut self,
        packets: &[&[u8]],
        count: usize,
    ) -> Result<Vec<Vec<u8>>, String> {
        let reading = |client: &mut Self| {
            let one = |n| {
                let reply = client.try_read_reply_raw();
                reply.map_err(|error| format!("reply {} of {count}: {error}", n + 1))
            };
            (0..count).map(one).collect()
        };
        match packets {
            [packet] if packet.len() <= AT_ONCE => {
                self.try_send_raw(packet)
                    .map_err(|error| format!("cannot send: {error}"))?;
                reading(self)
            }
            _ => self.sending(packets, reading),
        }
    }

    /// Sends the packets one by one on a thread of their own while `reading` runs. When it fails, the
    /// connection is closed.
    pub(crate) fn sending<T>(
        &mut self,
        packets: &[&[u8]],
        reading: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut writer = self.stream.try_clone().map_err(|error| error.to_string())?;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for packet in packets {
                    if writer.write_all(packet).is_err() {
                        break; // the reading side tells what came before the connection closed
                    }
                }
            });
            let result = reading(self);
            if result.is_err() {
                let _ = self.stream.shutdown(Shutdown::Both); // a blocked writer must end too
            }
            result
        })
    }

    /// Switches to RESP3 and returns the reply of `HELLO 3`.
    #[track_caller]
    pub(crate) fn hello3(&mut self) -> Reply {
        let reply = self.call(&["HELLO", "3"]);
        assert!(matches!(reply, Reply::Map(_)), "HELLO 3: {reply:?}");
        reply
    }

    /// Whether the server closes the connection before the timeout, with no byte left unread.
    pub(crate) fn closed(&mut self) -> bool {
        self.unread().is_empty() && matches!(self.fill(), Ok(0))
    }

    /// Whether nothing arrives within `wait`. The only check of absence; keep `wait` short.
    pub(crate) fn silent_for(&mut self, wait: Duration) -> bool {
        self.set_timeout(wait);
        let silent = self.unread().is_empty() && self.fill().is_err();
        self.set_timeout(DEADLINE);
        silent
    }

    /// Tells the server that nothing more is sent; replies can still be read.
    pub(crate) fn shutdown_write(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// Resets the connection (RST) instead of closing it; TCP only.
    pub(crate) fn reset(self) {
        match &self.stream {
            Stream::Tcp(stream) => socket2::SockRef::from(stream)
                .set_linger(Some(Duration::ZERO))
                .expect("set_linger"),
            Stream::Unix(_) => panic!("a unix socket has no reset"),
        }
    }

    /// Reads until so many bytes are here; they stay for the next reply.
    pub(crate) fn wait_for_bytes(&mut self, count: usize) {
        while self.unread().len() < count {
            let read = self.fill().expect("bytes in time");
            assert!(read > 0, "closed after {} bytes", self.unread().len());
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.eof {
            return Ok(0);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(n) => {
                    self.eof = n == 0;
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // a server that closes with our bytes unread resets the connection
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.eof = true;
                    return Ok(0);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Encodes one command as an array of bulks.
pub(crate) fn encode<A: AsRef<[u8]>>(command: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for argument in command {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}
