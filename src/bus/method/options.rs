//! A method as it is registered: its options, and their one spelling in the backing.

use super::binding::{Bound, Given, Param, bind};
use super::body::Body;
use super::template::Template;
use crate::bus::error::BusError;
use crate::resp::{Args, Value, parse_reply, write_command};

/// `CACHETTL` unless told: a day.
const CACHE_MS: u64 = 86_400_000;
/// `RESULTTTL` unless told: an hour.
const RESULT_MS: u64 = 3_600_000;
/// `VISIBILITY` unless told.
const VISIBILITY_MS: u64 = 30_000;
/// `MAXDELIVERIES` unless told.
const DELIVERIES: u64 = 5;
/// `MAXPENDING` unless told.
const PENDING: u64 = 10_000;
/// No time that a method names may be longer: a year.
const LONGEST_MS: u64 = 365 * 86_400_000;
/// No method may have more calls waiting and in flight.
const MOST_PENDING: u64 = 1_000_000;
const MOST_DELIVERIES: u64 = 1000;
const MOST_PARAMS: usize = 64;
/// The most bytes of all parameters with their defaults, of a template, of a description.
const MOST_TEXT: usize = 16 * 1024;

/// The options of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct Options {
    pub(in crate::bus) params: Option<Vec<Param>>,
    pub(in crate::bus) cache: Option<Cache>,
    pub(in crate::bus) cache_ms: u64,
    pub(in crate::bus) result_ms: u64,
    pub(in crate::bus) idempotent: bool,
    pub(in crate::bus) visibility_ms: u64,
    pub(in crate::bus) max_deliveries: u64,
    pub(in crate::bus) max_pending: u64,
    pub(in crate::bus) description: String,
}

/// A cache template with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct Cache {
    pub(in crate::bus) text: String,
    pub(in crate::bus) template: Template,
}

/// A method of a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct Method {
    pub(in crate::bus) name: String,
    /// What this registration is told from every other by, also from those of the same number.
    pub(in crate::bus) stamp: String,
    pub(in crate::bus) options: Options,
}

/// A call that is bound to a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct BoundCall {
    pub(in crate::bus) body: Body,
    /// The key that equal calls share.
    pub(in crate::bus) key: Option<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            params: None,
            cache: None,
            cache_ms: CACHE_MS,
            result_ms: RESULT_MS,
            idempotent: false,
            visibility_ms: VISIBILITY_MS,
            max_deliveries: DELIVERIES,
            max_pending: PENDING,
            description: String::new(),
        }
    }
}

