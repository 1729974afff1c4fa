//! The races of the cache, each played once in a fixed order: the test is the backing.
//!
//! The random load of `coherence` meets these orders now and then; here each is written down. A key that the
//! backing [`holds`](Scripted::holds) is answered by itself from then on, so a read that shows anything else has
//! been served from memory.

mod databases;
mod expiry;
mod fills;
mod flushes;
mod links;
mod many;
mod passed;
mod pushes;
mod scripts;
mod stalls;
mod tracking;
mod transactions;
mod unnamed;
mod writes;

use crate::support::{Client, DEADLINE, Respite, Scripted, Wire, wait_until};

/// A δ that no test reaches unless it wants to.
const CALM: &str = "[cache]\nstaleness_max = \"20s\"";

/// A Respite with one worker in front of a scripted backing; its fill link and its shared link are up.
struct Stage {
    client: Client,
    fill: Wire,
    link: Wire,
    respite: Respite,
    backing: Scripted,
}

impl Stage {
    #[track_caller]
    fn start() -> Self {
        Self::with(CALM)
    }

    #[track_caller]
    fn with(config: &str) -> Self {
        let backing = Scripted::start();
        let respite = Respite::builder()
            .upstream(&backing.url())
            .workers(1)
            .config(config)
            .start();
        let mut client = respite.connect();
        let (fill, link) = come_up(&backing, &mut client, 0);
        Self {
            client,
            fill,
            link,
            respite,
            backing,
        }
    }

    /// Has a value cached.
    #[track_caller]
    fn warm(&mut self, key: &str, value: &str) {
        warm(&mut self.client, &self.fill, key, value);
    }

    /// From now on the backing has this value, and both an old and a new client have to see it, twice: what the
    /// first read has fetched must be right too.
    #[track_caller]
    fn assert_reads(&mut self, key: &str, value: &str) {
        self.backing.holds(0, key, Some(value));
        for _ in 0..2 {
            self.client.call(&["GET", key]).assert_str(value);
            self.respite.call(&["GET", key]).assert_str(value);
        }
    }

    /// Waits until the cache has counted so many.
    #[track_caller]
    fn wait_stat(&self, name: &str, count: i64) {
        wait_stat(&self.respite, name, count);
    }
}

/// Two workers, with a client each and the fill link of its worker.
struct Pair {
    clients: [Client; 2],
    fills: [Wire; 2],
    respite: Respite,
    backing: Scripted,
}

impl Pair {
    #[track_caller]
    fn start() -> Self {
        let backing = Scripted::start();
        let respite = Respite::builder()
            .upstream(&backing.url())
            .workers(2)
            .config(CALM)
            .start();
        let mut clients = [respite.connect(), respite.connect()];
        let fills = clients
            .each_mut()
            .map(|client| come_up(&backing, client, 0).0);
        Self {
            clients,
            fills,
            respite,
            backing,
        }
    }

    /// Asserts that both clients see this.
    #[track_caller]
    fn assert_reads(&mut self, key: &str, value: &str) {
        for client in &mut self.clients {
            client.call(&["GET", key]).assert_str(value);
        }
    }
}

/// Waits until the cache has counted so many.
#[track_caller]
fn wait_stat(respite: &Respite, name: &str, count: i64) {
    let mut client = respite.connect();
    wait_until(name, DEADLINE, || {
        client.call(&["CACHE.STATS"]).field(name).int() == count
    });
}

/// Waits until a client's worker knows the backing and has its links to a database.
#[track_caller]
fn come_up(backing: &Scripted, client: &mut Client, db: u32) -> (Wire, Wire) {
    wait_until("the backing is known", DEADLINE, || {
        !client.call(&["HELLO", "2"]).is_error()
    });
    let known = backing.fill_links(db);
    // without a fill link yet, the first read goes the ordinary way
    client.send(&["GET", "first"]);
    let (link, get) = backing.expect_anywhere(&["GET", "first"]);
    get.nil();
    assert!(client.read_reply().is_null());
    (backing.fill_link(db, known + 1), link)
}

/// Has a value cached and sees that it is served.
#[track_caller]
fn warm(client: &mut Client, fill: &Wire, key: &str, value: &str) {
    client.send(&["GET", key]);
    fill.fetch(key).bring(value);
    client.read_reply().assert_str(value);
    client.call(&["GET", key]).assert_str(value);
}
