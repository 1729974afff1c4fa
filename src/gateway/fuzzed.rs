//! A client's bytes into the gateway without a socket, for the fuzz targets.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::connect::BUFFER_BYTES;
use super::forward::Forwarder;
use super::place::{Left, Place};
use super::shared::Gateway;

/// What the gateway answers to these bytes, after which the client says no more.
pub async fn answers(gateway: &Arc<Gateway>, bytes: &[u8]) -> Vec<u8> {
    let forwarder = Arc::new(Forwarder::new(Arc::clone(gateway)));
    let permits = Arc::new(Semaphore::new(1));
    let Ok(permit) = permits.acquire_owned().await else {
        return Vec::new();
    };
    let place = Place::new((Left(Arc::new(AtomicUsize::new(1))), permit));
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let service = service_fn(move |request| {
        let forwarder = Arc::clone(&forwarder);
        let who = (IpAddr::V4(Ipv4Addr::LOCALHOST), Arc::clone(&place));
        async move { Ok::<_, Infallible>(forwarder.serve(request, who).await) }
    });
    let connection = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(server), service)
        .with_upgrades();
    let mut answers = Vec::new();
    let talk = async {
        // The gateway may hang up in the middle.
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let _ = client.read_to_end(&mut answers).await;
    };
    let (_, ()) = tokio::join!(connection, talk);
    answers
}
