//! The names of groups, services and nodes, and the bounds of what is said about them.

/// The most bytes of a name.
pub(super) const NAME_BYTES: usize = 255;
/// The most tags, facts or entries of meta of one node or service: they are read as a whole.
pub(super) const ENTRIES: usize = 64;
/// The most bytes of one value.
pub(super) const VALUE_BYTES: usize = 4096;
/// The most bytes of everything that is said about one node or service.
pub(super) const TOTAL_BYTES: usize = 64 * 1024;
/// The most services that a group may have registered.
pub(super) const SERVICES: usize = 10_000;
/// The most nodes of a service: one script reads them all.
pub(super) const SERVICE_NODES: usize = 10_000;
/// The most nodes of a group.
pub(super) const GROUP_NODES: usize = 50_000;
/// The most groups that are listed: asking whether there is anything in them takes a script each.
pub(super) const LISTED_GROUPS: usize = 100_000;
/// The most groups that the clients of one Respite may watch at the same time.
pub(super) const WATCHED_GROUPS: usize = 4000;
/// The most of these for clients of one address, so that nobody takes the places of all others.
pub(super) const WATCHED_OF_ADDRESS: usize = 1000;

/// The group of commands that name none.
pub(super) const DEFAULT_GROUP: &str = "default";

/// Takes a name: 1 to 255 bytes of UTF-8 without control characters.
pub(super) fn name(what: &str, bytes: &[u8]) -> Result<String, String> {
    let valid = (1..=NAME_BYTES).contains(&bytes.len());
    match std::str::from_utf8(bytes) {
        Ok(text) if valid && !text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) => {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "ERR invalid {what}: 1 to 255 bytes of UTF-8 without control characters"
        )),
    }
}

/// Takes a value: any bytes, but not too many.
pub(super) fn value(what: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    if bytes.len() > VALUE_BYTES {
        return Err(format!("ERR {what} is longer than {VALUE_BYTES} bytes"));
    }
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_text_without_control_characters() {
        for good in ["a", "ä/b c", "{x}:y%", &"x".repeat(255)] {
            assert_eq!(name("group", good.as_bytes()).as_deref(), Ok(good));
        }
        let long = "x".repeat(256);
        for bad in [
            &b""[..],
            b"a\x01",
            b"\x7f",
            b"a\nb",
            b"\xff",
            long.as_bytes(),
        ] {
            let error = name("group", bad).expect_err("refused");
            assert!(error.starts_with("ERR invalid group"), "{error}");
        }
    }
}
