//! The order in which replies leave.

use std::rc::Rc;

use super::*;

fn out(replies: &Replies) -> String {
    String::from_utf8(replies.inner.borrow().out.clone()).expect("text")
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
        Then::Hold(Box::new(move |slot| tell.set(Some(slot)))),
        None,
    );
    replies.expect(1, Then::Pass, None);
    replies.deliver(b"a", 1);
    replies.deliver(b"b", 1);
    assert_eq!((out(&replies).as_str(), replies.held()), ("", 1));
    replies.release(told.get().expect("the hold was started"));
    assert_eq!((out(&replies).as_str(), replies.held()), ("ab", 0));
}

#[test]
fn too_much_unread_output_cuts_the_client_off() {
    let replies = Replies::new(10);
    replies.expect(2, Then::Pass, None);
    replies.deliver(&[b'x'; 10], 1);
    assert_eq!(replies.cut(), None);
    replies.deliver(b"y", 1);
    assert_eq!(replies.cut(), Some(Cut::SlowReader));
    assert_eq!(replies.inner.borrow().unwritten(), 0);
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
