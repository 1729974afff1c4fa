//! Reads what `ACL GETUSER` says: the shapes of RESP2 and RESP3, of 6.2 and of 7 and later.

use redis::Value;

use crate::access::AclRules;

/// What a node says of a user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is none of that name.
    Nobody,
    User(AclUser),
}

/// A user's rules.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct AclUser {
    /// Whether one can log in as him.
    pub(super) on: bool,
    /// Whether any password will do.
    pub(super) nopass: bool,
    /// The hashes of his passwords.
    pub(super) passwords: Vec<String>,
    pub(super) rules: AclRules,
    pub(super) selectors: Vec<AclRules>,
}

/// What is understood of a user, and of a selector: a field more may be a rule that takes something away.
const FIELDS: [&str; 7] = [
    "flags",
    "passwords",
    "commands",
    "keys",
    "channels",
    DATABASES,
    "selectors",
];
const OF_A_SELECTOR: [&str; 4] = ["commands", "keys", "channels", DATABASES];
/// Valkey's; nothing is known of a user who may not use all of them.
const DATABASES: &str = "databases";
const ALL_DATABASES: &str = "alldbs";
/// The flags that there are in 6.2 to 8.2. Those that allow something are in the rules again.
const FLAGS: [&str; 8] = [
    "on",
    "off",
    "nopass",
    "allkeys",
    "allchannels",
    "allcommands",
    "sanitize-payload",
    "skip-sanitize-payload",
];

/// Reads a reply; none when it is not understood, lacks something, or has something of which nothing is known.
pub(super) fn read_answer(reply: &Value) -> Option<Answer> {
    if matches!(reply, Value::Nil) {
        return Some(Answer::Nobody);
    }
    let flags = texts(field(reply, "flags")?)?;
    let has = |wanted: &str| flags.iter().any(|flag| flag == wanted);
    if !flags.iter().all(|flag| FLAGS.contains(&flag.as_str())) || !has_only(reply, &FIELDS) {
        return None;
    }
    let selectors = match field(reply, "selectors") {
        Some(Value::Array(selectors)) => { selectors.iter() }
            .map(|selector| rules(selector).filter(|_| has_only(selector, &OF_A_SELECTOR)))
            .collect::<Option<_>>()?,
        Some(_) => return None,
        None => Vec::new(),
    };
    Some(Answer::User(AclUser {
        on: has("on"),
        nopass: has("nopass"),
        passwords: texts(field(reply, "passwords")?)?,
        rules: rules(reply)?,
        selectors,
    }))
}

/// The rules of a user, or of a selector.
fn rules(reply: &Value) -> Option<AclRules> {
    if let Some(databases) = field(reply, DATABASES)
        && text(databases).as_deref() != Some(ALL_DATABASES)
    {
        return None;
    }
    let commands = text(field(reply, "commands")?)?;
    let keys = words(field(reply, "keys")?, '~')?;
    let channels = words(field(reply, "channels")?, '&')?;
    Some(AclRules {
        commands: commands
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
        keys,
        channels,
    })
}

/// Patterns: a text with a sign before each that has no permission of its own, or a list without signs.
fn words(value: &Value, sign: char) -> Option<Vec<String>> {
    let (texts, listed) = match value {
        Value::Array(_) | Value::Set(_) => (texts(value)?, true),
        _ => {
            let text = text(value)?;
            let words = text.split_ascii_whitespace().map(str::to_owned);
            (words.collect(), false)
        }
    };
    let read = texts.into_iter().map(|word| {
        if listed {
            return Some(literal(&word, sign)); // 6.2 lists patterns as they are
        }
        match word.strip_prefix(sign) {
            Some(pattern) => Some(literal(pattern, sign)),
            None => (sign == '~' && word.starts_with('%')).then_some(word),
        }
    });
    read.collect()
}

/// A pattern that looks like something else where patterns are configured, and means itself here.
fn literal(pattern: &str, sign: char) -> String {
    const WORDS: [&str; 4] = ["allkeys", "resetkeys", "allchannels", "resetchannels"];
    let is_word = WORDS.iter().any(|word| pattern.eq_ignore_ascii_case(word));
    match is_word || pattern.starts_with(['%', sign]) {
        true => format!("\\{pattern}"),
        false => pattern.to_owned(),
    }
}

fn field<'a>(reply: &'a Value, name: &str) -> Option<&'a Value> {
    let is_named = |key: &Value| text(key).as_deref() == Some(name);
    match reply {
        Value::Map(pairs) => {
            let mut pairs = pairs.iter();
            pairs.find(|(key, _)| is_named(key)).map(|(_, value)| value)
        }
        Value::Array(flat) => {
            let (pairs, _) = flat.as_chunks::<2>();
            let mut pairs = pairs.iter();
            pairs.find(|[key, _]| is_named(key)).map(|[_, value]| value)
        }
        _ => None,
    }
}

