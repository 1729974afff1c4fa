//! Command rules, worded as in Redis' ACLs and applied in order: `+get`, `-config`,
//! `+client|list`, `+@read`, `-@dangerous`, `allcommands`, `nocommands`. A leading `+` may be left
//! out.
//!
//! Knows no users and no keys.

use super::error::AccessError;
use crate::command::{Categories, Row};

/// Which commands a rule is about.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Subject {
    All,
    Category(Categories),
    /// A command with all its subcommands, in lower case.
    Command(Box<str>),
    /// One subcommand, in lower case.
    Sub {
        container: Box<str>,
        sub: Box<str>,
    },
}

/// A command as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The row, the subcommand's if there is one; none for an unknown command.
    pub row: Option<&'a Row>,
    /// The command's name as the client wrote it.
    pub name: &'a [u8],
    /// The argument after it, which may name a subcommand that has no row.
    pub sub: Option<&'a [u8]>,
}

impl Asked<'_> {
    /// Whether the command tells or does the same as another one, which is named in lower case.
    fn has_alias(&self, name: &str) -> bool {
        self.row.is_some_and(|row| row.aliases.contains(&name))
    }
}

impl Subject {
    fn matches(&self, asked: Asked<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Category(category) => asked
                .row
                .is_some_and(|row| row.categories.intersects(*category)),
            Self::Command(name) => {
                asked.name.eq_ignore_ascii_case(name.as_bytes()) || asked.has_alias(name)
            }
            Self::Sub { container, sub } => {
                asked.name.eq_ignore_ascii_case(container.as_bytes())
                    && asked
                        .sub
                        .is_some_and(|asked| asked.eq_ignore_ascii_case(sub.as_bytes()))
            }
        }
    }

    /// Reads a rule without its sign.
    fn parse(text: &str, place: &str, rule: &str) -> Result<Self, AccessError> {
        let invalid = || AccessError::InvalidRule {
            place: place.to_owned(),
            rule: rule.to_owned(),
        };
        if text.eq_ignore_ascii_case("@all") {
            return Ok(Self::All);
        }
        if let Some(category) = text.strip_prefix('@') {
            let category = (!category.starts_with('@')).then(|| Categories::by_name(category));
            return category.flatten().map(Self::Category).ok_or_else(|| {
                AccessError::UnknownCategory {
                    place: place.to_owned(),
                    rule: rule.to_owned(),
                }
            });
        }
        let lower = text.to_ascii_lowercase();
        let is_name = |name: &str| {
            let mut chars = name.chars();
            chars
                .next()
                .is_some_and(|first| first.is_ascii_alphanumeric() || first == '_')
                && chars.all(|one| one.is_ascii_graphic() && one != '|')
        };
        match lower.split_once('|') {
            None if is_name(&lower) => Ok(Self::Command(lower.into())),
            Some((container, sub)) if is_name(container) && is_name(sub) => Ok(Self::Sub {
                container: container.into(),
                sub: sub.into(),
            }),
            _ => Err(invalid()),
        }
    }
}

/// What a user may run: rules of which the last that matches decides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct CommandRules {
    /// Latest first.
    rules: Vec<(Subject, bool)>,
}

impl CommandRules {
    /// Reads the rules of a user; without any, nothing is allowed.
    pub(super) fn parse(rules: &[String], place: &str) -> Result<Self, AccessError> {
        let mut parsed = Self::default();
        for rule in rules {
            let (text, allowed) = match rule.as_bytes().first() {
                _ if rule.eq_ignore_ascii_case("allcommands") => ("@all", true),
                _ if rule.eq_ignore_ascii_case("nocommands") => ("@all", false),
                Some(b'-') => (&rule[1..], false),
                Some(b'+') => (&rule[1..], true),
                _ => (&rule[..], true),
            };
            let subject = Subject::parse(text, place, rule)?;
            if subject == Subject::All {
                // Nothing before it matters any more.
                parsed.rules.clear();
            }
            parsed.rules.insert(0, (subject, allowed));
        }
        Ok(parsed)
    }

    /// Tells whether some command has a rule of its own that allows it.
    pub(super) fn name(&self, command: &str) -> bool {
        let rule = self
            .rules
            .iter()
            .find(|(subject, _)| matches!(subject, Subject::Command(name) if **name == *command));
        rule.is_some_and(|(_, allowed)| *allowed)
    }

    /// Tells whether every command is allowed. One that was taken away and given back counts as taken away.
    pub(super) fn allow_all(&self) -> bool {
        let gives_all = |(subject, _): &(Subject, bool)| *subject == Subject::All;
        self.rules.last().is_some_and(gives_all) && self.rules.iter().all(|(_, allowed)| *allowed)
    }

    /// Tells whether a command is allowed.
    pub(super) fn allow(&self, asked: Asked<'_>) -> bool {
        // Nothing is known of the command: whatever takes something away may mean it.
        let unknown = asked.row.is_none();
        let decisive = self.rules.iter().find(|(subject, allowed)| {
            subject.matches(asked) || (unknown && !allowed && *subject != Subject::All)
        });
        decisive.is_some_and(|(_, allowed)| *allowed)
    }
}

/// What nobody may run.
#[derive(Clone, Debug, Default)]
pub(super) struct DenyList {
    subjects: Vec<Subject>,
}

