//! A client's line in `CLIENT LIST`, with the fields of the backing's version.
//!
//! Sizes of buffers are placeholders but for their sum: what is kept for the client, about.

use std::fmt::Write;

use super::registry::{ClientEntry, Facts};
use super::settings::Settings;
use crate::command::Table;
use crate::upstream::ServerHello;

/// How clients are shown: as the backing's version shows its own.
pub(super) struct LineFormat<'a> {
    table: &'a Table,
    version: (u32, u32),
    valkey: bool,
}

impl<'a> LineFormat<'a> {
    /// The format of the backing; that of Redis 7.0 before it was reached.
    pub(super) fn of(settings: &'a Settings) -> Self {
        let hello = settings.hello.as_deref();
        LineFormat {
            table: &settings.table,
            version: version(hello).unwrap_or((7, 0)),
            valkey: hello.is_some_and(|hello| hello.server == "valkey"),
        }
    }

    /// The line of a client, without its end.
    pub(super) fn line(&self, client: &ClientEntry) -> String {
        let facts = client.facts();
        let mut line = String::with_capacity(384);
        // Writing to a string cannot fail.
        let _ = self.write(&mut line, client, &facts);
        line
    }

    fn write(&self, line: &mut String, client: &ClientEntry, facts: &Facts) -> std::fmt::Result {
        let since = |major, minor| self.version >= (major, minor);
        let [channels, patterns, shard_channels] = facts.all_subscriptions();
        // No client has any: the command that says so is not served.
        let capabilities = match self.valkey && since(8, 1) {
            true => " capa=",
            false => "",
        };
        write!(
            line,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={}{} db={} sub={channels} \
             psub={patterns}",
            client.id,
            client.addr(),
            client.laddr(),
            facts.fd,
            facts.name,
            client.age_secs(),
            client.idle_secs(),
            flags(facts),
            capabilities,
            facts.db,
        )?;
        if since(7, 0) {
            write!(line, " ssub={shard_channels}")?;
        }
        write!(line, " multi={}", facts.multi.map_or(-1, i64::from))?;
        if since(7, 4) {
            write!(line, " watch={}", facts.watching)?;
        }
        line.push_str(" qbuf=0 qbuf-free=0 argv-mem=0");
        if since(7, 0) {
            line.push_str(" multi-mem=0 rbs=0 rbp=0");
        }
        let redirect = match (facts.tracking, facts.redirect) {
            (false, _) => -1,
            (true, None) => 0,
            (true, Some(id)) => id.cast_signed(),
        };
        write!(
            line,
            " obl=0 oll=0 omem=0 tot-mem={} events=r cmd={} user={} redir={redirect}",
            client.memory(),
            self.command(facts.request()),
            facts.user,
        )?;
        if since(7, 0) {
            write!(line, " resp={}", facts.proto.number())?;
        }
        if since(7, 2) {
            let (name, version) = (&facts.lib_name, &facts.lib_ver);
            write!(line, " lib-name={name} lib-ver={version}")?;
        }
        if since(8, 0) {
            let (bytes, commands) = client.received();
            if !self.valkey {
                line.push_str(" io-thread=0");
            }
            write!(
                line,
                " tot-net-in={bytes} tot-net-out=0 tot-cmds={commands}"
            )?;
        }
        Ok(())
    }

    /// The name of the command that a request begins with: with its subcommand since Redis 7.0,
    /// `NULL` for one that does not exist.
    fn command(&self, request: &[u8]) -> &str {
        let (name, sub) = first_words(request);
        let Some(row) = self.table.get(name) else {
            return "NULL";
        };
        let sub = row.subcommand(sub).filter(|_| self.version >= (7, 0));
        &sub.unwrap_or(row).name
    }
}

/// The version that the backing gives itself: its first two numbers.
pub(super) fn version(hello: Option<&ServerHello>) -> Option<(u32, u32)> {
    let mut numbers = hello?.version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn flags(facts: &Facts) -> String {
    let all = [
        ('O', facts.monitor),
        ('P', facts.is_subscriber()),
        ('x', facts.multi.is_some()),
        ('b', facts.blocked || facts.blocked_here),
        ('t', facts.tracking),
        ('B', facts.tracking && facts.broadcast),
        ('e', facts.no_evict),
        ('T', facts.no_touch),
    ];
    let set = all.iter().filter(|(_, set)| *set);
    let flags: String = set.map(|(flag, _)| *flag).collect();
    if flags.is_empty() { "N".into() } else { flags }
}

/// The first two words of a request of which the beginning is there; empty where there is none.
fn first_words(request: &[u8]) -> (&[u8], &[u8]) {
    let mut lines = request
        .split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii_end());
    if request.first() != Some(&b'*') {
        let line = lines.next().unwrap_or_default();
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let mut next = || words.next().unwrap_or_default();
        return (next(), next());
    }
    let alone = lines.next() == Some(b"*1");
    let name = lines.nth(1).unwrap_or_default();
    let sub = lines.nth(1).filter(|_| !alone).unwrap_or_default();
    (name, sub)
}

#[cfg(test)]
mod tests {
    use super::super::registry::Registry;
    use super::*;
    use crate::command::Table;

    fn format(table: &Table, version: (u32, u32)) -> LineFormat<'_> {
        LineFormat {
            table,
            version,
            valkey: false,
        }
    }

    #[test]
    fn the_first_words_of_any_spelling() {
        for (request, words) in [
            ("*2\r\n$6\r\nCLIENT\r\n$4\r\nlist\r\n", ("CLIENT", "list")),
            ("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", ("PING", "")),
            ("client  list \r\nPING\r\n", ("client", "list")),
            ("*3\r\n$6\r\nCLIE", ("CLIE", "")),
            ("", ("", "")),
        ] {
            let (name, sub) = first_words(request.as_bytes());
            assert_eq!((name, sub), (words.0.as_bytes(), words.1.as_bytes()));
        }
    }

    #[test]
    fn fields_are_those_of_the_version() {
        let registry = Registry::default();
        let client = registry.add(1, "127.0.0.1:6".into(), "127.0.0.1:7379".into(), 3);
        client.touch(b"*2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n", 30, 1);
        let table = Table::shipped();
        let names = |version| {
            let line = format(&table, version).line(&client);
            let fields = line.split(' ').map(|field| field.split('=').next());
            fields.flatten().collect::<Vec<_>>().join(" ")
        };
        let old = "id addr laddr fd name age idle flags db sub psub multi qbuf qbuf-free argv-mem \
                   obl oll omem tot-mem events cmd user redir";
        assert_eq!(names((6, 2)), old);
        let new = "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free \
                   argv-mem multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp \
                   lib-name lib-ver io-thread tot-net-in tot-net-out tot-cmds";
        assert_eq!(names((8, 2)), new);
        let valkey = LineFormat {
            valkey: true,
            ..format(&table, (9, 1))
        };
        let line = valkey.line(&client);
        assert!(line.contains(" flags=N capa= db=3 ") && !line.contains(" io-thread="));
        let line = format(&table, (7, 0)).line(&client);
        assert!(line.starts_with("id=1 addr=127.0.0.1:6 laddr=127.0.0.1:7379 fd=-1 name= "));
        assert!(line.contains(" flags=N db=3 ") && line.contains(" cmd=client|list user=default "));
        assert!(line.ends_with(" redir=-1 resp=2"));
        assert!(
            format(&table, (6, 2))
                .line(&client)
                .contains(" cmd=client ")
        );
    }
}
