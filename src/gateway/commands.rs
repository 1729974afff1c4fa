//! `GATEWAY.*`: services and instances, and requests forwarded for Redis clients.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};

use super::forward::{Forwarded, Forwarder};
use super::instance::Instance;
use super::prepare::Prepared;
use super::reply::Trouble;
use super::rows::ROWS;
use super::service::Service;
use super::shared::Gateway;
use super::stats::{InstanceStats, instance_stats, service_stats};
use crate::command::{Answer, Call, Family, OwnRow, help};
use crate::config::ServerUrl;
use crate::resp::{Args, Proto, ReplyWriter};
use crate::tasks::{self, Kind};

/// Headers that a request in `GATEWAY.FORWARD` may have.
const MOST_HEADERS: usize = 100;

/// The commands about request forwarding.
pub struct GatewayFamily {
    gateway: Arc<Gateway>,
    forwarder: Arc<Forwarder>,
}

type Refused = String;

impl GatewayFamily {
    /// The commands about this gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        GatewayFamily {
            forwarder: Arc::new(Forwarder::new(Arc::clone(&gateway))),
            gateway,
        }
    }

    fn service(&self, name: &[u8]) -> Result<Arc<Service>, Refused> {
        let name = String::from_utf8_lossy(name);
        let found = self.gateway.service(&name);
        found.ok_or_else(|| format!("ERR no such service '{name:.255}'"))
    }

    fn instance(&self, args: Args<'_>) -> Result<Arc<Instance>, Refused> {
        let service = self.service(&args[1])?;
        let text = String::from_utf8_lossy(&args[2]);
        let url = text.parse::<ServerUrl>().ok();
        let found = url.and_then(|url| service.instance(&url));
        found.ok_or_else(|| {
            format!(
                "ERR service '{}' has no instance '{text:.255}'",
                service.name
            )
        })
    }

    fn list_services(&self, reply: &mut ReplyWriter<'_>) {
        let services = self.gateway.services();
        reply.array(services.len());
        for service in services {
            let (healthy, total) = service.healthy();
            let apis = service.apis();
            reply.map(4);
            reply.bulk("service");
            reply.bulk(&service.name);
            reply.bulk("healthy");
            reply.integer(integer(healthy as u64));
            reply.bulk("total");
            reply.integer(integer(total as u64));
            reply.bulk("apis");
            write_list(&apis, reply);
        }
    }

    fn list_instances(&self, args: Args<'_>, reply: &mut ReplyWriter<'_>) -> Result<(), Refused> {
        let instances = self.service(&args[1])?.instances();
        reply.array(instances.len());
        for instance in instances.iter() {
            reply.map(8);
            write_instance(&instance_stats(instance, 0), reply);
        }
        Ok(())
    }

    fn pick(&self, args: Args<'_>, reply: &mut ReplyWriter<'_>) -> Result<(), Refused> {
        let service = self.service(&args[1])?;
        let picked = service.pick(&[]);
        let picked = picked.ok_or_else(|| no_instance(&service.name))?;
        reply.map(2);
        reply.bulk("url");
        reply.bulk(picked.url.as_str());
        reply.bulk("priority");
        reply.bulk(picked.priority().name());
        Ok(())
    }

    fn drain(
        &self,
        args: Args<'_>,
        draining: bool,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refused> {
        self.instance(args)?.set_draining(draining);
        reply.ok();
        Ok(())
    }

    fn check(&self, args: Args<'_>, reply: &mut ReplyWriter<'_>) -> Result<(), Refused> {
        match args.len() {
            2 => {
                let instances = self.service(&args[1])?.instances();
                instances
                    .iter()
                    .for_each(|instance| instance.poll_now.notify_one());
            }
            3 => self.instance(args)?.poll_now.notify_one(),
            _ => return Err("ERR syntax error".to_owned()),
        }
        reply.ok();
        Ok(())
    }

    fn stats(&self, args: Args<'_>, reply: &mut ReplyWriter<'_>) -> Result<(), Refused> {
        let services = match args.len() {
            1 => self.gateway.services(),
            2 => vec![self.service(&args[1])?],
            _ => return Err("ERR syntax error".to_owned()),
        };
        reply.array(services.len());
        for service in services {
            write_service(&service, reply);
        }
        Ok(())
    }

    fn forward(&self, call: &Call<'_>) -> Result<Answer, Refused> {
        let most = self.gateway.settings().forward_bytes;
        let peer = call
            .caller
            .peer
            .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip());
        let asked = Asked::parse(call.args, most)?;
        let prepared = Prepared::whole(asked.method, &asked.uri, asked.headers, peer, asked.body);
        let mut prepared = prepared.map_err(|trouble| refusal(&trouble))?;
        let proto = call.proto;
        let forwarder = Arc::clone(&self.forwarder);
        let control = self.gateway.control().clone();
        Ok(Answer::Later(Box::pin(async move {
            let forwarding = control.spawn(tasks::named(Kind::Gateway, async move {
                let forwarded = forwarder.forward(&mut prepared).await;
                forwarder.sweep();
                match forwarded {
                    Ok(forwarded) => write_response(forwarded, most, proto).await,
                    Err(trouble) => Err(refusal(&trouble)),
                }
            }));
            let done = forwarding.await;
            let reply = done.unwrap_or_else(|ended| Err(why_unanswered(&ended).to_owned()));
            reply.unwrap_or_else(|text| {
                let mut out = Vec::new();
                ReplyWriter::new(&mut out, proto).error(text);
                out
            })
        })))
    }
}

