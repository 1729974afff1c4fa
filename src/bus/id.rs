//! The ids of calls: the number that a Respite gave, the place in the stream, the method.

/// The place of a direct call's id, where others have their place in the stream. The scripts know it, too.
const PLACE: &str = "0-1";
/// How long the name of a Respite is.
pub(super) const HOME_LEN: usize = 16;

/// The number of a call: what its id begins with, and its Respite gave it.
pub(super) fn number_of(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}

/// The method of a call: what its id ends with.
pub(super) fn method_of(id: &str) -> &str {
    id.splitn(3, '.').nth(2).unwrap_or_default()
}

/// The id of a direct call.
pub(super) fn direct_id(number: &str, method: &str) -> String {
    format!("{number}.{PLACE}.{method}")
}

/// The number of a call if it began as a direct one, and the Respite that gave it.
pub(super) fn parse_direct(id: &str) -> Option<(&str, &str)> {
    let (number, rest) = id.split_once('.')?;
    let is_direct = rest.split_once('.')?.0 == PLACE;
    let home = number.split_once('-')?.0;
    // It goes into hints, which are lines.
    (is_direct && home.len() == HOME_LEN && !id.contains('\n')).then_some((number, home))
}

/// Whether a call began as a direct one.
pub(super) fn is_direct(id: &str) -> bool {
    parse_direct(id).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_number_and_method() {
        let id = "0123-a.1700000000000-0.my.method";
        assert_eq!((number_of(id), method_of(id)), ("0123-a", "my.method"));
        assert_eq!((number_of("x"), method_of("x")), ("x", ""));
    }

    #[test]
    fn the_id_of_a_direct_call_tells_its_respite() {
        let (home, number) = ("0123456789abcdef", "0123456789abcdef-1f");
        let id = direct_id(number, "my.method");
        assert_eq!(parse_direct(&id), Some((number, home)));
        assert_eq!(method_of(&id), "my.method");
        for other in [
            "0123456789abcdef-1f.1700000000000-0.m",
            "0123456789abcdef.0-1.m",
            "short-1f.0-1.m",
            "0123456789abcdef-1f.0-1",
            "0123456789abcdef-1f.0-1.m\nq",
        ] {
            assert!(!is_direct(other), "{other:?}");
        }
    }
}
