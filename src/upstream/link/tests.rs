//! What a link does with requests and replies that were cut anywhere, without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

mod demoted;
mod replies;

#[derive(Default)]
struct Collected(RefCell<Vec<u8>>);

impl ReplySink for Collected {
    fn deliver(&self, _: Ticket, bytes: &[u8], _: u32) {
        self.0.borrow_mut().extend_from_slice(bytes);
    }

    fn abort(&self) {}

    fn lost(&self, ticket: Ticket, failure: &Failure, replies: u32) {
        self.deliver(ticket, &failure.replies(replies), replies);
    }

    fn ends_with_loss(&self) -> bool {
        false
    }
}

impl Collected {
    fn take(&self) -> String {
        String::from_utf8(self.0.take()).expect("text")
    }
}

const READ: &[u8] = b"*1\r\n$3\r\nGET\r\n";
const WRITE: &[u8] = b"*1\r\n$4\r\nINCR\r\n";

fn link() -> Link {
    let limits = LinkLimits {
        in_flight: 100,
        connect: Duration::from_secs(5),
        wait: Duration::from_secs(5),
        reply: None,
        slow: Duration::from_secs(60),
    };
    let link = Link::new(limits, Rc::new(|args: Args<'_>| &args[0] == b"GET"));
    link.inner.borrow_mut().state = LinkState::Up;
    link
}

/// Loses the connection after `written` bytes have left, and answers what is sent on the next one.
fn lose_after(link: &Link, written: usize) -> usize {
    let mut inner = link.inner.borrow_mut();
    inner.out.advance(written);
    inner.lose(&UpstreamError::closed());
    inner.state = LinkState::Up;
    let left = inner.out.held();
    inner.out.advance(left);
    while inner
        .pending
        .iter()
        .any(|pending| matches!(pending.what, What::Requests { .. }))
    {
        inner.receive(b"+ok\r\n").expect("a reply");
    }
    left
}

#[test]
fn each_request_of_a_batch_that_left_in_part_has_its_own_fate() {
    let batch = [WRITE, READ, WRITE, WRITE].concat();
    let (read, write) = (READ.len(), WRITE.len());
    let failed = "-UPSTREAM the connection to the backing was lost: closed by the backing; the \
                  command was sent and may have been executed\r\n";
    for written in 0..=batch.len() {
        // The read is asked again unless a write behind it was sent.
        let overtaken = written >= read + 2 * write;
        let (link, sink) = (link(), Rc::new(Collected::default()));
        link.push(&batch, 4, Rc::clone(&sink) as Rc<dyn ReplySink>, Ticket(0));
        let again = lose_after(&link, written);
        let sent = [write, read + 2 * write, read + 3 * write].map(|end| written >= end);
        let [first, third, fourth] = sent.map(|sent| if sent { failed } else { "+ok\r\n" });
        assert_eq!(
            sink.take(),
            format!(
                "{first}{}{third}{fourth}",
                if overtaken { failed } else { "+ok\r\n" }
            ),
            "{written} bytes sent"
        );
        let unsent = sent.iter().filter(|sent| !**sent).count();
        let read = if overtaken { 0 } else { read };
        assert_eq!(again, read + unsent * write, "{written} bytes sent");
    }
}

/// Asked again, a read would show what the write behind it has done.
#[test]
fn a_read_in_front_of_a_write_that_may_have_been_executed_is_not_asked_again() {
    let batch = [READ, READ, WRITE, READ].concat();
    let (read, write) = (READ.len(), WRITE.len());
    let lost = "-UPSTREAM the connection to the backing was lost: closed by the backing; the \
                command was sent and may have been executed\r\n";
    for split in [0, 1, 2] {
        for (written, wanted, again) in [
            (2 * read, "+ok\r\n".repeat(4), 3 * read + write),
            (2 * read + write, format!("{}+ok\r\n", lost.repeat(3)), read),
        ] {
            // Another client's read in front of it is no business of this one.
            let (link, sink) = (link(), Rc::new(Collected::default()));
            let other = Rc::new(Collected::default());
            let to = |sink: &Rc<Collected>| Rc::clone(sink) as Rc<dyn ReplySink>;
            link.push(READ, 1, to(&other), Ticket(0));
            let (first, rest) = batch.split_at(split * read);
            if split > 0 {
                let count = u32::try_from(split).expect("few");
                link.push(first, count, to(&sink), Ticket(0));
            }
            link.push(
                rest,
                4 - u32::try_from(split).expect("few"),
                to(&sink),
                Ticket(1),
            );
            let sent_again = lose_after(&link, read + written);
            assert_eq!(other.take(), "+ok\r\n");
            assert_eq!(sink.take(), wanted, "{written} bytes sent");
            assert_eq!(sent_again, read + again, "{written} bytes sent");
        }
    }
}

#[test]
fn replies_cut_anywhere_reach_those_who_asked() {
    let replies = b"+a1\r\n+a2\r\n+a3\r\n+b1\r\n+b2\r\n";
    for first in 0..=replies.len() {
        for second in first..=replies.len() {
            let link = link();
            let (a, b) = (Rc::new(Collected::default()), Rc::new(Collected::default()));
            link.push(
                &READ.repeat(3),
                3,
                Rc::clone(&a) as Rc<dyn ReplySink>,
                Ticket(0),
            );
            link.push(
                &READ.repeat(2),
                2,
                Rc::clone(&b) as Rc<dyn ReplySink>,
                Ticket(0),
            );
            let mut inner = link.inner.borrow_mut();
            for part in [
                &replies[..first],
                &replies[first..second],
                &replies[second..],
            ] {
                inner.receive(part).expect("replies");
            }
            assert_eq!(
                (a.take().as_str(), b.take().as_str()),
                ("+a1\r\n+a2\r\n+a3\r\n", "+b1\r\n+b2\r\n")
            );
            assert_eq!(inner.in_flight, 0);
        }
    }
}

#[test]
fn what_was_understood_in_front_of_nonsense_reaches_those_who_asked() {
    let replies = b"+a1\r\n+a2\r\n@nonsense\r\n";
    for cut in 0..=10 {
        let (link, sink) = (link(), Rc::new(Collected::default()));
        link.push(
            &WRITE.repeat(4),
            4,
            Rc::clone(&sink) as Rc<dyn ReplySink>,
            Ticket(0),
        );
        let mut inner = link.inner.borrow_mut();
        let all = inner.out.held();
        inner.out.advance(all);
        inner.receive(&replies[..cut]).expect("replies");
        let error = inner.receive(&replies[cut..]).expect_err("nonsense");
        inner.lose(&error);
        let text = sink.take();
        assert!(
            text.starts_with("+a1\r\n+a2\r\n-UPSTREAM "),
            "{cut}: {text}"
        );
        assert_eq!((text.lines().count(), inner.in_flight), (4, 0), "{cut}");
    }
}

#[test]
fn a_push_is_nobodys_reply() {
    let replies = b">1\r\n+x\r\n+a1\r\n>2\r\n$1\r\nx\r\n:1\r\n$2\r\na2\r\n+a3\r\n>0\r\n";
    for first in 0..=replies.len() {
        for second in first..=replies.len() {
            let (link, sink) = (link(), Rc::new(Collected::default()));
            let other = Rc::new(Collected::default());
            link.push(
                &READ.repeat(2),
                2,
                Rc::clone(&sink) as Rc<dyn ReplySink>,
                Ticket(0),
            );
            link.push(READ, 1, Rc::clone(&other) as Rc<dyn ReplySink>, Ticket(0));
            let mut inner = link.inner.borrow_mut();
            for part in [
                &replies[..first],
                &replies[first..second],
                &replies[second..],
            ] {
                inner.receive(part).expect("replies");
            }
            let texts = (sink.take(), other.take());
            assert_eq!(texts, ("+a1\r\n$2\r\na2\r\n".into(), "+a3\r\n".into()));
            assert_eq!(inner.dropped.load(Ordering::Relaxed), 3);
            assert_eq!((inner.in_flight, inner.reader.bytes()), (0, 0));
        }
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_loss_makes_room_for_those_who_wait() {
    let (link, sink) = (link(), Rc::new(Collected::default()));
    link.push(&WRITE.repeat(100), 100, sink, Ticket(0));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = Context::from_waker(&waker);
    assert!(!link.poll_room(&cx) && !link.poll_room(&cx));
    let all = link.inner.borrow().out.held();
    lose_after(&link, all);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(link.poll_room(&cx));
}

#[test]
fn nobody_waits_for_the_requests_of_others_while_there_is_no_connection() {
    let link = link();
    let (reader, writer) = (Rc::new(Collected::default()), Rc::new(Collected::default()));
    link.push(READ, 1, Rc::clone(&reader) as Rc<dyn ReplySink>, Ticket(0));
    link.push(READ, 1, Rc::clone(&reader) as Rc<dyn ReplySink>, Ticket(0));
    link.push(WRITE, 1, Rc::clone(&writer) as Rc<dyn ReplySink>, Ticket(0));
    let mut inner = link.inner.borrow_mut();
    let all = inner.out.held();
    inner.out.advance(all);
    inner.lose(&UpstreamError::closed());
    assert!(writer.take().starts_with("-UPSTREAM ") && reader.take().is_empty());
    // Later requests fail at once, also behind one that still waits for its own deadline.
    let long_ago = Instant::now() - Duration::from_secs(6);
    inner.state = LinkState::Connecting {
        since: long_ago,
        error: Some(UpstreamError::NotReady),
    };
    drop(inner);
    link.push(WRITE, 1, Rc::clone(&writer) as Rc<dyn ReplySink>, Ticket(0));
    assert!(writer.take().starts_with("-UPSTREAM ") && reader.take().is_empty());
    link.push(WRITE, 1, Rc::clone(&reader) as Rc<dyn ReplySink>, Ticket(0));
    assert!(reader.take().is_empty());
    let mut inner = link.inner.borrow_mut();
    inner.expire(Instant::now() + Duration::from_secs(5));
    assert_eq!(reader.take().lines().count(), 3);
    assert_eq!(inner.in_flight, 0);
}
