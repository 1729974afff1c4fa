//! The model of the backing beside the script at a real server: they say the same to the same beats.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use super::super::heartbeat::{Beat, Entry, KEYS, Told};
use super::super::identity::ShardKey;
use super::super::view::{KeySet, MOST_ROWS, Member, SetDigest, mix};
use super::model::Model;

/// How long the server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a socket in a folder of its own.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = std::env::var_os("RESPITE_TEST_REDIS").unwrap_or("redis-server".into());
        let child = Command::new(program)
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(folder.path().join("s"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("a redis-server on the path");
        Server { child, folder }
    }

    async fn connect(&self) -> MultiplexedConnection {
        let url = format!("unix://{}", self.folder.path().join("s").display());
        let client = redis::Client::open(url).expect("a URL");
        let end = Instant::now() + PATIENCE;
        loop {
            match client.get_multiplexed_async_connection().await {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

async fn send(
    connection: &mut MultiplexedConnection,
    beat: &Beat,
) -> redis::RedisResult<redis::Value> {
    let mut command = redis::cmd("EVAL");
    command.arg(include_str!("../scripts/heartbeat.lua"));
    command.arg(KEYS.len()).arg(&KEYS).arg(beat.args());
    command.query_async(connection).await
}

/// What the script says to a beat.
async fn beat(connection: &mut MultiplexedConnection, beat: &Beat) -> Told {
    let reply = send(connection, beat).await.expect("a reply");
    Told::parse(reply, beat.rev).expect("what it always says")
}

#[tokio::test]
async fn the_script_and_the_model_say_the_same() {
    let server = Server::start();
    let mut connection = server.connect().await;
    for seed in 1..=20 {
        // Half of them at a server that is out of memory.
        let most = ["1", "0"][seed as usize % 2];
        call(&mut connection, &["CONFIG", "SET", "maxmemory", most]).await;
        call(&mut connection, &["FLUSHALL"]).await;
        if most == "1" {
            let mut set = redis::cmd("SET");
            set.arg("x").arg("x");
            let refused: redis::RedisResult<()> = set.query_async(&mut connection).await;
            assert_eq!(refused.expect_err("no memory").code(), Some("OOM"));
        }
        compare(&mut connection, seed).await;
    }
}

async fn call(connection: &mut MultiplexedConnection, words: &[&str]) -> redis::Value {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let reply = command.query_async(connection).await;
    reply.expect("a reply")
}

/// One that says only that it is there.
fn here(member: &str, lease: Duration) -> Beat {
    Beat {
        member: member.to_owned(),
        lease,
        digest: SetDigest::of(b"").to_string(),
        keep: Duration::from_secs(600),
        ..Beat::default()
    }
}

async fn refused(connection: &mut MultiplexedConnection, said: &Beat, why: &str) {
    let reply = send(connection, said).await;
    let error = reply.expect_err("refused").to_string();
    assert!(error.contains(why), "{error}");
}

#[tokio::test]
async fn a_beat_that_fails_changes_nothing() {
    let server = Server::start();
    let mut connection = server.connect().await;
    let long = Duration::from_secs(600);
    let said = Beat {
        set: Some(KeySet::new(vec![ShardKey(1)]).encode()),
        entries: vec![Entry {
            key: ShardKey(1),
            record: vec![1; 8],
            is_base: true,
        }],
        ..here("first", long)
    };
    beat(&mut connection, &said).await;
    // Its lease has ended: the next beat of anybody removes it.
    beat(&mut connection, &here("ended", Duration::from_micros(1))).await;
    for wrong in KEYS {
        call(&mut connection, &["RENAME", wrong, "kept"]).await;
        call(&mut connection, &["SET", wrong, "x"]).await;
        let mut before = Vec::new();
        for key in KEYS {
            before.push(call(&mut connection, &["DUMP", key]).await);
        }
        refused(&mut connection, &said, "WRONGTYPE").await;
        for (key, before) in KEYS.iter().zip(before) {
            let now = call(&mut connection, &["DUMP", key]).await;
            assert_eq!(now, before, "{key} where {wrong} is wrong");
        }
        call(&mut connection, &["RENAME", "kept", wrong]).await;
    }
    // One too many is refused, but who has gone is gone for the others, too.
    let view = call(&mut connection, &["HGET", KEYS[0], "view"]).await;
    let fill = "for n = 1, 1000 do redis.call('ZADD', KEYS[1], 'inf', n) end";
    call(&mut connection, &["EVAL", fill, "1", KEYS[1]]).await;
    let third = here("third", Duration::from_secs(1_000_000_000));
    refused(&mut connection, &third, "share this fleet already").await;
    let there = call(&mut connection, &["ZSCORE", KEYS[1], "ended"]).await;
    assert_eq!(there, redis::Value::Nil);
    assert_ne!(
        call(&mut connection, &["HGET", KEYS[0], "view"]).await,
        view
    );
}

#[tokio::test]
async fn rows_have_bounds_together() {
    let server = Server::start();
    let mut connection = server.connect().await;
    let fill = "local row = '0|' .. string.rep('0', 32) .. '|' .. string.rep('x', 1700000) \
                for n = 10, 34 do redis.call('ZADD', KEYS[1], ARGV[1], n) \
                redis.call('HSET', KEYS[2], n, row) end";
    let told = beat(&mut connection, &here("99", Duration::from_secs(600))).await;
    let end = (told.now + 1_000_000_000).to_string();
    call(
        &mut connection,
        &["EVAL", fill, "2", KEYS[1], KEYS[2], &end],
    )
    .await;
    let told = beat(&mut connection, &here("99", Duration::from_secs(600))).await;
    let rows = told.rows.expect("who knows no rev is told");
    assert_eq!(rows.len(), 26, "nobody is left out");
    assert!(rows.is_sorted());
    let whole = rows.iter().take_while(|(_, row)| row.len() > 1000).count();
    assert_eq!(whole, MOST_ROWS / 1_700_035);
    let short = format!("0|{}|", "0".repeat(32));
    assert!(
        rows[whole..25]
            .iter()
            .all(|(_, row)| row == short.as_bytes())
    );
}

async fn compare(connection: &mut MultiplexedConnection, seed: u64) {
    let mut state = mix(seed);
    let mut random = |below: u64| {
        state = mix(state.wrapping_add(1));
        state % below
    };
    let mut model = Model::default();
    let set = |n: u64| KeySet::new((0..=n).map(|n| ShardKey(mix(n))).collect()).encode();
    let mut last: [Option<Told>; 4] = [const { None }; 4];
    for step in 0..150 {
        let who = random(4) as usize;
        let known = last[who].as_ref();
        let set = set(random(2));
        let declined = match random(4) {
            0 => 300,
            _ => random(3),
        };
        let declined: Vec<_> = (0..declined).map(ShardKey).collect();
        let entry = |n: u64| Entry {
            key: ShardKey(mix(n)),
            record: vec![n as u8; 8 + n as usize],
            is_base: n.is_multiple_of(2),
        };
        let said = Beat {
            member: format!("member-{who}"),
            // One that ends before the next beat, or not at all.
            lease: match random(4) {
                0 => Duration::from_micros(1),
                _ => Duration::from_secs(600),
            },
            acked: known.map_or(0, |told| told.view * random(2)),
            digest: SetDigest::of(&set).to_string(),
            declined: Member::declined_text(&declined),
            set: (random(2) == 0).then_some(set),
            rev: known.map_or(0, |told| told.rev * random(2)),
            since: known.map_or(0, |told| told.upto),
            longest: 1000,
            keep: Duration::from_secs(600),
            leaves: random(10) == 0,
            entries: (0..random(4)).map(|_| entry(random(20))).collect(),
        };
        let told = beat(connection, &said).await;
        let mut modelled = model.beat(&said, told.now, <[u8]>::len);
        if said.leaves {
            modelled.rows.clone_from(&told.rows); // nobody looks at them
        }
        assert_eq!(told, modelled, "seed {seed}, step {step}: {said:?}");
        last[who] = Some(told);
    }
}
