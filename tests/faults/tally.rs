//! How often clients were served, and which errors they were told.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) served: u64,
    /// By their kind.
    errors: BTreeMap<String, u64>,
}

impl Tally {
    /// An error with this text.
    pub(crate) fn error(&mut self, text: &str) {
        *self.errors.entry(kind(text)).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        self.served += other.served;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }

    /// The errors as a table has them.
    pub(crate) fn errors(&self) -> String {
        if self.errors.is_empty() {
            return "none".to_owned();
        }
        let all = self.errors.iter();
        let all: Vec<String> = all
            .map(|(kind, count)| format!("{} `{kind}`", thousands(*count)))
            .collect();
        all.join(", ")
    }
}

/// What kind of error this is: its first word, and whether it says that the command was sent.
fn kind(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or(text);
    match text.rsplit("; ").next() {
        Some("the command was not sent") => format!("{word}, not sent"),
        Some("the command was sent and may have been executed") => format!("{word}, sent"),
        _ => word.to_owned(),
    }
}

pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
