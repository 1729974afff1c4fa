use super::*;
use crate::command::testdata::parsed;
use crate::resp::Value;

/// `FLUSH [MATCH glob] <ALL|NODE id …>`
static FLUSH: OwnRow = OwnRow {
    name: "CACHE.FLUSH",
    summary: "Drops entries of the local cache",
    group: "cache",
    complexity: "O(N)",
    arguments: &[
        OwnArg::new("glob", ArgKind::Pattern)
            .token("MATCH")
            .optional(),
        OwnArg::new("which", ArgKind::OneOf).of(&[
            OwnArg::new("all", ArgKind::PureToken).token("ALL"),
            OwnArg::new("nodes", ArgKind::Block)
                .token("NODE")
                .of(&[OwnArg::new("id", ArgKind::String).multiple()]),
        ]),
        OwnArg::new("key", ArgKind::Key).optional().multiple(),
    ],
    syntax: "CACHE.FLUSH [MATCH glob] <ALL|NODE id [id ...]> [key ...]",
    ..OwnRow::EMPTY
};
static STATS: OwnRow = OwnRow {
    name: "CACHE.STATS",
    summary: "Shows the counters of the local cache",
    group: "cache",
    syntax: "CACHE.STATS",
    ..OwnRow::EMPTY
};
static HELP: OwnRow = OwnRow {
    name: "CACHE.HELP",
    syntax: "CACHE.HELP",
    ..OwnRow::EMPTY
};

const BACKING_RESP2: &[u8] = b"*2\r\n$3\r\nget\r\n*2\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n";
const BACKING_RESP3: &[u8] = b"%1\r\n$3\r\nget\r\n%1\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n";

/// Writes a value in a form that is easy to compare.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Map(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{}={}", shown(key), shown(value)))
                .collect();
            format!("{{{}}}", pairs.join(" "))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(shown).collect();
            format!("[{}]", values.join(" "))
        }
        Value::Set(values) => {
            let values: Vec<String> = values.iter().map(shown).collect();
            format!("~[{}]", values.join(" "))
        }
        Value::Integer(number) => number.to_string(),
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}

#[test]
fn documentation_is_shaped_as_redis_shapes_it() {
    let mut out = Vec::new();
    merge_docs(BACKING_RESP3, &[&STATS, &FLUSH], Proto::Resp3, &mut out);
    assert_eq!(
        shown(&parsed(&out)),
        "{get={since=1.0.0} \
         cache.stats={summary=Shows the counters of the local cache since=0.1.0 group=cache \
         complexity=O(1)} \
         cache.flush={summary=Drops entries of the local cache since=0.1.0 group=cache \
         complexity=O(N) arguments=[\
         {name=glob type=pattern display_text=glob token=MATCH flags=~[optional]} \
         {name=which type=oneof arguments=[\
         {name=all type=pure-token display_text=all token=ALL} \
         {name=nodes type=block token=NODE arguments=[\
         {name=id type=string display_text=id flags=~[multiple]}]}]} \
         {name=key type=key display_text=key key_spec_index=0 flags=~[optional multiple]}]}}",
    );
}

#[test]
fn resp2_has_flat_arrays() {
    let mut out = Vec::new();
    merge_docs(BACKING_RESP2, &[&STATS], Proto::Resp2, &mut out);
    assert_eq!(
        shown(&parsed(&out)),
        "[get [since 1.0.0] cache.stats [summary Shows the counters of the local cache \
         since 0.1.0 group cache complexity O(1)]]",
    );
}

#[test]
fn a_backing_without_documentation_passes_its_error() {
    let error = b"-ERR Unknown subcommand or wrong number of arguments for 'DOCS'. \
        Try COMMAND HELP.\r\n";
    let mut out = Vec::new();
    merge_docs(error, &[&STATS], Proto::Resp2, &mut out);
    assert_eq!(out, error);
}

#[test]
fn help_reads_like_that_of_redis() {
    let mut out = Vec::new();
    help(&[STATS, FLUSH, HELP], &mut out);
    assert_eq!(
        shown(&parsed(&out)),
        "[CACHE.<command> [<arg> [value] [opt] ...]. Commands are: \
         CACHE.STATS     Shows the counters of the local cache. \
         CACHE.FLUSH [MATCH glob] <ALL|NODE id [id ...]> [key ...]     \
         Drops entries of the local cache. \
         CACHE.HELP     Prints this help.]",
    );
    assert!(out.starts_with(b"*7\r\n+CACHE.<command>"));
}
