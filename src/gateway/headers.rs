//! Which headers pass a proxy (RFC 9110 section 7.6.1) and which it adds.

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HOP_BY_HOP: [HeaderName; 7] = [
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes the headers away that concern one connection only, those that `Connection` names included.
/// Returns the protocol that it would switch to.
pub(super) fn strip(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut switches = false;
    if let Some(connection) = headers.remove(CONNECTION) {
        for name in connection.to_str().unwrap_or_default().split(',') {
            let name = name.trim();
            switches |= name.eq_ignore_ascii_case("upgrade");
            // How long the body is and whom it is for is nobody's option.
            let kept = [HOST, CONTENT_LENGTH];
            if !kept
                .iter()
                .any(|kept| name.eq_ignore_ascii_case(kept.as_str()))
                && !name.eq_ignore_ascii_case("upgrade")
            {
                headers.remove(name);
            }
        }
    }
    let upgrade = headers.get(UPGRADE).filter(|_| switches).cloned();
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    upgrade
}

/// Puts the headers of a switch of protocols back.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Names the client to the instance. `Expect` has been answered by then.
pub(super) fn forwarded(headers: &mut HeaderMap, peer: IpAddr) {
    headers.remove(EXPECT);
    let mut text = Vec::new();
    for earlier in headers.get_all(X_FORWARDED_FOR) {
        text.extend_from_slice(earlier.as_bytes());
        text.extend_from_slice(b", ");
    }
    text.extend_from_slice(peer.to_canonical().to_string().as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

/// Whether a path has a segment that an instance may take for "the folder above".
pub(super) fn leads_up(path: &str) -> bool {
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    let decoded = percent_encoding::percent_decode_str(path).collect::<Vec<u8>>();
    decoded
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| segment == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_concerns_one_connection_stays_there() {
        let mut all = headers(&[
            ("host", "h"),
            ("connection", "close, X-Mine, Host"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "x"),
            ("authorization", "y"),
            ("x-other", "2"),
        ]);
        assert_eq!(strip(&mut all), None);
        assert_eq!(
            all,
            headers(&[("host", "h"), ("authorization", "y"), ("x-other", "2")])
        );
    }

    #[test]
    fn a_switch_of_protocols_is_seen() {
        let mut all = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
        ]);
        let protocol = strip(&mut all).expect("a protocol");
        assert!(all.is_empty());
        set_upgrade(&mut all, protocol);
        assert_eq!(
            all,
            headers(&[("connection", "upgrade"), ("upgrade", "websocket")])
        );
    }

    #[test]
    fn clients_are_named_in_order() {
        let mut all = headers(&[
            ("x-forwarded-for", "a"),
            ("x-forwarded-for", "b, c"),
            ("expect", "100-continue"),
        ]);
        forwarded(&mut all, "::ffff:10.0.0.1".parse().expect("an address"));
        assert_eq!(all, headers(&[("x-forwarded-for", "a, b, c, 10.0.0.1")]));
    }

    #[test]
    fn the_folder_above_is_seen() {
        for path in [
            "/a/../b",
            "/..",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a/..%2fb",
            "/a/..\\b",
        ] {
            assert!(leads_up(path), "{path}");
        }
        for path in ["/", "/a..b", "/...", "/a/.b", "/%2e", "/%zz"] {
            assert!(!leads_up(path), "{path}");
        }
    }
}
