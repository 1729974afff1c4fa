//! What a client gets: the response of an instance, whole or as it comes, or why there is none.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::body::{BodyError, Carried, Paused, Progress, Watched};
use super::instance::{InFlight, Instance};
use super::path::Ambiguous;
use super::pool::Lent;
use super::service::Service;

/// The body of a response.
pub(super) type ReplyBody = Carried<Streaming>;

/// A response that passes through. Its connection goes back when it has come to its end.
pub(super) struct Streaming {
    pub(super) body: Watched,
    pub(super) connection: Option<Lent>,
    /// How far the body of the request has come, when that passes through, too.
    pub(super) progress: Option<Arc<Progress>>,
    pub(super) service: Arc<Service>,
    pub(super) instance: Arc<Instance>,
    pub(super) in_flight: Option<InFlight>,
}

/// Why a request has no response of an instance.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no service has this path")]
    NoService,
    #[error("no instance of service {0} is healthy")]
    NoInstance(String),
    #[error("no instance of service {service} has answered: {why}")]
    NoAnswer { service: String, why: String },
    #[error("no instance of service {0} has answered in time")]
    Late(String),
    #[error(transparent)]
    Path(#[from] Ambiguous),
    #[error("a request has one Host")]
    Host,
    #[error(
        "a request says in one way how long its body is: Content-Length, or Transfer-Encoding: chunked"
    )]
    Framing,
    #[error("CONNECT is not forwarded")]
    Method,
    #[error("the body of the request did not come in time")]
    SlowClient,
    #[error("the body of the request has no end")]
    BadBody,
}

impl Trouble {
    /// What is wrong with a body that a client sent.
    pub(super) fn client(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        match error.downcast_ref::<Paused>() {
            Some(_) => Trouble::SlowClient,
            None => Trouble::BadBody,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Trouble::NoService => StatusCode::NOT_FOUND,
            Trouble::NoInstance(_) => StatusCode::SERVICE_UNAVAILABLE,
            Trouble::NoAnswer { .. } => StatusCode::BAD_GATEWAY,
            Trouble::Late(_) => StatusCode::GATEWAY_TIMEOUT,
            Trouble::Path(_) | Trouble::Host | Trouble::Framing | Trouble::BadBody => {
                StatusCode::BAD_REQUEST
            }
            Trouble::Method => StatusCode::METHOD_NOT_ALLOWED,
            Trouble::SlowClient => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The response that says it: `{"error": "…"}`.
    pub(super) fn response(&self) -> Response<ReplyBody> {
        let text = serde_json::json!({ "error": self.to_string() }).to_string();
        let mut response = Response::new(ReplyBody::Kept(Some(Bytes::from(text))));
        *response.status_mut() = self.status();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        if matches!(self, Trouble::Framing) {
            // Who sent it may have meant the rest of it for another request.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }
}

impl Streaming {
    fn end(&mut self) {
        self.in_flight = None;
        let sent = self
            .progress
            .as_ref()
            .is_none_or(|progress| progress.is_done());
        if let Some(connection) = self.connection.take().filter(|_| sent) {
            connection.give_back();
        }
    }
}

impl Body for Streaming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Err(_))) => {
                self.connection = None;
                self.in_flight = None;
                self.service.note_failure(&self.instance);
            }
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {}
            Poll::Ready(_) => self.end(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
