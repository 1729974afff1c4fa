//! Long answers, written piece by piece while they are sent: no page is in memory as a whole.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};

/// The pieces of a text. An empty one says only that others should have their turn.
pub type Chunks = Box<dyn Iterator<Item = String> + Send>;

/// The pieces of a text that has to be waited for.
pub type Part = BoxStream<'static, String>;

/// So many bytes are sent at a time; others have their turn after each.
const PIECE: usize = 32 * 1024;
/// So many pieces are put together at most.
const MOST_PIECES: usize = 256;

/// Gives the pieces one after the other; between them everything else on this thread has its turn.
#[must_use]
pub fn pieces(chunks: Chunks) -> Part {
    stream::unfold(chunks, async |mut chunks| {
        loop {
            tokio::task::yield_now().await;
            let mut piece = chunks.next()?;
            let mut more = 1;
            while !piece.is_empty() && piece.len() < PIECE && more < MOST_PIECES {
                match chunks.next() {
                    Some(next) if !next.is_empty() => piece.push_str(&next),
                    _ => break,
                }
                more += 1;
            }
            if !piece.is_empty() {
                return Some((piece, chunks));
            }
        }
    })
    .boxed()
}

/// A text that is there at once.
#[must_use]
pub fn piece(text: impl Into<String>) -> Part {
    let text = text.into();
    stream::once(async { text }).boxed()
}

pub(super) fn body(pieces: impl Stream<Item = String> + Send + 'static) -> Body {
    Body::from_stream(pieces.map(Ok::<_, Infallible>))
}

pub(super) fn json(chunks: Chunks) -> Response {
    ([(CONTENT_TYPE, "application/json")], body(pieces(chunks))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_pieces_are_put_together_and_empty_ones_left_out() {
        let all = ["a", "", "", "b", "c"].map(str::to_owned);
        let given: Vec<String> = pieces(Box::new(all.into_iter())).collect().await;
        assert_eq!(given, ["a", "bc"]);
        let long = "x".repeat(PIECE);
        let all = vec![long.clone(), "y".to_owned()];
        let given: Vec<String> = pieces(Box::new(all.into_iter())).collect().await;
        assert_eq!(given, [long, "y".to_owned()]);
    }
}
