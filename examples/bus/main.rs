//! A worker and a caller of Respite's bus in Rust, with nothing but the `redis` crate.
//!
//! ```text
//! cargo run --example bus -- 127.0.0.1:7379
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::thread;

use redis::{Client, Connection, RedisResult, Value, cmd};

const BUS: &str = "words";

fn main() -> RedisResult<()> {
    let server = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7379".to_owned());
    let client = Client::open(format!("redis://{server}/?protocol=resp3"))?;
    let mut caller = client.get_connection()?;
    let mut register = cmd("BUS.REGISTER");
    let _: Value = register
        .arg(BUS)
        .arg("reverse")
        .arg("PARAMS")
        .arg(1)
        .arg("text")
        .query(&mut caller)?;

    let mut worker = client.get_connection()?;
    let working = thread::spawn(move || work(&mut worker));
    let mut cast = cmd("BUS.CAST");
    let id: String = cast
        .arg(BUS)
        .arg("reverse")
        .arg("ARGS")
        .arg("stressed")
        .query(&mut caller)?;
    let result: String = cmd("BUS.RESULT").arg(BUS).arg(id).query(&mut caller)?;
    println!("cast: {result}");
    let mut call = cmd("BUS.CALL");
    let result: String = call
        .arg(BUS)
        .arg("reverse")
        .arg("KWARGS")
        .arg("text")
        .arg("drawer")
        .query(&mut caller)?;
    println!("call: {result}");
    working.join().expect("the worker does not panic")?;
    let _: i64 = cmd("BUS.CLEANUP").arg(BUS).query(&mut caller)?;
    Ok(())
}

/// Works on two calls.
fn work(worker: &mut Connection) -> RedisResult<()> {
    for _ in 0..2 {
        let mut fetch = cmd("BUS.FETCH");
        let calls: Vec<Vec<(String, Value)>> =
            fetch.arg(BUS).arg("example").arg("reverse").query(worker)?;
        for call in calls {
            let field = |name: &str| {
                call.iter()
                    .find(|(field, _)| field == name)
                    .map(|(_, value)| value.clone())
            };
            let text =
                |name: &str| redis::from_redis_value::<String>(field(name).unwrap_or(Value::Nil));
            let args: Vec<String> = redis::from_redis_value(field("args").unwrap_or(Value::Nil))?;
            let reversed: String = args[0].chars().rev().collect();
            let mut reply = cmd("BUS.REPLY");
            let in_time: i64 = reply
                .arg(BUS)
                .arg(text("id")?)
                .arg(text("token")?)
                .arg(reversed)
                .query(worker)?;
            assert_eq!(in_time, 1);
        }
    }
    Ok(())
}
