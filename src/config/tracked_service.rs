//! The name of a service whose nodes are tracked: `SERVICE`, or `GROUP/SERVICE`.

use std::fmt;
use std::str::FromStr;

/// The group of a service that is named without one, as in the commands `DISCOVERY.*`.
const DEFAULT_GROUP: &str = "default";

/// The longest name of a group or a service.
const MAX_NAME_BYTES: usize = 255;

/// A service of service discovery. Shown as it is written, without the default group where that
/// leaves no doubt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrackedService {
    /// The group that it belongs to.
    pub group: String,
    /// Its name in the group.
    pub service: String,
}

impl FromStr for TrackedService {
    type Err = &'static str;

    /// The first `/` ends the group: a service with one in its name is written with its group.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (group, service) = text.split_once('/').unwrap_or((DEFAULT_GROUP, text));
        let valid = |name: &str| {
            (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control)
        };
        if !valid(group) || !valid(service) || service == "*" {
            return Err(
                "must be SERVICE or GROUP/SERVICE, each of 1 to 255 bytes without control characters",
            );
        }
        Ok(TrackedService {
            group: group.to_owned(),
            service: service.to_owned(),
        })
    }
}

impl fmt::Display for TrackedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group != DEFAULT_GROUP || self.service.contains('/') {
            write!(f, "{}/", self.group)?;
        }
        f.write_str(&self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_a_group() {
        for (text, group, service, shown) in [
            ("web", "default", "web", "web"),
            ("default/web", "default", "web", "web"),
            ("shop/web", "shop", "web", "shop/web"),
            ("default/a/b", "default", "a/b", "default/a/b"),
            ("shop/a/b", "shop", "a/b", "shop/a/b"),
            ("Größe/ä b", "Größe", "ä b", "Größe/ä b"),
        ] {
            let read: TrackedService = text.parse().expect(text);
            assert_eq!(
                (read.group.as_str(), read.service.as_str()),
                (group, service)
            );
            assert_eq!(read.to_string(), shown);
            assert_eq!(shown.parse(), Ok(read), "it reads back");
        }
        let long = "x".repeat(256);
        for text in ["", "/", "a/", "/a", "*", "a/*", "a\n", &long] {
            assert!(text.parse::<TrackedService>().is_err(), "{text:?}");
        }
    }
}
