//! One attempt: a request to one instance, over a connection that is there or a new one.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};

use super::body::{Progress, RequestBody};
use super::connect::{Connector, speak_http};
use super::instance::Instance;
use super::pool::{Lent, Pool};

/// A client that pauses is noticed by its body, at `timeout`. What is left after this is an instance
/// that does not read.
const GRACE: Duration = Duration::from_millis(500);

/// Why an attempt has no response.
pub(super) enum Failed {
    /// Nothing was sent: here is the request again.
    NotSent(String, Box<Request<RequestBody>>),
    /// It was sent, perhaps in part, and the connection was lost.
    Lost(String),
    /// No response has begun in time.
    Late,
    /// The client's side of it has failed.
    Client(hyper::Error),
}

/// How an attempt is made.
pub(super) struct Attempt<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) connector: &'a Connector,
    pub(super) connect: Duration,
    pub(super) timeout: Duration,
    /// How far the body has come, when it passes through.
    pub(super) progress: Option<&'a Progress>,
}

impl Attempt<'_> {
    /// Sends a request; returns the response when its head is here, with its connection.
    pub(super) async fn make(
        &self,
        instance: &Arc<Instance>,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lent, Duration), Failed> {
        let begun = Instant::now();
        // An idle connection that the instance has closed meanwhile takes nothing: then the next one.
        while let Some(mut sender) = self.pool.take(instance.id) {
            match self.send(&mut sender, request).await {
                Err(Failed::NotSent(_, back)) => request = *back,
                other => {
                    return other.map(|response| self.replied(instance, response, sender, begun));
                }
            }
        }
        let opened = match self.connector.connect(&instance.url, self.connect).await {
            Ok(stream) => speak_http(stream).await.map_err(io::Error::other),
            Err(error) => Err(error),
        };
        let mut sender = match opened {
            Ok(sender) => sender,
            Err(error) => return Err(Failed::NotSent(error.to_string(), Box::new(request))),
        };
        let response = self.send(&mut sender, request).await?;
        Ok(self.replied(instance, response, sender, begun))
    }

    fn replied(
        &self,
        instance: &Instance,
        response: Response<Incoming>,
        sender: SendRequest<RequestBody>,
        begun: Instant,
    ) -> (Response<Incoming>, Lent, Duration) {
        let lent = Lent {
            pool: Arc::clone(self.pool),
            instance: instance.id,
            sender,
        };
        (response, lent, begun.elapsed())
    }

    async fn send(
        &self,
        sender: &mut SendRequest<RequestBody>,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Failed> {
        let sent = sender.try_send_request(request);
        let result = match self.progress {
            None => tokio::time::timeout(self.timeout, sent).await.ok(),
            Some(progress) => tokio::select! {
                result = sent => Some(result),
                () = progress.paused(self.timeout + GRACE) => None,
            },
        };
        match result {
            None => Err(Failed::Late),
            Some(Ok(response)) => Ok(response),
            Some(Err(mut error)) => Err(match error.take_message() {
                Some(request) => Failed::NotSent(error.error().to_string(), Box::new(request)),
                None if error.error().is_user() => Failed::Client(error.into_error()),
                None => Failed::Lost(error.error().to_string()),
            }),
        }
    }
}
