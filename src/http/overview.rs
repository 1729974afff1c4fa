//! The overview in parts, each for those who may run the command that tells the same.

use std::fmt::Write;

use super::access::Sight;

/// A part of the overview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverviewPart {
    /// None for members of the overview itself.
    name: Option<&'static str>,
    command: &'static str,
    /// It may name keys, groups and buses of anybody.
    of_all_keys: bool,
    json: String,
}

impl OverviewPart {
    /// One member, a JSON value.
    #[must_use]
    pub fn new(name: &'static str, command: &'static str, json: String) -> Self {
        OverviewPart {
            name: Some(name),
            command,
            of_all_keys: false,
            json,
        }
    }

    /// The same, for those only who may use every key.
    #[must_use]
    pub fn of_all_keys(self) -> Self {
        OverviewPart {
            of_all_keys: true,
            ..self
        }
    }

    /// Members of the overview itself, as a JSON object that has some.
    #[must_use]
    pub fn members(command: &'static str, object: &str) -> Self {
        let members = object.strip_prefix('{').and_then(|o| o.strip_suffix('}'));
        OverviewPart {
            name: None,
            command,
            of_all_keys: false,
            json: members.unwrap_or_default().to_owned(),
        }
    }
}

/// What a viewer may see of it, as one JSON object. What he may not is null.
pub(super) fn compose(parts: &[OverviewPart], sight: &Sight) -> String {
    let all_keys = sight.rights().may_use_all();
    compose_as(parts, |part| {
        (all_keys || !part.of_all_keys) && sight.may_run(part.command).is_ok()
    })
}

fn compose_as(parts: &[OverviewPart], may: impl Fn(&OverviewPart) -> bool) -> String {
    let mut text = String::from("{");
    for part in parts {
        let json = may(part).then_some(part.json.as_str());
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = match (part.name, json) {
            (Some(name), json) => write!(text, "{comma}\"{name}\":{}", json.unwrap_or("null")),
            (None, Some(members)) => write!(text, "{comma}{members}"),
            (None, None) => Ok(()),
        };
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_seen_is_null() {
        let parts = [
            OverviewPart::members("INFO", "{\"a\":1,\"b\":2}"),
            OverviewPart::new("c", "OTHER", "[3]".to_owned()),
        ];
        let all = compose_as(&parts, |_| true);
        assert_eq!(all, r#"{"a":1,"b":2,"c":[3]}"#);
        let some = compose_as(&parts, |part| part.command == "INFO");
        assert_eq!(some, r#"{"a":1,"b":2,"c":null}"#);
        assert_eq!(compose_as(&parts, |_| false), r#"{"c":null}"#);
    }
}
