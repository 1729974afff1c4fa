//! The metrics of one shard: what redis_exporter gives for a target.

use std::sync::Arc;

use super::Exporter;
use super::families::{Family, family};
use super::shards::{is_up, why_down};
use super::text::{Info, Out, Seen};
use crate::fleet::{Shard, Status, parse_addr};
use crate::metrics::{Exposition, Kind};

impl Exporter {
    /// The text for a target: the id of a shard, or its address as redis_exporter takes it, with a scheme or
    /// without. None when nobody tracks such a server.
    #[must_use]
    pub fn scrape(&self, target: &str) -> Option<String> {
        let shard = self.find(target)?;
        Some(text(&self.fleet.status(&shard)))
    }

    fn find(&self, target: &str) -> Option<Arc<Shard>> {
        let shards = self.fleet.shards();
        if let Some(shard) = shards.get(target) {
            return Some(Arc::clone(shard));
        }
        let address = parse_addr(&plain(target)).ok()?.address;
        let by_name = || shards.get(&address.to_string());
        shards.at(&address).or_else(by_name).cloned()
    }
}

/// The URL without a login, and of a scheme that is known.
fn plain(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once("://") else {
        return target.to_owned();
    };
    let scheme = match scheme {
        "valkey" => "redis",
        "valkeys" => "rediss",
        other => other,
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

fn text(status: &Status) -> String {
    let mut out = Exposition::default();
    let up = is_up(status);
    let error = if up { String::new() } else { why_down(status) };
    let help = "1, with the reason, when the server does not answer.";
    out.family("redis_exporter_last_scrape_error", Kind::Gauge, help)
        .sample(&[("err", &error)], !up);
    let info = status.latest.as_ref().filter(|_| up);
    let info = info.map(|latest| Info::new(latest));
    let (mut seen, mut near) = (Seen::default(), 0);
    for family in (0..).map_while(family) {
        let mut samples = family.begin(&mut out);
        let mut samples = Out::new(&mut samples, None, &mut seen);
        match (family, &info) {
            (Family::Known(known), _) => (known.write)(status, &mut samples),
            (Family::Lines(lines), Some(info)) => (lines.write)(info, &mut samples),
            (Family::Field(field), Some(info)) => {
                if let Some((at, text)) = info.field_near(field.name, near) {
                    near = at;
                    samples.field(field, text);
                }
            }
            (Family::Lines(_) | Family::Field(_), None) => {}
        }
    }
    out.finish()
}

#[cfg(test)]
mod tests;
