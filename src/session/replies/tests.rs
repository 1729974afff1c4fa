//! The order in which replies leave.

use std::rc::Rc;

use super::*;

fn out(replies: &Replies) -> String {
    String::from_utf8(replies.inner.borrow().out.first().to_vec()).expect("text")
}

#[test]
fn replies_leave_in_the_order_of_requests() {
    let replies = Replies::new(1000);
    replies.reply(|out| out.extend_from_slice(b"a"));
    replies.expect(2, Then::Pass, None);
    replies.expect(1, Then::Pass, None);
    replies.reply(|out| out.extend_from_slice(b"c"));
    replies.reply(|out| out.extend_from_slice(b"d"));
    replies.expect(1, Then::Drop, None);
    replies.reply(|out| out.extend_from_slice(b"f"));
    assert_eq!((out(&replies).as_str(), replies.outstanding()), ("a", 4));
    replies.deliver(b"b1b2", 2);
    assert_eq!(out(&replies), "ab1b2");
    replies.deliver(b"b3", 1);
    assert_eq!(out(&replies), "ab1b2b3cd");
    replies.deliver(b"dropped", 1);
    assert_eq!(
        (out(&replies).as_str(), replies.outstanding()),
        ("ab1b2b3cdf", 0)
    );
}

#[test]
fn parts_of_a_reply_are_rewritten_as_a_whole() {
    let replies = Replies::new(1000);
    replies.expect(
        1,
        Then::Rewrite(Box::new(|raw, out| {
            out.extend(raw.iter().rev());
        })),
        None,
    );
    replies.deliver(b"12", 0);
    assert_eq!(out(&replies), "");
    replies.deliver(b"34", 1);
    assert_eq!(out(&replies), "4321");
}

#[test]
fn a_fetched_reply_takes_its_place() {
    let replies = Replies::new(1000);
    let slot = replies.next_later();
    replies.expect_later();
    replies.reply(|out| out.extend_from_slice(b"b"));
    replies.expect(1, Then::Pass, None);
    replies.deliver(b"c", 1);
    assert_eq!((out(&replies).as_str(), replies.later()), ("", 1));
    replies.fill(slot, b"a");
    assert_eq!((out(&replies).as_str(), replies.later()), ("abc", 0));
    replies.fill(slot, b"again");
    assert_eq!(out(&replies), "abc");
}

#[test]
fn a_reply_that_begins_before_its_turn_is_whole() {
    let replies = Replies::new(1000);
    let slot = replies.next_later();
    replies.expect_later();
    replies.expect(1, Then::Pass, None);
    replies.deliver(b"b1", 0);
    replies.fill(slot, b"a");
    replies.deliver(b"b2", 1);
    assert_eq!(out(&replies), "ab1b2");
}

#[test]
fn a_held_reply_waits_for_its_release() {
    let replies = Replies::new(1000);
    let told = Rc::new(Cell::new(None));
    let tell = Rc::clone(&told);
    replies.expect(
        1,
        Then::Hold(Box::new(move |slot, _| {
            tell.set(Some(slot));
            true
        })),
        None,
    );
    replies.expect(1, Then::Pass, None);
    replies.deliver(b"a", 1);
    replies.deliver(b"b", 1);
    assert_eq!((out(&replies).as_str(), replies.held()), ("", 1));
    replies.release(told.get().expect("the hold was started"));
    assert_eq!((out(&replies).as_str(), replies.held()), ("ab", 0));
}

/// Two replies that are kept back, with the slots to be released.
fn two_held(replies: &Replies) -> [u64; 2] {
    [b"a", b"b"].map(|reply| {
        let slot = Rc::new(Cell::new(None));
        let tell = Rc::clone(&slot);
        let hold = Box::new(move |slot, _: &[u8]| {
            tell.set(Some(slot));
            true
        });
        replies.expect(1, Then::Hold(hold), None);
        replies.deliver(reply, 1);
        slot.get().expect("the hold was started")
    })
}

#[test]
fn what_comes_unasked_stays_behind_what_is_kept_back() {
    let replies = Replies::new(1000);
    replies.out_of_band(b"0");
    let [first, second] = two_held(&replies);
    replies.expect(3, Then::Pass, None);
    replies.out_of_band(b"1");
    replies.out_of_band(b"2");
    replies.deliver(b"c", 1);
    replies.out_of_band(b"3");
    replies.release(first);
    assert_eq!(out(&replies), "0a");
    replies.deliver(b"d", 1);
    replies.release(second);
    assert_eq!(out(&replies), "0ab12c3d");
    replies.out_of_band(b"4");
    replies.deliver(b"e", 1);
    assert_eq!(
        (out(&replies).as_str(), replies.bytes()),
        ("0ab12c3d4e", 10)
    );
}

#[test]
fn what_comes_unasked_passes_what_waits_for_something_else() {
    let replies = Replies::new(1000);
    let slot = replies.next_later();
    replies.expect_later();
    replies.out_of_band(b"0");
    replies.fill(slot, b"a");
    assert_eq!(out(&replies), "0a");
}

#[test]
fn only_a_client_that_takes_nothing_is_stalled() {
    let begin = Instant::now();
    let late = begin + STALLED_AFTER + Duration::from_millis(1);
    let replies = Replies::new(10);
    replies.expect(3, Then::Pass, None);
    replies.deliver(&[b'x'; 9], 1);
    assert!(!replies.has_stalled(begin) && !replies.has_stalled(late));
    replies.deliver(b"yz", 1);
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
    replies.expect(1, Then::Pass, None);
    replies.deliver(&[b'x'; 100], 0);
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
    replies.expect(1, Then::Pass, None);
    replies.reply(|out| out.resize(BACKLOG, b'x'));
    assert!(replies.is_full() && !replies.is_backlogged());
    replies.deliver(b"y", 1);
    assert!(replies.is_full() && replies.is_backlogged());
    replies.close();
    assert!(!replies.is_full());
}
