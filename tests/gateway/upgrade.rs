//! WebSocket connections pass through.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::Rig;
use crate::support::{DEADLINE, HttpClient, wait_until};

/// The next message, if it comes in time.
async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    let message = tokio::time::timeout(DEADLINE, socket.next()).await;
    let message = message.expect("a message in time").expect("a message");
    message.expect("a message")
}

/// Echoes every message of every client.
async fn echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_close() || socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A gateway with these keys before a server that echoes.
fn rig(keys: &str) -> (Runtime, Rig) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("bind");
    let port = listener.local_addr().expect("an address").port();
    runtime.spawn(echo(listener));
    let services = format!(
        "ws:\n  server: 127.0.0.1:{port}\n  polling: {{method: ping, frequency: 1h}}\n  apis: [/ws]\n"
    );
    let rig = Rig::with(&services, keys, |builder| builder);
    rig.wait_healthy(1);
    (runtime, rig)
}

async fn open(port: u16) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let url = format!("ws://127.0.0.1:{port}/ws/chat");
    let opened = tokio_tungstenite::client_async(&url, stream.expect("connect")).await;
    opened.expect("a handshake").0
}

#[test]
fn a_switched_connection_is_one_of_those_that_are_allowed() {
    let (runtime, rig) = rig("connections = 2");
    let first = runtime.block_on(open(rig.port()));
    let second = runtime.block_on(open(rig.port()));
    // The system takes the connection, the gateway does not serve it.
    let mut third = HttpClient::connect(rig.port());
    third.send("GET", "/nowhere", &[], b"").expect("sent");
    third.set_timeout(Duration::from_millis(300));
    assert!(third.read("GET").is_err(), "all places are taken");
    drop(first);
    third.set_timeout(DEADLINE);
    assert_eq!(third.read("GET").expect("a response").status, 404);
    drop(second);
}

#[test]
fn a_switched_connection_that_is_silent_ends() {
    let (runtime, rig) = rig("idle = \"400ms\"");
    let mut socket = runtime.block_on(open(rig.port()));
    runtime.block_on(async {
        socket.send(Message::text("one")).await.expect("sent");
        next(&mut socket).await;
        let end = tokio::time::timeout(DEADLINE, socket.next()).await;
        let end = end.expect("it is ended");
        assert!(matches!(end, None | Some(Err(_))), "{end:?}");
    });
    let free = || rig.instances("ws")[0].field("in_flight").int() == 0;
    wait_until("the instance is free", DEADLINE, free);
}

#[test]
fn websockets_echo_through() {
    let (runtime, rig) = rig("");
    let in_flight = || rig.instances("ws")[0].field("in_flight").int();
    let url = format!("ws://127.0.0.1:{}/ws/chat?room=1", rig.port());
    let mut socket = runtime.block_on(async {
        let stream = TcpStream::connect(("127.0.0.1", rig.port()))
            .await
            .expect("connect");
        let (mut socket, response) = tokio_tungstenite::client_async(&url, stream)
            .await
            .expect("a handshake");
        assert_eq!(response.status(), 101);
        let large = "x".repeat(1 << 20);
        for text in ["one", "two", &large] {
            socket.send(Message::text(text)).await.expect("sent");
            let echoed = next(&mut socket).await;
            assert!(echoed.into_text().expect("text").as_str() == text);
        }
        socket
    });
    assert_eq!(in_flight(), 1);
    runtime.block_on(async {
        socket
            .send(Message::binary(vec![0_u8, 255]))
            .await
            .expect("sent");
        let echoed = next(&mut socket).await;
        assert_eq!(echoed.into_data().as_ref(), [0, 255]);
        socket.close(None).await.expect("closed");
    });
    drop(socket);
    wait_until("the instance is free", DEADLINE, || in_flight() == 0);
}
