//! All services, and which of them a path belongs to.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::path;
use super::service::Service;

/// The services by name and by path.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) services: BTreeMap<String, Arc<Service>>,
    paths: HashMap<String, Arc<Service>>,
    /// The segments of the longest path.
    deepest: usize,
}

impl Catalog {
    /// A catalog of these services with their paths.
    pub(super) fn new(services: BTreeMap<String, Arc<Service>>) -> Self {
        let mut paths = HashMap::new();
        for service in services.values() {
            for api in service.apis().iter() {
                // As the paths of requests are written.
                let path = path::normal(api).map_or_else(|_| api.clone(), Cow::into_owned);
                paths.insert(path, Arc::clone(service));
            }
        }
        let segments = |path: &String| path.matches('/').count();
        Catalog {
            deepest: paths.keys().map(segments).max().unwrap_or(0),
            services,
            paths,
        }
    }

    /// The service with the longest API that the path begins with, by whole segments.
    pub(super) fn route(&self, path: &str) -> Option<&Arc<Service>> {
        let ends = memchr::memchr_iter(b'/', path.as_bytes())
            .skip(1)
            .chain([path.len()]);
        let mut longest = self.paths.get("/").filter(|_| path.starts_with('/'));
        for end in ends.take(self.deepest) {
            let found = path.get(..end).and_then(|prefix| self.paths.get(prefix));
            longest = found.or(longest);
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(services: &[(&str, &[&str])]) -> Catalog {
        let service = |(name, apis): &(&str, &[&str])| {
            let service = Service::new(name);
            let apis: Vec<String> = apis.iter().map(|api| (*api).to_owned()).collect();
            service.set_apis(&apis);
            ((*name).to_owned(), service)
        };
        Catalog::new(services.iter().map(service).collect())
    }

    #[test]
    fn the_longest_path_wins_by_whole_segments() {
        let catalog = catalog(&[
            ("one", &["/first", "/second/sample"]),
            ("two", &["/second", "/third"]),
        ]);
        for (path, service) in [
            ("/first", Some("one")),
            ("/first/", Some("one")),
            ("/first/a/b/c", Some("one")),
            ("/second", Some("two")),
            ("/second/sample", Some("one")),
            ("/second/sample/x", Some("one")),
            ("/second/samples", Some("two")),
            ("/firstly", None),
            ("/", None),
            ("", None),
            ("first", None),
            ("//first", None),
            ("*", None),
        ] {
            let found = catalog.route(path).map(|service| service.name.as_str());
            assert_eq!(found, service, "{path}");
        }
    }

    #[test]
    fn a_slash_is_everything_else() {
        let catalog = catalog(&[("all", &["/"]), ("api", &["/api/v1"])]);
        for (path, service) in [
            ("/", Some("all")),
            ("/api", Some("all")),
            ("/api/v1/x", Some("api")),
            ("/api/v12", Some("all")),
            ("*", None),
        ] {
            let found = catalog.route(path).map(|service| service.name.as_str());
            assert_eq!(found, service, "{path}");
        }
        assert!(Catalog::default().route("/").is_none());
        let deep = "/x".repeat(100_000);
        assert_eq!(catalog.route(&deep).map(|s| s.name.as_str()), Some("all"));
    }
}
