//! `BUS.*`: from a request to the future that answers it.

use std::future::Future;
use std::sync::Arc;

use super::rows::ROWS;
use super::shapes;
use crate::bus::arguments::{
    CallArgs, FetchArgs, dead_count, extended, failure, given, id, name, option, result_patience,
};
use crate::bus::background::start;
use crate::bus::bus::Bus;
use crate::bus::error::BusError;
use crate::bus::hub::Hub;
use crate::bus::method::Options;
use crate::bus::name::rule_key;
use crate::bus::outcome::Work;
use crate::bus::{admin, call, work};
use crate::command::{Answer, Call, Caller, Family, OwnRow, help};
use crate::resp::{Glob, Proto, ReplyWriter};

/// The commands of the bus.
#[derive(Debug)]
pub struct BusFamily {
    hub: Arc<Hub>,
}

/// What a command does, or the error reply.
type Begun = Result<Answer, BusError>;

impl BusFamily {
    /// The commands on these buses.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        BusFamily { hub }
    }

    fn bus(&self, call: &Call<'_>) -> Result<Arc<Bus>, BusError> {
        let peer = call.caller.peer.map(|peer| peer.ip().to_canonical());
        let bus = self.hub.bus(&name(call.args, 1, "bus")?, peer)?;
        start(&self.hub);
        Ok(bus)
    }

    fn begin(&self, command: &[u8], call: &Call<'_>) -> Begun {
        match command {
            b"CALL" | b"CAST" | b"RESULT" | b"CANCEL" => self.begin_calling(command, call),
            b"FETCH" | b"REPLY" | b"FAIL" | b"BEAT" => self.begin_working(command, call),
            _ => self.begin_admin(command, call),
        }
    }

    fn begin_calling(&self, command: &[u8], call: &Call<'_>) -> Begun {
        let (args, proto) = (call.args, call.proto);
        let bus = self.bus(call)?;
        Ok(match command {
            b"CALL" => {
                let args = CallArgs::parse(args, false)?;
                cancelled(async move {
                    let result = call::call(bus, args).await;
                    shapes::answer(proto, result, |writer, outcome| {
                        shapes::outcome(writer, &outcome)
                    })
                })
            }
            b"CAST" => {
                let args = CallArgs::parse(args, true)?;
                later(async move {
                    let result = call::cast(bus, args).await;
                    shapes::answer(proto, result, |writer, id| writer.bulk(id))
                })
            }
            b"RESULT" => {
                let (id, patience) = (id(args, 2), result_patience(args)?);
                blocked(async move {
                    let result = call::result(bus, id, patience).await;
                    shapes::answer(proto, result, |writer, outcome| match outcome {
                        Some(outcome) => shapes::outcome(writer, &outcome),
                        None => writer.null(),
                    })
                })
            }
            _ => {
                let id = id(args, 2);
                later(async move { truth(proto, call::cancel(bus, id).await) })
            }
        })
    }

    fn begin_working(&self, command: &[u8], call: &Call<'_>) -> Begun {
        let (args, proto, client) = (call.args, call.proto, call.caller.id);
        let bus = self.bus(call)?;
        Ok(match command {
            b"FETCH" => {
                let args = FetchArgs::parse(args)?;
                blocked(async move {
                    let result = work::fetch(bus, client, args).await;
                    shapes::answer(proto, result, |writer, calls| match calls {
                        Some(calls) => shapes::fetched(writer, &calls),
                        None => writer.null_array(),
                    })
                })
            }
            b"BEAT" => {
                let (worker, extend) = (name(args, 2, "worker")?, extended(args)?);
                later(async move {
                    let result = work::beat(bus, worker, extend).await;
                    shapes::answer(proto, result, |writer, (lost, cancelled)| {
                        writer.map(2);
                        shapes::names(writer, "lost", &lost);
                        shapes::names(writer, "cancelled", &cancelled);
                    })
                })
            }
            _ => {
                let work = if command == b"REPLY" {
                    Work::Done(args[4].to_vec())
                } else {
                    failure(args)?
                };
                let (id, token) = (id(args, 2), id(args, 3));
                later(async move { truth(proto, work::reply(bus, id, token, work).await) })
            }
        })
    }

    fn begin_admin(&self, command: &[u8], call: &Call<'_>) -> Begun {
        let (args, proto) = (call.args, call.proto);
        let bus = self.bus(call)?;
        let method = |at| name(args, at, "method");
        Ok(match command {
            b"REGISTER" => {
                let (method, options) = (method(2)?, Options::parse(args.tail(3))?);
                agreed(async move {
                    let registered = admin::register(bus, method.clone(), options).await;
                    shapes::answer(proto, registered, |writer, generation| {
                        writer.map(2);
                        writer.bulk("method");
                        writer.bulk(&method);
                        writer.bulk("generation");
                        writer.integer(generation);
                    })
                })
            }
            b"UNREGISTER" => {
                let method = method(2)?;
                agreed(async move { truth(proto, admin::unregister(bus, method).await) })
            }
            b"METHODS" => {
                let glob = option(args, 2, b"MATCH")?.map(Glob::new).transpose();
                let glob = glob.map_err(BusError::told)?;
                later(async move {
                    let rows = admin::methods(bus, glob).await;
                    shapes::answer(proto, rows, |writer, rows| shapes::methods(writer, &rows))
                })
            }
            b"WORKERS" => later(async move {
                let rows = admin::workers(bus).await;
                shapes::answer(proto, rows, |writer, rows| shapes::workers(writer, &rows))
            }),
            b"STATS" => {
                let method = match args.len() {
                    2 => None,
                    3 => Some(method(2)?),
                    _ => return Err(BusError::Syntax),
                };
                later(async move {
                    let rows = admin::stats(bus, method).await;
                    shapes::answer(proto, rows, |writer, rows| shapes::stats(writer, &rows))
                })
            }
            b"UNCACHE" => {
                let method = method(2)?;
                let given = match args[3].to_ascii_uppercase().as_slice() {
                    b"ALL" if args.len() == 4 => None,
                    b"ARGS" | b"KWARGS" => Some(given(&args[3], args.tail(4).iter())?),
                    _ => return Err(BusError::Syntax),
                };
                later(async move { count(proto, admin::uncache(bus, method, given).await) })
            }
            b"DEAD" => {
                let (method, most) = (method(2)?, dead_count(args)?);
                later(async move {
                    let rows = admin::dead(bus, method, most).await;
                    shapes::answer(proto, rows, |writer, rows| shapes::dead(writer, &rows))
                })
            }
            b"REVIVE" => {
                let id = id(args, 2);
                later(async move { truth(proto, admin::revive(bus, id).await) })
            }
            _ => agreed(async move { count(proto, admin::cleanup(bus).await) }),
        })
    }
}

