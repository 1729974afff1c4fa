//! A length of time as it stands in a configuration: `"500ms"`, `"1.5h"`, `3`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

/// A duration with its notation. Displays in the largest unit that gives a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period(pub(super) Duration);

/// A hundred years: far more than any timeout, and safe to add to a clock's now.
const MAX: Duration = Duration::from_secs(36_500 * 86_400);

/// The units with their nanoseconds, largest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

const HELP: &str =
    "must be a duration: a number of seconds, or one with a unit (us, ms, s, m, h, d)";
const TOO_LONG: &str = "must be at most 36500d";

impl Period {
    fn from_seconds(seconds: f64) -> Result<Self, &'static str> {
        let duration = Duration::try_from_secs_f64(seconds)
            .map_err(|_| if seconds > 0.0 { TOO_LONG } else { HELP })?;
        Self::bounded(duration)
    }

    fn bounded(duration: Duration) -> Result<Self, &'static str> {
        if duration > MAX {
            return Err(TOO_LONG);
        }
        Ok(Self(duration))
    }
}

impl FromStr for Period {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = match unit.trim_start() {
            "" => "s",
            unit => unit,
        };
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(HELP)?;
        if number.contains('.') {
            // `.5` and `5.` are left to no reader's guess.
            if number.starts_with('.') || number.ends_with('.') {
                return Err(HELP);
            }
            let number: f64 = number.parse().map_err(|_| HELP)?;
            #[expect(clippy::cast_precision_loss, reason = "each unit is exact in an f64")]
            return Self::from_seconds(number * (*nanos as f64) / 1e9);
        }
        if number.is_empty() {
            return Err(HELP);
        }
        // Only digits are left: what does not fit a u64 is too long.
        let number: u64 = number.parse().map_err(|_| TOO_LONG)?;
        let nanos = number.checked_mul(*nanos).ok_or(TOO_LONG)?;
        Self::bounded(Duration::from_nanos(nanos))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let unit = UNITS
            .iter()
            .find(|(_, unit)| nanos.is_multiple_of(u128::from(*unit)));
        match unit {
            Some((name, unit)) => write!(f, "{}{name}", nanos / u128::from(*unit)),
            None => write!(f, "{}.{:03}us", nanos / 1000, nanos % 1000),
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let period = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text.parse(),
            toml::Value::Integer(seconds) => u64::try_from(seconds)
                .map_err(|_| HELP)
                .and_then(|seconds| Self::bounded(Duration::from_secs(seconds))),
            toml::Value::Float(seconds) => Self::from_seconds(seconds),
            _ => Err(HELP),
        };
        period.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Duration, &'static str> {
        text.parse::<Period>().map(|period| period.0)
    }

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("7us", Duration::from_micros(7)),
            ("500ms", Duration::from_millis(500)),
            ("3s", Duration::from_secs(3)),
            ("2m", Duration::from_secs(120)),
            ("1h", Duration::from_secs(3600)),
            ("2d", Duration::from_secs(172_800)),
            ("0.5s", Duration::from_millis(500)),
            ("1.5h", Duration::from_secs(5400)),
            ("0.1ms", Duration::from_micros(100)),
            ("60", Duration::from_secs(60)),
            ("0.25", Duration::from_millis(250)),
            ("0", Duration::ZERO),
            (" 3 s ", Duration::from_secs(3)),
            ("36500d", MAX),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "s", "-1s", "1e3s", "1.2.3s", ".", ".5s", "5.s", "3 sec", "NaN", "inf", "1S", "3s5",
        ] {
            assert_eq!(parse(text), Err(HELP), "{text:?}");
        }
        for text in [
            "36501d",
            "99999999999999999999s",
            "9999999999999999999d",
            "1.0000000000000e",
            "36500.1d",
        ] {
            let expected = if text.ends_with('e') { HELP } else { TOO_LONG };
            assert_eq!(parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_displayed_reads_back() {
        for text in [
            "0s", "1us", "1ms", "90s", "5m", "1h", "36500d", "1.234us", "500ms",
        ] {
            let period: Period = text.parse().expect(text);
            assert_eq!(period.to_string(), text);
        }
        assert_eq!(Period(Duration::from_secs(60)).to_string(), "1m");
    }
}
