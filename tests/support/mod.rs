//! What every integration test builds on: real servers, a raw client, a relay that delays bytes.
//!
//! Everything is blocking `std`, so that a test reads top to bottom. Nothing here uses the product's
//! own code: the reply scanner ([`frame`]) is written apart from it and serves as an oracle.
//!
//! - [`RedisServer`]: a real redis-server on a port of its own
//! - [`Respite`]: the real binary in front of it; unannounced WARN and ERROR lines fail the test
//! - [`RedisCluster`]: a Redis Cluster
//! - [`SentinelSet`]: a master with replicas, and the sentinels that watch over them
//! - [`Certificates`]: a certificate authority and what it signed
//! - [`FakeServer`]: a server that answers `INFO` as wrongly as a test wants
//! - [`Client`], [`Reply`]: raw bytes out, exact bytes or a parsed reply back
//! - [`HttpClient`], [`fetch`], [`get`]: the same for HTTP
//! - [`Relay`]: a TCP relay that holds, splits, cuts and refuses
//! - [`Scripted`]: a backing whose every answer and push the test gives
//! - [`Random`]: random numbers from a printed seed (`RESPITE_SEED`)
#![allow(
    dead_code,
    reason = "a toolbox: not every tool is used by every set of tests"
)]
#![allow(unused_imports, reason = "re-exports for the tests that need them")]

mod certificates;
mod client;
mod cluster;
mod fake_server;
pub(crate) mod frame;
mod http;
mod port;
mod process;
mod random;
mod redis_server;
mod relay;
mod reply;
mod respite;
mod scripted;
mod selftest;
mod sentinels;
mod wait;

pub(crate) use certificates::Certificates;
pub(crate) use client::{Client, encode};
pub(crate) use cluster::{RedisCluster, slot_of};
pub(crate) use fake_server::{FakeServer, Says};
pub(crate) use http::{HttpClient, Response, fetch, get};
pub(crate) use port::ReservedPort;
pub(crate) use random::Random;
pub(crate) use redis_server::{RedisBuilder, RedisServer};
pub(crate) use relay::{Connection, Direction, Relay, Weather, contains};
pub(crate) use reply::{Reply, escape};
pub(crate) use respite::{INJECTED, Respite, RespiteBuilder, Stopped, respite_command};
pub(crate) use scripted::{Asked, Fetch, Scripted, Wire};
pub(crate) use sentinels::{MASTER, Sentinel, SentinelSet};
pub(crate) use wait::{DEADLINE, wait_until};