/// Whether all fields are among those that are known.
fn has_only(reply: &Value, known: &[&str]) -> bool {
    let is_known = |key: &Value| text(key).is_some_and(|key| known.contains(&key.as_str()));
    match reply {
        Value::Map(pairs) => pairs.iter().all(|(key, _)| is_known(key)),
        Value::Array(flat) => {
            let (pairs, rest) = flat.as_chunks::<2>();
            rest.is_empty() && pairs.iter().all(|[key, _]| is_known(key))
        }
        _ => false,
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(all) | Value::Set(all) => all.iter().map(text).collect(),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn list(words: &[&str]) -> Value {
        Value::Array(words.iter().map(|word| bulk(word)).collect())
    }

    /// What Redis 7 says, in the shape of RESP2 or RESP3.
    fn seven(fields: &[(&str, Value)], resp3: bool) -> Value {
        let pairs = fields.iter().map(|(key, value)| (bulk(key), value.clone()));
        match resp3 {
            true => Value::Map(pairs.collect()),
            false => Value::Array(pairs.flat_map(|(key, value)| [key, value]).collect()),
        }
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn both_protocol_versions_of_redis_7_are_read() {
        for resp3 in [false, true] {
            let selector = [
                ("commands", bulk("-@all +get")),
                ("keys", bulk("%R~s:*")),
                ("channels", bulk("")),
            ];
            let fields = [
                (
                    "flags",
                    match resp3 {
                        true => Value::Set(vec![bulk("on"), bulk("sanitize-payload")]),
                        false => list(&["on", "sanitize-payload"]),
                    },
                ),
                ("passwords", list(&["ab", "cd"])),
                ("commands", bulk("+@all -config|set")),
                ("keys", bulk("~app:* %W~log ~%R~odd ~~x ~allkeys")),
                ("channels", bulk("&news:* &x")),
                ("selectors", Value::Array(vec![seven(&selector, resp3)])),
            ];
            let Some(Answer::User(user)) = read_answer(&seven(&fields, resp3)) else {
                panic!("not read: {resp3}");
            };
            assert_eq!(
                user,
                AclUser {
                    on: true,
                    nopass: false,
                    passwords: strings(&["ab", "cd"]),
                    rules: AclRules {
                        commands: strings(&["+@all", "-config|set"]),
                        keys: strings(&["app:*", "%W~log", "\\%R~odd", "\\~x", "\\allkeys"]),
                        channels: strings(&["news:*", "x"]),
                    },
                    selectors: vec![AclRules {
                        commands: strings(&["-@all", "+get"]),
                        keys: strings(&["%R~s:*"]),
                        channels: Vec::new(),
                    }],
                }
            );
        }
    }

    #[test]
    fn a_user_of_some_databases_of_valkey_is_not_understood() {
        let read = |own: &str, of_selector: &str| {
            let of = |databases: &str| {
                [
                    ("commands", bulk("+@all")),
                    ("keys", bulk("~*")),
                    ("channels", bulk("&*")),
                    (DATABASES, bulk(databases)),
                ]
            };
            let mut fields = vec![("flags", list(&["on"])), ("passwords", list(&[]))];
            fields.extend(of(own));
            let selector = seven(&of(of_selector), true);
            fields.push(("selectors", Value::Array(vec![selector])));
            read_answer(&seven(&fields, true)).is_some()
        };
        assert!(read(ALL_DATABASES, ALL_DATABASES));
        assert!(!read("db=1,2", ALL_DATABASES));
        assert!(!read(ALL_DATABASES, "db=1"));
        assert!(!read("", ALL_DATABASES));
    }

    #[test]
    fn the_lists_of_redis_6_are_read() {
        let fields = [
            ("flags", list(&["off", "allchannels"])),
            ("passwords", list(&[])),
            ("commands", bulk("-@all +get")),
            ("keys", list(&["app:*", "~a", "%R~b"])),
            ("channels", list(&["*"])),
        ];
        let Some(Answer::User(user)) = read_answer(&seven(&fields, false)) else {
            panic!("not read");
        };
        assert!(!user.on && user.selectors.is_empty());
        assert_eq!(user.rules.keys, ["app:*", "\\~a", "\\%R~b"]);
        assert_eq!(user.rules.channels, ["*"]);
    }

    #[test]
    fn what_is_not_a_user_is_nobody_or_not_understood() {
        assert_eq!(read_answer(&Value::Nil), Some(Answer::Nobody));
        for odd in [Value::Int(1), Value::Array(Vec::new()), bulk("x")] {
            assert_eq!(read_answer(&odd), None, "{odd:?}");
        }
        let fields = [
            ("flags", list(&["on"])),
            ("passwords", list(&[])),
            ("commands", bulk("+@all")),
            ("channels", bulk("&*")),
        ];
        assert_eq!(read_answer(&seven(&fields, false)), None, "no keys");
        let strange = [("keys", bulk("app:*"))];
        let all: Vec<_> = fields.into_iter().chain(strange).collect();
        assert_eq!(
            read_answer(&seven(&all, false)),
            None,
            "a pattern without a sign"
        );
    }

    #[test]
    fn what_nothing_is_known_of_may_take_something_away() {
        let selector = |more: &[(&str, Value)]| {
            let fields = [("commands", bulk("+@all")), ("keys", bulk("~*"))];
            let channels = [("channels", bulk("&*"))];
            seven(&[&fields[..], &channels, more].concat(), false)
        };
        let user = |flag: &str, selector: Value, more: &[(&str, Value)]| {
            let fields = [
                ("flags", list(&["on", flag])),
                ("passwords", list(&[])),
                ("commands", bulk("+@all")),
                ("keys", bulk("~*")),
                ("channels", bulk("&*")),
                ("selectors", Value::Array(vec![selector])),
            ];
            read_answer(&seven(&[&fields[..], more].concat(), false))
        };
        assert!(matches!(
            user("nopass", selector(&[]), &[]),
            Some(Answer::User(AclUser { nopass: true, .. }))
        ));
        let databases = ("databases", bulk("0"));
        assert_eq!(
            user("nopass", selector(&[]), std::slice::from_ref(&databases)),
            None
        );
        assert_eq!(user("nopass", selector(&[databases]), &[]), None);
        assert_eq!(user("weekdays", selector(&[]), &[]), None);
    }
}
