//! Hundreds of servers in one thread, which note each poll.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::{Reply, frame};

/// The polls of each server, by when they came.
type Polls = Arc<Mutex<Vec<Vec<Instant>>>>;

/// Servers that answer INFO; dropping them closes everything.
pub(super) struct Fakes {
    ports: Vec<u16>,
    polls: Polls,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// So many milliseconds since 1970.
pub(super) fn unix_ms() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_millis()
}

impl Fakes {
    /// Starts so many.
    pub(super) fn start(count: usize) -> Self {
        Self::with_password(count, None)
    }

    /// Starts so many that want this password.
    pub(super) fn with_password(count: usize, password: Option<&'static str>) -> Self {
        let polls: Polls = Arc::new(Mutex::new(vec![Vec::new(); count]));
        let listeners: Vec<TcpListener> = (0..count)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind"))
            .collect();
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let ports = listeners.iter().map(port).collect();
        let (stop, stopped) = oneshot::channel();
        let kept = Arc::clone(&polls);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                for (index, listener) in listeners.into_iter().enumerate() {
                    listener.set_nonblocking(true).expect("nonblocking");
                    let listener = tokio::net::TcpListener::from_std(listener).expect("listen");
                    let polls = Arc::clone(&kept);
                    tokio::spawn(async move {
                        while let Ok((stream, _)) = listener.accept().await {
                            tokio::spawn(serve(stream, index, Arc::clone(&polls), password));
                        }
                    });
                }
                let _ = stopped.await; // dropping the sender is as good
            });
        });
        Fakes {
            ports,
            polls,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ports.len()
    }

    /// They as `[[fleet.static]]`, `s0` and so on, each with these lines.
    pub(super) fn config(&self, lines: &str) -> String {
        let one = |(index, port): (usize, &u16)| {
            format!("[[fleet.static]]\nid = \"s{index}\"\naddr = \"127.0.0.1:{port}\"\n{lines}\n")
        };
        self.ports.iter().enumerate().map(one).collect()
    }

    /// How often each was polled.
    pub(super) fn counts(&self) -> Vec<usize> {
        let polls = self.polls.lock().expect("lock");
        polls.iter().map(Vec::len).collect()
    }

    /// The shortest and the longest time between two polls of one server since then, and the time since its last.
    pub(super) fn gaps(&self, since: Instant) -> (Duration, Duration) {
        let polls = self.polls.lock().expect("lock");
        let (mut shortest, mut longest) = (Duration::MAX, Duration::ZERO);
        for times in polls.iter() {
            for pair in times.windows(2).filter(|pair| pair[1] >= since) {
                shortest = shortest.min(pair[1] - pair[0]);
                longest = longest.max(pair[1] - pair[0]);
            }
            longest = longest.max(times.last().map_or(Duration::MAX, Instant::elapsed));
        }
        (shortest, longest)
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    index: usize,
    polls: Polls,
    password: Option<&str>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut welcome = password.is_none();
    loop {
        while let Ok(Some(len)) = frame::end(&buffer) {
            let command = Reply::parse(&buffer[..len]);
            buffer.drain(..len);
            let words: Vec<String> = command
                .items()
                .iter()
                .map(|word| word.as_str().to_owned())
                .collect();
            let reply = match words[0].to_uppercase().as_str() {
                "AUTH" if words.last().map(String::as_str) == password => {
                    welcome = true;
                    "+OK\r\n".to_owned()
                }
                "AUTH" => "-WRONGPASS invalid username-password pair\r\n".to_owned(),
                "INFO" if !welcome => "-NOAUTH Authentication required.\r\n".to_owned(),
                "INFO" => {
                    let count = {
                        let mut polls = polls.lock().expect("lock");
                        polls[index].push(Instant::now());
                        polls[index].len()
                    };
                    let text = format!(
                        "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:fake-{index}\r\n\
                         server_unix_ms:{}\r\npolls:{count}\r\n",
                        unix_ms()
                    );
                    format!("${}\r\n{text}\r\n", text.len())
                }
                _ => "+OK\r\n".to_owned(),
            };
            stream.write_all(reply.as_bytes()).await?;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
