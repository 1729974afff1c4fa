//! The rules about what is behind the gateway and on the bus.

use super::facts::Facts;
use super::naming::names;

pub(super) fn services_down(facts: &Facts) -> Option<String> {
    (!facts.services_down.is_empty()).then(|| {
        format!(
            "{} services of the gateway have no healthy instance: {}. Their requests get 503. GATEWAY.INSTANCES says why \
             the polls fail.",
            facts.services_down.len(),
            names(facts.services_down.iter().map(String::as_str))
        )
    })
}

pub(super) fn instances_down(facts: &Facts) -> Option<String> {
    let (down, all) = facts.instances_down;
    (down > 0 && facts.services_down.is_empty()).then(|| {
        format!("{down} of {all} instances of the gateway are down or ejected: the others carry their load. See GATEWAY.INSTANCES.")
    })
}

pub(super) fn calls_stuck(facts: &Facts) -> Option<String> {
    let worst = facts.stuck_methods.iter().max_by_key(|m| m.queued)?;
    let advice = if worst.workers == 0 {
        "No worker that serves it is alive: start one, or see why they ended."
    } else {
        "Its workers are at work and answer nothing: see what they wait for, or start more. BUS.WORKERS has their names."
    };
    Some(format!(
        "Calls of {} methods of the bus wait and none ends. '{}' has {} queued and {} in flight on {} workers, for {} s. \
         {advice}",
        facts.stuck_methods.len(),
        worst.name,
        worst.queued,
        worst.in_flight,
        worst.workers,
        worst.seconds,
    ))
}
