use std::cell::RefCell;
use std::rc::Rc;

use tokio::task::{LocalSet, yield_now};
use tokio::time::sleep;

use super::*;
use crate::resp::{Proto, parse_reply};
use crate::upstream::monitor::PING_EVERY;
use crate::upstream::{Fetch, FetchTimes, FillEvents, LinkKey, Tracking, spawn_fill_link};

const HELLO_RESP2: &[u8] = b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:5\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";

#[test]
fn who_watches_late_hears_what_is_known() {
    let endpoint = "redis://localhost".parse().expect("a URL");
    let backing = Backing::new(endpoint, None);
    assert!(!backing.watch().has_changed().expect("the sender lives"));
    let (value, _) = parse_reply(HELLO_RESP2).expect("valid").expect("whole");
    let hello = ServerHello::from_reply(&value).map(Arc::new);
    backing.state.send_modify(|state| state.hello = hello);
    assert!(backing.watch().has_changed().expect("the sender lives"));
}

#[test]
fn reads_hello_of_both_versions() {
    let resp2 = HELLO_RESP2;
    let resp3 = [b"%7".as_slice(), &resp2[3..]].concat();
    for reply in [resp2, resp3.as_slice()] {
        let (value, _) = parse_reply(reply).expect("valid").expect("whole");
        let hello = ServerHello::from_reply(&value).expect("complete");
        assert_eq!((hello.version.as_str(), hello.id), ("7.0.15", 5));
        assert_eq!(
            (hello.mode.as_str(), hello.role.as_str()),
            ("standalone", "master")
        );
        assert_eq!(hello.modules(Proto::Resp3), b"*0\r\n");
    }
}

/// A cache that wants nothing.
struct NoCache;

impl FillEvents for NoCache {
    fn tracking(&self) -> Option<&'static [&'static [u8]]> {
        None
    }
    fn heartbeat(&self) -> Duration {
        PING_EVERY
    }
    fn patience(&self) -> Duration {
        PING_EVERY
    }
    fn max_value_bytes(&self) -> usize {
        0
    }
    fn connected(&self, _: &Tracking, _: Option<usize>) -> u64 {
        0
    }
    fn answered(&self, _: Instant) {}
    fn filled(&self, _: Fetch, _: i64, _: &[u8], _: FetchTimes, _: u64) {}
    fn oversized(&self, _: Fetch) {}
    fn measured(&self, _: &[u8], _: Option<u64>) {}
    fn invalidated(&self, _: &[u8]) {}
    fn flushed(&self) {}
    fn doubted(&self) {}
    fn renounced(&self, _: u64) -> u64 {
        0
    }
    fn renewed(&self) -> u64 {
        0
    }
    fn lost(&self) {}
    fn failed(&self, _: Fetch) {}
}

#[test]
fn a_connection_of_somebody_else_ends_the_wait_of_a_fill_link() {
    ends_the_wait_of_a_fill_link(|backing| backing.reached.note(HOME));
}

#[test]
fn a_new_master_ends_the_wait_of_a_fill_link() {
    let another = "unix:///nowhere/else".parse::<Endpoint>();
    ends_the_wait_of_a_fill_link(|backing| backing.switch(another.clone().expect("a URL")));
}

/// Waits until a link has failed for long, lets `happen`, and expects that it tries again at once. The clock stands
/// still but for what is waited for, and there is nobody to connect to.
fn ends_the_wait_of_a_fill_link(happen: impl Fn(&Backing)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let endpoint = "unix:///nowhere/respite".parse().expect("a URL");
        let backing = Backing::new(endpoint, None);
        backing.ready.store(true, Ordering::Relaxed);
        let scratch = Rc::new(RefCell::new(vec![0; 1024]));
        let key = LinkKey::new(HOME, 0, Proto::Resp3);
        let link = spawn_fill_link(Arc::clone(&backing), key, Rc::new(NoCache), scratch);
        // Each try that fails leaves a doubt; by now there are seconds between them.
        sleep(Duration::from_secs(30)).await;
        backing.intake.tried(None);
        yield_to_others().await;
        assert!(!backing.intake.is_doubtful());
        happen(&backing);
        yield_to_others().await;
        assert!(backing.intake.is_doubtful(), "it waits on");
        link.close();
    });
}

async fn yield_to_others() {
    for _ in 0..10 {
        yield_now().await;
    }
}
