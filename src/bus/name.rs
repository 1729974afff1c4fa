//! Names of buses, methods, workers and parameters: what is allowed, and how a bus is written into keys.

use super::error::BusError;

/// The most bytes of a name.
const MOST_BYTES: usize = 255;

/// Checks a name: 1 to 255 bytes of UTF-8 without control characters.
///
/// # Errors
/// The error reply, which says `what` is wrong.
pub(super) fn check<'a>(what: &str, name: &'a [u8]) -> Result<&'a str, BusError> {
    let text = std::str::from_utf8(name).ok();
    text.filter(|text| (1..=MOST_BYTES).contains(&text.len()) && !text.chars().any(char::is_control))
        .ok_or_else(|| {
            BusError::Invalid(format!("the name of a {what} must be 1 to {MOST_BYTES} bytes of UTF-8 without control characters"))
        })
}

/// Tells whether a pattern matches one name only, itself.
pub(super) fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '[', '\\'])
}

/// What all keys of a bus begin with. The bus is the hash tag, so its keys share a slot of a cluster; braces
/// in its name are written as `%7B` and `%7D`, so that the tag is whole and no two buses share a key.
pub(super) fn key_prefix(bus: &str) -> String {
    let mut prefix = String::with_capacity(bus.len() + 14);
    prefix.push_str("respite:b:{");
    for c in bus.chars() {
        match c {
            '{' => prefix.push_str("%7B"),
            '}' => prefix.push_str("%7D"),
            '%' => prefix.push_str("%25"),
            c => prefix.push(c),
        }
    }
    prefix.push_str("}:");
    prefix
}

/// The key that stands for a bus in key rules: `respite:b:{bus}`.
pub(super) fn rule_key(bus: &str) -> String {
    let mut key = key_prefix(bus);
    key.pop();
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_without_control_characters() {
        for good in ["a", "mathé/sum*", "a b", &"x".repeat(255)] {
            assert_eq!(check("bus", good.as_bytes()), Ok(good));
        }
        let long = "x".repeat(256);
        for bad in [
            &b""[..],
            b"a\n",
            b"\x7f",
            "a\u{85}".as_bytes(),
            b"\xff",
            long.as_bytes(),
        ] {
            let error = check("bus", bad).expect_err("refused").to_string();
            assert!(
                error.starts_with("ERR the name of a bus must be"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_two_buses_share_a_prefix() {
        assert_eq!(key_prefix("math"), "respite:b:{math}:");
        assert_eq!(key_prefix("a}:m{%"), "respite:b:{a%7D:m%7B%25}:");
        assert_ne!(key_prefix("}"), key_prefix("%7D"));
    }

    #[test]
    fn only_plain_patterns_are_literal() {
        assert!(is_literal("sum") && is_literal("a]b"));
        for pattern in ["*", "a?", "[ab]", "\\a"] {
            assert!(!is_literal(pattern), "{pattern}");
        }
    }
}
