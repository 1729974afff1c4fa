//! A report's place in a page of the documentation.

use std::fs;
use std::io;
use std::path::Path;

/// Puts what `writer` reports into its place in `docs/PAGE`: between two comments that name it.
pub(crate) fn write(page: &str, writer: &str, text: &str) -> io::Result<()> {
    let marks = ["begin", "end"].map(|at| format!("<!-- {at} of what {writer} writes -->"));
    between(page, &marks, text)
}

/// Puts a text between two comments of `docs/PAGE`.
pub(crate) fn between(page: &str, [begin, end]: &[String; 2], text: &str) -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(page);
    let before = fs::read_to_string(&path)?;
    let missing = || io::Error::other(format!("docs/{page} has no place for the report"));
    let (head, rest) = before.split_once(begin).ok_or_else(missing)?;
    let (_, tail) = rest.split_once(end).ok_or_else(missing)?;
    let text = text.trim_end();
    fs::write(&path, format!("{head}{begin}\n\n{text}\n\n{end}{tail}"))
}
