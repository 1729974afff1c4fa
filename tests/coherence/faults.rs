//! What goes wrong during a run: connections die, hang and lag, the backing sleeps, stops and starts again.

use std::time::Duration;

use super::history::{Clock, Content, Nanos, Place, SlotId, Write};
use super::load::FUNCTIONS;
use super::run::Backing;
use super::world::World;
use crate::support::{
    Client, Connection, DEADLINE, Direction, Random, RedisCluster, Relay, SentinelSet, slot_of,
    wait_until,
};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The backing closes one of Respite's connections.
    Kill,
    /// The backing closes the connections that track.
    KillFills,
    /// The backing executes a slow command.
    Sleep,
    /// The connections that track are closed, and a script keeps the backing busy while they come back.
    Busy,
    /// The backing stands still.
    Freeze,
    /// What the backing says on the fill connections comes late: by more than δ.
    HoldFills,
    /// What the backing says on the fill connections there are never comes.
    LoseFills,
    /// A connection breaks.
    Cut,
    /// The backing dies and comes back empty.
    Restart,
    /// The sentinels are told to make the replica the master.
    FailOver,
    /// The master dies, and comes back empty when the replica has become the master.
    KillMaster,
    /// The master can be reached by nobody but those who are connected to it as clients, until the replica is the master.
    IsolateMaster,
    /// A slot of a cluster with keys of the load moves to another master.
    MoveSlot,
    /// The same, and it stays half moved for longer than what is missing may be kept.
    MoveSlowly,
    /// A replica of a cluster is told to become the master.
    FailOverNode,
    /// A master of a cluster dies, and comes back when its replica has taken its place.
    KillNode,
    /// A master of a cluster stands still until its replica has taken its place.
    StopNode,
}

/// Takes 300 ms, in which others are answered `BUSY` once `lua-time-limit` has passed.
const BUSY: &str = "local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end \
    local stop = now() + 300 while now() < stop do end return 'done'";

/// Delays that last for the whole run: bytes go on in bursts that are so far apart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lag {
    /// From the backing to the fill connections.
    pub(crate) fills_down: Duration,
    /// To the backing on all other connections.
    pub(crate) others_up: Duration,
}

/// Whether a connection of Respite is one that fills the cache.
fn fills(connection: &Connection) -> bool {
    let first = connection.first_bytes().to_ascii_uppercase();
    first.windows(8).any(|window| window == b"TRACKING")
}

fn open(relays: &[Relay]) -> impl Iterator<Item = Connection> {
    relays
        .iter()
        .flat_map(Relay::connections)
        .filter(Connection::is_open)
}

impl Fault {
    /// Lets it happen and, where it passes, waits until it is over.
    pub(crate) fn strike(
        self,
        backing: &mut Backing,
        relays: &[Relay],
        world: &World,
        random: &mut Random,
    ) {
        match self {
            Self::Kill => kill(backing, random, |_| true),
            Self::KillFills => kill(backing, random, |flags| flags.contains('t')),
            Self::Sleep => drop(backing.redis().call(&["DEBUG", "SLEEP", "0.3"])),
            Self::Busy => {
                kill(backing, random, |flags| flags.contains('t'));
                drop(backing.redis().call(&["EVAL", BUSY, "0"]));
            }
            Self::Freeze => {
                backing.redis().freeze();
                std::thread::sleep(Duration::from_millis(random.between(50, 500) as u64));
                backing.redis().thaw();
            }
            Self::HoldFills => {
                let held: Vec<Connection> = open(relays).filter(fills).collect();
                held.iter()
                    .for_each(|connection| connection.pause(Direction::Down));
                std::thread::sleep(Duration::from_millis(random.between(100, 500) as u64));
                held.iter()
                    .for_each(|connection| connection.resume(Direction::Down));
            }
            Self::LoseFills => {
                let lost = open(relays).filter(fills);
                lost.for_each(|connection| connection.pause(Direction::Down));
            }
            Self::Cut => {
                let open: Vec<Connection> = open(relays).collect();
                if !open.is_empty() {
                    random.pick(&open).cut();
                }
            }
            Self::Restart => restart(backing, world),
            Self::FailOver | Self::KillMaster | Self::IsolateMaster => {
                fail_over(self, backing.set(), world);
            }
            Self::MoveSlot | Self::MoveSlowly => {
                let slowly = self == Self::MoveSlowly;
                move_slot(slowly, backing.cluster(), world, random);
            }
            Self::FailOverNode | Self::KillNode | Self::StopNode => {
                replace_node(self, backing.cluster(), world, random);
            }
        }
    }
}

