//! Frames of the `redis-protocol` crate: how to make them, and whether a value
//! is the same.

use proptest::prelude::*;
use redis_protocol::resp2::types::{OwnedFrame as Frame2, Resp2Frame as _};
use redis_protocol::resp3::types::{OwnedFrame as Frame3, Resp3Frame as _, VerbatimStringFormat};

use crate::resp::Value;

pub(super) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        prop::collection::vec(prop::sample::select(b"\r\n$*:1".to_vec()), 0..12),
        prop::collection::vec(any::<u8>(), 0..300),
    ]
}

pub(super) fn frame2() -> impl Strategy<Value = Frame2> {
    let leaf = prop_oneof![
        "[a-zA-Z ]{0,9}".prop_map(|text| Frame2::SimpleString(text.into_bytes())),
        "[A-Z]{1,5} [a-z ]{0,9}".prop_map(Frame2::Error),
        any::<i64>().prop_map(Frame2::Integer),
        bytes().prop_map(Frame2::BulkString),
        Just(Frame2::Null),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop::collection::vec(inner, 0..6).prop_map(Frame2::Array)
    })
}

pub(super) fn encode2(frame: &Frame2) -> Vec<u8> {
    let mut buf = vec![0; frame.encode_len(false)];
    let len = redis_protocol::resp2::encode::encode(&mut buf, frame, false).expect("room");
    buf.truncate(len);
    buf
}

pub(super) fn same2(value: &Value<'_>, frame: &Frame2) -> bool {
    match (value, frame) {
        (Value::Simple(a), Frame2::SimpleString(b)) | (Value::Bulk(a), Frame2::BulkString(b)) => {
            a == b
        }
        (Value::Error(a), Frame2::Error(b)) => *a == b.as_bytes(),
        (Value::Integer(a), Frame2::Integer(b)) => a == b,
        (Value::Null, Frame2::Null) => true,
        (Value::Array(a), Frame2::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same2(a, b))
        }
        _ => false,
    }
}

type Attributes = Option<redis_protocol::resp3::types::OwnedAttributes>;

/// Values that may be keys of a map or members of a set.
fn leaf3(
    attributes: impl Strategy<Value = Attributes> + Clone,
) -> impl Strategy<Value = Frame3> + Clone {
    let with = move |frame: BoxedStrategy<Frame3>| {
        (frame, attributes.clone()).prop_map(|(mut frame, new)| {
            use Frame3::{
                BigNumber, BlobError, BlobString, Boolean, Double, Number, SimpleError,
                SimpleString, VerbatimString,
            };
            if let BlobString { attributes, .. }
            | BlobError { attributes, .. }
            | SimpleString { attributes, .. }
            | SimpleError { attributes, .. }
            | Boolean { attributes, .. }
            | Number { attributes, .. }
            | Double { attributes, .. }
            | BigNumber { attributes, .. }
            | VerbatimString { attributes, .. } = &mut frame
            {
                *attributes = new;
            }
            frame
        })
    };
    let attributes = None;
    let bare = prop_oneof![
        bytes().prop_map(|data| Frame3::BlobString {
            data,
            attributes: None
        }),
        bytes().prop_map(|data| Frame3::BlobError {
            data,
            attributes: None
        }),
        "[a-zA-Z ]{0,9}".prop_map(|text| Frame3::SimpleString {
            data: text.into_bytes(),
            attributes: None
        }),
        "[A-Z]{1,5}".prop_map(|data| Frame3::SimpleError {
            data,
            attributes: None
        }),
        any::<bool>().prop_map(|data| Frame3::Boolean {
            data,
            attributes: None
        }),
        Just(Frame3::Null),
        any::<i64>().prop_map(|data| Frame3::Number {
            data,
            attributes: None
        }),
        any::<i32>().prop_map(|n| Frame3::Double {
            data: f64::from(n) / 8.0,
            attributes: None
        }),
        "-?[1-9][0-9]{18,30}".prop_map(|text| Frame3::BigNumber {
            data: text.into_bytes(),
            attributes: None
        }),
        (bytes(), any::<bool>()).prop_map(move |(data, text)| Frame3::VerbatimString {
            data,
            format: if text {
                VerbatimStringFormat::Text
            } else {
                VerbatimStringFormat::Markdown
            },
            attributes: attributes.clone(),
        }),
    ];
    with(bare.boxed())
}

