//! Polls instances: a task for each.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use super::body::RequestBody;
use super::connect::{Connector, speak_http};
use super::health::Health;
use super::history::{Outcome, Poll};
use super::instance::Instance;
use super::service::Service;
use crate::config::{PollMethod, Polling};

/// Polls an instance, round after round, until the task is ended.
pub(super) async fn poll_for_ever(
    service: Arc<Service>,
    instance: Arc<Instance>,
    connector: Connector,
    permits: Arc<Semaphore>,
) {
    loop {
        let polling = instance.polling();
        let outcome = round(&instance, &polling, &connector, &permits).await;
        conclude(&service, &instance, outcome);
        let pause = match instance.health() {
            // The second success is not waited for as long as the first.
            Health::Recovering => polling.retry_delay.min(polling.frequency),
            _ => polling.frequency.mul_f64(0.95 + 0.05 * fastrand::f64()),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = instance.poll_now.notified() => {}
        }
    }
}

/// Polls until the first success or until all retries have failed; returns the last outcome.
async fn round(
    instance: &Instance,
    polling: &Polling,
    connector: &Connector,
    permits: &Semaphore,
) -> Outcome {
    let mut left = polling.retries;
    loop {
        let outcome = {
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            poll(instance, polling, connector).await
        };
        if outcome.is_success() || left == 0 {
            return outcome;
        }
        left -= 1;
        tokio::time::sleep(polling.retry_delay).await;
    }
}

async fn poll(instance: &Instance, polling: &Polling, connector: &Connector) -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let start_ms = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let begun = Instant::now();
    let asked = ask(instance, polling, connector);
    let outcome = tokio::time::timeout(polling.timeout, asked).await;
    let outcome = outcome.unwrap_or(Outcome::Timeout);
    instance.note_poll(Poll {
        start_ms,
        took: begun.elapsed(),
        outcome,
    });
    outcome
}

async fn ask(instance: &Instance, polling: &Polling, connector: &Connector) -> Outcome {
    let stream = match connector.connect(&instance.url, polling.timeout).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => return Outcome::Timeout,
        Err(error) => return Outcome::Unreachable(error.kind()),
    };
    let PollMethod::Health(path) = &polling.method else {
        return Outcome::Connected;
    };
    let Some(request) = health_request(instance, path) else {
        return Outcome::NotHttp;
    };
    let Ok(mut sender) = speak_http(stream).await else {
        return Outcome::NotHttp;
    };
    match sender.send_request(request).await {
        Ok(response) => Outcome::Status(response.status().as_u16()),
        Err(error) => {
            debug!("gateway: a poll of {} has failed: {error}", instance.url);
            Outcome::NotHttp
        }
    }
}

fn health_request(instance: &Instance, path: &str) -> Option<Request<RequestBody>> {
    let uri = Uri::try_from(format!("{}{path}", instance.url.base)).ok()?;
    let mut request = Request::new(RequestBody::Kept(None));
    *request.uri_mut() = uri;
    let agent = concat!("respite/", env!("CARGO_PKG_VERSION"));
    let headers = request.headers_mut();
    headers.insert(HOST, instance.authority.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Some(request)
}

fn conclude(service: &Service, instance: &Instance, outcome: Outcome) {
    let before = instance.health();
    let after = before.after_round(outcome.is_success());
    instance.set_health(after);
    let (name, url) = (&service.name, &instance.url);
    match (before, after) {
        (Health::Unknown | Health::Up, Health::Down) => {
            let why = outcome.error().unwrap_or_default();
            warn!("gateway: {url} of service {name} is down: {why}");
        }
        (Health::Recovering, Health::Up) => info!("gateway: {url} of service {name} is up again"),
        (Health::Unknown, Health::Up) => debug!("gateway: {url} of service {name} is up"),
        _ => {}
    }
    service.polled.notify_waiters();
}

/// The description of a way to poll, for people.
pub(super) fn describe(polling: &Polling) -> String {
    match &polling.method {
        PollMethod::Health(path) => format!("health (HTTP GET {path})"),
        PollMethod::Ping => "ping (TCP connect)".to_owned(),
    }
}

/// The end of a poll in milliseconds since 1970.
pub(super) fn end_ms(poll: &Poll) -> u64 {
    let took = u64::try_from(poll.took.as_millis()).unwrap_or(0);
    poll.start_ms
        .saturating_add(took.min(Duration::from_secs(86_400).as_millis() as u64))
}