/// Kills connections whose name is Respite's and whose flags are `wanted`: one of them, or all.
fn kill(backing: &Backing, random: &mut Random, wanted: impl Fn(&str) -> bool) {
    let mut client = backing.redis().connect();
    let list = client.call(&["CLIENT", "LIST", "TYPE", "normal"]);
    let field = |line: &str, name: &str| {
        let mut words = line.split(' ');
        words
            .find_map(|word| word.strip_prefix(name))
            .unwrap_or_default()
            .to_owned()
    };
    let ids: Vec<String> = list
        .as_str()
        .lines()
        .filter(|line| {
            field(line, "name=").starts_with("respite") && wanted(&field(line, "flags="))
        })
        .map(|line| field(line, "id="))
        .collect();
    let everyone = random.one_in(3);
    let chosen = random.below(ids.len().max(1));
    for (_, id) in ids
        .iter()
        .enumerate()
        .filter(|(index, _)| everyone || *index == chosen)
    {
        client.call(&["CLIENT", "KILL", "ID", id]);
    }
}

/// Everything is gone at some moment between the kill and the first answer.
fn restart(backing: &mut Backing, world: &World) {
    let start = world.clock.now();
    backing.one().restart();
    let end = world.clock.now();
    prepare(backing);
    let gone = |slot| Write {
        slot,
        place: Place::Direct,
        start,
        end,
        content: Content::Nil,
        size: 0,
        ttl: None,
        sure: true,
        how: "restart",
    };
    backing
        .writes
        .extend(world.slots_where(|_| true).into_iter().map(gone));
}

/// The replica becomes the master. Nothing is written from the moment when the replica has all until both Respites
/// use it: what a master takes and its replica does not have is lost by Redis.
fn fail_over(fault: Fault, set: &mut SentinelSet, world: &World) {
    wait_until("a replica follows", DEADLINE, || set.is_followed(false));
    let quiet = world.writing.write().expect("the lock of writing");
    wait_until("the replica has all", DEADLINE, || set.is_followed(true));
    let old = set.master_port().expect("a master");
    match fault {
        Fault::KillMaster => {
            let index = set.index(old);
            set.servers[index].kill();
            set.wait_for_another(old);
        }
        Fault::IsolateMaster => {
            // Not sentinels, whose channel is called hello.
            set.isolate(old, |first| first.windows(5).any(|word| word == b"HELLO"));
            set.wait_for_another(old);
        }
        _ => set.fail_over(),
    }
    let now = set.master_port().expect("a master");
    world.move_backing(set.server(now).port());
    for place in [Place::A, Place::B] {
        wait_until("Respite uses the new master", DEADLINE, || {
            let mut client = Client::connect(world.port(place));
            let info = client.call(&["INFO", "respite"]);
            let backing = format!("backing:redis://127.0.0.1:{now}/0");
            info.as_str().lines().any(|line| line == backing)
        });
    }
    drop(quiet);
    // What is written now is seen while the old master is still there, or back.
    std::thread::sleep(Duration::from_millis(600));
    match fault {
        Fault::KillMaster => {
            let index = set.index(old);
            set.servers[index].restart();
        }
        Fault::IsolateMaster => set.rejoin(old),
        _ => {}
    }
    std::thread::sleep(Duration::from_millis(600));
}

