//! `[credentials.NAME]`: logins for other servers.

use super::{MeantFor, Secret, error::Problems, raw};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One login. Never prints its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user to log in as.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// The file that the password was read from.
    pub password_file: Option<PathBuf>,
    /// Where it may be sent besides to what the configuration itself names.
    pub meant_for: Arc<MeantFor>,
}

impl Credential {
    pub(super) fn validate(name: &str, raw: raw::Credential, problems: &mut Problems) -> Self {
        let key = |field| format!("credentials.{name}.{field}");
        if raw.user.is_empty() {
            problems.invalid(key("user"), "must not be empty");
        }
        let file = super::lists::path(&raw.password_file);
        let password = match (&file, raw.password.expose().is_empty()) {
            (Some(file), true) => read(file).unwrap_or_else(|reason| {
                problems.invalid(key("password_file"), reason);
                raw.password
            }),
            (None, false) => raw.password,
            (Some(_), false) => {
                problems.invalid(key("password"), "cannot be given with password_file");
                raw.password
            }
            (None, true) => {
                problems.invalid(key("password"), "password or password_file must be given");
                raw.password
            }
        };
        let meant_for = MeantFor::new(&raw.meant_for).unwrap_or_else(|reason| {
            problems.invalid(key("for"), reason);
            MeantFor::default()
        });
        Self {
            user: raw.user,
            password,
            password_file: file,
            meant_for: Arc::new(meant_for),
        }
    }
}

/// Reads a password without the newline that editors put at its end.
fn read(file: &Path) -> Result<Secret, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(format!("{} is empty", file.display()));
    }
    Ok(Secret::new(password))
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{env, file, lines, problems, written};
    use crate::config::{Secret, Upstream};

    fn password(text: &str) -> Secret {
        let config = file(text).expect("valid");
        config
            .credentials
            .get("main")
            .expect("main")
            .password
            .clone()
    }

    #[test]
    fn the_password_is_given_here_or_in_a_file() {
        assert_eq!(
            password("[credentials.main]\npassword = \"a\""),
            Secret::new("a")
        );
        for (content, expected) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            (" a \n\n", " a \n"),
        ] {
            let file = written(content);
            let text = format!(
                "[credentials.main]\npassword_file = '{}'",
                file.path().display()
            );
            assert_eq!(password(&text), Secret::new(expected), "{content:?}");
        }
    }

    #[test]
    fn an_impossible_login_is_refused() {
        assert_eq!(
            problems("[credentials.main]\nuser = \"\""),
            [
                "credentials.main.user: must not be empty",
                "credentials.main.password: password or password_file must be given"
            ]
        );
        assert_eq!(
            problems("[credentials.main]\npassword = \"hush\"\npassword_file = \"f\""),
            ["credentials.main.password: cannot be given with password_file"]
        );
        assert_eq!(
            problems("[credentials.main]\npassword_file = \"/nowhere/at/all\""),
            [
                "credentials.main.password_file: cannot read /nowhere/at/all: No such file or directory (os error 2)"
            ]
        );
        let empty = written("\n");
        let path = empty.path().display();
        assert_eq!(
            problems(&format!("[credentials.main]\npassword_file = '{path}'")),
            [format!("credentials.main.password_file: {path} is empty")]
        );
        assert_eq!(
            problems("[credentials.\"\"]\npassword = \"hush\""),
            ["credentials: a name must not be empty"]
        );
    }

    #[test]
    fn a_password_of_the_wrong_type_is_not_repeated() {
        assert_eq!(
            problems("[credentials.main]\npassword = 123456"),
            ["credentials.main.password: must be a string"]
        );
    }

    #[test]
    fn the_upstream_logs_in_with_the_named_credential() {
        let text = "upstream = \"redis://h\"\nupstream_credential = \"Main\"\n[credentials.Main]\nuser = \"u\"";
        // The variable meets the table of the file, whose name has a capital.
        let variables = [("RESPITE_CREDENTIALS__MAIN__PASSWORD", "pw")];
        let config = env(text, &variables).expect("valid");
        let Upstream::Single(endpoint) = config.upstream else {
            panic!("{:?}", config.upstream)
        };
        assert_eq!(endpoint.user.as_deref(), Some("u"));
        assert_eq!(endpoint.password, Some(Secret::new("pw")));
    }

    #[test]
    fn a_credential_that_cannot_be_used_is_refused() {
        let main = "[credentials.main]\npassword = \"pw\"";
        let with = |upstream, name| {
            lines(file(&format!(
                "upstream = \"{upstream}\"\nupstream_credential = \"{name}\"\n{main}"
            )))
        };
        assert_eq!(
            with("redis://h", "mian"),
            ["upstream_credential: there is no [credentials.mian]"]
        );
        assert_eq!(
            with("embedded", "main"),
            ["upstream_credential: cannot be given with upstream = \"embedded\""]
        );
        assert_eq!(
            with("redis://u@h", "main"),
            ["upstream_credential: cannot be given with a user or password in upstream"]
        );
    }
}