/// What a client is told whose request ended without an answer.
fn why_unanswered(ended: &tokio::task::JoinError) -> &'static str {
    match ended.is_panic() {
        true => "ERR internal error",
        false => "ERR the server is stopping",
    }
}

/// What `GATEWAY.FORWARD` asks for.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn parse(args: Args<'_>, most: usize) -> Result<Self, Refused> {
        let method = Method::from_bytes(&args[1]).map_err(|_| "ERR invalid method")?;
        let path = Some(&args[2]).filter(|path| path.starts_with(b"/"));
        let uri = path.and_then(|path| Uri::try_from(path).ok());
        let uri = uri.ok_or("ERR the path must begin with / and be encoded as in a URL")?;
        let mut asked = Asked {
            method,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let mut at = 3;
        while let Some(option) = args.get(at) {
            let value = args.get(at + 1).ok_or("ERR syntax error")?;
            at += 2;
            if option.eq_ignore_ascii_case(b"HEADERS") {
                let count = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let count: usize = count
                    .filter(|count| *count <= MOST_HEADERS)
                    .ok_or("ERR the number of headers must be from 0 to 100")?;
                for _ in 0..count {
                    let (Some(name), Some(value)) = (args.get(at), args.get(at + 1)) else {
                        return Err("ERR syntax error".to_owned());
                    };
                    at += 2;
                    asked.add_header(name, value)?;
                }
            } else if option.eq_ignore_ascii_case(b"BODY") {
                if value.len() > most {
                    return Err(format!("ERR the body has more than {most} bytes"));
                }
                asked.body = Bytes::copy_from_slice(value);
            } else {
                return Err("ERR syntax error".to_owned());
            }
        }
        Ok(asked)
    }

    fn add_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refused> {
        let header = HeaderName::from_bytes(name)
            .ok()
            .zip(HeaderValue::from_bytes(value).ok());
        let (name, value) = header.ok_or("ERR invalid header")?;
        self.headers.append(name, value);
        Ok(())
    }
}

/// Reads a response of bounded size and writes it as a map.
async fn write_response(
    forwarded: Forwarded,
    most: usize,
    proto: Proto,
) -> Result<Vec<u8>, Refused> {
    let Forwarded { response, instance } = forwarded;
    let (parts, body) = response.into_parts();
    let read = Limited::new(body, most).collect().await;
    let body = read.map_err(
        |error| match error.is::<http_body_util::LengthLimitError>() {
            true => format!("ERR the response has more than {most} bytes"),
            false => format!("ERR the response was cut off: {error}"),
        },
    )?;
    let mut out = Vec::new();
    let mut reply = ReplyWriter::new(&mut out, proto);
    reply.map(4);
    reply.bulk("status");
    reply.integer(i64::from(parts.status.as_u16()));
    reply.bulk("headers");
    reply.map(parts.headers.len());
    for (name, value) in &parts.headers {
        reply.bulk(name.as_str());
        reply.bulk(value.as_bytes());
    }
    reply.bulk("body");
    reply.bulk(body.to_bytes());
    reply.bulk("instance");
    reply.bulk(instance.url.as_str());
    Ok(out)
}

