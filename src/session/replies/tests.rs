//! The order in which replies leave.

use std::rc::Rc;

use super::*;
use crate::latency::{Counts, Latency};
use crate::upstream::{Failure, ReplySink};

fn out(replies: &Replies) -> String {
    String::from_utf8(replies.inner.borrow().out.first().to_vec()).expect("text")
}

#[test]
fn replies_leave_in_the_order_of_requests() {
    let replies = Replies::new(1000);
    replies.reply(|out| out.extend_from_slice(b"a"));
    let two = replies.expect(2, Then::Pass, None);
    let one = replies.expect(1, Then::Pass, None);
    replies.reply(|out| out.extend_from_slice(b"c"));
    replies.reply(|out| out.extend_from_slice(b"d"));
    let dropped = replies.expect(1, Then::Drop, None);
    replies.reply(|out| out.extend_from_slice(b"f"));
    assert_eq!((out(&replies).as_str(), replies.outstanding()), ("a", 4));
    replies.deliver(two, b"b1b2", 2);
    assert_eq!(out(&replies), "ab1b2");
    replies.deliver(one, b"b3", 1);
    assert_eq!(out(&replies), "ab1b2b3cd");
    replies.deliver(dropped, b"dropped", 1);
    assert_eq!(
        (out(&replies).as_str(), replies.outstanding()),
        ("ab1b2b3cdf", 0)
    );
}

#[test]
fn replies_of_several_connections_come_in_any_order_and_leave_in_that_of_the_requests() {
    let replies = Replies::new(1000);
    let a = replies.expect(2, Then::Pass, None);
    let b = replies.expect(1, Then::Drop, None);
    let c = replies.expect_later();
    let d = replies.expect(2, Then::Pass, None);
    replies.deliver(d, b"d1d", 1);
    replies.deliver(c, b"c", 0);
    replies.deliver(b, b"dropped", 1);
    replies.deliver(a, b"a1", 1);
    replies.deliver(d, b"2", 1);
    assert_eq!((out(&replies).as_str(), replies.outstanding()), ("a1", 1));
    replies.deliver(a, b"a2", 1);
    assert_eq!((out(&replies).as_str(), replies.later()), ("a1a2c", 1));
    replies.deliver(c, b"c", 1);
    assert_eq!(out(&replies), "a1a2ccd1d2");
    assert_eq!((replies.bytes(), replies.later()), (10, 0));
    assert!(replies.is_idle());
}

#[test]
fn a_client_is_closed_in_the_place_of_what_will_not_come() {
    let replies = Replies::new(1000);
    replies.end_with_loss(true);
    let (a, b) = (
        replies.expect(1, Then::Pass, None),
        replies.expect(3, Then::Pass, None),
    );
    let (c, d) = (replies.expect_later(), replies.expect(1, Then::Pass, None));
    replies.deliver(d, b"d", 1);
    replies.deliver(b, b"b1", 1);
    let failure = Failure {
        text: "UPSTREAM".to_owned(),
        refusal: false,
        logged_out: false,
    };
    replies.lost(b, &failure, 2);
    assert_eq!((replies.outstanding(), replies.later()), (1, 0));
    replies.deliver(c, b"c", 1);
    replies.deliver(b, b"b2", 1);
    let late = replies.expect(1, Then::Pass, None);
    replies.deliver(late, b"late", 1);
    assert!(replies.is_ending() && !replies.is_idle());
    replies.deliver(a, b"a", 1);
    assert_eq!((out(&replies).as_str(), replies.outstanding()), ("ab1", 0));
    assert!(replies.is_idle());
}

#[test]
fn parts_of_a_reply_are_rewritten_as_a_whole() {
    let replies = Replies::new(1000);
    let ticket = replies.expect(
        1,
        Then::Rewrite(Box::new(|raw, out| {
            out.extend(raw.iter().rev());
        })),
        None,
    );
    replies.deliver(ticket, b"12", 0);
    assert_eq!(out(&replies), "");
    replies.deliver(ticket, b"34", 1);
    assert_eq!(out(&replies), "4321");
}

