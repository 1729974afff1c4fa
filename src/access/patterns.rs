//! The keys and channels of a user, as patterns: `app:*`, `%R~shared:*`, `%W~log:*`, `%RW~x`.
//!
//! Knows no commands.

use crate::command::Permission;
use crate::resp::glob_match;

/// Patterns over keys, each with what it allows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct KeyPatterns {
    patterns: Vec<(Box<str>, Permission)>,
    /// What is allowed of every key, also of those that arguments do not name.
    of_all: Permission,
}

/// Why a pattern over keys is refused.
const BAD_PERMISSION: &str = "a pattern that begins with % says what it allows: %R~…, %W~… or \
    %RW~…; a key that begins with % is written \\%";

/// Why a rule of Redis' ACLs is no pattern over keys.
const KEY_RULE: &str = "patterns over keys are written without ~, as in app:*, and all keys as *; a key that begins \
    with ~ is written \\~";
/// Why a rule of Redis' ACLs is no pattern over channels.
const CHANNEL_RULE: &str = "patterns over channels are written without &, as in news:*, and all channels as *; a \
    channel that begins with & is written \\&";

/// Whether a text is a rule of Redis' ACLs about keys or channels: as a pattern it would match nothing that is meant.
fn is_acl_rule(text: &str, sign: char, words: [&str; 2]) -> bool {
    text.starts_with(sign) || words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Reads one pattern: what it allows, and the glob.
///
/// # Errors
/// Says what is wrong with it.
pub fn key_pattern(text: &str) -> Result<(Permission, &str), &'static str> {
    if is_acl_rule(text, '~', ["allkeys", "resetkeys"]) {
        return Err(KEY_RULE);
    }
    let Some(rest) = text.strip_prefix('%') else {
        return Ok((Permission::BOTH, text));
    };
    let (letters, glob) = rest.split_once('~').ok_or(BAD_PERMISSION)?;
    let mut allowed = Permission::empty();
    for letter in letters.chars() {
        allowed |= match letter.to_ascii_uppercase() {
            'R' => Permission::READ,
            'W' => Permission::WRITE,
            _ => return Err(BAD_PERMISSION),
        };
    }
    if allowed.is_empty() || glob.is_empty() {
        return Err(BAD_PERMISSION);
    }
    Ok((allowed, glob))
}

impl KeyPatterns {
    /// Reads the patterns of a user; without any, no key is allowed.
    pub(super) fn parse(texts: &[String]) -> Result<Self, &'static str> {
        let mut read = Self::default();
        for text in texts {
            let (allowed, glob) = key_pattern(text)?;
            // As in Redis, where one that is there already is given what another has besides.
            match read.patterns.iter_mut().find(|(one, _)| **one == *glob) {
                Some((_, has)) => *has |= allowed,
                None => read.patterns.push((glob.into(), allowed)),
            }
        }
        let all = read.patterns.iter().find(|(glob, _)| **glob == *"*");
        read.of_all = all.map_or(Permission::empty(), |(_, allowed)| *allowed);
        Ok(read)
    }

    /// Whether this is allowed of every key.
    pub(super) fn allow_all(&self, needed: Permission) -> bool {
        // That a key exists is told to whom some rule names it.
        self.of_all.contains(needed) && !self.of_all.is_empty()
    }

    /// Whether every key may be read.
    pub(super) fn may_read_all(&self) -> bool {
        self.allow_all(Permission::READ)
    }

    /// Whether this is allowed of a key: one pattern that matches has to allow all of it, as in Redis.
    pub(super) fn allow(&self, key: &[u8], needed: Permission) -> bool {
        self.allow_all(needed)
            || self.patterns.iter().any(|(glob, allowed)| {
                allowed.contains(needed) && glob_match(glob.as_bytes(), key, false)
            })
    }

    /// Whether all is allowed that others allow.
    pub(super) fn cover(&self, others: &Self) -> bool {
        others.patterns.iter().all(|(glob, allowed)| {
            self.allow_all(*allowed)
                || self
                    .patterns
                    .iter()
                    .any(|(one, has)| one == glob && has.contains(*allowed))
        })
    }
}

/// Patterns over channels.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ChannelPatterns {
    patterns: Vec<Box<str>>,
    all: bool,
}