impl Options {
    /// Reads the options of `BUS.REGISTER`.
    ///
    /// # Errors
    /// The error reply.
    pub(in crate::bus) fn parse(args: Args<'_>) -> Result<Self, BusError> {
        let mut options = Options::default();
        let mut template = None;
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let upper = word.to_ascii_uppercase();
            if upper == b"IDEMPOTENT" {
                options.idempotent = true;
                continue;
            }
            let value = words.next().ok_or(BusError::Syntax)?;
            match upper.as_slice() {
                b"PARAMS" => {
                    let count = whole("PARAMS", value, 0, MOST_PARAMS as u64)?;
                    let mut params: Vec<Param> = Vec::new();
                    for _ in 0..count {
                        let param = Param::parse(words.next().ok_or(BusError::Syntax)?)?;
                        if params.iter().any(|other| other.name == param.name) {
                            let name = String::from_utf8_lossy(&param.name);
                            let text = format!("the parameter '{name}' is there twice");
                            return Err(BusError::Invalid(text));
                        }
                        params.push(param);
                    }
                    let bytes: usize = params.iter().map(|param| param.text().len()).sum();
                    if bytes > MOST_TEXT {
                        return Err(BusError::Invalid(format!(
                            "PARAMS must be at most {MOST_TEXT} bytes together"
                        )));
                    }
                    options.params = Some(params);
                }
                b"CACHE" => template = Some(text("CACHE", value)?),
                b"CACHETTL" => options.cache_ms = seconds("CACHETTL", value)?,
                b"RESULTTTL" => options.result_ms = seconds("RESULTTTL", value)?,
                b"VISIBILITY" => options.visibility_ms = whole("VISIBILITY", value, 1, LONGEST_MS)?,
                b"MAXDELIVERIES" => {
                    options.max_deliveries = whole("MAXDELIVERIES", value, 1, MOST_DELIVERIES)?;
                }
                b"MAXPENDING" => options.max_pending = whole("MAXPENDING", value, 1, MOST_PENDING)?,
                b"DESCRIPTION" => options.description = text("DESCRIPTION", value)?,
                _ => return Err(BusError::Syntax),
            }
        }
        options.set_template(template)?;
        Ok(options)
    }

    fn set_template(&mut self, text: Option<String>) -> Result<(), BusError> {
        self.cache = match text {
            None => None,
            Some(text) => {
                let template = Template::parse(&text, self.params.as_deref().unwrap_or_default())?;
                Some(Cache { text, template })
            }
        };
        Ok(())
    }

    /// Writes the options in the one way that equal options have.
    pub(in crate::bus) fn encode(&self) -> Vec<u8> {
        let number = |n: u64| n.to_string().into_bytes();
        let mut words = vec![
            number(self.cache_ms),
            number(self.result_ms),
            number(u64::from(self.idempotent)),
            number(self.visibility_ms),
            number(self.max_deliveries),
            number(self.max_pending),
            self.description.clone().into_bytes(),
            self.cache.as_ref().map_or(b"0".to_vec(), |cache| {
                format!("1{}", cache.text).into_bytes()
            }),
            number(u64::from(self.params.is_some())),
        ];
        words.extend(self.params.iter().flatten().map(Param::text));
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        write_command(&mut out, &words);
        out
    }

    /// Reads what [`Options::encode`] wrote; none if it did not.
    pub(in crate::bus) fn decode(bytes: &[u8]) -> Option<Self> {
        let (Value::Array(words), _) = parse_reply(bytes).ok()?? else {
            return None;
        };
        let mut words = words.iter();
        let mut number = || u64::try_from(words.next()?.as_int()?).ok();
        let mut options = Options {
            cache_ms: number()?,
            result_ms: number()?,
            idempotent: number()? == 1,
            visibility_ms: number()?,
            max_deliveries: number()?,
            max_pending: number()?,
            ..Options::default()
        };
        options.description = words.next()?.as_str()?.to_owned();
        let template = words.next()?.as_str()?;
        let has_params = words.next()?.as_int()? == 1;
        let params: Option<Vec<Param>> = words
            .map(|word| Param::parse(word.as_bytes()?).ok())
            .collect();
        options.params = Some(params?).filter(|_| has_params);
        let template = template.strip_prefix('1').map(str::to_owned);
        options.set_template(template).ok()?;
        Some(options)
    }

    /// Whether more is asked than that there is some limit to the calls that are pending.
    pub(in crate::bus) fn limits_pending(&self) -> bool {
        self.max_pending != PENDING
    }

    /// What is known of a call with this number, as the scripts read it; `home` is where it is waited for.
    pub(in crate::bus) fn meta(
        &self,
        number: &str,
        timeout_ms: u64,
        home: Option<&str>,
        key: &[u8],
    ) -> Vec<u8> {
        let mut meta = format!(
            "{number} {timeout_ms} {} {} {} {} {} {} {}",
            self.visibility_ms,
            self.result_ms,
            self.cache_ms,
            u8::from(self.idempotent),
            self.max_deliveries,
            u8::from(home.is_none()),
            home.unwrap_or("-"),
        )
        .into_bytes();
        if !key.is_empty() {
            meta.push(b' ');
            meta.extend_from_slice(key);
        }
        meta
    }
}

