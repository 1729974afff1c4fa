//! A number of bytes as it stands in a configuration: `1048576`, `"256MiB"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A size with its notation. Displays in the largest binary unit that gives a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// More than the memory of any machine this runs on; keeps sums of sizes far from overflow.
const MAX: u64 = 1024 << 30;

/// The units, the ones that [`Size`] displays with first and largest first.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

// Case matters because it must not be guessed: to Redis `1mb` is 1024² bytes and `1m` is 1000².
const HELP: &str =
    "must be a size: a number of bytes, or one with a unit (B, KB, KiB, MB, MiB, GB, GiB)";
const TOO_LARGE: &str = "must be at most 1024GiB";

impl Size {
    fn bounded(bytes: u64) -> Result<Self, &'static str> {
        if bytes > MAX {
            return Err(TOO_LARGE);
        }
        Ok(Self(bytes))
    }
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = match unit.trim_start() {
            "" => "B",
            unit => unit,
        };
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(HELP)?;
        if number.is_empty() {
            return Err(HELP);
        }
        // Only digits are left: what does not fit a u64 is too large.
        let number: u64 = number.parse().map_err(|_| TOO_LARGE)?;
        Self::bounded(number.checked_mul(*bytes).ok_or(TOO_LARGE)?)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .iter()
            .find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit));
        let (name, unit) = unit.unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text.parse(),
            toml::Value::Integer(bytes) => u64::try_from(bytes)
                .map_err(|_| HELP)
                .and_then(Self::bounded),
            _ => Err(HELP),
        };
        size.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u64, &'static str> {
        text.parse::<Size>().map(|size| size.0)
    }

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("2KB", 2000),
            ("2KiB", 2048),
            ("2MB", 2_000_000),
            ("2MiB", 2 << 20),
            ("2GB", 2_000_000_000),
            ("2GiB", 2 << 30),
            (" 2 MiB ", 2 << 20),
            ("1024GiB", MAX),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "MiB", "-1", "1.5MiB", "1mb", "1K", "1TiB", "0x10", "1 2",
        ] {
            assert_eq!(parse(text), Err(HELP), "{text:?}");
        }
        for text in ["1025GiB", "99999999999999999999", "9999999999999999999GiB"] {
            assert_eq!(parse(text), Err(TOO_LARGE), "{text:?}");
        }
    }

    #[test]
    fn what_is_displayed_reads_back() {
        for text in ["0B", "1B", "1000B", "1KiB", "3MiB", "1024GiB"] {
            let size: Size = text.parse().expect(text);
            assert_eq!(size.to_string(), text);
        }
    }
}