#[test]
fn a_fetched_reply_takes_its_place() {
    let replies = Replies::new(1000);
    let announced = replies.next_ticket(1);
    replies.reply(|out| out.extend_from_slice(b"0"));
    let before = replies.expect(1, Then::Pass, None);
    let fetched = replies.expect_later();
    assert_eq!(fetched, announced);
    replies.reply(|out| out.extend_from_slice(b"b"));
    let behind = replies.expect(1, Then::Pass, None);
    replies.deliver(before, b"1", 1);
    replies.deliver(behind, b"c", 1);
    assert_eq!((out(&replies).as_str(), replies.later()), ("01", 1));
    assert!(replies.is_later(fetched) && !replies.is_later(behind));
    replies.deliver(fetched, b"a", 1);
    assert_eq!((out(&replies).as_str(), replies.later()), ("01abc", 0));
    replies.deliver(fetched, b"again", 1);
    assert_eq!(out(&replies), "01abc");
}

#[test]
fn a_reply_that_begins_before_its_turn_is_whole() {
    let replies = Replies::new(1000);
    let a = replies.expect_later();
    let b = replies.expect(1, Then::Pass, None);
    replies.deliver(b, b"b1", 0);
    replies.deliver(a, b"a", 1);
    replies.deliver(b, b"b2", 1);
    assert_eq!(out(&replies), "ab1b2");
}

#[test]
fn a_held_reply_waits_for_its_release() {
    let replies = Replies::new(1000);
    let told = Rc::new(Cell::new(None));
    let tell = Rc::clone(&told);
    let a = replies.expect(
        1,
        Then::Hold(Box::new(move |ticket, _| {
            tell.set(Some(ticket));
            true
        })),
        None,
    );
    let b = replies.expect(1, Then::Pass, None);
    replies.deliver(a, b"a", 1);
    replies.deliver(b, b"b", 1);
    assert_eq!((out(&replies).as_str(), replies.held()), ("", 1));
    replies.release(told.get().expect("the hold was started"));
    assert_eq!((out(&replies).as_str(), replies.held()), ("ab", 0));
}

/// Two replies that are kept back, with the tickets to be released.
fn two_held(replies: &Replies) -> [Ticket; 2] {
    [b"a", b"b"].map(|reply| {
        let ticket = replies.expect(1, Then::Hold(Box::new(|_, _| true)), None);
        replies.deliver(ticket, reply, 1);
        ticket
    })
}

#[test]
fn what_comes_unasked_stays_behind_what_is_kept_back() {
    let replies = Replies::new(1000);
    replies.out_of_band(b"0");
    let [first, second] = two_held(&replies);
    let ticket = replies.expect(3, Then::Pass, None);
    replies.out_of_band(b"1");
    replies.out_of_band(b"2");
    replies.deliver(ticket, b"c", 1);
    replies.out_of_band(b"3");
    replies.release(first);
    assert_eq!(out(&replies), "0a");
    replies.deliver(ticket, b"d", 1);
    replies.release(second);
    assert_eq!(out(&replies), "0ab12c3d");
    replies.out_of_band(b"4");
    replies.deliver(ticket, b"e", 1);
    assert_eq!(
        (out(&replies).as_str(), replies.bytes()),
        ("0ab12c3d4e", 10)
    );
}

#[test]
fn what_comes_unasked_passes_what_waits_for_something_else() {
    let replies = Replies::new(1000);
    let ticket = replies.expect_later();
    replies.out_of_band(b"0");
    replies.deliver(ticket, b"a", 1);
    assert_eq!(out(&replies), "0a");
}

#[test]
fn only_a_client_that_takes_nothing_is_stalled() {
    let begin = Instant::now();
    let late = begin + STALLED_AFTER + Duration::from_millis(1);
    let replies = Replies::new(10);
    let ticket = replies.expect(3, Then::Pass, None);
    replies.deliver(ticket, &[b'x'; 9], 1);
    assert!(!replies.has_stalled(begin) && !replies.has_stalled(late));
    replies.deliver(ticket, b"yz", 1);
    assert!(!replies.has_stalled(begin));
    assert!(replies.is_over() && replies.has_stalled(late));
    // It has taken one byte, and has all the time once more.
    replies.inner.borrow_mut().out.advance(1);
    replies.inner.borrow_mut().taken += 1;
    assert!(!replies.has_stalled(late));
    assert!(replies.has_stalled(late + STALLED_AFTER + STALLED_AFTER));
}

#[test]
fn what_waits_for_something_else_stalls_nobody() {
    let replies = Replies::new(10);
    let [first, _] = two_held(&replies);
    let ticket = replies.expect(1, Then::Pass, None);
    replies.deliver(ticket, &[b'x'; 100], 0);
    assert!(!replies.is_over());
    replies.release(first);
    assert!(replies.is_over());
}