/// Moves the slot of a key to another master, key by key.
fn move_slot(slowly: bool, cluster: &RedisCluster, world: &World, random: &mut Random) {
    let id = SlotId::try_from(random.below(world.slots.len())).expect("few slots");
    let masters = cluster.masters();
    let slot = slot_of(
        &mut cluster.servers[masters[0]].connect(),
        &world.slot(id).name,
    );
    let from = cluster.owner(slot);
    let others: Vec<usize> = masters.into_iter().filter(|to| *to != from).collect();
    let to = *random.pick(&others);
    if slowly {
        cluster.begin_move(slot, to);
        std::thread::sleep(Duration::from_millis(random.between(100, 500) as u64));
    }
    cluster.move_slot(slot, to, || {});
}

/// A replica takes the place of its master. When the master is not asked, nothing is written from the moment when the
/// replica has all until both Respites use it: what a master takes and its replica does not have is lost by Redis.
fn replace_node(fault: Fault, cluster: &mut RedisCluster, world: &World, random: &mut Random) {
    cluster.wait_until_agreed();
    let master = *random.pick(&cluster.masters());
    let replica = cluster.replica_of(master);
    if fault == Fault::FailOverNode {
        cluster.fail_over_to(replica);
        return cluster.wait_until_agreed();
    }
    let mut direct = cluster.servers[master].connect();
    let mut served = world.slots.iter().filter(|slot| {
        let number = slot_of(&mut direct, &slot.name);
        cluster.owner(number) == master
    });
    let probe = served.next().map(|slot| format!("probe:{{{}}}", slot.tag));
    let quiet = world.writing.write().expect("the lock of writing");
    cluster.wait_for_replica(master);
    match fault {
        Fault::KillNode => cluster.servers[master].kill(),
        _ => cluster.servers[master].freeze(),
    }
    cluster.wait_for_master(replica);
    world.move_backing(cluster.servers[replica].port());
    for place in [Place::A, Place::B] {
        wait_until("Respite uses the new master", DEADLINE, || {
            let mut client = Client::connect(world.port(place));
            let Some(probe) = &probe else { return true };
            let sent = client.try_send_raw(format!("SET {probe} {place:?}\r\n").as_bytes());
            sent.is_ok()
                && client
                    .try_read_reply_raw()
                    .is_ok_and(|reply| reply == b"+OK\r\n")
        });
    }
    drop(quiet);
    // What is written now is seen while the old master is still there, or back.
    std::thread::sleep(Duration::from_millis(300));
    match fault {
        Fault::KillNode => cluster.servers[master].restart(),
        _ => cluster.servers[master].thaw(),
    }
    cluster.wait_until_agreed();
}

/// What a fresh backing needs.
pub(crate) fn prepare(backing: &Backing) {
    let mut client = backing.redis().connect();
    client.call(&["FUNCTION", "LOAD", FUNCTIONS]);
    for command in backing.setup {
        client.call(command).assert_ok();
    }
}

/// Lets bytes go on in bursts until the run stops. A fault that holds a connection is undone at the next burst.
pub(crate) fn lag(relays: &[Relay], world: &World, lag: Lag) {
    let gates = [
        (lag.fills_down, Direction::Down, true),
        (lag.others_up, Direction::Up, false),
    ];
    std::thread::scope(|scope| {
        for (delay, direction, of_fills) in gates.into_iter().filter(|gate| !gate.0.is_zero()) {
            scope.spawn(move || {
                while world.running() {
                    let held = open(relays).filter(|one| fills(one) == of_fills);
                    held.for_each(|one| one.pause(direction));
                    std::thread::sleep(delay);
                    // all of them: a connection shows what it is for only after it was held
                    open(relays).for_each(|one| one.resume(direction));
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
        }
    });
}

/// A pause of random length between two faults, cut short at the end of the run.
pub(crate) fn wait(lengths: [Duration; 2], clock: Clock, until: Nanos, random: &mut Random) {
    let left = Duration::from_nanos(until.saturating_sub(clock.now()));
    let [least, most] =
        lengths.map(|length| usize::try_from(length.as_millis()).expect("a short pause"));
    let pause = Duration::from_millis(random.between(least, most) as u64);
    std::thread::sleep(pause.min(left));
}
