//! The texts of the errors that concern the form of a command, as Redis 7 words them.

use super::row::Row;

/// The most bytes of a client's word that an error repeats.
const QUOTED_MAX: usize = 128;

/// Gives the error for a wrong number of arguments.
#[must_use]
pub fn arity_error(row: &Row) -> String {
    format!("ERR wrong number of arguments for '{}' command", row.name)
}

/// Gives the error for a subcommand that does not exist: both words as the client wrote them.
#[must_use]
pub fn unknown_subcommand(container: &[u8], sub: &[u8]) -> Vec<u8> {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(quoted(sub));
    text.extend_from_slice(b"'. Try ");
    text.extend(container.to_ascii_uppercase());
    text.extend_from_slice(b" HELP.");
    text
}

/// Cuts a word as C's `%.128s` does.
fn quoted(word: &[u8]) -> &[u8] {
    let word = &word[..word.len().min(QUOTED_MAX)];
    let end = memchr::memchr(0, word).unwrap_or(word.len());
    &word[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;

    #[test]
    fn errors_are_worded_as_by_redis_7() {
        let table = Table::shipped();
        let client = table.get(b"CLIENT").expect("built in");
        assert_eq!(
            arity_error(client),
            "ERR wrong number of arguments for 'client' command",
        );
        let setname = table.get_sub(client, b"SetName").expect("built in");
        assert_eq!(
            arity_error(setname),
            "ERR wrong number of arguments for 'client|setname' command",
        );
        assert_eq!(
            unknown_subcommand(b"Client", b"SETNAMEx"),
            b"ERR unknown subcommand 'SETNAMEx'. Try CLIENT HELP.",
        );
        let long = [b'x'; 200];
        let text = unknown_subcommand(b"memory", &long);
        assert_eq!(text.iter().filter(|&&byte| byte == b'x').count(), 128);
    }

    #[test]
    fn a_quoted_word_ends_at_a_zero_byte() {
        assert_eq!(
            unknown_subcommand(b"a", b"b\0c"),
            b"ERR unknown subcommand 'b'. Try A HELP."
        );
    }
}