#[test]
fn more_waits_for_a_client_that_has_to_send_first() {
    let replies = Replies::new(3 * BACKLOG);
    replies.reply(|out| out.resize(BACKLOG, b'x'));
    assert!(replies.is_full() && replies.is_backlogged());
    replies.press(true);
    assert!(!replies.is_full() && !replies.is_backlogged());
    replies.reply(|out| out.resize(3 * BACKLOG, b'x'));
    assert!(replies.is_full() && replies.is_backlogged());
}

#[test]
fn what_waits_behind_a_reply_counts_as_well() {
    let replies = Replies::new(usize::MAX);
    let ticket = replies.expect(1, Then::Pass, None);
    replies.reply(|out| out.resize(BACKLOG, b'x'));
    assert!(replies.is_full() && !replies.is_backlogged());
    replies.deliver(ticket, b"y", 1);
    assert!(replies.is_full() && replies.is_backlogged());
    replies.close();
    assert!(!replies.is_full());
}

#[test]
fn times_are_counted_when_the_replies_are_in() {
    let latency = Latency::new(1, ["cache".to_owned()]);
    let replies = Replies::new(1000);
    replies.set_times(latency.times(0, "ann"));
    let counts = || -> Vec<u64> { latency.by_kind().iter().map(Counts::count).collect() };
    let forwarded = replies.expect(2, Then::Pass, None);
    let pinned = replies.expect_pinned(b"", false, Then::Pass, None);
    let blocked = replies.expect_pinned(b"", true, Then::Pass, None);
    let fetched = replies.expect_later();
    let family = replies.expect_asked(replies.asked(Some(Kind::family(0))));
    let untimed = replies.expect_asked(replies.asked(None));
    replies.deliver(forwarded, b"a", 0);
    assert_eq!(counts(), [0; 5]);
    replies.deliver(forwarded, b"ab", 2);
    assert_eq!(counts(), [0, 0, 2, 0, 0]);
    replies.deliver(pinned, b"c", 1);
    replies.deliver(blocked, b"d", 1);
    assert_eq!(counts(), [0, 0, 2, 1, 0]);
    replies.deliver(family, b"f", 1);
    replies.deliver(fetched, b"e", 1);
    replies.deliver(untimed, b"g", 1);
    assert_eq!(counts(), [0, 1, 2, 1, 1]);
}

#[test]
fn what_is_behind_a_wait_on_purpose_begins_to_count_when_it_ends() {
    let replies = Replies::new(1000);
    let long_ago = Instant::now()
        .checked_sub(Duration::from_secs(60))
        .expect("a machine that is up for a minute");
    replies.asked_at(long_ago);
    let blocked = replies.expect_pinned(b"BLPOP", true, Then::Pass, None);
    replies.expect_pinned(b"ECHO", false, Then::Pass, None);
    let behind = || match replies.inner.borrow().places.back() {
        Some(Place::Awaited { asked, .. }) => asked.at,
        _ => panic!("no place"),
    };
    assert_eq!(behind(), long_ago);
    replies.deliver(blocked, b"x", 1);
    assert!(behind() > long_ago);
}

#[test]
fn messages_come_between_replies() {
    let replies = Replies::new(1000);
    let message = |text: &'static [u8]| replies.message(b'>', &Rest::Small(text));
    message(b"1 ");
    let one = replies.expect(2, Then::Pass, None);
    let two = replies.expect(1, Then::Pass, None);
    message(b"2 ");
    // The second reply comes in part before its turn.
    replies.deliver(two, b"c", 0);
    replies.deliver(one, b"a", 0);
    message(b"3 ");
    replies.message(b'*', &Rest::Large(Bytes::from_static(b"4 ")));
    assert_eq!(out(&replies), ">1 >2 a");
    replies.deliver(one, b"a ", 1);
    assert_eq!(out(&replies), ">1 >2 aa >3 *4 ");
    message(b"5 ");
    replies.deliver(one, b"b ", 1);
    assert_eq!(out(&replies), ">1 >2 aa >3 *4 >5 b c");
    message(b"6 ");
    replies.deliver(two, b"c ", 1);
    assert_eq!(out(&replies), ">1 >2 aa >3 *4 >5 b cc >6 ");
    assert_eq!(replies.bytes(), out(&replies).len());
    // One that does not read is cut off, however it is with its replies.
    replies.message(b'>', &Rest::Large(Bytes::from(vec![b'x'; 1000])));
    assert_eq!((replies.cut(), replies.bytes()), (Some(Cut::SlowReader), 0));
}
