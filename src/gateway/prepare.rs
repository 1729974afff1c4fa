//! A request on its way: what of it is sent to an instance, as often as that takes.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::http::uri::PathAndQuery;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Uri};

use super::body::{Progress, RequestBody, Watched};
use super::headers;
use super::instance::Instance;
use super::path::{self, Ambiguous};
use super::place::Place;
use super::reply::Trouble;

/// A request to be forwarded.
pub(super) struct Prepared {
    pub(super) method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    /// The body, between attempts.
    body: Option<RequestBody>,
    /// The body, when it can be sent again.
    kept: Option<Option<Bytes>>,
    /// How far a body has come that passes through.
    pub(super) progress: Option<Arc<Progress>>,
    /// The client's connection, when it wants to switch protocols.
    pub(super) upgrade: Option<(OnUpgrade, Place)>,
}

impl Prepared {
    /// Takes a request of a client. A small body of a request that may be repeated is read first.
    pub(super) async fn from_client(
        mut request: Request<Incoming>,
        (peer, place): (IpAddr, Place),
        keep: usize,
        limit: Duration,
    ) -> Result<Self, Trouble> {
        if !headers::is_framed_once(request.headers()) {
            return Err(Trouble::Framing);
        }
        let switches = headers::strip(request.headers_mut());
        // What a client sends before the other side has agreed is a body, or nothing.
        let switches =
            switches && *request.method() == Method::GET && request.body().is_end_stream();
        let upgrade = switches.then(|| (hyper::upgrade::on(&mut request), place));
        let (mut parts, body) = request.into_parts();
        if !headers::set_host(&mut parts.headers, &parts.uri) && parts.method != Method::CONNECT {
            return Err(Trouble::Host);
        }
        let mut prepared = Self::new(parts.method, &parts.uri, parts.headers)?;
        headers::forwarded(&mut prepared.headers, peer);
        if switches {
            headers::set_upgrade(&mut prepared.headers);
        }
        prepared.upgrade = upgrade;
        if body.is_end_stream() {
            prepared.keep(None);
            return Ok(prepared);
        }
        let small = body
            .size_hint()
            .exact()
            .is_some_and(|size| size <= keep as u64);
        if small && prepared.method.is_idempotent() {
            let read = Watched::new(body, limit).collect().await;
            let bytes = read.map_err(|error| Trouble::client(&*error))?.to_bytes();
            prepared.keep(Some(bytes));
            return Ok(prepared);
        }
        if body.size_hint().exact().is_none() {
            let chunked = HeaderValue::from_static("chunked");
            prepared.headers.insert(TRANSFER_ENCODING, chunked);
        }
        let progress = Progress::new();
        let watched = Watched::new(body, limit).noting(&progress);
        prepared.progress = Some(progress);
        prepared.body = Some(RequestBody::Stream(Box::new(watched)));
        Ok(prepared)
    }

    /// A request that is all here.
    pub(super) fn whole(
        method: Method,
        uri: &Uri,
        mut given: HeaderMap,
        peer: IpAddr,
        body: Bytes,
    ) -> Result<Self, Trouble> {
        headers::strip(&mut given);
        given.remove(hyper::header::CONTENT_LENGTH);
        if given.contains_key(HOST) && !headers::set_host(&mut given, uri) {
            return Err(Trouble::Host);
        }
        let mut prepared = Self::new(method, uri, given)?;
        headers::forwarded(&mut prepared.headers, peer);
        prepared.keep(Some(body).filter(|body| !body.is_empty()));
        Ok(prepared)
    }

    fn new(method: Method, uri: &Uri, headers: HeaderMap) -> Result<Self, Trouble> {
        if method == Method::CONNECT {
            return Err(Trouble::Method);
        }
        let target = uri.path_and_query().cloned();
        let mut target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if let Cow::Owned(path) = path::normal(target.path())? {
            let query = target.query().map(|query| format!("?{query}"));
            let text = path + &query.unwrap_or_default();
            target = PathAndQuery::try_from(text).map_err(|_| Ambiguous::Encoded)?;
        }
        Ok(Prepared {
            method,
            target,
            headers,
            body: None,
            kept: None,
            progress: None,
            upgrade: None,
        })
    }

    fn keep(&mut self, body: Option<Bytes>) {
        self.kept = Some(body);
    }

    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// Whether it does no harm to send it again after it was sent.
    pub(super) fn is_repeatable(&self) -> bool {
        self.kept.is_some() && self.method.is_idempotent()
    }

    /// The request as this instance gets it. None when its body is gone.
    pub(super) fn request(&mut self, instance: &Instance) -> Option<Request<RequestBody>> {
        let body = match &self.kept {
            Some(kept) => RequestBody::Kept(kept.clone()),
            None => self.body.take()?,
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri(&instance.url.base)?;
        *request.headers_mut() = self.headers.clone();
        if !self.headers.contains_key(HOST) {
            let authority = instance.authority.clone();
            request.headers_mut().insert(HOST, authority);
        }
        Some(request)
    }

    fn uri(&self, base: &str) -> Option<Uri> {
        if base.is_empty() {
            return Some(Uri::from(self.target.clone()));
        }
        Uri::try_from(format!("{base}{}", self.target.as_str())).ok()
    }

    /// Takes a request back that was not sent.
    pub(super) fn take_back(&mut self, request: Request<RequestBody>) {
        if self.kept.is_none() {
            self.body = Some(request.into_body());
        }
    }
}
