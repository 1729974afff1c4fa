//! The scheduler by hand, without its loop.

use super::*;
use crate::config::Config;
use crate::fleet::{Target, watcher::Found};

/// A scheduler whose one shard is at an address where nobody is, and that shard.
fn scheduler() -> (Scheduler, Arc<Shard>) {
    let settings: Settings = Arc::new(arc_swap::ArcSwap::from_pointee(Config::default().fleet));
    let table = Arc::<Table>::default();
    let target = Target {
        id: "x".to_owned(),
        endpoint: "unix:///nowhere/at/all".parse().expect("a URL"),
        labels: Default::default(),
    };
    let found = Found {
        target: Arc::new(target),
        source: "test".into(),
    };
    table.apply(vec![found], &settings.load());
    let shard = table.get("x").expect("just applied");
    let poller = Poller::new(table, settings, Arc::default(), Arc::new(Turns::new()));
    (Scheduler::new(poller), shard)
}

#[tokio::test]
async fn a_poll_that_panics_is_counted_and_made_again() {
    let (mut scheduler, shard) = scheduler();
    scheduler.finish(&shard, None);
    let stats = scheduler.poller.stats();
    assert_eq!((stats.polls, stats.failures, stats.panics), (1, 1, 1));
    assert!(scheduler.queue.next_due().is_some());
    let status = shard.status(&scheduler.poller.settings.load());
    assert_eq!(status.error.as_deref(), Some("the poll panicked"));
}

#[tokio::test(start_paused = true)]
async fn failures_are_waited_for_longer_and_longer() {
    let (mut scheduler, shard) = scheduler();
    scheduler.take_orders();
    for failures in 1..=5 {
        scheduler.start_next();
        let done = scheduler.polls.join_next().await.expect("it was started");
        let began = Instant::now();
        let (polled, outcome) = done.expect("panics are caught inside");
        scheduler.finish(&polled, outcome);
        assert_eq!(
            shard.status(&scheduler.poller.settings.load()).failures,
            failures
        );
        let wait = scheduler.queue.next_due().expect("it is queued") - began;
        let longest = super::super::super::interval::backoff(failures);
        let jitter = longest.mul_f64(1.0 - JITTER)..=longest + Duration::from_millis(500);
        assert!(jitter.contains(&wait), "{wait:?} after {failures} failures");
    }
}

#[tokio::test]
async fn who_is_gone_is_polled_no_more() {
    let (mut scheduler, shard) = scheduler();
    scheduler.take_orders();
    let settings = scheduler.poller.settings.load_full();
    let changes = scheduler.poller.table.apply(Vec::new(), &settings);
    scheduler.poller.adopt(changes);
    scheduler.take_orders();
    scheduler.start_next();
    assert!(scheduler.polls.is_empty() && scheduler.known.is_empty());
    assert!(scheduler.sweep.is_some());
    scheduler.finish(&shard, None);
    assert!(scheduler.queue.next_due().is_none());
}
