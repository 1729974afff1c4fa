//! The parameters of a request.

use std::borrow::Cow;

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use url::form_urlencoded::parse;

/// The values of a parameter, decoded.
pub(super) fn all<'a>(uri: &'a Uri, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
    let pairs = parse(uri.query().unwrap_or_default().as_bytes());
    pairs.filter_map(move |(key, value)| (key == name).then_some(value))
}

/// The first value of a parameter, decoded.
pub(super) fn query<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    all(uri, name).next()
}

/// A parameter that is there and neither `0` nor `false`.
pub(super) fn is_set(uri: &Uri, name: &str) -> bool {
    query(uri, name).is_some_and(|value| !matches!(&*value, "0" | "false"))
}

/// What stands in the path between these, decoded: a name may have any character. None when it is not
/// text, too.
pub(super) fn between(uri: &Uri, before: &str, after: &str) -> Option<String> {
    let name = uri.path().strip_prefix(before)?.strip_suffix(after)?;
    let name = percent_decode_str(name).decode_utf8().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let uri: Uri = "/x?a=1&b=c%3Ad+e&a=2&z".parse().expect("a URI");
        assert_eq!(query(&uri, "b").as_deref(), Some("c:d e"));
        assert_eq!(all(&uri, "a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query(&uri, "c"), None);
        assert!(is_set(&uri, "z") && is_set(&uri, "a") && !is_set(&uri, "y"));
    }

    #[test]
    fn names_in_paths_are_decoded() {
        let name = |path: &str| between(&path.parse().expect("a URI"), "/shards/", "/info");
        assert_eq!(name("/shards/a%2Fb%20c/info").as_deref(), Some("a/b c"));
        assert_eq!(name("/shards/a/b/info").as_deref(), Some("a/b"));
        for path in [
            "/shards//info",
            "/shards/a",
            "/shards/%ff/info",
            "/shards/info",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }
}
