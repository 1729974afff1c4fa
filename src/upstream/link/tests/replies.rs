//! A link without a socket: what it hands to its sinks for any split of the replies.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::super::*;

#[derive(Default)]
struct Sink {
    bytes: RefCell<Vec<u8>>,
    replies: RefCell<u32>,
    aborted: RefCell<bool>,
    losses: RefCell<u32>,
    /// Does not want to see anything behind a loss.
    ends: RefCell<bool>,
}

impl ReplySink for Sink {
    fn deliver(&self, _: Ticket, bytes: &[u8], replies: u32) {
        self.bytes.borrow_mut().extend_from_slice(bytes);
        *self.replies.borrow_mut() += replies;
    }

    fn abort(&self) {
        *self.aborted.borrow_mut() = true;
    }

    fn lost(&self, ticket: Ticket, failure: &Failure, replies: u32) {
        *self.losses.borrow_mut() += replies;
        self.deliver(ticket, &failure.replies(replies), replies);
    }

    fn ends_with_loss(&self) -> bool {
        *self.ends.borrow()
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.borrow()).into_owned()
    }
}

fn link() -> Link {
    let limits = LinkLimits {
        in_flight: 1000,
        connect: Duration::from_secs(1000),
        wait: Duration::from_secs(1000),
        reply: None,
        slow: Duration::from_secs(60),
    };
    let is_get = |args: Args<'_>| args[0].eq_ignore_ascii_case(b"GET");
    Link::new(limits, Rc::new(is_get))
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::resp::write_command(&mut bytes, words);
    bytes
}

fn push(link: &Link, requests: &[Vec<u8>]) -> Rc<Sink> {
    let sink = Rc::new(Sink::default());
    let replies = u32::try_from(requests.len()).expect("few");
    link.push(
        &requests.concat(),
        replies,
        Rc::clone(&sink) as Rc<dyn ReplySink>,
        Ticket(0),
    );
    sink
}

/// Everything queued has been handed to the connection.
fn write_all(link: &Link) {
    let mut inner = link.inner.borrow_mut();
    let left = inner.out.end() - inner.out.written();
    inner.out.advance(usize::try_from(left).expect("few"));
}

#[test]
fn every_split_of_the_replies_gives_each_sink_its_own() {
    let replies = b"+OK\r\n$3\r\nabc\r\n*2\r\n:1\r\n$-1\r\n+OK\r\n-ERR x\r\n$0\r\n\r\n";
    for cut in 0..replies.len() {
        for second in cut..replies.len() {
            let link = link();
            let get = request(&[b"GET", b"k"]);
            let first = push(&link, &vec![get.clone(); 2]);
            let middle = push(&link, &vec![get.clone(); 3]);
            let last = push(&link, &[get]);
            write_all(&link);
            for part in [&replies[..cut], &replies[cut..second], &replies[second..]] {
                link.inner.borrow_mut().receive(part).expect("valid");
            }
            assert_eq!(first.text(), "+OK\r\n$3\r\nabc\r\n", "{cut} {second}");
            assert_eq!(
                middle.text(),
                "*2\r\n:1\r\n$-1\r\n+OK\r\n-ERR x\r\n",
                "{cut} {second}"
            );
            assert_eq!(last.text(), "$0\r\n\r\n", "{cut} {second}");
            assert_eq!(link.in_flight(), 0);
            assert_eq!(link.inner.borrow().out.held(), 0);
        }
    }
}

#[test]
fn a_lost_link_sends_reads_again_and_fails_writes_in_their_turn() {
    let link = link();
    let (get, set) = (request(&[b"GET", b"k"]), request(&[b"SET", b"k", b"v"]));
    let sink = push(&link, &[get.clone(), set, get.clone(), get.clone()]);
    write_all(&link);
    let unsent = push(&link, &[request(&[b"SET", b"u", b"v"])]);
    link.inner
        .borrow_mut()
        .receive(b"$1\r\na\r\n")
        .expect("valid");
    link.inner.borrow_mut().lose(&UpstreamError::closed());
    // What was answered is not lost with the connection.
    assert_eq!(
        sink.text(),
        "$1\r\na\r\n-UPSTREAM the connection to the backing was lost: closed \
                             by the backing; the command was sent and may have been executed\r\n"
    );
    let held = link.inner.borrow().out.held();
    assert_eq!(held, 2 * get.len() + request(&[b"SET", b"u", b"v"]).len());
    write_all(&link);
    link.inner
        .borrow_mut()
        .receive(b"$1\r\nb\r\n$1\r\nc\r\n+OK\r\n")
        .expect("valid");
    assert!(sink.text().ends_with("executed\r\n$1\r\nb\r\n$1\r\nc\r\n"));
    assert_eq!(
        (*sink.replies.borrow(), unsent.text().as_str()),
        (4, "+OK\r\n")
    );
}

