//! The dashboard's files, embedded: no build step, nothing from elsewhere.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// What the page may load: its own scripts, styles and data, and nothing that is written into it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($path:literal $kind:literal $file:literal)+) => {
        const FILES: &[File] = &[$(File { path: $path, kind: $kind, text: include_str!(concat!("ui/", $file)) }),+];
    };
}

files! {
    "/" "text/html; charset=utf-8" "index.html"
    "/login" "text/html; charset=utf-8" "login.html"
    "/ui/style.css" "text/css; charset=utf-8" "style.css"
    "/ui/main.js" "text/javascript; charset=utf-8" "main.js"
    "/ui/dom.js" "text/javascript; charset=utf-8" "dom.js"
    "/ui/units.js" "text/javascript; charset=utf-8" "units.js"
    "/ui/chart.js" "text/javascript; charset=utf-8" "chart.js"
    "/ui/table.js" "text/javascript; charset=utf-8" "table.js"
    "/ui/parts.js" "text/javascript; charset=utf-8" "parts.js"
    "/ui/login.js" "text/javascript; charset=utf-8" "login.js"
    "/ui/icon.svg" "image/svg+xml" "icon.svg"
}

/// Whether a path is a file that needs no login: it says nothing of this server.
pub(super) fn is_free(path: &str) -> bool {
    path == "/login" || path.starts_with("/ui/")
}

/// The paths of the files.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.path)
}

/// One of the files.
pub(super) fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    let file = FILES.iter().find(|file| file.path == path)?;
    let tag = tag(file.text);
    let fixed = [
        (CONTENT_TYPE, file.kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        // Asked for again each time, and answered with 304: a new version is seen at once.
        (CACHE_CONTROL, "no-cache"),
    ];
    let known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let head = (fixed, [(ETAG, tag)]);
    Some(if known {
        (StatusCode::NOT_MODIFIED, head).into_response()
    } else {
        (head, file.text).into_response()
    })
}

fn tag(text: &str) -> String {
    let digest = Sha256::digest(text);
    let mut tag = String::from("\"");
    for byte in &digest[..8] {
        // Writing to a string cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut tag, format_args!("{byte:02x}"));
    }
    tag + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_whole() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(bytes < 300 * 1024, "{bytes}");
        for file in FILES {
            assert!(
                !file.text.contains("http://") || file.text.contains("http://www.w3.org/2000/svg"),
                "{}",
                file.path
            );
            assert!(!file.text.contains("https://"), "{}", file.path);
            for unsafe_way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(
                    !file.text.contains(unsafe_way),
                    "{}: {unsafe_way}",
                    file.path
                );
            }
        }
        let html = FILES
            .iter()
            .filter(|file| file.kind.starts_with("text/html"));
        for file in html {
            for word in file.text.split('"').filter(|word| word.starts_with("/ui/")) {
                assert!(FILES.iter().any(|file| file.path == word), "{word}");
            }
        }
    }
}
