//! One `INFO` text, kept once and found again by section and field.
//!
//! Immutable: readers share it without copying. It knows `INFO`'s form, not what the fields mean.

use std::fmt;

/// Sections that are told apart; lines behind the last of them belong to it.
const MOST_SECTIONS: usize = 512;
/// Fields that can be asked for one by one.
const MOST_FIELDS: usize = 200_000;

/// What stands between two sections.
pub(super) const GAP: &[u8] = b"\r\n";

/// The sections of the core that only `INFO all` and `INFO everything` show, in lower case; the last three are Valkey's.
const EXTRA: [&str; 6] = [
    "commandstats",
    "debug",
    "latencystats",
    "tls",
    "cluster info",
    "scripting engines",
];

/// An `INFO` text with its index.
pub struct Snapshot {
    text: Box<[u8]>,
    sections: Box<[Section]>,
    fields: Box<[Field]>,
}

/// A section: `text[start..end]` from its `#` to the end of its last line.
struct Section {
    start: u32,
    end: u32,
    /// The end of the name; it starts behind `# `.
    name_end: u32,
    /// The fields before this section, so that its own begin there.
    fields_before: u32,
    kind: Kind,
}

/// Which of `default`, `all` and `everything` show a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All three.
    Core,
    /// Not `default`.
    Extra,
    /// `everything` only: a module's own.
    Module,
}

/// A line `name:value`; `text[start..end]` without the line end.
struct Field {
    start: u32,
    end: u32,
    name_len: u16,
}

/// The sections that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted<'a> {
    level: Level,
    /// Names in lower case.
    names: &'a [Vec<u8>],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Level {
    /// Only what is named.
    Named,
    #[default]
    Default,
    All,
    Everything,
}

impl<'a> Wanted<'a> {
    /// Reads the arguments of `INFO`, in lower case: none is `default`, and what is wanted is all of
    /// them together.
    #[must_use]
    pub fn new(names: &'a [Vec<u8>]) -> Self {
        let level = |name: &Vec<u8>| match name.as_slice() {
            b"default" => Level::Default,
            b"all" => Level::All,
            b"everything" => Level::Everything,
            _ => Level::Named,
        };
        let level = names.iter().map(level).max().unwrap_or_default();
        Wanted { level, names }
    }

    /// Whether it is more than some sections by their names.
    #[must_use]
    pub fn is_general(&self) -> bool {
        self.level > Level::Named
    }
}

