//! Buses in different slots, with callers at one Respite and workers at another, while the masters change.

use super::families::{World, fetched, run};
use crate::support::{Client, DEADLINE, wait_until};

/// So many buses of each node.
const EACH: usize = 2;

/// A bus with calls under way.
struct Busy {
    bus: String,
    worker: Client,
    /// Waits for the result of its call.
    caller: Client,
    /// What the worker has: id, token and payload.
    in_hand: Vec<(String, String, String)>,
    /// The ids of casts.
    casts: Vec<String>,
}

/// Names of buses, as many of each node.
fn spread(world: &World) -> Vec<String> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for bus in (0..).map(|n| format!("f{n}")) {
        let owner = world.place(&bus).1;
        if found.iter().filter(|(of, _)| *of == owner).count() < EACH {
            found.push((owner, bus));
        }
        if found.len() == 3 * EACH {
            break;
        }
    }
    found.into_iter().map(|(_, bus)| bus).collect()
}

impl Busy {
    /// One call and one cast in flight, one cast queued.
    fn start(world: &World, bus: String, options: &str) -> Self {
        let (mut caller, mut worker) = (world.connect(), world.connect_other());
        let register = format!("BUS.REGISTER {bus} m VISIBILITY 120000{options}");
        run(&mut worker, &register);
        worker.send(&["BUS.FETCH", &bus, "w", "m", "TIMEOUT", "0"]);
        wait_until("the worker waits", DEADLINE, || {
            let workers = caller.call(&["BUS.WORKERS", &bus]);
            !workers.is_error() && workers.items().len() == 1
        });
        let call = [
            "BUS.CALL", &bus, "m", "TIMEOUT", "120000", "PAYLOAD", "call",
        ];
        caller.send(&call);
        let mut in_hand = fetched(&worker.read_reply());
        let mut other = world.connect();
        let mut cast = |payload: &str| {
            let id = run(&mut other, &format!("BUS.CAST {bus} m PAYLOAD {payload}"));
            id.as_str().to_owned()
        };
        let mut casts = vec![cast("cast")];
        let fetch = format!("BUS.FETCH {bus} w m TIMEOUT 5000");
        in_hand.extend(fetched(&run(&mut worker, &fetch)));
        casts.push(cast("queued"));
        Busy {
            bus,
            worker,
            caller,
            in_hand,
            casts,
        }
    }

    fn reply_to_all(&mut self) {
        for (id, token, payload) in std::mem::take(&mut self.in_hand) {
            let reply = ["BUS.REPLY", &self.bus, &id, &token, &payload];
            self.worker.call(&reply).assert_int(1);
        }
    }
}

#[test]
fn calls_survive_a_failover_of_every_master() {
    let world = World::start(1);
    world.cluster.wait_until_replicas_follow();
    // Calls of every second bus are in the backing from the beginning, the others only if they take long.
    let options = ["", " MAXPENDING 100"].into_iter().cycle();
    let mut all: Vec<Busy> = spread(&world)
        .into_iter()
        .zip(options)
        .map(|(bus, options)| Busy::start(&world, bus, options))
        .collect();
    for master in 0..3 {
        let replica = world.cluster.replica_of(master);
        world.cluster.fail_over_to(replica);
    }
    for busy in &mut all {
        let mut other = world.connect();
        wait_until("both Respites reach the bus", DEADLINE, || {
            let methods = ["BUS.METHODS", &busy.bus];
            !busy.worker.call(&methods).is_error() && !other.call(&methods).is_error()
        });
        let payloads: Vec<&str> = busy.in_hand.iter().map(|call| call.2.as_str()).collect();
        assert_eq!(payloads, ["call", "cast"]);
        busy.reply_to_all();
        busy.caller.read_reply().assert_str("call");
        let fetch = format!("BUS.FETCH {} w m COUNT 10 TIMEOUT 5000", busy.bus);
        busy.in_hand = fetched(&run(&mut busy.worker, &fetch));
        assert_eq!(busy.in_hand.len(), 1, "each call is delivered once");
        busy.reply_to_all();
        for (id, expected) in busy.casts.iter().zip(["cast", "queued"]) {
            let result = other.call(&["BUS.RESULT", &busy.bus, id]);
            result.assert_str(expected);
        }
        let stats = run(&mut other, &format!("BUS.STATS {} m", busy.bus));
        let stats = &stats.items()[0];
        stats.field("pending").assert_int(0);
        stats.field("in_flight").assert_int(0);
        stats.field("errors").assert_int(0);
    }
}