fn refusal(trouble: &Trouble) -> Refused {
    match trouble {
        Trouble::NoInstance(service) => no_instance(service),
        other => format!("ERR {other}"),
    }
}

fn no_instance(service: &str) -> Refused {
    format!("NOINSTANCE no instance of service '{service}' is healthy")
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn write_list(list: &[String], reply: &mut ReplyWriter<'_>) {
    reply.array(list.len());
    list.iter().for_each(|text| reply.bulk(text));
}

/// Writes the eight fields of an instance.
fn write_instance(stats: &InstanceStats, reply: &mut ReplyWriter<'_>) {
    for (name, text) in [
        ("url", stats.url.as_str()),
        ("priority", stats.priority),
        ("state", stats.state),
    ] {
        reply.bulk(name);
        reply.bulk(text);
    }
    reply.bulk("in_flight");
    reply.integer(integer(stats.in_flight as u64));
    reply.bulk("ewma_ms");
    reply.double(stats.ewma_ms);
    for (name, number) in [
        ("successes", stats.successes),
        ("failures", stats.failures),
        ("ejected_ms", stats.ejected_ms),
    ] {
        reply.bulk(name);
        reply.integer(integer(number));
    }
}

fn write_service(service: &Service, reply: &mut ReplyWriter<'_>) {
    let stats = service_stats(service);
    let instances = service.instances();
    reply.map(10);
    reply.bulk("service");
    reply.bulk(&stats.service);
    reply.bulk("apis");
    write_list(&stats.apis, reply);
    for (name, number) in [
        ("requests", stats.requests),
        ("retries", stats.retries),
        ("reconnects", stats.reconnects),
        ("unavailable", stats.unavailable),
        ("failed", stats.failed),
        ("healthy", stats.healthy as u64),
        ("total", stats.total as u64),
    ] {
        reply.bulk(name);
        reply.integer(integer(number));
    }
    reply.bulk("instances");
    reply.array(instances.len());
    for instance in instances.iter() {
        let stats = instance_stats(instance, 1);
        let last = stats.polls.last();
        reply.map(12);
        write_instance(&stats, reply);
        reply.bulk("polling");
        reply.bulk(&stats.polling);
        reply.bulk("polls");
        reply.integer(integer(stats.polls_total));
        reply.bulk("polls_failed");
        reply.integer(integer(stats.polls_failed));
        reply.bulk("last_error");
        match last.and_then(|poll| poll.error.as_ref()) {
            Some(error) => reply.bulk(error),
            None => reply.null(),
        }
    }
}

impl Family for GatewayFamily {
    fn rows(&self) -> &'static [OwnRow] {
        ROWS
    }

    /// A service of the gateway is no key: to change one takes `@admin`.
    fn key(&self, _call: &Call<'_>) -> Option<String> {
        None
    }

    fn call(&self, call: &Call<'_>, out: &mut Vec<u8>) -> Answer {
        let name = call.args[0].to_ascii_uppercase();
        let mut reply = ReplyWriter::new(out, call.proto);
        let result = match name.as_slice() {
            b"GATEWAY.SERVICES" => {
                self.list_services(&mut reply);
                Ok(())
            }
            b"GATEWAY.INSTANCES" => self.list_instances(call.args, &mut reply),
            b"GATEWAY.PICK" => self.pick(call.args, &mut reply),
            b"GATEWAY.DRAIN" => self.drain(call.args, true, &mut reply),
            b"GATEWAY.UNDRAIN" => self.drain(call.args, false, &mut reply),
            b"GATEWAY.CHECK" => self.check(call.args, &mut reply),
            b"GATEWAY.STATS" => self.stats(call.args, &mut reply),
            b"GATEWAY.FORWARD" => match self.forward(call) {
                Ok(answer) => return answer,
                Err(text) => Err(text),
            },
            _ => {
                help(ROWS, out);
                return Answer::Given;
            }
        };
        if let Err(text) = result {
            reply.error(text);
        }
        Answer::Given
    }
}

impl std::fmt::Debug for GatewayFamily {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayFamily").finish_non_exhaustive()
    }
}
