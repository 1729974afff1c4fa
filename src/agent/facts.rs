//! The facts of the host that the agent runs on.

use std::time::Duration;

use dns_lookup::{AddrInfoHints, getaddrinfo};
use nix::libc::AI_CANONNAME;
use sysinfo::{MemoryRefreshKind, Networks, RefreshKind, System};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long the host's name server may take.
const LOOKUP: Duration = Duration::from_secs(2);

/// Gathers the facts: `ip` (all addresses that are not of loopback or link-local, by commas),
/// `fqdn`, `os`, `platform`, `arch`, `cpu_count` (logical), `memory` (MB), `last_boot` (seconds since
/// 1970). What cannot be found is left out; a fact that is `given` wins.
pub(super) async fn of_this_host(given: &[(String, String)]) -> Vec<(String, String)> {
    let found = spawn_blocking(system).await.unwrap_or_default();
    let name = timeout(LOOKUP, spawn_blocking(full_name)).await;
    let name = name.ok().and_then(Result::ok).flatten();
    let name = name.or_else(System::host_name);
    let name = name.map(|name| ("fqdn".to_owned(), name));
    let found = found.into_iter().chain(name);
    let mut facts: Vec<(String, String)> = found
        .filter(|(name, value)| !value.is_empty() && !given.iter().any(|(n, _)| n == name))
        .collect();
    facts.extend_from_slice(given);
    facts
}

fn system() -> Vec<(String, String)> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let facts = [
        ("ip", addresses().join(",")),
        ("os", System::name().unwrap_or_default()),
        ("platform", System::long_os_version().unwrap_or_default()),
        ("arch", System::cpu_arch()),
        ("cpu_count", cpus.to_string()),
        ("memory", (system.total_memory() / 1_000_000).to_string()),
        ("last_boot", System::boot_time().to_string()),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The addresses of all interfaces that others may reach, in order.
fn addresses() -> Vec<String> {
    let networks = Networks::new_with_refreshed_list();
    let all = networks.values().flat_map(|data| data.ip_networks());
    let mut addresses: Vec<_> = all
        .map(|network| network.addr)
        .filter(|addr| match addr {
            std::net::IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            std::net::IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.iter().map(ToString::to_string).collect()
}

/// The name of the host with its domain, as the resolver knows it.
fn full_name() -> Option<String> {
    let host = System::host_name()?;
    let hints = AddrInfoHints {
        flags: AI_CANONNAME,
        ..AddrInfoHints::default()
    };
    let mut found = getaddrinfo(Some(&host), None, Some(hints)).ok()?;
    found.find_map(|info| info.ok()?.canonname)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_given_wins() {
        let given = [("os", "mine"), ("rack", "7")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let facts = of_this_host(&given).await;
        let get = |name: &str| {
            let mut of_name = facts.iter().filter(|(known, _)| known == name);
            let value = of_name.next().map(|(_, value)| value.as_str());
            assert!(of_name.next().is_none(), "{name} twice");
            value
        };
        assert_eq!((get("os"), get("rack")), (Some("mine"), Some("7")));
        let number = |name| {
            get(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0_u64)
        };
        assert!(number("cpu_count") > 0 && number("memory") > 0 && number("last_boot") > 0);
        assert!(get("arch").is_some() && get("fqdn").is_some() && get("platform").is_some());
    }
}
