//! Which instance gets a request, and which gets none for a while.

use std::sync::Arc;
use std::time::Duration;

use super::instance::Instance;

/// Failures in a row that eject an instance.
const FAILURES: u32 = 5;
/// The length of the first ejection.
const EJECTION: Duration = Duration::from_secs(30);

/// Picks an instance for a request: of the healthy ones of the best priority, the less busy of two
/// picked at random. Those in `tried` are left out. `random(n)` gives a number below `n`.
pub(super) fn pick<'a>(
    instances: &'a [Arc<Instance>],
    tried: &[u64],
    now: u64,
    mut random: impl FnMut(usize) -> usize,
) -> Option<&'a Arc<Instance>> {
    let free = |instance: &Instance| {
        instance.is_healthy() && instance.ejected_ms(now) == 0 && !tried.contains(&instance.id)
    };
    let any = |instance: &Instance| instance.is_healthy() && !tried.contains(&instance.id);
    two_choices(instances, free, &mut random)
        // Better one that has failed than none.
        .or_else(|| two_choices(instances, any, &mut random))
}

fn two_choices<'a>(
    instances: &'a [Arc<Instance>],
    usable: impl Fn(&Instance) -> bool,
    random: &mut impl FnMut(usize) -> usize,
) -> Option<&'a Arc<Instance>> {
    let mut best = None;
    let mut count = 0;
    for instance in instances.iter().filter(|instance| usable(instance)) {
        let priority = instance.priority();
        match best {
            Some(other) if priority > other => {}
            Some(other) if priority == other => count += 1,
            _ => {
                best = Some(priority);
                count = 1;
            }
        }
    }
    let best = best?;
    let nth = |n: usize| {
        instances
            .iter()
            .filter(|instance| usable(instance) && instance.priority() == best)
            .nth(n)
    };
    if count == 1 {
        return nth(0);
    }
    let first = random(count);
    let second = (first + 1 + random(count - 1)) % count;
    // States may have changed since they were counted: then one of two, or the first that is left.
    match (nth(first), nth(second)) {
        (Some(a), Some(b)) if b.in_flight() < a.in_flight() => Some(b),
        (Some(a), _) => Some(a),
        (None, b) => b.or_else(|| nth(0)),
    }
}

/// Ejects an instance that has failed so often in a row, unless no other is left. The caller sees to
/// it that only one is ejected at a time. Returns for how long.
pub(super) fn eject(
    instances: &[Arc<Instance>],
    failed: &Instance,
    in_row: u32,
    now: u64,
) -> Option<Duration> {
    if in_row < FAILURES || failed.ejected_ms(now) > 0 {
        return None;
    }
    let another = instances
        .iter()
        .any(|other| other.id != failed.id && other.is_healthy() && other.ejected_ms(now) == 0);
    another.then(|| failed.eject(now, EJECTION))
}

#[cfg(test)]
mod tests {
    use super::super::health::Health;
    use super::*;
    use crate::config::{PollMethod, Polling, Priority};

    const NOW: u64 = 1_000;

    fn instance(name: &str, priority: Priority) -> Arc<Instance> {
        let polling = Polling {
            method: PollMethod::Ping,
            frequency: Duration::from_secs(1),
            retries: 0,
            retry_delay: Duration::ZERO,
            packet_limit: 1,
            priority,
            timeout: Duration::from_secs(1),
        };
        let instance = Instance::new(name.parse().expect("a host"), polling);
        instance.set_health(Health::Up);
        instance
    }

    /// Who is picked, whatever chance says.
    fn picked(instances: &[Arc<Instance>], tried: &[u64]) -> Vec<String> {
        let mut names: Vec<String> = (0..16)
            .filter_map(|n| pick(instances, tried, NOW, |below| n % below))
            .map(|instance| instance.url.to_string())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    #[test]
    fn the_best_priority_that_is_healthy_gets_all() {
        let all = [
            instance("low", Priority::Low),
            instance("a", Priority::High),
            instance("med", Priority::Med),
            instance("b", Priority::High),
        ];
        assert_eq!(picked(&all, &[]), ["a", "b"]);
        all[1].set_health(Health::Down);
        assert_eq!(picked(&all, &[]), ["b"]);
        all[3].set_draining(true);
        assert_eq!(picked(&all, &[]), ["med"]);
        all[2].set_health(Health::Recovering);
        assert_eq!(picked(&all, &[]), ["low"]);
        all[0].set_health(Health::Unknown);
        assert!(picked(&all, &[]).is_empty());
    }

    #[test]
    fn the_less_busy_of_two_is_picked() {
        let all = [instance("a", Priority::Med), instance("b", Priority::Med)];
        let busy = all[0].begin();
        assert_eq!(picked(&all, &[]), ["b"]);
        drop(busy);
        assert_eq!(picked(&all, &[]), ["a", "b"]);
        assert_eq!(picked(&all, &[all[0].id]), ["b"]);
        assert!(picked(&all, &[all[0].id, all[1].id]).is_empty());
    }

    #[test]
    fn with_many_every_one_has_its_chance() {
        let all: Vec<_> = ["a", "b", "c", "d"]
            .map(|name| instance(name, Priority::Med))
            .into();
        assert_eq!(picked(&all, &[]), ["a", "b", "c", "d"]);
    }

    #[test]
    fn five_failures_in_a_row_eject_longer_each_time() {
        let all = [instance("a", Priority::Med), instance("b", Priority::Med)];
        let mut now = NOW;
        for seconds in [30, 60, 90] {
            for _ in 0..4 {
                let in_row = all[0].note_failure();
                assert_eq!(eject(&all, &all[0], in_row, now), None);
            }
            let in_row = all[0].note_failure();
            let length = Duration::from_secs(seconds);
            assert_eq!(eject(&all, &all[0], in_row, now), Some(length));
            let picked = pick(&all, &[], now, |_| 0).map(|i| i.url.to_string());
            assert_eq!(picked.as_deref(), Some("b"));
            now += seconds * 1000;
            assert_eq!(all[0].ejected_ms(now), 0);
        }
        now += 301_000;
        assert_eq!(
            eject(&all, &all[0], 5, now),
            Some(EJECTION),
            "it is forgotten"
        );
    }

    #[test]
    fn a_success_begins_the_count_anew() {
        let all = [instance("a", Priority::Med), instance("b", Priority::Med)];
        for _ in 0..4 {
            all[0].note_failure();
        }
        all[0].note_success(Duration::from_millis(3));
        assert_eq!(all[0].note_failure(), 1);
        assert!(all[0].ewma_ms() > 0.0);
    }

    #[test]
    fn the_last_one_is_never_ejected() {
        let all = [instance("a", Priority::Med), instance("b", Priority::Low)];
        assert!(eject(&all, &all[0], 5, NOW).is_some());
        assert_eq!(eject(&all, &all[1], 5, NOW), None);
        // What is left fails its polls: the ejected one is better than none.
        all[1].set_health(Health::Down);
        assert_eq!(picked(&all, &[]), ["a"]);
        let alone = [instance("a", Priority::Med)];
        assert_eq!(eject(&alone, &alone[0], 50, NOW), None);
    }

    #[test]
    fn recovery_ends_an_ejection() {
        let all = [instance("a", Priority::Med), instance("b", Priority::Med)];
        assert!(eject(&all, &all[0], 5, NOW).is_some());
        for success in [false, true, true] {
            all[0].set_health(all[0].health().after_round(success));
        }
        assert_eq!(all[0].ejected_ms(NOW), 0);
    }
}