fn later(reply: impl Future<Output = Vec<u8>> + Send + 'static) -> Answer {
    Answer::Later(Box::pin(reply))
}

/// What changes the registry waits until other Respites have let go of it.
fn agreed(reply: impl Future<Output = Vec<u8>> + Send + 'static) -> Answer {
    Answer::Agreed(Box::pin(reply))
}

fn cancelled(reply: impl Future<Output = Vec<u8>> + Send + 'static) -> Answer {
    Answer::Cancelled(Box::pin(reply))
}

fn blocked(reply: impl Future<Output = Vec<u8>> + Send + 'static) -> Answer {
    Answer::Blocked(Box::pin(reply))
}

fn truth(proto: Proto, result: Result<bool, BusError>) -> Vec<u8> {
    count(proto, result.map(i64::from))
}

fn count(proto: Proto, result: Result<i64, BusError>) -> Vec<u8> {
    shapes::answer(proto, result, |writer, number| writer.integer(number))
}

impl Family for BusFamily {
    fn rows(&self) -> &'static [OwnRow] {
        ROWS
    }

    /// All commands but `BUS.HELP` name a bus first.
    fn key(&self, call: &Call<'_>) -> Option<String> {
        let bus = name(call.args, 1, "bus").ok()?;
        Some(rule_key(&bus))
    }

    fn call(&self, call: &Call<'_>, out: &mut Vec<u8>) -> Answer {
        let command = call.args[0].to_ascii_uppercase();
        let command = command.strip_prefix(b"BUS.").unwrap_or_default();
        if command == b"HELP" {
            help(ROWS, out);
            return Answer::Given;
        }
        self.begin(command, call).unwrap_or_else(|error| {
            ReplyWriter::new(out, call.proto).error(error.to_string());
            Answer::Given
        })
    }

    fn uses_backing(&self) -> bool {
        true
    }

    fn gone(&self, caller: &Caller) {
        self.hub.client_gone(caller.id);
    }
}