impl Method {
    /// The number of the registration, from 1.
    pub(in crate::bus) fn generation(&self) -> i64 {
        let number = self.stamp.split(':').next();
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Binds the arguments of a call.
    ///
    /// # Errors
    /// `BADARGS`.
    pub(in crate::bus) fn bind(&self, given: Given, payload: &[u8]) -> Result<BoundCall, BusError> {
        let Bound { args, kwargs } = bind(self.options.params.as_deref(), given)?;
        let cache = self.options.cache.as_ref();
        Ok(BoundCall {
            key: cache.map(|cache| cache.template.key(&args)),
            body: Body::new(&args, &kwargs, payload),
        })
    }
}

/// Reads a whole number of an option.
///
/// # Errors
/// The error reply, which names the option.
pub(in crate::bus) fn whole(
    option: &str,
    value: &[u8],
    least: u64,
    most: u64,
) -> Result<u64, BusError> {
    let number = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok());
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            BusError::Invalid(format!(
                "{option} must be a whole number from {least} to {most}"
            ))
        })
}

/// Reads seconds, decimals allowed; gives milliseconds.
fn seconds(option: &str, value: &[u8]) -> Result<u64, BusError> {
    let number = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    let millis = number
        .filter(|n| n.is_finite())
        .map(|n| (n * 1000.0).round());
    #[expect(
        clippy::cast_precision_loss,
        reason = "a year of milliseconds is exact in an f64"
    )]
    let fits = |millis: &f64| (1.0..=LONGEST_MS as f64).contains(millis);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range"
    )]
    let whole = |millis: f64| millis as u64;
    millis.filter(fits).map(whole).ok_or_else(|| {
        BusError::Invalid(format!(
            "{option} must be a number of seconds, more than 0 and at most a year"
        ))
    })
}

fn text(option: &str, value: &[u8]) -> Result<String, BusError> {
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.len() <= MOST_TEXT);
    text.map(str::to_owned).ok_or_else(|| {
        BusError::Invalid(format!(
            "{option} must be at most {MOST_TEXT} bytes of UTF-8"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgVec;

    fn parse(words: &str) -> Result<Options, BusError> {
        let words: ArgVec = words.split_whitespace().collect();
        Options::parse(words.as_args())
    }

    #[test]
    fn options_survive_the_backing() {
        for words in [
            "",
            "PARAMS 0",
            "params 2 a b=2 cache {a}/{b} cachettl 0.25 resultttl 60 description sums",
            "IDEMPOTENT VISIBILITY 100 MAXDELIVERIES 3 MAXPENDING 7 CACHE x",
        ] {
            let options = parse(words).expect(words);
            let encoded = options.encode();
            assert_eq!(Options::decode(&encoded), Some(options), "{words}");
        }
        assert_eq!(parse("CACHETTL 0.25").expect("valid").cache_ms, 250);
        assert_eq!(Options::decode(b"*1\r\n$1\r\nx\r\n"), None);
        assert_eq!(Options::decode(b"nonsense"), None);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (words, error) in [
            ("NONSENSE 1", "ERR syntax error"),
            ("VISIBILITY", "ERR syntax error"),
            ("PARAMS 2 a", "ERR syntax error"),
            ("PARAMS 2 a a=1", "ERR the parameter 'a' is there twice"),
            (
                "PARAMS 65",
                "ERR PARAMS must be a whole number from 0 to 64",
            ),
            (
                "VISIBILITY 0",
                "ERR VISIBILITY must be a whole number from 1 to 31536000000",
            ),
            (
                "CACHETTL nan",
                "ERR CACHETTL must be a number of seconds, more than 0 and at most a year",
            ),
            (
                "CACHE {a}",
                "ERR the cache template names 'a', which is no parameter",
            ),
        ] {
            assert_eq!(parse(words).expect_err(words).to_string(), error);
        }
    }

    #[test]
    fn a_bound_call_has_its_key_and_its_body() {
        let method = Method {
            name: "sum".into(),
            stamp: "3:77".into(),
            options: parse("PARAMS 2 a b=2 CACHE {a}/{b}").expect("valid"),
        };
        assert_eq!(method.generation(), 3);
        let call = method
            .bind(Given::Args(vec![b"1".to_vec()]), b"p")
            .expect("bound");
        assert_eq!(call.key.as_deref(), Some(&b"1:11:2"[..]));
        assert_eq!(call.body.kwargs().0, 2);
        assert_eq!(call.body.payload(), b"p");
    }
}
