//! What else clients do while faults go on: the bus, discovery, channels, pages, coming and going. Each knows what it has to be told.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::client::{PATIENCE, World};
use super::tally::Tally;
use crate::support::{Client, Reply};

/// What errors begin with that a fault explains.
pub(crate) const EXPLAINED: &[&str] = &[
    "UPSTREAM ",
    "EXECABORT ",
    "LOADING ",
    "OOM ",
    "READONLY ",
    // Who is blocked when a master becomes a replica.
    "UNBLOCKED ",
    "MASTERDOWN ",
    "MISCONF ",
];

/// Why a step came to nothing.
pub(crate) type Failed = String;

/// The ports of a Respite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) redis: u16,
    pub(crate) http: u16,
}

/// A connection that is opened anew when it was lost.
pub(crate) struct Line {
    port: u16,
    client: Option<Client>,
}

impl Line {
    fn to(port: u16) -> Self {
        Line { port, client: None }
    }

    fn open(&mut self) -> &mut Client {
        let port = self.port;
        self.client.get_or_insert_with(|| {
            let client = Client::connect(port);
            client.set_timeout(PATIENCE);
            client
        })
    }

    fn read(&mut self) -> Result<Reply, Failed> {
        match self.open().try_read_reply_raw() {
            Ok(raw) => match Reply::parse(&raw) {
                Reply::Error(text) => Err(String::from_utf8_lossy(&text).into_owned()),
                reply => Ok(reply),
            },
            Err(why) if why.starts_with("closed") => {
                self.client = None;
                Err("closed".to_owned())
            }
            Err(why) => panic!("nothing for {PATIENCE:?} ({why})"),
        }
    }

    /// The reply to a command; an error is a failure.
    fn call(&mut self, words: &[&str]) -> Result<Reply, Failed> {
        if self
            .open()
            .try_send_raw(&crate::support::encode(words))
            .is_err()
        {
            self.client = None;
            return Err("closed".to_owned());
        }
        self.read()
    }
}

/// Something that clients do again and again.
pub(crate) struct Habit {
    pub(crate) name: &'static str,
    /// What it may be told besides [`EXPLAINED`].
    pub(crate) told: &'static [&'static str],
    /// One step, the n-th.
    pub(crate) step: fn(&mut [Line; 2], Ports, u64) -> Result<(), Failed>,
}

pub(crate) const HABITS: &[Habit] = &[
    Habit {
        name: "worker of a bus",
        told: &["closed"],
        step: |lines, _, _| {
            let [line, _] = lines;
            let fetch = [
                "BUS.FETCH",
                "soak",
                "w",
                "echo",
                "COUNT",
                "8",
                "TIMEOUT",
                "200",
            ];
            let calls = line.call(&fetch)?;
            if calls.is_null() {
                return Ok(());
            }
            for call in calls.items() {
                let text = call.field("args").strings()[0].to_owned();
                let (id, token) = (call.field("id").as_str(), call.field("token").as_str());
                line.call(&["BUS.REPLY", "soak", id, token, &text])?;
            }
            Ok(())
        },
    },
    Habit {
        name: "caller over a bus",
        told: &["closed", "DEADLINE ", "WORKERLOST ", "NOWORKER ", "POISON "],
        step: |lines, _, n| {
            let token = format!("call:{n}");
            let call = [
                "BUS.CALL", "soak", "echo", "TIMEOUT", "3000", "ARGS", &token,
            ];
            let reply = lines[0].call(&call)?;
            assert_eq!(reply, Reply::Bulk(token.into_bytes()));
            Ok(())
        },
    },
    Habit {
        name: "node in discovery",
        told: &["closed", "NOTFOUND ", "NONODES "],
        step: |lines, _, n| {
            let node = format!("n{}", n % 4);
            lines[0].call(&["DISCOVERY.JOIN", "soak", &node, "TTL", "5"])?;
            let found = lines[1].call(&["DISCOVERY.RESOLVE", "soak"])?;
            assert!(found.field("node").as_str().starts_with('n'), "{found:?}");
            Ok(())
        },
    },
    Habit {
        name: "publisher and subscriber",
        told: &["closed"],
        step: |lines, _, n| {
            let (channel, token) = (format!("c{}", n % 8), format!("message:{n}"));
            let [hears, says] = lines;
            // A connection of its own each time: what it hears is this message or nothing.
            *hears = Line::to(hears.port);
            let confirmed = hears.call(&["SUBSCRIBE", &channel])?;
            assert_eq!(confirmed.items()[1].as_str(), channel);
            if says.call(&["PUBLISH", &channel, &token])?.int() == 0 {
                // The backing has closed the connection of the subscriber, which is told so.
                return Ok(());
            }
            let message = hears.read()?;
            assert_eq!(message.strings(), ["message", &channel, &token]);
            // A new connection each time: not without a pause.
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        },
    },
    Habit {
        name: "who comes and goes",
        told: &["closed"],
        step: |lines, ports, n| {
            let token = n.to_string();
            let mut line = Line::to(ports.redis);
            assert_eq!(line.call(&["ECHO", &token])?.as_str(), token);
            // With something open.
            line.call(&["MULTI"])?;
            line.call(&["SET", "left-open", &token])?;
            lines[0].call(&["INFO", "respite"])?;
            lines[0].call(&["CACHE.STATS"])?;
            lines[0].call(&["SHARD.LIST"])?;
            Ok(())
        },
    },
    Habit {
        name: "pages",
        told: &[],
        step: |_, ports, n| {
            let page = ["/health", "/ready", "/metrics", "/stats", "/api/overview"];
            let page = page[usize::try_from(n % 5).expect("small")];
            let (status, _) = crate::support::get(ports.http, page);
            // Not ready is an answer.
            assert!(matches!(status, 200 | 404 | 503), "{page}: {status}");
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        },
    },
    Habit {
        name: "who asks for nothing",
        told: &[],
        step: |_, ports, _| {
            // Half a request, and gone.
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ports.redis));
            let mut stream = stream.map_err(|error| error.to_string())?;
            use std::io::Write;
            let _ = stream.write_all(b"*3\r\n$3\r\nSET\r\n$100");
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        },
    },
];

/// Does it until the run ends; panics with whatever no fault explains.
pub(crate) fn follow(habit: &Habit, ports: Ports, world: &World) -> Tally {
    let mut lines = [Line::to(ports.redis), Line::to(ports.redis)];
    let mut came = Tally::default();
    for n in 1.. {
        if !world.running() {
            break;
        }
        match (habit.step)(&mut lines, ports, n) {
            Ok(()) => came.served += 1,
            Err(why) => {
                let mut known = EXPLAINED.iter().chain(habit.told);
                let is_known = known.any(|told| why.starts_with(told));
                assert!(is_known, "{}: {why}", habit.name);
                came.error(&why);
            }
        }
    }
    came
}