impl DenyList {
    /// Reads the deny list: names, `container|sub` and categories, without signs.
    pub(super) fn parse(rules: &[String]) -> Result<Self, AccessError> {
        let subjects = rules.iter().map(|rule| Subject::parse(rule, "deny", rule));
        Ok(Self {
            subjects: subjects.collect::<Result<_, _>>()?,
        })
    }

    /// Tells whether nothing is denied.
    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Tells whether all is denied that another list denies.
    pub(super) fn covers_all_of(&self, other: &Self) -> bool {
        other.subjects.iter().all(|one| self.subjects.contains(one))
    }

    /// Tells whether a command is denied.
    pub(super) fn covers(&self, asked: Asked<'_>) -> bool {
        // A command of which nothing is known may be in any category.
        let unknown = asked.row.is_none();
        self.subjects.iter().any(|subject| {
            subject.matches(asked) || (unknown && matches!(subject, Subject::Category(_)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, categories: Categories) -> Row {
        Row {
            name: name.into(),
            arity: -1,
            categories,
            ..Row::default()
        }
    }

    fn rules(text: &str) -> CommandRules {
        let rules: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        CommandRules::parse(&rules, "user 'x'").expect("valid rules")
    }

    fn allows(text: &str, command: &str, categories: Categories) -> bool {
        let row = row(command, categories);
        let mut words = command.split('|');
        let name = words.next().unwrap_or_default().as_bytes();
        let sub = words.next().map(str::as_bytes);
        rules(text).allow(Asked {
            row: Some(&row),
            name,
            sub,
        })
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        let read = Categories::READ;
        assert!(allows("@read", "get", read));
        assert!(!allows("@read -get", "get", read));
        assert!(!allows("@read -get", "GET", read));
        assert!(allows("-get @read", "get", read));
        assert!(allows("-@all +get", "get", read));
        assert!(!allows("+get -@all", "get", read));
        assert!(!allows("allcommands nocommands", "get", read));
        assert!(allows("nocommands AllCommands", "get", read));
        assert!(allows("+@all -@dangerous", "get", read));
        assert!(!allows(
            "+@all -@dangerous",
            "keys",
            read | Categories::DANGEROUS
        ));
        assert!(!allows("", "get", read));
        assert!(allows("set", "set", Categories::WRITE));
    }

    #[test]
    fn a_command_covers_its_subcommands_but_not_the_other_way_round() {
        let none = Categories::empty();
        assert!(allows("+client", "client|list", none));
        assert!(allows("+client|list", "client|list", none));
        assert!(!allows("+client|list", "client|kill", none));
        assert!(!allows("+client|list", "client", none));
        assert!(!allows("+client -client|list", "client|list", none));
        assert!(allows("+client -client|list", "client|kill", none));
    }

    #[test]
    fn an_unknown_command_is_allowed_by_name_or_with_all() {
        let asked = Asked {
            row: None,
            name: b"FT.SEARCH",
            sub: None,
        };
        assert!(rules("+@all").allow(asked));
        assert!(rules("+ft.search").allow(asked));
        assert!(!rules("+@read +@write +@slow").allow(asked));
        assert!(!rules("+@all -ft.search").allow(asked));
        // It may be what is meant, under another name.
        assert!(!rules("+@all -@dangerous").allow(asked));
        assert!(!rules("+@all -config").allow(asked));
        assert!(!rules("+@all -client|kill").allow(asked));
        assert!(rules("+@all -@dangerous +ft.search").allow(asked));
        assert!(!rules("+ft.search -@dangerous").allow(Asked {
            name: b"x",
            ..asked
        }));
        let deny = |rule: &str| DenyList::parse(&[rule.to_owned()]).expect("a valid rule");
        assert!(deny("@dangerous").covers(asked));
        assert!(!deny("flushall").covers(asked));
        assert!(deny("ft.search").covers(asked));
    }

    #[test]
    fn whoever_lacks_a_command_is_known() {
        for all in ["+@all", "allcommands", "-get +@all", "+@all +get", "@all"] {
            assert!(rules(all).allow_all(), "{all}");
        }
        for some in [
            "",
            "+@read",
            "-@all",
            "+@all -get",
            "+@all -get +get",
            "-@all +get +@write",
            "+@all -@all",
        ] {
            assert!(!rules(some).allow_all(), "{some}");
        }
    }

    #[test]
    fn bad_rules_are_named() {
        let parse = |rule: &str| CommandRules::parse(&[rule.to_owned()], "user 'bob'");
        let text = |rule| parse(rule).expect_err("a bad rule").to_string();
        assert_eq!(
            text("+@red"),
            "user 'bob': unknown command category in the rule '+@red'",
        );
        for bad in [
            "", "+", "-", "@", "~app:*", ">pw", "+a|b|c", "+|b", "+a|", "+a b", "+-get",
        ] {
            assert!(text(bad).contains("user 'bob'"), "{bad}");
        }
        assert!(parse("+no.such.command").is_ok());
        let deny = DenyList::parse(&["@nope".to_owned()]).expect_err("a bad rule");
        assert_eq!(
            deny.to_string(),
            "deny: unknown command category in the rule '@nope'"
        );
        assert!(
            DenyList::parse(&["+get".to_owned()]).is_err(),
            "the deny list has no signs"
        );
    }
}
