//! The name by which a request calls this server.

use std::net::IpAddr;

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

/// Whether a request names this server: by an address, as `localhost`, or by one of its own names. A page in
/// a browser whose name was made to lead here names itself. Requests without a name come from no browser.
pub(super) fn is_for_us(uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> bool {
    let is_ours = |authority: &Authority| {
        let host = authority.host();
        // Nothing but a port stands behind the host: `[::1]evil` is another name to some.
        let behind = authority
            .as_str()
            .rsplit_once('@')
            .map_or(authority.as_str(), |(_, h)| h);
        let behind = behind.strip_prefix(host).unwrap_or("x");
        if !behind.is_empty() && !behind.starts_with(':') {
            return false;
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        bare.parse::<IpAddr>().is_ok() || name == "localhost" || hosts.contains(&name)
    };
    let mut named = headers.get_all(HOST).iter();
    let first = named.next();
    let is_one = named.next().is_none();
    let by_header = first.is_none_or(|host| {
        let authority = host.to_str().ok().and_then(|host| host.parse().ok());
        authority.is_some_and(|authority| is_ours(&authority))
    });
    is_one && by_header && uri.authority().is_none_or(is_ours)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_names_of_ours_are_answered() {
        let hosts = ["respite.example".to_owned()];
        let asked = |uri: &str, named: &[&str]| {
            let mut headers = HeaderMap::new();
            for name in named {
                headers.append(HOST, HeaderValue::from_str(name).expect("a header"));
            }
            is_for_us(&uri.parse().expect("a URI"), &headers, &hosts)
        };
        for host in [
            "127.0.0.1:8008",
            "10.0.0.1",
            "[::1]:8008",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LocalHost:8008",
            "localhost.",
            "respite.example",
            "RESPITE.example:80",
        ] {
            assert!(asked("/", &[host]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8008",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1@evil.example",
            "[::1]evil",
            "[::1].evil.example",
            "respite.example.evil.example",
            "",
            "a b",
        ] {
            assert!(!asked("/", &[host]), "{host}");
        }
        assert!(asked("/", &[]), "no browser");
        assert!(!asked("/", &["localhost", "evil.example"]));
        assert!(!asked("http://evil.example/", &["localhost"]));
        assert!(asked("http://localhost/", &["localhost"]));
    }
}
