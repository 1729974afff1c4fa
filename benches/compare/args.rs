//! Options of the command line: `--name`, or `--name VALUE`.

use std::env;

/// Whether an option is there.
pub(crate) fn has(name: &str) -> bool {
    env::args().any(|arg| arg == name)
}

/// The value of an option.
pub(crate) fn value(name: &str) -> Option<String> {
    let mut args = env::args().skip_while(|arg| arg != name);
    args.nth(1)
}

/// The same as a number.
pub(crate) fn number<T: TryFrom<u64>>(name: &str, default: T) -> T {
    let given = value(name).map(|text| {
        let number: Option<u64> = text.parse().ok();
        number.and_then(|number| T::try_from(number).ok())
    });
    given.map_or(default, |number| number.expect("a number"))
}
