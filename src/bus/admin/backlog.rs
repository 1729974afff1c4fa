//! What waits on a bus, for whoever looks after it.

use std::sync::Arc;

use super::json::LookError;
use super::manage;
use crate::bus::hub::Hub;

/// One method of a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Its name.
    pub method: String,
    /// Calls that no worker has fetched.
    pub queued: u64,
    /// Calls that workers have fetched and not answered.
    pub in_flight: u64,
    /// Workers that are alive and serve it.
    pub workers: usize,
    /// Grows whenever a call ends.
    pub ended: u64,
}

impl Hub {
    /// What waits on a bus, by method.
    ///
    /// # Errors
    /// When the backing cannot be asked.
    pub async fn backlog(self: &Arc<Self>, bus: &str) -> Result<Vec<Backlog>, LookError> {
        let bus = self.looked_at(bus);
        bus.flush_tallies().await?;
        let rows = manage::methods(bus, None).await?.into_iter();
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        let backlogs = rows.map(|row| Backlog {
            method: row.method.name.clone(),
            queued: count(row.queued),
            in_flight: count(row.in_flight),
            workers: row.workers,
            ended: row.totals.ended(),
        });
        Ok(backlogs.collect())
    }
}
