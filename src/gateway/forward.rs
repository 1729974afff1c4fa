//! Forwards one request: finds its service, picks an instance, and tries again where that is right.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response, StatusCode};
use tracing::debug;

use super::attempt::{Attempt, Failed};
use super::body::Watched;
use super::headers;
use super::instance::{InFlight, Instance, clock_ms};
use super::path::{self, Ambiguous};
use super::place::Place;
use super::pool::{Lent, Pool};
use super::prepare::Prepared;
use super::reply::{ReplyBody, Streaming, Trouble};
use super::service::{Service, count};
use super::shared::Gateway;
use super::upgrade;

/// Instances that are tried because others could not be connected to.
const MOST_CONNECTS: usize = 10;
/// Times that a request is sent again.
const MOST_RETRIES: usize = 3;

/// Forwards requests on one thread.
pub(super) struct Forwarder {
    gateway: Arc<Gateway>,
    pool: Arc<Pool>,
}

/// A response and who gave it.
pub(super) struct Forwarded {
    pub(super) response: Response<ReplyBody>,
    pub(super) instance: Arc<Instance>,
}

impl Forwarder {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Forwarder {
            gateway,
            pool: Arc::default(),
        }
    }

    /// How long a client may pause.
    pub(super) fn timeout(&self) -> Duration {
        self.gateway.settings().timeout
    }

    /// Closes idle connections that are too old.
    pub(super) fn sweep(&self) {
        self.pool.sweep(Instant::now());
    }

    /// Closes all idle connections.
    pub(super) fn close(&self) {
        self.pool.clear();
    }

    /// Serves a client's request.
    pub(super) async fn serve(
        &self,
        request: Request<Incoming>,
        (peer, place): (IpAddr, Place),
    ) -> Response<ReplyBody> {
        let settings = self.gateway.settings();
        let (keep, limit) = (settings.retry_bytes, settings.timeout);
        let prepared = Prepared::from_client(request, (peer, place), keep, limit).await;
        let forwarded = match prepared {
            Ok(mut prepared) => self.forward(&mut prepared).await,
            Err(trouble) => Err(trouble),
        };
        match forwarded {
            Ok(forwarded) => forwarded.response,
            Err(trouble) => {
                debug!("gateway: a request was not forwarded: {trouble}");
                trouble.response()
            }
        }
    }

    /// Forwards a request that is prepared.
    pub(super) async fn forward(&self, prepared: &mut Prepared) -> Result<Forwarded, Trouble> {
        let routed = self.gateway.route(prepared.path());
        if let Some(bare) = path::bare(prepared.path()) {
            let same = match (&routed, self.gateway.route(&bare)) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, &other),
                (one, other) => one.is_none() && other.is_none(),
            };
            // Whoever drops parameters must not see the path of another service.
            if !same {
                return Err(Ambiguous::Parameters.into());
            }
        }
        let Some(service) = routed else {
            count(&self.gateway.counts.unrouted);
            return Err(Trouble::NoService);
        };
        count(&service.counts.requests);
        service.budget.deposit();
        let result = self.try_instances(&service, prepared).await;
        match &result {
            Err(Trouble::NoInstance(_)) => count(&service.counts.unavailable),
            Err(Trouble::NoAnswer { .. } | Trouble::Late(_)) => count(&service.counts.failed),
            _ => {}
        }
        result
    }

    async fn try_instances(
        &self,
        service: &Arc<Service>,
        prepared: &mut Prepared,
    ) -> Result<Forwarded, Trouble> {
        let none = || Trouble::NoInstance(service.name.clone());
        let mut instance = service.pick_first().await.ok_or_else(none)?;
        let mut tried = Vec::new();
        let mut retries = 0;
        loop {
            let why = match self.try_one(service, &instance, prepared).await {
                Ok(response) => return Ok(Forwarded { response, instance }),
                Err(Failed::Client(error)) => {
                    let cause = std::error::Error::source(&error);
                    let slow = cause.is_some_and(|cause| cause.is::<super::body::Paused>());
                    return Err(if slow {
                        Trouble::SlowClient
                    } else {
                        Trouble::BadBody
                    });
                }
                Err(Failed::Late) => {
                    service.note_failure(&instance);
                    return Err(Trouble::Late(service.name.clone()));
                }
                Err(Failed::NotSent(why, request)) => {
                    service.note_failure(&instance);
                    prepared.take_back(*request);
                    tried.push(instance.id);
                    let next = service.pick(&tried).filter(|_| tried.len() < MOST_CONNECTS);
                    if let Some(next) = next {
                        count(&service.counts.reconnects);
                        instance = next;
                        continue;
                    }
                    why
                }
                Err(Failed::Lost(why)) => {
                    service.note_failure(&instance);
                    tried.push(instance.id);
                    let again = prepared.is_repeatable()
                        && retries < MOST_RETRIES
                        && service.budget.withdraw(clock_ms());
                    let next = again.then(|| service.pick(&tried).or_else(|| service.pick(&[])));
                    if let Some(Some(next)) = next {
                        retries += 1;
                        count(&service.counts.retries);
                        instance = next;
                        continue;
                    }
                    why
                }
            };
            let service = service.name.clone();
            return Err(Trouble::NoAnswer { service, why });
        }
    }

    async fn try_one(
        &self,
        service: &Arc<Service>,
        instance: &Arc<Instance>,
        prepared: &mut Prepared,
    ) -> Result<Response<ReplyBody>, Failed> {
        let in_flight = instance.begin();
        let Some(request) = prepared.request(instance) else {
            return Err(Failed::Lost("its body was sent already".to_owned()));
        };
        let settings = self.gateway.settings();
        let connector = self.gateway.connector();
        let attempt = Attempt {
            pool: &self.pool,
            connector: &connector,
            connect: settings.connect,
            timeout: settings.timeout,
            progress: prepared.progress.as_deref(),
        };
        let (response, connection, took) = attempt.make(instance, request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let idle = settings.idle;
            return switch(response, prepared, instance, (in_flight, idle), took);
        }
        self.pass(
            service,
            instance,
            prepared,
            (response, connection, in_flight),
            took,
        )
        .await
    }

    /// Takes a small response whole, so that its loss is noticed before the client has any of it.
    async fn pass(
        &self,
        service: &Arc<Service>,
        instance: &Arc<Instance>,
        prepared: &Prepared,
        (response, connection, in_flight): (Response<Incoming>, Lent, InFlight),
        took: Duration,
    ) -> Result<Response<ReplyBody>, Failed> {
        let settings = self.gateway.settings();
        let (mut parts, incoming) = response.into_parts();
        headers::strip(&mut parts.headers);
        let size = incoming.size_hint().exact();
        let small = size.is_some_and(|size| size <= settings.retry_bytes as u64);
        let sent = prepared
            .progress
            .as_ref()
            .is_none_or(|progress| progress.is_done());
        let body = Watched::new(incoming, settings.timeout);
        let body = if small {
            let bytes = if body.is_end_stream() {
                None
            } else {
                let read = body.collect().await;
                Some(
                    read.map_err(|error| Failed::Lost(error.to_string()))?
                        .to_bytes(),
                )
            };
            if sent {
                connection.give_back();
            }
            ReplyBody::Kept(bytes)
        } else {
            ReplyBody::Stream(Box::new(Streaming {
                body,
                connection: Some(connection),
                progress: prepared.progress.clone(),
                service: Arc::clone(service),
                instance: Arc::clone(instance),
                in_flight: Some(in_flight),
            }))
        };
        if parts.status.is_server_error() {
            service.note_failure(instance);
        } else {
            instance.note_success(took);
        }
        Ok(Response::from_parts(parts, body))
    }
}

/// Joins the two connections of a request that switches protocols.
fn switch(
    mut response: Response<Incoming>,
    prepared: &mut Prepared,
    instance: &Instance,
    (in_flight, idle): (InFlight, Duration),
    took: Duration,
) -> Result<Response<ReplyBody>, Failed> {
    if !headers::strip(response.headers_mut()) {
        return Err(Failed::Lost("it switched to another protocol".to_owned()));
    }
    let Some((client, place)) = prepared.upgrade.take() else {
        return Err(Failed::Lost("it switched protocols unasked".to_owned()));
    };
    instance.note_success(took);
    let served = (in_flight, place);
    upgrade::pass(client, hyper::upgrade::on(&mut response), served, idle);
    let (mut parts, _) = response.into_parts();
    headers::set_upgrade(&mut parts.headers);
    Ok(Response::from_parts(parts, ReplyBody::Kept(None)))
}
