//! Which headers pass a proxy (RFC 9110 section 7.6.1) and which it adds.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::uri::Authority;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const HOP_BY_HOP: [HeaderName; 9] = [
    HTTP2_SETTINGS,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    // What follows a body is not passed on: it would come behind what was checked.
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Many frameworks (CGI, WSGI) do not tell `_` from `-` in names: these are read as what is set here, or as
/// what says where a body ends.
const LOOK_ALIKES: [HeaderName; 3] = [
    HeaderName::from_static("x_forwarded_for"),
    HeaderName::from_static("content_length"),
    HeaderName::from_static("transfer_encoding"),
];

/// Takes the headers away that concern one connection only, those that any `Connection` names included.
/// Whether it would switch to WebSocket is returned: all other protocols stay unasked for, because what
/// follows the switch passes unseen.
pub(super) fn strip(headers: &mut HeaderMap) -> bool {
    let mut switches = false;
    let named: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    headers.remove(CONNECTION);
    // As bytes: what is no text in it does not make the rest of it void.
    let names = named
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    for name in names.map(<[u8]>::trim_ascii) {
        switches |= name.eq_ignore_ascii_case(b"upgrade");
        // How long the body is and whom it is for is nobody's option; `Upgrade` is looked at below.
        match HeaderName::from_bytes(name) {
            Ok(HOST | CONTENT_LENGTH | TRANSFER_ENCODING | UPGRADE) | Err(_) => {}
            Ok(name) => {
                headers.remove(name);
            }
        }
    }
    let websocket = switches && {
        let values = headers.get_all(UPGRADE).iter();
        let mut protocols = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        protocols.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    };
    // With an encoding, a length is not the body's (RFC 9112 section 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    websocket
}

/// Whether a request says in one way only where its body ends.
pub(super) fn is_framed_once(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => true,
        (Some(encoding), None) => {
            encoding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => false,
    }
}

/// Checks whom a request is for: it has one `Host`, and what the request line says of it takes its place.
/// Returns whether that is so.
pub(super) fn set_host(headers: &mut HeaderMap, uri: &Uri) -> bool {
    let host = {
        let mut hosts = headers.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
            _ => None,
        }
    };
    let Some(host) = host else { return false };
    let authority = uri.authority().unwrap_or(&host);
    // A login there is none of a host's name, and some servers take what stands behind it.
    if [authority.as_str(), host.as_str()]
        .iter()
        .any(|text| text.contains('@'))
    {
        return false;
    }
    match HeaderValue::from_str(authority.as_str()) {
        Ok(value) => headers.insert(HOST, value).is_some(),
        Err(_) => false,
    }
}

/// Puts the headers of a switch of protocols back.
pub(super) fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Names the client to the instance. `Expect` has been answered by then.
pub(super) fn forwarded(headers: &mut HeaderMap, peer: IpAddr) {
    headers.remove(EXPECT);
    for name in &LOOK_ALIKES {
        headers.remove(name);
    }
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
        assert!(!strip(&mut all));
        assert_eq!(
            all,
            headers(&[("host", "h"), ("authorization", "y"), ("x-other", "2")])
        );
    }

    #[test]
    fn only_a_switch_to_websocket_is_seen() {
        for (lines, switches) in [
            (
                &[
                    ("connection", "keep-alive, Upgrade"),
                    ("upgrade", "WebSocket"),
                ][..],
                true,
            ),
            (
                &[
                    ("connection", "close"),
                    ("connection", "upgrade"),
                    ("upgrade", "h2c, websocket"),
                ],
                true,
            ),
            (
                &[
                    ("connection", "upgrade"),
                    ("upgrade", "h2c"),
                    ("http2-settings", "x"),
                ],
                false,
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "websocket2")],
                false,
            ),
            (&[("connection", "close"), ("upgrade", "websocket")], false),
            (&[("connection", "upgrade")], false),
        ] {
            let mut all = headers(lines);
            assert_eq!(strip(&mut all), switches, "{lines:?}");
            assert!(all.is_empty(), "{all:?}");
        }
        let mut all = HeaderMap::new();
        set_upgrade(&mut all);
        assert_eq!(
            all,
            headers(&[("connection", "upgrade"), ("upgrade", "websocket")])
        );
    }

    #[test]
    fn every_connection_header_is_honoured() {
        let mut all = headers(&[
            ("connection", "close"),
            ("connection", "x-mine"),
            ("x-mine", "1"),
        ]);
        strip(&mut all);
        assert!(all.is_empty(), "{all:?}");
        let mut all = headers(&[
            ("x-mine", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
        ]);
        all.append(
            CONNECTION,
            HeaderValue::from_bytes(b"\xff, X-Mine ,,a b").expect("a value"),
        );
        strip(&mut all);
        assert!(all.is_empty(), "{all:?}");
    }

    #[test]
    fn a_body_ends_in_one_way() {
        for (lines, once) in [
            (&[][..], true),
            (&[("content-length", "3")], true),
            (&[("transfer-encoding", "Chunked")], true),
            (
                &[("transfer-encoding", "chunked"), ("content-length", "3")],
                false,
            ),
            (
                &[
                    ("transfer-encoding", "identity"),
                    ("transfer-encoding", "chunked"),
                ],
                false,
            ),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "xchunked")], false),
        ] {
            assert_eq!(is_framed_once(&headers(lines)), once, "{lines:?}");
        }
    }

    #[test]
    fn there_is_one_host() {
        for (lines, uri, host) in [
            (&[("host", "h:1")][..], "/a", Some("h:1")),
            (&[("host", "h")], "http://other:2/a", Some("other:2")),
            (&[], "/a", None),
            (&[], "http://other/a", None),
            (&[("host", "a"), ("host", "a")], "/a", None),
            (&[("host", "")], "/a", None),
            (&[("host", "a, b")], "/a", None),
            (&[("host", "a/b")], "/a", None),
            (&[("host", "u@h")], "/a", None),
            (&[("host", "h")], "http://u:p@h/a", None),
        ] {
            let mut all = headers(lines);
            let uri = uri.parse().expect("a URI");
            assert_eq!(set_host(&mut all, &uri), host.is_some(), "{lines:?} {uri}");
            if let Some(host) = host {
                assert_eq!(all[HOST], host);
            }
        }
    }

    #[test]
    fn clients_are_named_in_order() {
        let mut all = headers(&[
            ("x-forwarded-for", "a"),
            ("x-forwarded-for", "b, c"),
            ("expect", "100-continue"),
            ("x_forwarded_for", "evil"),
        ]);
        forwarded(&mut all, "::ffff:10.0.0.1".parse().expect("an address"));
        assert_eq!(all, headers(&[("x-forwarded-for", "a, b, c, 10.0.0.1")]));
    }
}
