//! What this Respite knows of a bus's methods. The scripts check that it is still true.

use std::collections::HashMap;
use std::sync::Arc;

use super::options::Method;
use crate::bus::name::is_literal;
use crate::resp::glob_match;

/// The most methods of a bus.
pub(in crate::bus) const MOST_METHODS: usize = 1000;

/// The methods of a bus at one time.
#[derive(Debug, Default)]
pub(in crate::bus) struct Registry {
    /// What this state is told from every other by; empty before it was read.
    pub(in crate::bus) stamp: String,
    methods: HashMap<String, Arc<Method>>,
    names: Vec<String>,
}

impl Registry {
    /// The registry with these methods.
    pub(in crate::bus) fn new(stamp: String, methods: Vec<Method>) -> Self {
        let mut names: Vec<String> = methods.iter().map(|method| method.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let named = |method: Method| (method.name.clone(), Arc::new(method));
        Registry {
            stamp,
            methods: methods.into_iter().map(named).collect(),
            names,
        }
    }

    pub(in crate::bus) fn get(&self, method: &str) -> Option<&Arc<Method>> {
        self.methods.get(method)
    }

    /// The methods in the order of their names.
    pub(in crate::bus) fn iter(&self) -> impl Iterator<Item = &Arc<Method>> {
        self.names.iter().filter_map(|name| self.methods.get(name))
    }

    /// Lists what the patterns match, in their order: what a literal pattern names, known or not, and the
    /// known methods of the others.
    pub(in crate::bus) fn matching(&self, patterns: &[String]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for pattern in patterns {
            if is_literal(pattern) {
                if !found.contains(pattern) {
                    found.push(pattern.clone());
                }
                continue;
            }
            let matching = self.names.iter().filter(|name| matches(pattern, name));
            let fresh: Vec<String> = matching
                .filter(|name| !found.contains(name))
                .cloned()
                .collect();
            found.extend(fresh);
        }
        found
    }
}

/// Tells whether a pattern matches a method.
fn matches(pattern: &str, method: &str) -> bool {
    glob_match(pattern.as_bytes(), method.as_bytes(), false)
}

/// Tells whether one of the patterns matches a method.
pub(in crate::bus) fn any_matches(patterns: &[String], method: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::method::options::Options;

    #[test]
    fn earlier_patterns_come_first() {
        let method = |name: &str| Method {
            name: name.to_owned(),
            stamp: "1:5".to_owned(),
            options: Options::default(),
        };
        let methods = ["b1", "a2", "a1"].map(method).into();
        let registry = Registry::new("5".to_owned(), methods);
        let matching = |patterns: &[&str]| {
            let patterns: Vec<String> =
                patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            registry.matching(&patterns).join(" ")
        };
        assert_eq!(matching(&["b*", "*"]), "b1 a1 a2");
        assert_eq!(matching(&["later", "a2", "a*"]), "later a2 a1");
        assert_eq!(matching(&["x*"]), "");
    }
}
