//! `timeouts.failover`: how long a command waits for its slot to have a master.

use crate::support::{Client, DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

fn start(cluster: &RedisCluster, timeouts: &str, on_loss: &str) -> Respite {
    Respite::builder()
        .upstream(&cluster.url())
        .config(&format!("[timeouts]\n{timeouts}\n"))
        .env("RESPITE_UPSTREAM_ON_LOSS", on_loss)
        .allow_log("link lost")
        .allow_log("is away")
        .allow_log("backing not usable")
        .allow_log("no node tells")
        .start()
}

/// Sends a command until it is answered: a connection whose command was under way when the master died is closed.
#[track_caller]
fn answer(respite: &Respite, command: &str) -> String {
    let mut answer = String::new();
    wait_until("an answer", DEADLINE, || {
        let mut client: Client = respite.connect();
        client.set_timeout(DEADLINE);
        let line = format!("{command}\r\n");
        let sent = client.try_send_raw(line.as_bytes());
        let reply = sent.map(|()| client.try_read_reply_raw());
        if let Ok(Ok(reply)) = reply {
            answer = String::from_utf8(reply).expect("text");
        }
        !answer.is_empty()
    });
    answer
}

/// It waits for longer than a connection may take.
#[test]
fn a_command_is_answered_by_the_next_master_of_its_slot() {
    let mut cluster = RedisCluster::start(3, 1);
    let respite = start(&cluster, "connect = \"200ms\"", "close");
    let slot = slot_of(&mut cluster.servers[0].connect(), "k");
    respite.call(&["SET", "k", "before"]).assert_ok();
    let owner = cluster.owner(slot);
    cluster.wait_for_replica(owner);
    cluster.servers[owner].kill();
    assert_eq!(answer(&respite, "APPEND k +after"), ":12\r\n");
    assert_eq!(answer(&respite, "GET k"), "$12\r\nbefore+after\r\n");
}

/// The same for a master that stands still: nothing breaks, and nobody closes a connection.
#[test]
fn a_master_that_stands_still_is_replaced() {
    let cluster = RedisCluster::start(3, 1);
    let respite = start(&cluster, "connect = \"5s\"", "close");
    let slot = slot_of(&mut cluster.servers[0].connect(), "k");
    respite.call(&["SET", "k", "before"]).assert_ok();
    let owner = cluster.owner(slot);
    cluster.wait_for_replica(owner);
    cluster.servers[owner].freeze();
    // A read that was under way is asked again.
    let mut reader = respite.connect();
    reader.set_timeout(DEADLINE);
    reader.call(&["GETRANGE", "k", "0", "2"]).assert_str("bef");
    assert_eq!(answer(&respite, "APPEND k +after"), ":12\r\n");
    // Back, it says for a moment what was true before; it is not believed.
    cluster.servers[owner].thaw();
    wait_until("it knows that it is a replica", DEADLINE, || {
        assert_eq!(answer(&respite, "GET k"), "$12\r\nbefore+after\r\n");
        cluster.servers[owner].info("replication", "role") == "slave"
    });
    assert_eq!(answer(&respite, "APPEND k !"), ":13\r\n");
}

/// Nobody has its slots: the nodes that are left say so, and so is the client told.
#[test]
fn what_outlasts_it_is_told() {
    let mut cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster, "failover = \"1s\"", "error");
    let mut direct = cluster.servers[0].connect();
    let owner = |key: &str, direct: &mut Client| cluster.owner(slot_of(direct, key));
    let [lost, left] = ["a", "b"].map(|key| owner(key, &mut direct));
    assert_ne!(lost, left);
    respite.call(&["SET", "b", "1"]).assert_ok();
    cluster.servers[lost].kill();
    wait_until("the others say so", DEADLINE, || {
        let info = cluster.servers[left].call(&["CLUSTER", "INFO"]);
        info.as_str().contains("cluster_state:fail")
    });
    let told = answer(&respite, "SET b 2");
    assert!(told.starts_with("-CLUSTERDOWN "), "{told}");
    let told = answer(&respite, "SET a 2");
    // Redis 8 says of whom it takes for lost that he has no slots.
    let nobody = told.starts_with("-CLUSTERDOWN ");
    let lost = told.starts_with("-UPSTREAM ") && told.contains("not");
    assert!(
        lost || nobody && RedisServer::version() >= (8, 0, 0),
        "{told}"
    );
}