pub(super) fn frame3() -> impl Strategy<Value = Frame3> {
    let bare = leaf3(Just(None));
    let attributes = prop_oneof![
        4 => Just(None),
        1 => prop::collection::vec((bare.clone(), bare), 1..3).prop_map(|pairs| Some(pairs.into_iter().collect())),
    ]
    .boxed();
    let leaf = leaf3(attributes.clone());
    let key = leaf.clone();
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let values = prop::collection::vec(inner.clone(), 0..6);
        let pairs = prop::collection::vec((key.clone(), inner), 0..4);
        let members = prop::collection::vec(key.clone(), 0..4);
        prop_oneof![
            (values.clone(), attributes.clone())
                .prop_map(|(data, attributes)| Frame3::Array { data, attributes }),
            (values, attributes.clone())
                .prop_map(|(data, attributes)| Frame3::Push { data, attributes }),
            (pairs, attributes.clone()).prop_map(|(pairs, attributes)| Frame3::Map {
                data: pairs.into_iter().collect(),
                attributes
            }),
            (members, attributes.clone()).prop_map(|(members, attributes)| Frame3::Set {
                data: members.into_iter().collect(),
                attributes
            }),
        ]
    })
}

pub(super) fn encode3(frame: &Frame3) -> Vec<u8> {
    let mut buf = vec![0; frame.encode_len(false)];
    let len =
        redis_protocol::resp3::encode::complete::encode(&mut buf, frame, false).expect("room");
    buf.truncate(len);
    buf
}

pub(super) fn same3(value: &Value<'_>, frame: &Frame3) -> bool {
    let all = |a: &[Value<'_>], b: &[Frame3]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same3(a, b))
    };
    match (value, frame) {
        (Value::Simple(a), Frame3::SimpleString { data: b, .. })
        | (Value::Bulk(a), Frame3::BlobString { data: b, .. })
        | (Value::BulkError(a), Frame3::BlobError { data: b, .. })
        | (Value::BigNumber(a), Frame3::BigNumber { data: b, .. }) => a == b,
        (
            Value::Verbatim(a),
            Frame3::VerbatimString {
                data: b, format, ..
            },
        ) => {
            let tag: &[u8] = match format {
                VerbatimStringFormat::Text => b"txt:",
                VerbatimStringFormat::Markdown => b"mkd:",
            };
            a.starts_with(tag) && value.as_bytes() == Some(b)
        }
        (Value::Error(a), Frame3::SimpleError { data: b, .. }) => *a == b.as_bytes(),
        (Value::Integer(a), Frame3::Number { data: b, .. }) => a == b,
        (Value::Boolean(a), Frame3::Boolean { data: b, .. }) => a == b,
        (Value::Double(a), Frame3::Double { data: b, .. }) => {
            std::str::from_utf8(a).is_ok_and(|a| a.parse() == Ok(*b))
        }
        (Value::Null, Frame3::Null) => true,
        (Value::Array(a), Frame3::Array { data: b, .. })
        | (Value::Push(a), Frame3::Push { data: b, .. }) => all(a, b),
        // redis-protocol keeps these in no order.
        (Value::Set(a), Frame3::Set { data: b, .. }) => {
            a.len() == b.len() && a.iter().all(|a| b.iter().any(|b| same3(a, b)))
        }
        (Value::Map(a), Frame3::Map { data: b, .. }) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(k, v)| b.iter().any(|(bk, bv)| same3(k, bk) && same3(v, bv)))
        }
        _ => false,
    }
}
