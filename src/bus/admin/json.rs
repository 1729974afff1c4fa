//! The methods of a bus as JSON, for the pages of the admin listener.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::manage::{self, MethodRow};
use crate::bus::bus::Bus;
use crate::bus::error::BusError;
use crate::bus::hub::Hub;
use crate::bus::method::Param;
use crate::bus::name::check;

/// So many dead calls of a bus are shown.
const MOST_DEAD: usize = 50;

/// Why there is nothing to show; the text is an error reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// No bus can have this name.
    #[error("{0}")]
    Name(String),
    /// Nothing is registered on it.
    #[error("NOBUS no method is registered on '{0}'")]
    Unknown(String),
    /// The backing could not be asked.
    #[error("{0}")]
    Backing(String),
}

impl From<BusError> for LookError {
    fn from(error: BusError) -> Self {
        LookError::Backing(error.to_string())
    }
}

/// A method with its options and what is going on, as `BUS.METHODS` and `BUS.STATS` tell it.
#[derive(Serialize)]
struct Method<'a> {
    method: &'a str,
    generation: i64,
    params: Option<Vec<String>>,
    cache: Option<&'a str>,
    cachettl: f64,
    resultttl: f64,
    idempotent: bool,
    visibility_ms: u64,
    maxdeliveries: u64,
    maxpending: u64,
    description: &'a str,
    workers: usize,
    pending: i64,
    calls: u64,
    errors: u64,
    in_flight: i64,
    cache_hits: u64,
    queue_p50_ms: f64,
    queue_p99_ms: f64,
    work_p50_ms: f64,
    work_p99_ms: f64,
    last_error: Option<&'a str>,
}

/// A bus with its methods, sorted by name.
#[derive(Serialize)]
struct Methods<'a> {
    bus: &'a str,
    methods: Vec<Method<'a>>,
}

impl Hub {
    /// A bus with its methods as a JSON object.
    ///
    /// # Errors
    /// When the name is not allowed, nothing is registered, or the backing cannot be asked.
    pub async fn methods_json(self: &Arc<Self>, bus: &str) -> Result<String, LookError> {
        check("bus", bus.as_bytes()).map_err(|error| LookError::Name(error.to_string()))?;
        look(self.looked_at(bus)).await
    }

    /// A bus with its methods, workers and newest dead calls as a JSON object.
    ///
    /// # Errors
    /// When the name is not allowed, nothing is registered, or the backing cannot be asked.
    pub async fn bus_json(self: &Arc<Self>, bus: &str) -> Result<String, LookError> {
        let methods = self.methods_json(bus).await?;
        let bus = self.looked_at(bus);
        let workers = manage::workers(Arc::clone(&bus)).await?;
        let rows = manage::methods(Arc::clone(&bus), None).await?;
        let mut dead = Vec::new();
        for row in rows {
            let room = MOST_DEAD - dead.len();
            let name = row.method.name.clone();
            if room > 0 {
                dead.extend(manage::dead(Arc::clone(&bus), name, room as u64).await?);
            }
        }
        let workers = workers.iter().map(|row| {
            json!({
                "worker": row.name,
                "patterns": row.patterns,
                "last_seen_ms": row.last_seen_ms,
                "in_flight": row.in_flight,
            })
        });
        let dead = dead.iter().map(|row| {
            json!({
                "id": row.call.id,
                "method": row.call.method,
                "code": row.code,
                "message": row.message,
                "attempts": row.call.attempt,
            })
        });
        let more =
            json!({"workers": workers.collect::<Vec<_>>(), "dead": dead.collect::<Vec<_>>()});
        let more = more.to_string();
        let methods = methods.strip_suffix('}').unwrap_or(&methods);
        Ok(format!(
            "{methods},{}",
            more.strip_prefix('{').unwrap_or(&more)
        ))
    }

    /// The names of the buses in use here, sorted.
    #[must_use]
    pub fn bus_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.buses().iter().map(|bus| bus.name.clone()).collect();
        names.sort_unstable();
        names
    }
}

async fn look(bus: Arc<Bus>) -> Result<String, LookError> {
    let stats = manage::stats(Arc::clone(&bus), None).await?;
    let rows = manage::methods(Arc::clone(&bus), None).await?;
    if rows.is_empty() {
        return Err(LookError::Unknown(bus.name.clone()));
    }
    let stats: HashMap<&str, &MethodRow> = stats
        .iter()
        .map(|row| (row.method.name.as_str(), row))
        .collect();
    let methods = rows.iter().map(|row| {
        method(
            row,
            stats.get(row.method.name.as_str()).copied().unwrap_or(row),
        )
    });
    let shown = Methods {
        bus: &bus.name,
        methods: methods.collect(),
    };
    Ok(serde_json::to_string(&shown).expect("text, numbers and lists are JSON"))
}

fn method<'a>(row: &'a MethodRow, stats: &'a MethodRow) -> Method<'a> {
    let (options, totals) = (&row.method.options, &stats.totals);
    let text = |param| String::from_utf8_lossy(&Param::text(param)).into_owned();
    let params = options.params.as_ref();
    Method {
        method: &row.method.name,
        generation: row.method.generation(),
        params: params.map(|params| params.iter().map(text).collect()),
        cache: options.cache.as_ref().map(|cache| cache.text.as_str()),
        cachettl: seconds(options.cache_ms),
        resultttl: seconds(options.result_ms),
        idempotent: options.idempotent,
        visibility_ms: options.visibility_ms,
        maxdeliveries: options.max_deliveries,
        maxpending: options.max_pending,
        description: &options.description,
        workers: row.workers,
        pending: row.queued,
        calls: totals.calls,
        errors: totals.errors,
        in_flight: stats.in_flight,
        cache_hits: totals.cache_hits,
        queue_p50_ms: totals.queue_ms(0.5),
        queue_p99_ms: totals.queue_ms(0.99),
        work_p50_ms: totals.work_ms(0.5),
        work_p99_ms: totals.work_ms(0.99),
        last_error: Some(totals.last_error.as_str()).filter(|error| !error.is_empty()),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a year of milliseconds is exact in an f64"
)]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
