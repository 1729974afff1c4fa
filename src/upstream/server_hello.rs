//! What the backing says of itself in `HELLO`.

use crate::resp::{Proto, ReplyWriter, Value};

/// What the backing says of itself in `HELLO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHello {
    /// `redis` or `valkey`.
    pub server: String,
    /// Its version.
    pub version: String,
    /// `standalone`, `cluster` or `sentinel`.
    pub mode: String,
    /// `master` or `replica`.
    pub role: String,
    /// The id of the connection at the backing.
    pub id: u64,
    /// The list of modules, encoded for RESP2.
    modules_resp2: Vec<u8>,
    /// The list of modules, encoded for RESP3.
    modules_resp3: Vec<u8>,
}

impl ServerHello {
    /// Reads a `HELLO` reply of either protocol version.
    pub fn from_reply(reply: &Value<'_>) -> Option<Self> {
        let field = |name: &str| field(reply, name);
        let text = |name: &str| {
            field(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (mut modules_resp2, mut modules_resp3) = (Vec::new(), Vec::new());
        let none = Value::Array(Vec::new());
        let modules = field("modules").unwrap_or(&none);
        modules.write_to(&mut ReplyWriter::new(&mut modules_resp2, Proto::Resp2));
        modules.write_to(&mut ReplyWriter::new(&mut modules_resp3, Proto::Resp3));
        Some(ServerHello {
            server: text("server"),
            version: text("version"),
            mode: text("mode"),
            role: text("role"),
            id: u64::try_from(field("id")?.as_int()?).ok()?,
            modules_resp2,
            modules_resp3,
        })
    }

    /// The list of modules as a reply.
    pub fn modules(&self, proto: Proto) -> &[u8] {
        match proto {
            Proto::Resp2 => &self.modules_resp2,
            Proto::Resp3 => &self.modules_resp3,
        }
    }
}

/// A field of a map, or of the flat array that stands for one in RESP2.
fn field<'a, 'v>(reply: &'a Value<'v>, name: &str) -> Option<&'a Value<'v>> {
    match reply {
        Value::Map(pairs) => pairs
            .iter()
            .find(|(key, _)| key.as_str() == Some(name))
            .map(|(_, value)| value),
        Value::Array(flat) => flat
            .chunks_exact(2)
            .find(|pair| pair[0].as_str() == Some(name))
            .map(|pair| &pair[1]),
        _ => None,
    }
}
