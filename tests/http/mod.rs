//! The admin listener: its pages, who may see them, keys through the cache, what Prometheus reads.

mod access;
mod api;
mod backing;
mod connections;
mod exposition;
mod keys;
mod metrics;
mod pages;
mod prometheus;
mod scrape;
