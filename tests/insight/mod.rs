//! What Respite tells of itself: latencies, slow commands, findings.

mod doctor;
mod latency;
mod monitoring;
mod slowlog;
