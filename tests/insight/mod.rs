//! What Respite tells of itself: latencies, slow commands, findings.

mod latency;
mod slowlog;
