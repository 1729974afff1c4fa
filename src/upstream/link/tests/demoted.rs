//! A master that becomes a replica while requests are under way.

use super::*;

const REFUSED: &str = "-READONLY You can't write against a read only replica.\r\n";

/// A link to a server that may stop being the master, which has sent `batch` there.
fn sent(batch: &[u8], replies: u32) -> (Link, Rc<Collected>) {
    let (link, sink) = (link(), Rc::new(Collected::default()));
    link.inner.borrow_mut().follows = true;
    link.push(
        batch,
        replies,
        Rc::clone(&sink) as Rc<dyn ReplySink>,
        Ticket(0),
    );
    let mut inner = link.inner.borrow_mut();
    let all = inner.out.held();
    inner.out.advance(all);
    drop(inner);
    (link, sink)
}

/// The bytes that are sent to the next master, each request of which is answered by its number.
fn next_master(link: &Link) -> Vec<u8> {
    let mut inner = link.inner.borrow_mut();
    inner.lose(&UpstreamError::Demoted);
    inner.state = LinkState::Up;
    let (from, len) = (inner.out.written(), inner.out.unwritten_bytes());
    let sent = inner.out.bytes(from, len).to_vec();
    inner.out.advance(len);
    let mut number = 0;
    while inner
        .pending
        .iter()
        .any(|pending| matches!(pending.what, What::Requests { .. }))
    {
        number += 1;
        let reply = format!("+again {number}\r\n");
        inner.receive(reply.as_bytes()).expect("a reply");
    }
    sent
}

#[test]
fn what_was_refused_goes_to_the_next_master_in_its_place() {
    let other: &[u8] = b"*1\r\n$7\r\nPUBLISH\r\n";
    let batch = [READ, WRITE, other, WRITE, READ].concat();
    let replies = format!("$3\r\nold\r\n{REFUSED}:7\r\n{REFUSED}$5\r\nstale\r\n");
    for cut in 0..replies.len() {
        let (link, sink) = sent(&batch, 5);
        let mut inner = link.inner.borrow_mut();
        let first = inner.receive(&replies.as_bytes()[..cut]);
        assert!(first.is_ok(), "{cut}");
        let second = inner.receive(&replies.as_bytes()[cut..]);
        assert!(matches!(second, Err(UpstreamError::Demoted)), "{cut}");
        drop(inner);
        // What was answered in front of the refusal may have gone out, or waits for its turn.
        let again = next_master(&link);
        assert_eq!(again, [WRITE, WRITE, READ].concat(), "{cut}");
        assert_eq!(
            sink.take(),
            "$3\r\nold\r\n+again 1\r\n:7\r\n+again 2\r\n+again 3\r\n",
            "{cut}"
        );
    }
}

#[test]
fn what_comes_to_nothing_with_the_connection_may_have_been_executed() {
    let (link, sink) = sent(&[WRITE, WRITE, READ].concat(), 3);
    let mut inner = link.inner.borrow_mut();
    assert!(inner.receive(REFUSED.as_bytes()).is_ok());
    drop(inner);
    let again = next_master(&link);
    assert_eq!(again, [WRITE, READ].concat());
    let seen = sink.take();
    assert!(
        seen.starts_with("+again 1\r\n-UPSTREAM ") && seen.ends_with("+again 2\r\n"),
        "{seen}"
    );
}

#[test]
fn a_value_that_looks_like_a_refusal_is_none() {
    let (link, sink) = sent(&READ.repeat(2), 2);
    let value = format!("\r\n{REFUSED}");
    let reply = format!("${}\r\n{value}\r\n", value.len());
    let mut inner = link.inner.borrow_mut();
    assert!(inner.receive(reply.repeat(2).as_bytes()).is_ok());
    assert_eq!(sink.take(), reply.repeat(2));
}

#[test]
fn a_refusal_of_a_backing_that_is_nobodys_to_name_is_the_clients() {
    let (link, sink) = sent(WRITE, 1);
    link.inner.borrow_mut().follows = false;
    let mut inner = link.inner.borrow_mut();
    assert!(inner.receive(REFUSED.as_bytes()).is_ok());
    assert_eq!(sink.take(), REFUSED);
}

/// A node of a cluster that becomes a replica names its successor for what is asked behind the refusal.
#[test]
fn redirects_behind_a_refusal_are_followed_with_it() {
    let batch = [WRITE, WRITE, READ, WRITE].concat();
    let replies =
        format!("{REFUSED}-MOVED 5 10.0.0.2:6379\r\n-ASK 5 10.0.0.2:6379\r\n-ERR of its own\r\n");
    for cut in 0..replies.len() {
        for is_node in [true, false] {
            let (link, sink) = sent(&batch, 4);
            let mut inner = link.inner.borrow_mut();
            // What the link itself sends on is no refusal.
            let never: Rc<Redirect> = Rc::new(|_| panic!("sent on apart from what was refused"));
            inner.redirect = is_node.then_some(never);
            assert!(inner.receive(&replies.as_bytes()[..cut]).is_ok(), "{cut}");
            let ended = inner.receive(&replies.as_bytes()[cut..]);
            assert!(matches!(ended, Err(UpstreamError::Demoted)), "{cut}");
            drop(inner);
            let again = next_master(&link);
            let seen = sink.take();
            if is_node {
                assert_eq!(again, [WRITE, WRITE, READ].concat(), "{cut}");
                assert_eq!(
                    seen,
                    "+again 1\r\n+again 2\r\n+again 3\r\n-ERR of its own\r\n"
                );
            } else {
                // Without a cluster only a script says so.
                assert_eq!(again, [WRITE, READ].concat(), "{cut}");
                assert!(seen.contains("-MOVED 5 ") && !seen.contains("READONLY"));
            }
        }
    }
}
