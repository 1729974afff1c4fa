//! A server that is far away: a relay that passes everything on a while later.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Passes on what comes to its port, each way so long after it came.
pub(crate) struct Relay {
    port: u16,
    upstream: Arc<AtomicU16>,
}

impl Relay {
    /// One that leads nowhere yet.
    pub(crate) fn new(way: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let upstream = Arc::new(AtomicU16::new(0));
        let to = Arc::clone(&upstream);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", to.load(Ordering::Relaxed)));
                if let Ok(server) = server {
                    // A connection that breaks is the end of it.
                    let _ = connect(&client, &server, way);
                }
            }
        });
        Ok(Relay { port, upstream })
    }

    /// Leads it to a port; returns its own.
    pub(crate) fn lead_to(&self, upstream: u16) -> u16 {
        self.upstream.store(upstream, Ordering::Relaxed);
        self.port
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn connect(client: &TcpStream, server: &TcpStream, way: Duration) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    pass(client.try_clone()?, server.try_clone()?, way);
    pass(server.try_clone()?, client.try_clone()?, way);
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, way: Duration) {
    let (put, take) = channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if put
                .send((Instant::now() + way, buffer[..n].to_vec()))
                .is_err()
            {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in take {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        // The other side has closed.
        let _ = to.shutdown(Shutdown::Write);
    });
}
