//! Small readers for the shapes inside a `COMMAND` reply, in both protocol versions.
//!
//! Knows nothing of commands.

use crate::resp::Value;

/// Gives the value of a field of a map (RESP2: a flat array).
pub(super) fn field<'v, 'a>(value: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    let is_named = |key: &Value<'_>| key.as_bytes() == Some(name.as_bytes());
    match value {
        Value::Map(pairs) => pairs
            .iter()
            .find(|(key, _)| is_named(key))
            .map(|(_, value)| value),
        Value::Array(flat) => {
            let (pairs, _) = flat.as_chunks::<2>();
            pairs
                .iter()
                .find(|[key, _]| is_named(key))
                .map(|[_, value]| value)
        }
        _ => None,
    }
}

/// Lists the strings in an array or a set; other values are left out.
pub(super) fn strings<'a>(value: &Value<'a>) -> Vec<&'a str> {
    value
        .as_array()
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

/// Gives an integer that fits, clamped otherwise.
pub(super) fn small_int(value: &Value<'_>) -> Option<i32> {
    let clamped = value
        .as_int()?
        .clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    i32::try_from(clamped).ok()
}
