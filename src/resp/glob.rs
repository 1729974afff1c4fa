//! The pattern matching of `KEYS`, `PSUBSCRIBE`, `CONFIG GET` and `ACL`.

/// The most bytes of a pattern that is matched here: real ones have tens.
pub const MOST_PATTERN: usize = 64 * 1024;

/// The refusal of a longer one.
pub const LONG_PATTERN: &str = "ERR a pattern may have at most 65536 bytes";

/// A pattern that is taken apart once, for many texts: a step costs the same however long the
/// classes are. Matches what [`glob_match`] matches, in the case that is given.
#[derive(Clone, Debug)]
pub struct Glob {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Byte(u8),
    /// A bit for each byte that is one of the class.
    Class(Box<[u64; 4]>),
}

impl Glob {
    /// Takes a pattern apart.
    ///
    /// # Errors
    ///
    /// The error reply when it has more than [`MOST_PATTERN`] bytes.
    pub fn new(pattern: &[u8]) -> Result<Self, &'static str> {
        if pattern.len() > MOST_PATTERN {
            return Err(LONG_PATTERN);
        }
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some((&first, behind)) = rest.split_first() {
            let token;
            (token, rest) = match (first, behind) {
                (b'*', _) => (Token::Any, behind),
                (b'?', _) => (Token::One, behind),
                (b'[', class) => {
                    let mut bits = Box::new([0; 4]);
                    let mut after = behind;
                    for byte in 0..=u8::MAX {
                        let (matches, rest) = match_class(class, byte, false);
                        bits[usize::from(byte) / 64] |= u64::from(matches) << (byte % 64);
                        after = rest;
                    }
                    (Token::Class(bits), after)
                }
                (b'\\', [wanted, behind @ ..]) => (Token::Byte(*wanted), behind),
                (wanted, _) => (Token::Byte(wanted), behind),
            };
            let repeats = matches!((&token, tokens.last()), (Token::Any, Some(Token::Any)));
            if !repeats {
                tokens.push(token);
            }
        }
        Ok(Glob { tokens })
    }

    /// Tells whether a text as a whole matches. Takes at most as many steps as the square of its length.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        if text.is_empty() {
            return self.tokens.is_empty();
        }
        let (mut next, mut at) = (0, 0);
        // The token behind the last `*`, and where in the text it is tried.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.tokens.get(next) {
                Some(Token::Any) if next + 1 == self.tokens.len() => return true,
                Some(Token::Any) => {
                    next += 1;
                    retry = Some((next, at));
                }
                Some(token) if token.takes(text[at]) => {
                    next += 1;
                    at += 1;
                }
                _ => {
                    let Some((behind, from)) = retry else {
                        return false;
                    };
                    (next, at) = (behind, from + 1);
                    retry = Some((next, at));
                }
            }
        }
        let mut rest = self.tokens.iter().skip(next);
        rest.all(|token| matches!(token, Token::Any))
    }
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Token::Any => false,
            Token::One => true,
            Token::Byte(wanted) => *wanted == byte,
            Token::Class(bits) => bits[usize::from(byte) / 64] >> (byte % 64) & 1 == 1,
        }
    }
}

/// Tells whether `text` as a whole matches `pattern`, as Redis'
/// `stringmatchlen` (util.c) does.
///
/// `*` stands for any bytes, `?` for any one, `[a-c]` for one of these, `[^x]`
/// for one that is not, `\` takes the next byte as it is; with `nocase`, ASCII
/// letters match in either case. As in Redis, an empty text is matched by an
/// empty pattern only, a class that is not closed ends with the pattern, and
/// an escaped letter in a class always matches in its own case.
///
/// Takes at most `pattern.len() * text.len()` steps and no memory: every token
/// but `*` takes exactly one byte, so that only the last `*` seen need ever be
/// tried with more bytes.
#[must_use]
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut rest = pattern;
    let mut at = 0;
    // The pattern behind the last `*`, and where in the text it is tried.
    let mut retry: Option<(&[u8], usize)> = None;
    while at < text.len() {
        if let [b'*', behind @ ..] = rest {
            if behind.is_empty() {
                return true;
            }
            rest = behind;
            retry = Some((rest, at));
        } else if let Some(behind) = match_one(rest, text[at], nocase) {
            rest = behind;
            at += 1;
        } else if let Some((behind, from)) = retry {
            rest = behind;
            at = from + 1;
            retry = Some((behind, at));
        } else {
            return false;
        }
    }
    rest.iter().all(|&byte| byte == b'*')
}

/// Matches `byte` with the token at the start of `pattern`; returns the pattern
/// behind the token if it does.
#[inline]
fn match_one(pattern: &[u8], byte: u8, nocase: bool) -> Option<&[u8]> {
    let (matches, behind) = match pattern {
        [] => return None,
        [b'?', behind @ ..] => (true, behind),
        [b'[', class @ ..] => match_class(class, byte, nocase),
        [b'\\', wanted, behind @ ..] | [wanted, behind @ ..] => {
            (fold(*wanted, nocase) == fold(byte, nocase), behind)
        }
    };
    matches.then_some(behind)
}

/// Matches `byte` with the class whose `[` stands in front of `class`; returns
/// whether it does and the pattern behind the class.
fn match_class(class: &[u8], byte: u8, nocase: bool) -> (bool, &[u8]) {
    let (wanted, mut rest) = match class {
        [b'^', rest @ ..] => (false, rest),
        rest => (true, rest),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => return (found == wanted, rest),
            [b'\\', literal, behind @ ..] => {
                found |= *literal == byte;
                behind
            }
            [b']', behind @ ..] => return (found == wanted, behind),
            [from, b'-', to, behind @ ..] => {
                found |= in_range(*from, *to, byte, nocase);
                behind
            }
            [literal, behind @ ..] => {
                found |= fold(*literal, nocase) == fold(byte, nocase);
                behind
            }
        };
    }
}

/// The ends may stand in either order and are put in order before their case
/// is folded. Bytes are signed as C's `char` is on x86.
fn in_range(from: u8, to: u8, byte: u8, nocase: bool) -> bool {
    let signed = |byte: u8| fold(byte, nocase).cast_signed();
    let (low, high) = if from.cast_signed() <= to.cast_signed() {
        (from, to)
    } else {
        (to, from)
    };
    (signed(low)..=signed(high)).contains(&signed(byte))
}

const fn fold(byte: u8, nocase: bool) -> u8 {
    if nocase {
        byte.to_ascii_lowercase()
    } else {
        byte
    }
}

#[cfg(test)]
mod tests;
