//! The arguments of `SHARD.*`, one after the other.

use std::time::Duration;

use crate::command::Call;

pub(super) const SYNTAX: &str = "ERR syntax error";

/// The longest address, user, or name or value of a label, in bytes.
const LONGEST_TEXT: usize = 1024;

/// A reply, or an error reply without its `-`.
pub(super) type Result<T> = std::result::Result<T, String>;

/// The arguments of a command, one after the other.
pub(super) struct Words<'a> {
    words: Box<dyn Iterator<Item = &'a [u8]> + 'a>,
}

impl<'a> Words<'a> {
    /// Those behind the first `skip`.
    pub(super) fn new(call: &Call<'a>, skip: usize) -> Self {
        Words {
            words: Box::new(call.args.iter().skip(skip)),
        }
    }

    /// The next option, in upper case.
    pub(super) fn option(&mut self) -> Option<Vec<u8>> {
        self.words.next().map(<[u8]>::to_ascii_uppercase)
    }

    pub(super) fn word(&mut self) -> Result<&'a [u8]> {
        self.words.next().ok_or_else(|| SYNTAX.to_owned())
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String> {
        let word = self.word()?;
        match std::str::from_utf8(word) {
            Ok(text) if (1..=LONGEST_TEXT).contains(&text.len()) && !has_control(text) => {
                Ok(text.to_owned())
            }
            _ => Err(format!(
                "ERR {what} must be 1 to {LONGEST_TEXT} bytes of UTF-8 without control characters"
            )),
        }
    }

    pub(super) fn number(&mut self, what: &str) -> Result<u64> {
        let text = std::str::from_utf8(self.word()?).ok();
        let number = text.and_then(|text| text.parse().ok());
        number.ok_or_else(|| format!("ERR {what} must be a whole number"))
    }

    pub(super) fn millis(&mut self) -> Result<Duration> {
        self.number("MAXAGE").map(Duration::from_millis)
    }

    /// A list with its length in front.
    pub(super) fn counted(&mut self, what: &str) -> Result<Vec<&'a [u8]>> {
        let count = self.number(what)?;
        let mut words = Vec::new();
        for _ in 0..count {
            words.push(self.word()?);
        }
        Ok(words)
    }

    pub(super) fn rest(self) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        self.words
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

pub(super) fn unknown_option() -> String {
    SYNTAX.to_owned()
}
