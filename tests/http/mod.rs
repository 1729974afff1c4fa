//! The admin listener: its pages, who may see them, keys through the cache, metrics.

mod access;
mod keys;
mod metrics;
mod pages;
