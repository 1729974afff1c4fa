//! A client's pattern matches in bounded time, and what it must;
//! `cargo fuzz run glob`.
//!
//! The first byte is the length of the pattern, the text follows it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use respite::parts::glob_match;

fuzz_target!(|data: &[u8]| {
    let Some((&len, rest)) = data.split_first() else {
        return;
    };
    let (pattern, text) = rest.split_at(usize::from(len).min(rest.len()));
    let matches = glob_match(pattern, text, false);
    let _ = glob_match(pattern, text, true);

    // Stars in a row are one.
    let doubled: Vec<u8> = pattern
        .iter()
        .flat_map(|&byte| std::iter::repeat_n(byte, if byte == b'*' { 2 } else { 1 }))
        .collect();
    // In a class or behind a backslash a star is a star.
    if !pattern.contains(&b'[') && !pattern.contains(&b'\\') {
        assert_eq!(glob_match(&doubled, text, false), matches);
    }
    // What is escaped matches itself and, being of one length, nothing else.
    let escaped: Vec<u8> = text.iter().flat_map(|&byte| [b'\\', byte]).collect();
    assert!(glob_match(&escaped, text, false));
    assert_eq!(glob_match(&escaped, pattern, false), pattern == text);
    // A star in front only adds matches.
    if matches && !text.is_empty() {
        assert!(glob_match(&[b"*", pattern].concat(), text, false));
    }
});
