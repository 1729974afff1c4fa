//! Writing a reply that was read, for either protocol version.

use super::reply::Value;
use super::writer::ReplyWriter;

impl Value<'_> {
    /// Appends the value as a reply; what RESP2 lacks becomes what Redis sends in its place.
    pub fn write_to(&self, reply: &mut ReplyWriter<'_>) {
        match self {
            Value::Simple(text) => reply.simple(text),
            Value::Error(text) | Value::BulkError(text) => reply.error(text),
            Value::Integer(number) => reply.integer(*number),
            Value::Bulk(bytes) | Value::BigNumber(bytes) => reply.bulk(bytes),
            Value::Null => reply.null(),
            Value::Array(values) => write_all(values, values.len(), reply, ReplyWriter::array),
            Value::Set(values) => write_all(values, values.len(), reply, ReplyWriter::set),
            Value::Push(values) => write_all(values, values.len(), reply, ReplyWriter::push),
            Value::Map(pairs) => {
                reply.map(pairs.len());
                for (key, value) in pairs {
                    key.write_to(reply);
                    value.write_to(reply);
                }
            }
            Value::Double(text) => {
                let number = std::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.parse().ok());
                reply.double(number.unwrap_or(f64::NAN));
            }
            Value::Boolean(value) => reply.boolean(*value),
            Value::Verbatim(text) => {
                let tag = text.get(..3).and_then(|tag| std::str::from_utf8(tag).ok());
                reply.verbatim(tag.unwrap_or("txt"), text.get(4..).unwrap_or_default());
            }
        }
    }
}

fn write_all<'w>(
    values: &[Value<'_>],
    count: usize,
    reply: &mut ReplyWriter<'w>,
    header: impl FnOnce(&mut ReplyWriter<'w>, usize),
) {
    header(reply, count);
    for value in values {
        value.write_to(reply);
    }
}

#[cfg(test)]
mod tests {
    use crate::resp::{Proto, ReplyWriter, parse_reply};

    #[test]
    fn maps_become_flat_arrays_in_resp2() {
        let reply = b"%1\r\n$1\r\na\r\n*2\r\n#t\r\n,1.5\r\n";
        let (value, _) = parse_reply(reply).expect("valid").expect("whole");
        let mut out = Vec::new();
        value.write_to(&mut ReplyWriter::new(&mut out, Proto::Resp3));
        assert_eq!(out, reply);
        out.clear();
        value.write_to(&mut ReplyWriter::new(&mut out, Proto::Resp2));
        assert_eq!(out, b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$3\r\n1.5\r\n");
    }
}
