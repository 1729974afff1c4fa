//! A server that speaks just enough Redis to be polled, as wrongly as a test wants it to.
//!
//! It counts the commands that it is sent, so that a test can say that none came.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::frame;
use super::port::reusable_socket;
use super::{Reply, ReservedPort};

/// What a [`FakeServer`] answers to `INFO`; everything else gets `+OK`.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    /// This text.
    Info(String),
    /// These bytes, whatever they are.
    Bytes(Vec<u8>),
    /// A text that begins like INFO and has so many bytes.
    Huge(usize),
    /// A line of so many bytes that does not end.
    Endless(usize),
    /// A text to a bare `INFO`; nothing, or an error, to one with a section, as Redis 2.4 and 5.
    Old,
    /// Nothing at all, ever, to no command.
    Nothing,
}

struct Shared {
    says: Mutex<Says>,
    commands: Mutex<HashMap<String, usize>>,
    connections: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
}

/// A server; dropping it closes everything.
pub(crate) struct FakeServer {
    port: ReservedPort,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Starts one on a free port.
    pub(crate) fn start(says: Says) -> Self {
        let port = ReservedPort::any();
        let socket = reusable_socket(port.get());
        socket.listen(128).expect("listen");
        let listener: TcpListener = socket.into();
        let shared = Arc::new(Shared {
            says: Mutex::new(says),
            commands: Mutex::default(),
            connections: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept(&listener, &accepting));
        Self {
            port,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// A text that INFO may have, with these lines besides.
    pub(crate) fn info(lines: &str) -> Says {
        Says::Info(format!(
            "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n{lines}"
        ))
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port.get())
    }

    /// From now on it answers this.
    pub(crate) fn say(&self, says: Says) {
        *self.shared.says.lock().expect("lock") = says;
    }

    /// How often a command came, by its name in capitals, with its first argument or without.
    pub(crate) fn count(&self, command: &str) -> usize {
        let commands = self.shared.commands.lock().expect("lock");
        commands.get(command).copied().unwrap_or(0)
    }

    /// Connections that are open, as far as it has noticed.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.connections.lock().expect("lock").len()
    }

    /// Closes every connection; new ones are taken.
    pub(crate) fn cut(&self) {
        for connection in self.shared.connections.lock().expect("lock").drain(..) {
            let _ = connection.shutdown(Shutdown::Both); // it may be closed already
        }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port.get())); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        let kept = stream.try_clone().expect("dup");
        shared.connections.lock().expect("lock").push(kept);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || serve(stream, &shared));
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while let Ok(Some(len)) = frame::end(&buffer) {
            let command = Reply::parse(&buffer[..len]);
            buffer.drain(..len);
            let name = command.items()[0].as_str().to_uppercase();
            let section = command
                .items()
                .get(1)
                .map(|word| word.as_str().to_uppercase());
            {
                let mut commands = shared.commands.lock().expect("lock");
                *commands.entry(name.clone()).or_default() += 1;
                if let Some(section) = &section {
                    *commands.entry(format!("{name} {section}")).or_default() += 1;
                }
            }
            let says = shared.says.lock().expect("lock").clone();
            let reply = match says {
                Says::Nothing => continue,
                _ if name != "INFO" => b"+OK\r\n".to_vec(),
                Says::Bytes(bytes) => bytes,
                Says::Old => match section.as_deref() {
                    None => b"$22\r\nredis_version:2.4.18\r\n\r\n".to_vec(),
                    Some("ALL") => {
                        b"-ERR wrong number of arguments for 'info' command\r\n".to_vec()
                    }
                    Some(_) => b"$0\r\n\r\n".to_vec(),
                },
                Says::Info(text) => format!("${}\r\n{text}\r\n", text.len()).into_bytes(),
                Says::Huge(len) => {
                    let head = format!("${len}\r\n# Server\r\nx:");
                    flood(&mut stream, head.as_bytes(), len);
                    return;
                }
                Says::Endless(len) => {
                    flood(&mut stream, b"+", len);
                    return;
                }
            };
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => buffer.extend_from_slice(&chunk[..n]),
            _ => return,
        }
    }
}

/// Writes `head` and so many bytes, or as many as are taken.
fn flood(stream: &mut TcpStream, head: &[u8], len: usize) {
    let chunk = [b'x'; 64 * 1024];
    let mut taken = stream.write_all(head);
    for _ in 0..len / chunk.len() {
        taken = taken.and_then(|()| stream.write_all(&chunk));
    }
}
