//! How values are taken from the answer of a script: what is not there, or of another kind, is empty.

use redis::Value;

/// Gives the values of a list; none of anything else.
pub(in crate::bus) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

/// Gives the bytes of a string or the digits of a number; none of anything else.
pub(in crate::bus) fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.into_bytes(),
        Value::Int(number) => number.to_string().into_bytes(),
        _ => Vec::new(),
    }
}

pub(in crate::bus) fn text(value: Value) -> String {
    String::from_utf8(bytes(value))
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

pub(in crate::bus) fn number(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::BulkString(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        _ => 0,
    }
}

/// A number of things.
pub(in crate::bus) fn count(value: &Value) -> usize {
    usize::try_from(number(value)).unwrap_or(0)
}

/// Takes the next value of an answer; nil when it is shorter than expected.
pub(in crate::bus) fn next(values: &mut impl Iterator<Item = Value>) -> Value {
    values.next().unwrap_or(Value::Nil)
}

/// The values of a flat list, two by two.
pub(in crate::bus) fn pairs(flat: Value) -> impl Iterator<Item = (Value, Value)> {
    let mut words = list(flat).into_iter();
    std::iter::from_fn(move || Some((words.next()?, next(&mut words))))
}
