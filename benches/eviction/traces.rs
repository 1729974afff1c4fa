//! Made-up traces of reads: which key is asked for next, how large its reply is, what a fetch of it costs the backing.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Keys that there are.
pub(crate) const KEYS: usize = 200_000;
/// Reads of a trace.
pub(crate) const READS: usize = 2_000_000;

/// The reads of a trace, as keys.
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    pub(crate) reads: Vec<u32>,
}

/// A mixed-up number that is always the same for a key.
fn mixed(key: u32) -> u64 {
    (u64::from(key) + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29)
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Bytes of a key's reply: most are small, some are large.
pub(crate) fn reply_bytes(key: u32) -> usize {
    let n = mixed(key);
    let within = |from: u64, to: u64| (from + (n >> 8) % (to - from)) as usize;
    match n % 10 {
        0..6 => within(32, 128),
        6..9 => within(128, 1024),
        _ => within(1024, 8192),
    }
}

/// Microseconds that a fetch costs the backing: most replies are looked up, some are computed (a `HGETALL` of many
/// fields, a `ZRANGE`), whatever their size.
pub(crate) fn cost(key: u32) -> f64 {
    match mixed(key) >> 33 & 15 {
        0 => 60.0,
        1..4 => 8.0,
        _ => 1.0,
    }
}

/// Draws keys by Zipf's law: the one of rank n as often as n to the power of `-exponent` says.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=KEYS).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self(sums.collect())
    }

    fn draw(&self, random: &mut SmallRng) -> u32 {
        let at = random.random::<f64>() * self.0[KEYS - 1];
        self.0.partition_point(|sum| *sum < at) as u32
    }
}

/// All traces.
pub(crate) fn all() -> Vec<Trace> {
    let mut random = SmallRng::seed_from_u64(7);
    let mut zipf = |name, exponent| {
        let zipf = Zipf::new(exponent);
        let reads = (0..READS).map(|_| zipf.draw(&mut random)).collect();
        Trace { name, reads }
    };
    let mut traces = vec![
        zipf("Zipf 0.7", 0.7),
        zipf("Zipf 0.9", 0.9),
        zipf("Zipf 1.1", 1.1),
    ];
    traces.push(scanned(&traces[1].reads));
    traces.push(shifting(&traces[1].reads));
    traces.push(Trace {
        name: "a loop over half of the keys",
        reads: (0..READS).map(|n| (n % (KEYS / 2)) as u32).collect(),
    });
    traces.push(Trace {
        name: "all keys alike",
        reads: (0..READS)
            .map(|_| random.random_range(0..KEYS as u32))
            .collect(),
    });
    traces
}

/// Every fourth stretch of reads is a scan: keys in order, each once.
fn scanned(reads: &[u32]) -> Trace {
    const STRETCH: usize = 20_000;
    let mut next = 0;
    let reads = reads.iter().enumerate().map(|(n, key)| {
        if (n / STRETCH) % 4 != 3 {
            return *key;
        }
        next += 1;
        (KEYS + next) as u32
    });
    Trace {
        name: "Zipf 0.9, scans between",
        reads: reads.collect(),
    }
}

/// What is asked most changes all the time.
fn shifting(reads: &[u32]) -> Trace {
    let reads = reads.iter().enumerate();
    let shift = |(n, key): (usize, &u32)| ((*key as usize + n / 400 * 7) % KEYS) as u32;
    Trace {
        name: "Zipf 0.9, shifting",
        reads: reads.map(shift).collect(),
    }
}