impl ChannelPatterns {
    /// Takes the patterns of a user; without any, no channel is allowed.
    pub(super) fn parse(texts: &[String]) -> Result<Self, &'static str> {
        let is_rule = |text: &String| is_acl_rule(text, '&', ["allchannels", "resetchannels"]);
        if texts.iter().any(is_rule) {
            return Err(CHANNEL_RULE);
        }
        Ok(Self {
            patterns: texts.iter().map(|text| text.as_str().into()).collect(),
            all: texts.iter().any(|text| text == "*"),
        })
    }

    /// Whether every channel is allowed.
    pub(super) fn allow_all(&self) -> bool {
        self.all
    }

    /// Whether a channel is allowed; a pattern to subscribe to is where a rule has the very same, as in Redis:
    /// another that matches less is not.
    pub(super) fn allow(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all
            || self.patterns.iter().any(|rule| match is_pattern {
                true => rule.as_bytes() == channel,
                false => glob_match(rule.as_bytes(), channel, false),
            })
    }

    /// Whether all is allowed that others allow.
    pub(super) fn cover(&self, others: &Self) -> bool {
        self.all
            || others
                .patterns
                .iter()
                .all(|one| self.patterns.contains(one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: Permission = Permission::READ;
    const W: Permission = Permission::WRITE;
    const RW: Permission = Permission::BOTH;
    const LOOK: Permission = Permission::empty();

    fn keys(text: &str) -> KeyPatterns {
        let texts: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        KeyPatterns::parse(&texts).expect("valid patterns")
    }

    fn channels(text: &str) -> ChannelPatterns {
        let texts: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        ChannelPatterns::parse(&texts).expect("patterns")
    }

    #[test]
    fn one_pattern_has_to_allow_all_of_it() {
        let user = keys("app:* %R~ro:* %w~wo:* %rW~x %R~*:end %R~both %W~both");
        for (key, needed, want) in [
            ("app:1", RW, true),
            ("ro:1", R, true),
            ("ro:1", LOOK, true),
            ("ro:1", W, false),
            ("wo:1", W, true),
            ("wo:1", R, false),
            ("wo:1", LOOK, true),
            ("x", RW, true),
            ("wo:end", R, true),
            // Two patterns that match, each with one half.
            ("wo:end", RW, false),
            ("both", RW, true),
            ("y", LOOK, false),
        ] {
            assert_eq!(user.allow(key.as_bytes(), needed), want, "{key} {needed:?}");
        }
        assert!(!user.allow_all(LOOK) && !KeyPatterns::default().allow(b"", LOOK));
        let reader = keys("%R~* a");
        assert!(reader.allow_all(R) && reader.allow_all(LOOK) && !reader.allow_all(W));
        assert!(reader.allow(b"a", RW) && !reader.allow(b"b", RW) && reader.allow(b"b", R));
    }

    #[test]
    fn rules_of_redis_are_no_patterns() {
        for rule in ["~app:*", "~*", "allkeys", "AllKeys", "resetkeys"] {
            assert_eq!(key_pattern(rule), Err(KEY_RULE), "{rule}");
        }
        for name in ["\\~app:*", "app:~*", "allkeys:*"] {
            assert_eq!(key_pattern(name), Ok((RW, name)));
        }
        for rule in ["&news:*", "allchannels", "resetchannels"] {
            let texts = ["a".to_owned(), rule.to_owned()];
            assert_eq!(ChannelPatterns::parse(&texts), Err(CHANNEL_RULE), "{rule}");
        }
        assert!(channels("\\&a a&b").allow(b"&a", false));
    }

    #[test]
    fn what_looks_like_a_permission_and_is_none_is_refused() {
        for bad in ["%", "%~a", "%R", "%RX~a", "%R~", "%app:*", "% R~a", "%R ~a"] {
            assert!(key_pattern(bad).is_err(), "{bad}");
        }
        assert_eq!(key_pattern("\\%R~a"), Ok((RW, "\\%R~a")));
        assert_eq!(key_pattern("a%R~b"), Ok((RW, "a%R~b")));
        assert_eq!(key_pattern("%rr~~x"), Ok((R, "~x")));
    }

    #[test]
    fn what_is_narrower_is_known() {
        for (new, old, covers) in [
            ("a b", "a", true),
            ("a", "a b", false),
            ("*", "a %R~b", true),
            ("%R~*", "%R~a", true),
            ("%R~*", "a", false),
            ("%R~a", "a", false),
            ("a", "%W~a", true),
            ("", "", true),
        ] {
            assert_eq!(keys(new).cover(&keys(old)), covers, "{new} | {old}");
        }
        assert!(channels("*").cover(&channels("a b")) && !channels("a*").cover(&channels("ab")));
    }

    #[test]
    fn patterns_of_channels_are_taken_literally() {
        let user = channels("news:* exact");
        assert!(user.allow(b"news:1", false) && user.allow(b"exact", false));
        assert!(!user.allow(b"other", false));
        assert!(user.allow(b"news:*", true) && user.allow(b"exact", true));
        for narrower in ["news:1", "news:1*", "news:[a]", "*", "news:**"] {
            assert!(!user.allow(narrower.as_bytes(), true), "{narrower}");
        }
        assert!(channels("*").allow(b"a*", true) && !channels("").allow(b"", false));
    }
}
