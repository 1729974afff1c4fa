//! What is known of a shard beside its INFO.

use super::text::Out;
use crate::fleet::{Role, State, Status};

/// A metric that every shard has, whether it answers or not.
pub(super) struct Known {
    pub(super) metric: &'static str,
    pub(super) help: &'static str,
    pub(super) write: fn(&Status, &mut Out<'_, '_>),
}

/// All of them.
pub(super) const KNOWN: &[Known] = &[
    Known {
        metric: "redis_up",
        help: "Whether the server answers, and what it said is no older than it may be.",
        write: |status, out| out.sample(&[], is_up(status)),
    },
    Known {
        metric: "respite_shard_info",
        help: "1; where a shard is and who found it, in labels.",
        write: info,
    },
    Known {
        metric: "respite_shard_state",
        help: "1; the state of a shard, in a label.",
        write: |status, out| out.sample(&[("state", status.state.name())], true),
    },
    Known {
        metric: "respite_shard_info_age_seconds",
        help: "How long ago a shard was asked for the INFO that is shown.",
        write: |status, out| {
            if let Some(age) = status.age {
                out.sample(&[], age.as_secs_f64());
            }
        },
    },
    Known {
        metric: "respite_shard_poll_interval_seconds",
        help: "How often a shard is asked.",
        write: |status, out| out.sample(&[], status.interval.as_secs_f64()),
    },
    Known {
        metric: "respite_shard_poll_failures",
        help: "Polls of a shard that have failed in a row.",
        write: |status, out| out.sample(&[], u64::from(status.failures)),
    },
];

/// Whether what a shard said last may be shown as how it is.
pub(super) fn is_up(status: &Status) -> bool {
    let well = match status.state {
        State::Live => true,
        // It says so in its INFO, or it gave an error instead of one.
        State::Loading => status.error.is_none(),
        _ => false,
    };
    well && status.latest.is_some()
}

/// Why it may not, in words.
pub(super) fn why_down(status: &Status) -> String {
    match (&status.error, status.state) {
        (_, State::Gone) => "no watcher names this server any more".to_owned(),
        (Some(error), _) => error.to_string(),
        (None, State::Stale) => {
            let age = status.age.unwrap_or_default().as_millis();
            format!("the server answered {age} ms ago")
        }
        (None, _) => "the server has not answered yet".to_owned(),
    }
}

fn info(status: &Status, out: &mut Out<'_, '_>) {
    let addr = status.target.endpoint.address.to_string();
    let role = status.latest.as_ref().and_then(|latest| latest.role);
    let named = status.target.labels.iter();
    let named: Vec<_> = named
        .map(|(name, value)| (label("label_", name), value))
        .collect();
    let mut labels = vec![
        ("addr", addr.as_str()),
        ("role", role.map_or("", Role::name)),
        ("source", &*status.source),
    ];
    for (name, value) in &named {
        if labels.iter().all(|(other, _)| other != name) {
            labels.push((name, value));
        }
    }
    out.sample(&labels, true);
}

/// A label's name as Prometheus allows it, with a prefix that keeps it apart from all others.
pub(super) fn label(prefix: &str, name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    prefix.chars().chain(name.chars().map(allowed)).collect()
}
