//! A YAML or JSON document as a tree in which every value knows its place.
//!
//! It knows nothing of services.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// A value and where it begins, from 1.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) line: u64,
    pub(super) column: u64,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool,
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Reads a document. The error has a message and, where it is known, a place.
    pub(super) fn parse(text: &str) -> Result<Node, (String, Option<(u64, u64)>)> {
        serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location().map(|at| (at.line(), at.column()));
            let message = error.without_snippet().to_string();
            let message = message.lines().next().unwrap_or("not YAML or JSON");
            (message.to_owned(), place)
        })
    }

    /// The text of a scalar that may stand for text: words and numbers.
    pub(super) fn text(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Node {
            line: spanned.referenced.line(),
            column: spanned.referenced.column(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(entry) = map.next_entry()? {
            nodes.push(entry);
        }
        Ok(Value::Map(nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_give_the_same_tree_with_places() {
        let json = "{\n\t\"a\": {\"b\": [1, 2.5, \"c\", null, true]}\n}";
        let yaml = "a:\n  b:\n    - 1\n    - 2.5\n    - c\n    - null\n    - true\n";
        for (text, place) in [(json, (2, 14)), (yaml, (3, 7))] {
            let node = Node::parse(text).expect("a document");
            let Value::Map(top) = &node.value else {
                panic!("{node:?}")
            };
            assert_eq!(top[0].0.text().as_deref(), Some("a"));
            let Value::Map(inner) = &top[0].1.value else {
                panic!("{node:?}")
            };
            let Value::List(list) = &inner[0].1.value else {
                panic!("{node:?}")
            };
            assert!(matches!(list[0].value, Value::Integer(1)), "{list:?}");
            assert!(matches!(list[1].value, Value::Float(_)), "{list:?}");
            assert!(
                matches!(&list[2].value, Value::Text(c) if c == "c"),
                "{list:?}"
            );
            assert!(matches!(list[3].value, Value::Null), "{list:?}");
            assert!(matches!(list[4].value, Value::Bool), "{list:?}");
            assert_eq!((list[0].line, list[0].column), place);
        }
    }

    #[test]
    fn what_is_no_document_has_a_place() {
        for text in ["{\"a\": ", "a: [1\nb: 2", "a: 1\na: 2"] {
            let (message, place) = Node::parse(text).expect_err(text);
            assert!(
                !message.is_empty() && place.is_some(),
                "{text:?}: {message}"
            );
        }
    }
}
