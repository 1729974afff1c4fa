//! Ten thousand servers in one process: a port that answers `INFO`, and `+OK` to everything else.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves for ever; `what` is the port times 10,000, and the operations per second to report.
pub(crate) fn serve(info: &str, what: usize) -> ExitCode {
    let (port, ops) = (what / 10_000, what % 10_000);
    let mut text = String::new();
    for line in info.split_inclusive("\r\n") {
        match line.strip_prefix("instantaneous_ops_per_sec:") {
            Some(_) => text.push_str(&format!("instantaneous_ops_per_sec:{ops}\r\n")),
            None => text.push_str(line),
        }
    }
    let reply: &'static str = format!("${}\r\n{text}\r\n", text.len()).leak();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let port = u16::try_from(port).unwrap_or(0);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(answer(stream, reply.as_bytes()));
            }
        })
    });
    let _: std::io::Result<()> = served;
    ExitCode::FAILURE
}

async fn answer(mut stream: TcpStream, info: &[u8]) {
    let mut buffer = [0; 256];
    // A poller sends one command at a time, which is short.
    while let Ok(read) = stream.read(&mut buffer).await {
        let command = &buffer[..read];
        let reply = match command.windows(4).any(|word| word == b"INFO") {
            _ if read == 0 => return,
            true => info,
            false => b"+OK\r\n",
        };
        if stream.write_all(reply).await.is_err() {
            return;
        }
    }
}