#[test]
fn a_read_is_sent_again_once() {
    let link = link();
    let sink = push(&link, &[request(&[b"GET", b"k"])]);
    for _ in 0..2 {
        write_all(&link);
        link.inner.borrow_mut().lose(&UpstreamError::closed());
    }
    assert!(sink.text().starts_with("-UPSTREAM "), "{}", sink.text());
    assert_eq!(link.in_flight(), 0);
}

#[test]
fn a_large_reply_is_passed_on_in_parts_and_cannot_be_taken_back() {
    let link = link();
    let get = request(&[b"GET", b"k"]);
    let sink = push(&link, &[get.clone(), get]);
    write_all(&link);
    let mut inner = link.inner.borrow_mut();
    inner.receive(b"$1\r\na\r\n$200000\r\n").expect("valid");
    inner.receive(&vec![b'x'; 100_000]).expect("valid");
    assert_eq!(*sink.replies.borrow(), 1);
    inner.receive(&vec![b'x'; 50_000]).expect("valid");
    assert!(sink.bytes.borrow().len() > 100_000);
    inner.lose(&UpstreamError::closed());
    assert!(*sink.aborted.borrow());
}

#[test]
fn a_reply_that_nobody_asked_for_is_an_error() {
    let link = link();
    assert!(link.inner.borrow_mut().receive(b"+OK\r\n").is_err());
}

/// Pushes for a sink that a loss ends.
fn push_ending(link: &Link, sink: &Rc<Sink>, request: &[u8]) {
    *sink.ends.borrow_mut() = true;
    link.push(request, 1, Rc::clone(sink) as Rc<dyn ReplySink>, Ticket(0));
}

#[test]
fn nothing_is_executed_behind_what_ends_its_sender() {
    let link = link();
    let (get, set) = (request(&[b"GET", b"k"]), request(&[b"SET", b"k", b"v"]));
    let (sink, other) = (Rc::new(Sink::default()), Rc::new(Sink::default()));
    for request in [&get, &set, &get] {
        push_ending(&link, &sink, request);
    }
    write_all(&link);
    // Not sent any more.
    push_ending(&link, &sink, &set);
    push_ending(&link, &other, &set);
    link.inner.borrow_mut().lose(&UpstreamError::closed());
    let held = link.inner.borrow().out.held();
    assert_eq!(held, set.len(), "the other's write");
    write_all(&link);
    let mut inner = link.inner.borrow_mut();
    inner.receive(b"+OK\r\n").expect("valid");
    assert!(sink.text().starts_with("-UPSTREAM "));
    assert_eq!((*sink.losses.borrow(), *other.losses.borrow()), (4, 0));
    assert_eq!((other.text().as_str(), inner.in_flight), ("+OK\r\n", 0));
}

#[test]
fn what_waits_too_long_takes_with_it_what_its_sender_asked_later() {
    let link = link();
    let set = request(&[b"SET", b"k", b"v"]);
    let (sink, other) = (Rc::new(Sink::default()), Rc::new(Sink::default()));
    link.inner.borrow_mut().lose(&UpstreamError::closed());
    push_ending(&link, &sink, &set);
    push_ending(&link, &other, &set);
    push_ending(&link, &sink, &set);
    let mut inner = link.inner.borrow_mut();
    let late = Instant::now() + Duration::from_secs(1000);
    inner.pending[1].at = late;
    inner.pending[2].at = late;
    inner.expire(late);
    assert_eq!((*sink.losses.borrow(), *other.losses.borrow()), (2, 0));
    assert_eq!((inner.out.held(), inner.in_flight), (set.len(), 1));
}
