//! Cache templates: which calls are equal.
//!
//! A template is a format string over the parameters, `{a}/{b}`; `{{` and `}}` are braces. What it says
//! besides its parameters is the same for every call, so a key is made of their values alone, each with its
//! length in front: values that contain the separators of a template cannot be mistaken for others.

use sha2::{Digest, Sha256};

use super::binding::Param;
use crate::bus::error::BusError;

/// Longer keys are replaced by their hash.
const LONGEST_KEY: usize = 200;

/// A template whose parameters are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct Template {
    /// The parameters it names, by their position; each once.
    used: Vec<usize>,
}

impl Template {
    /// Reads a template over these parameters.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(in crate::bus) fn parse(text: &str, params: &[Param]) -> Result<Self, BusError> {
        let mut used = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (brace, behind) = rest[at..].split_at(1);
            if let Some(behind) = behind.strip_prefix(brace) {
                rest = behind;
                continue;
            }
            let end = behind.find('}').filter(|_| brace == "{");
            let Some(end) = end else {
                return Err(BusError::Invalid(format!(
                    "the cache template has a single '{brace}'"
                )));
            };
            let name = &behind[..end];
            let Some(index) = params
                .iter()
                .position(|param| param.name == name.as_bytes())
            else {
                return Err(BusError::Invalid(format!(
                    "the cache template names '{name}', which is no parameter"
                )));
            };
            if !used.contains(&index) {
                used.push(index);
            }
            rest = &behind[end + 1..];
        }
        Ok(Template { used })
    }

    /// Gives the key of a call with these values for all parameters. Calls that differ in a parameter of the
    /// template have different keys.
    pub(in crate::bus) fn key(&self, values: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut key = Vec::new();
        for &index in &self.used {
            let value = values.get(index).map_or(&b""[..], AsRef::as_ref);
            key.extend_from_slice(itoa::Buffer::new().format(value.len()).as_bytes());
            key.push(b':');
            key.extend_from_slice(value);
        }
        if key.is_empty() {
            // Keys that are not hashed begin with a digit otherwise, and none may be empty.
            key.push(b'=');
        }
        if key.len() > LONGEST_KEY {
            let mut hashed = b"#".to_vec();
            hashed.extend_from_slice(&Sha256::digest(&key));
            return hashed;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn params(names: &[&str]) -> Vec<Param> {
        names
            .iter()
            .map(|name| Param::parse(name.as_bytes()).expect("a parameter"))
            .collect()
    }

    #[test]
    fn a_template_names_parameters() {
        let params = params(&["a", "b"]);
        let used = |text| Template::parse(text, &params).map(|template| template.used);
        assert_eq!(used("{a}/{b}"), Ok(vec![0, 1]));
        assert_eq!(used("{b}{b}"), Ok(vec![1]));
        assert_eq!(used("{{a}}"), Ok(vec![]));
        assert_eq!(used("{{{a}}}"), Ok(vec![0]));
        for bad in ["{", "}", "{a", "a}", "{}", "{c}", "{a}}"] {
            let error = used(bad).expect_err(bad).to_string();
            assert!(error.starts_with("ERR the cache template"), "{error}");
        }
    }

    #[test]
    fn the_separator_in_a_value_is_no_separator() {
        let template = Template::parse("{a}/{b}", &params(&["a", "b"])).expect("valid");
        assert_ne!(template.key(&["a/b", "c"]), template.key(&["a", "b/c"]));
        assert_ne!(template.key(&["", "a"]), template.key(&["a", ""]));
        let nothing = Template::parse("all", &[]).expect("valid");
        assert_eq!(nothing.key(&["a"]), nothing.key(&["b"]));
        assert!(!nothing.key(&["a"]).is_empty());
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            // what a careless encoding would trip over
            "[0-9:/{}#=]{0,6}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..300),
        ]
    }

    proptest! {
        #[test]
        fn distinct_calls_never_share_a_key(
            one in prop::collection::vec(value(), 3),
            other in prop::collection::vec(value(), 3),
            text in prop::sample::select(vec!["{a}/{b}/{c}", "{a}{b}{c}", "{c}:{a}{b}x"]),
        ) {
            let template = Template::parse(text, &params(&["a", "b", "c"])).expect("valid");
            prop_assert_eq!(template.key(&one) == template.key(&other), one == other);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Template::parse(&text, &params(&["a"]));
        }
    }
}
