//! From the arguments of a call to the parameters of its method: one form for all ways to write the call.

use crate::bus::error::BusError;
use crate::bus::name::check;

/// A parameter of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct Param {
    pub(in crate::bus) name: Vec<u8>,
    pub(in crate::bus) default: Option<Vec<u8>>,
}

/// Arguments as a caller gave them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::bus) enum Given {
    /// None.
    #[default]
    Nothing,
    /// `ARGS`: by position.
    Args(Vec<Vec<u8>>),
    /// `KWARGS`: by name.
    Kwargs(Vec<(Vec<u8>, Vec<u8>)>),
}

/// Arguments as a worker gets them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::bus) struct Bound {
    pub(in crate::bus) args: Vec<Vec<u8>>,
    pub(in crate::bus) kwargs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Param {
    /// Reads `name` or `name=default`.
    ///
    /// # Errors
    /// When the name is not allowed.
    pub(in crate::bus) fn parse(text: &[u8]) -> Result<Self, BusError> {
        let mut parts = text.splitn(2, |&byte| byte == b'=');
        let name = parts.next().unwrap_or_default();
        check("parameter", name)?;
        Ok(Param {
            name: name.to_vec(),
            default: parts.next().map(<[u8]>::to_vec),
        })
    }

    /// Gives the parameter as it was written.
    pub(in crate::bus) fn text(&self) -> Vec<u8> {
        let mut text = self.name.clone();
        if let Some(default) = &self.default {
            text.push(b'=');
            text.extend_from_slice(default);
        }
        text
    }
}

fn shown(name: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(name).chars().take(64).collect();
    format!("'{shown}'")
}

/// Binds what was given to the parameters; without parameters everything stays as it was sent.
///
/// # Errors
/// `BADARGS` for missing, unknown, repeated or too many arguments.
pub(in crate::bus) fn bind(params: Option<&[Param]>, given: Given) -> Result<Bound, BusError> {
    let Some(params) = params else {
        return Ok(match given {
            Given::Nothing => Bound::default(),
            Given::Args(args) => Bound {
                args,
                kwargs: Vec::new(),
            },
            Given::Kwargs(kwargs) => Bound {
                args: Vec::new(),
                kwargs,
            },
        });
    };
    let mut values: Vec<Option<Vec<u8>>> = vec![None; params.len()];
    match given {
        Given::Nothing => {}
        Given::Args(args) => {
            if args.len() > params.len() {
                let most = params.len();
                let got = args.len();
                return Err(BusError::BadArguments(format!(
                    "at most {most} arguments, got {got}"
                )));
            }
            for (value, arg) in values.iter_mut().zip(args) {
                *value = Some(arg);
            }
        }
        Given::Kwargs(kwargs) => {
            for (name, arg) in kwargs {
                let Some(at) = params.iter().position(|param| param.name == name) else {
                    let text = format!("no parameter {}", shown(&name));
                    return Err(BusError::BadArguments(text));
                };
                if values[at].replace(arg).is_some() {
                    let text = format!("{} twice", shown(&name));
                    return Err(BusError::BadArguments(text));
                }
            }
        }
    }
    let mut bound = Bound::default();
    for (param, value) in params.iter().zip(values) {
        let Some(value) = value.or_else(|| param.default.clone()) else {
            let text = format!("{} is missing", shown(&param.name));
            return Err(BusError::BadArguments(text));
        };
        bound.kwargs.push((param.name.clone(), value.clone()));
        bound.args.push(value);
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(texts: &[&str]) -> Vec<Param> {
        texts
            .iter()
            .map(|text| Param::parse(text.as_bytes()).expect("a parameter"))
            .collect()
    }

    fn args(values: &[&str]) -> Given {
        Given::Args(
            values
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
        )
    }

    fn kwargs(pairs: &[(&str, &str)]) -> Given {
        let pair =
            |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        Given::Kwargs(pairs.iter().map(pair).collect())
    }

    #[test]
    fn all_forms_of_a_call_are_one() {
        let params = params(&["a", "b=2", "c="]);
        let want = bind(Some(&params), args(&["1", "2", ""])).expect("bound");
        assert_eq!(want.args, [b"1".to_vec(), b"2".to_vec(), b"".to_vec()]);
        assert_eq!(want.kwargs[1], (b"b".to_vec(), b"2".to_vec()));
        for given in [
            args(&["1"]),
            args(&["1", "2"]),
            kwargs(&[("a", "1")]),
            kwargs(&[("c", ""), ("b", "2"), ("a", "1")]),
        ] {
            assert_eq!(bind(Some(&params), given), Ok(want.clone()));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let params = params(&["a", "b=2"]);
        for (given, error) in [
            (Given::Nothing, "BADARGS 'a' is missing"),
            (kwargs(&[("b", "1")]), "BADARGS 'a' is missing"),
            (args(&["1", "2", "3"]), "BADARGS at most 2 arguments, got 3"),
            (
                kwargs(&[("a", "1"), ("z", "1")]),
                "BADARGS no parameter 'z'",
            ),
            (kwargs(&[("a", "1"), ("a", "1")]), "BADARGS 'a' twice"),
        ] {
            let refused = bind(Some(&params), given).expect_err("refused");
            assert_eq!(refused.to_string(), error);
        }
    }

    #[test]
    fn without_parameters_it_stays_as_sent() {
        let sent = bind(None, kwargs(&[("x", "1"), ("x", "2")])).expect("bound");
        assert_eq!(sent.kwargs.len(), 2);
        assert!(sent.args.is_empty());
        assert_eq!(
            bind(None, args(&["1"])).expect("bound").args,
            [b"1".to_vec()]
        );
        assert_eq!(
            bind(Some(&[]), args(&["1"]))
                .expect_err("refused")
                .to_string(),
            "BADARGS at most 0 arguments, got 1"
        );
    }

    #[test]
    fn a_default_is_all_behind_the_first_equals_sign() {
        let param = Param::parse(b"a==b").expect("valid");
        assert_eq!(param.default.as_deref(), Some(&b"=b"[..]));
        assert_eq!(param.text(), b"a==b");
        assert!(Param::parse(b"=1").is_err());
    }
}
