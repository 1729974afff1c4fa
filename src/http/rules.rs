//! Which command tells what a page shows: rules about the command are rules about the page.

use super::{api, page};

/// What has to be allowed to whoever asks for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing: it says nothing that anybody could be denied.
    Anybody,
    /// It looks itself, for each of its parts.
    ByPart,
    /// This command.
    Command(&'static str),
    /// Whatever is administrative: it is no page that is known here.
    Everything,
}

/// The rule for a path.
pub(super) fn rule(path: &str) -> Rule {
    match path {
        "/" | "/health" | "/ready" | "/logout" => Rule::Anybody,
        path if page::is_free(path) => Rule::Anybody,
        "/metrics" | "/dump" => Rule::ByPart,
        "/stats" => Rule::Command("GATEWAY.STATS"),
        "/scrape" => Rule::Command("SHARD.INFO"),
        "/sd" | "/shards" => Rule::Command("SHARD.LIST"),
        "/services" => Rule::Command("DISCOVERY.NODES"),
        path if path.starts_with("/api/") => {
            api::route(path).map_or(Rule::Everything, |route| Rule::Command(route.command))
        }
        // A session reads the key, with the rights of its user.
        path if path.starts_with("/keys/") => Rule::ByPart,
        path if path.starts_with("/shards/") => Rule::Command("SHARD.INFO"),
        path if path.starts_with("/bus/") => Rule::Command("BUS.METHODS"),
        _ => Rule::Everything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_rule_is_for_those_who_may_everything() {
        assert_eq!(rule("/shards/a/info"), Rule::Command("SHARD.INFO"));
        assert_eq!(rule("/shards"), Rule::Command("SHARD.LIST"));
        assert_eq!(rule("/api/shards/a"), Rule::Command("SHARD.INFO"));
        assert_eq!(rule("/api/live"), Rule::Command("INFO"));
        assert_eq!(rule("/login"), Rule::Anybody);
        for unknown in [
            "/new",
            "/api/x",
            "/api",
            "/login/x",
            "//shards",
            "/Shards",
            "/metrics/",
        ] {
            assert_eq!(rule(unknown), Rule::Everything, "{unknown}");
        }
    }
}