impl Snapshot {
    /// Indexes a text. None when it is not one that `INFO` gives: without a single field, or longer
    /// than 4 GiB.
    #[must_use]
    pub fn new(text: Vec<u8>) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        let mut sections: Vec<Section> = Vec::with_capacity(16);
        let mut fields = Vec::with_capacity(text.len() / 32);
        let mut start = 0;
        let modules = modules(&text);
        while start < text.len() {
            let rest = &text[start..];
            let newline = memchr::memchr(b'\n', rest);
            let next = newline.map_or(text.len(), |at| start + at + 1);
            let line = trim_line(&text[start..next]);
            if let Some(name) = line.strip_prefix(b"# ") {
                if sections.len() < MOST_SECTIONS {
                    sections.push(Section {
                        start: int(start),
                        end: int(next),
                        name_end: int(start + 2 + name.len()),
                        fields_before: int(fields.len()),
                        kind: kind(name, &modules),
                    });
                }
            } else if !line.is_empty() {
                if let Some(section) = sections.last_mut() {
                    section.end = int(next);
                }
                let colon = memchr::memchr(b':', line).map(u16::try_from);
                if let Some(Ok(name_len)) = colon
                    && fields.len() < MOST_FIELDS
                {
                    fields.push(Field {
                        start: int(start),
                        end: int(start + line.len()),
                        name_len,
                    });
                }
            }
            start = next;
        }
        (!fields.is_empty()).then(|| Snapshot {
            text: text.into_boxed_slice(),
            sections: sections.into_boxed_slice(),
            fields: fields.into_boxed_slice(),
        })
    }

    /// The whole text, as the server wrote it.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The value of a field: the first of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let named = |(found, value)| (found == name.as_bytes()).then_some(value);
        self.fields().find_map(named)
    }

    /// The value of a field that stood at `near` in a text like this one, and where it stands here. For many
    /// texts that are much alike: it looks there first.
    #[must_use]
    pub fn field_near(&self, name: &str, near: usize) -> Option<(usize, &[u8])> {
        let name = name.as_bytes();
        let is = |at: usize| {
            let field = &self.fields[at];
            usize::from(field.name_len) == name.len() && self.split(field).0 == name
        };
        let near = near.min(self.fields.len());
        let mut places = (near..self.fields.len()).chain(0..near);
        let found = places.find(|at| is(*at))?;
        Some((found, self.split(&self.fields[found]).1))
    }

    /// The value of a field that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        std::str::from_utf8(self.field(name)?).ok()?.parse().ok()
    }

    /// All fields, names and values, in the order of the text.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| self.split(field))
    }

    /// The names of the sections as the server writes them, each with its fields.
    pub fn sections(&self) -> impl Iterator<Item = (&[u8], impl Iterator<Item = (&[u8], &[u8])>)> {
        (0..self.sections.len()).map(move |index| self.section(index))
    }

    /// Those of them that are wanted.
    pub fn wanted_sections(
        &self,
        wanted: Wanted<'_>,
    ) -> impl Iterator<Item = (&[u8], impl Iterator<Item = (&[u8], &[u8])>)> {
        let all = wanted.level == Level::Everything;
        let shown = move |index: &usize| all || self.shows(&self.sections[*index], wanted);
        let sections = (0..self.sections.len()).filter(shown);
        sections.map(move |index| self.section(index))
    }

    fn section(&self, index: usize) -> (&[u8], impl Iterator<Item = (&[u8], &[u8])>) {
        let section = &self.sections[index];
        let next = self.sections.get(index + 1);
        let end = next.map_or(self.fields.len(), |next| at(next.fields_before));
        let fields = &self.fields[at(section.fields_before)..end];
        let split = move |field| self.split(field);
        (self.name(section), fields.iter().map(split))
    }

    /// The sections that are wanted, with an empty line between two, as Redis puts them: what to
    /// write, one piece after the other. Sections that follow each other are one piece.
    #[must_use]
    pub fn pieces(&self, wanted: Wanted<'_>) -> Vec<&[u8]> {
        if wanted.level == Level::Everything {
            return vec![&self.text];
        }
        let mut pieces = Vec::with_capacity(8);
        let mut open = 0..0;
        for section in &self.sections {
            if !self.shows(section, wanted) {
                continue;
            }
            let (start, end) = (at(section.start), at(section.end));
            if open.end + GAP.len() == start && !open.is_empty() {
                open.end = end;
                continue;
            }
            self.close(&open, &mut pieces);
            open = start..end;
        }
        self.close(&open, &mut pieces);
        pieces
    }

    fn close<'a>(&'a self, piece: &std::ops::Range<usize>, pieces: &mut Vec<&'a [u8]>) {
        if piece.is_empty() {
            return;
        }
        if !pieces.is_empty() {
            pieces.push(GAP);
        }
        pieces.push(&self.text[piece.clone()]);
    }

    fn shows(&self, section: &Section, wanted: Wanted<'_>) -> bool {
        let by_level = match section.kind {
            Kind::Core => wanted.level >= Level::Default,
            Kind::Extra => wanted.level >= Level::All,
            Kind::Module => false,
        };
        by_level
            || !wanted.names.is_empty() && {
                let name = self.name(section);
                let is = |asked: &Vec<u8>| is_section(asked, name, section.kind);
                wanted.names.iter().any(is)
            }
    }

    fn name(&self, section: &Section) -> &[u8] {
        &self.text[at(section.start) + 2..at(section.name_end)]
    }

    fn split(&self, field: &Field) -> (&[u8], &[u8]) {
        let line = &self.text[at(field.start)..at(field.end)];
        let (name, value) = line.split_at(usize::from(field.name_len));
        (name, &value[1..])
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("bytes", &self.text.len())
            .field("fields", &self.fields.len())
            .finish_non_exhaustive()
    }
}

/// Whether a name that was asked for, in lower case, means this section.
fn is_section(asked: &[u8], name: &[u8], kind: Kind) -> bool {
    if name.eq_ignore_ascii_case(asked) {
        return true;
    }
    match (asked, kind) {
        (b"module_list", Kind::Core) => name.eq_ignore_ascii_case(b"modules"),
        (b"cluster_info", Kind::Extra) => name.eq_ignore_ascii_case(b"cluster info"),
        (b"scriptingengines", Kind::Extra) => name.eq_ignore_ascii_case(b"scripting engines"),
        (b"modules", Kind::Module) => true,
        // A module's name means all its sections: `# search_version` is one of `search`.
        (module, Kind::Module) => is_of(name, module),
        _ => false,
    }
}

fn is_of(section: &[u8], module: &[u8]) -> bool {
    let own = section.get(..module.len());
    own.is_some_and(|own| own.eq_ignore_ascii_case(module))
        && matches!(section.get(module.len()), None | Some(b'_'))
}

fn kind(name: &[u8], modules: &[&[u8]]) -> Kind {
    let extra = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    if EXTRA.iter().any(extra) {
        Kind::Extra
    } else if modules.iter().any(|module| is_of(name, module)) {
        Kind::Module
    } else {
        Kind::Core
    }
}

/// The names in the lines `module:name=NAME,…`.
fn modules(text: &[u8]) -> Vec<&[u8]> {
    const LINE: &[u8] = b"\nmodule:name=";
    let name = |at: usize| {
        let rest = &text[at + LINE.len()..];
        let end = rest.iter().position(|byte| matches!(byte, b',' | b'\r'));
        &rest[..end.unwrap_or(rest.len())]
    };
    let found = memchr::memmem::find_iter(text, LINE).map(name);
    // So many modules has no server.
    found.filter(|name| !name.is_empty()).take(256).collect()
}

fn trim_line(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A position in the text, which [`Snapshot::new`] has seen to be short enough.
fn int(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn at(position: u32) -> usize {
    position as usize
}

#[cfg(test)]
mod tests;
