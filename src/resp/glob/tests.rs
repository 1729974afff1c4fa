use super::*;

#[track_caller]
fn check(pattern: &str, text: &str, matches: bool) {
    assert_eq!(
        glob_match(pattern.as_bytes(), text.as_bytes(), false),
        matches,
        "{pattern} {text}"
    );
}

#[test]
fn tokens() {
    for (pattern, text) in [
        ("", ""),
        ("*", "a"),
        ("**", "a"),
        ("a*", "a"),
        ("a**", "a"),
        ("*a", "aa"),
        ("a*b*c", "axbxbc"),
        ("h?llo", "hello"),
        ("h[ae]llo", "hallo"),
        ("h[^e]llo", "hallo"),
        ("h[a-c]llo", "hbllo"),
        ("[c-a]", "b"),
        (r"h\*llo", "h*llo"),
        (r"\", r"\"),
        (r"[\]]", "]"),
        ("[]x", "x]"),
        ("[a", "a"),
        ("[^", "a"),
        ("[^]", "a"),
        ("[a-]", "^"),
        ("*[0-9]", "x5"),
        ("a]", "a]"),
    ] {
        // "[]x" is an empty class, which nothing matches.
        check(pattern, text, pattern != "[]x");
    }
    for (pattern, text) in [
        ("*", ""),
        ("a", ""),
        ("", "a"),
        ("?", ""),
        ("a", "b"),
        ("a", "ab"),
        ("ab", "a"),
        ("a?", "a"),
        ("*b", "a"),
        ("h[^e]llo", "hello"),
        (r"\*", "a"),
        ("[", "a"),
        ("[]", "a"),
        ("[a-c]", "d"),
        ("A", "a"),
        ("*a*b", "ba"),
    ] {
        check(pattern, text, false);
    }
}

#[test]
fn case_is_folded_on_demand() {
    for (pattern, text, matches) in [
        ("HeLLo", "hEllO", true),
        ("[a-c]", "B", true),
        ("[A-C]", "b", true),
        ("[X]", "x", true),
        (r"\A", "a", true),
        (r"[\A]", "a", false),
        ("a", "b", false),
    ] {
        assert_eq!(
            glob_match(pattern.as_bytes(), text.as_bytes(), true),
            matches,
            "{pattern} {text}"
        );
    }
}

#[test]
fn bytes_are_bytes() {
    assert!(glob_match(b"\xff?\x00", b"\xff\xfe\x00", false));
    assert!(glob_match(b"[\x80-\xff]", b"\x90", false));
    assert!(!glob_match(b"[\x80-\xff]", b"a", false));
}

#[test]
fn a_hostile_pattern_takes_no_longer_than_any() {
    let pattern = b"a*".repeat(2000);
    let text = b"a".repeat(50_000);
    assert!(glob_match(&pattern, &text, false));
    let pattern = [&pattern[..], b"b"].concat();
    assert!(!glob_match(&pattern, &text, false));
}

/// Redis 7.0's `stringmatchlen_impl` without its short cut, byte for byte. What
/// lies behind the pattern reads as a NUL, as in an sds string.
fn redis(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    let lower = |byte: u8| {
        if nocase {
            byte.to_ascii_lowercase()
        } else {
            byte
        }
    };
    let at = |p: usize| pattern.get(p).copied().unwrap_or(0);
    let (mut p, mut t) = (0, 0);
    while p < pattern.len() && t < text.len() {
        match at(p) {
            b'*' => {
                while at(p + 1) == b'*' {
                    p += 1;
                }
                return p + 1 == pattern.len()
                    || (t..text.len()).any(|t| redis(&pattern[p + 1..], &text[t..], nocase));
            }
            b'?' => {}
            b'[' => {
                p += 1;
                let not = at(p) == b'^';
                p += usize::from(not);
                let mut found = false;
                loop {
                    if p + 2 <= pattern.len() && at(p) == b'\\' {
                        p += 1;
                        found |= at(p) == text[t];
                    } else if at(p) == b']' {
                        break;
                    } else if p >= pattern.len() {
                        p -= 1;
                        break;
                    } else if p + 3 <= pattern.len() && at(p + 1) == b'-' {
                        let (start, end) = (at(p).cast_signed(), at(p + 2).cast_signed());
                        let (start, end) = (start.min(end), start.max(end));
                        let low = |signed: i8| lower(signed.cast_unsigned()).cast_signed();
                        p += 2;
                        let byte = low(text[t].cast_signed());
                        found |= byte >= low(start) && byte <= low(end);
                    } else {
                        found |= lower(at(p)) == lower(text[t]);
                    }
                    p += 1;
                }
                if found == not {
                    return false;
                }
            }
            byte => {
                let escaped = byte == b'\\' && p + 2 <= pattern.len();
                p += usize::from(escaped);
                if lower(at(p)) != lower(text[t]) {
                    return false;
                }
            }
        }
        t += 1;
        p += 1;
        if t == text.len() {
            while at(p) == b'*' {
                p += 1;
            }
            break;
        }
    }
    p >= pattern.len() && t == text.len()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4096))]
    #[test]
    fn agrees_with_redis(
        pattern in proptest::collection::vec(proptest::sample::select(b"**??[[]^-\\abBCc\xe0\xff".to_vec()), 0..12),
        text in proptest::collection::vec(proptest::sample::select(b"abBCc-]\\^\xe0\xff".to_vec()), 0..10),
        nocase in proptest::prelude::any::<bool>(),
    ) {
        proptest::prop_assert_eq!(glob_match(&pattern, &text, nocase), redis(&pattern, &text, nocase));
    }
}

/// A pattern that is taken apart matches what the other matches, whatever it looks like.
#[test]
fn both_ways_of_matching_agree() {
    let mut random = fastrand::Rng::with_seed(7);
    let letters = b"ab*?[]^-\\c";
    let mut word = |most: usize| -> Vec<u8> {
        let len = random.usize(..=most);
        (0..len)
            .map(|_| letters[random.usize(..letters.len())])
            .collect()
    };
    for _ in 0..50_000 {
        let (pattern, text) = (word(8), word(6));
        let glob = Glob::new(&pattern).expect("short");
        assert_eq!(
            glob.is_match(&text),
            glob_match(&pattern, &text, false),
            "{} {}",
            pattern.escape_ascii(),
            text.escape_ascii()
        );
    }
    assert_eq!(
        Glob::new(&[b'*'; MOST_PATTERN + 1]).map(drop),
        Err(LONG_PATTERN)
    );
}
