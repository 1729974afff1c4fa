//! One relayed connection: two sockets, two pipes, and a thread on each end of each pipe.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::pipe::{Gate, Pipe, Weather};
use super::{Defaults, Direction};

/// How much of what the connecting side sends is kept to recognise the connection by.
const FIRST_BYTES: usize = 4096;

/// A handle on a relayed connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    index: usize,
    /// None: it was reset.
    downstream: Mutex<Option<Arc<TcpStream>>>,
    /// None: a black hole, or it was reset.
    upstream: Mutex<Option<Arc<TcpStream>>>,
    pipes: [Pipe; 2],
    first_bytes: Mutex<Vec<u8>>,
    /// The rules that have been applied.
    marks: Mutex<HashSet<usize>>,
    closed: AtomicBool,
    /// Directions that are over.
    over: AtomicU8,
}

impl Connection {
    pub(super) fn new(
        index: usize,
        downstream: TcpStream,
        upstream: Option<TcpStream>,
        defaults: &Defaults,
    ) -> Self {
        let pipes = defaults
            .gates
            .clone()
            .map(|gate| Pipe::new(gate, defaults.split, defaults.weather));
        Self(Arc::new(Inner {
            index,
            downstream: Mutex::new(Some(Arc::new(downstream))),
            upstream: Mutex::new(upstream.map(Arc::new)),
            pipes,
            first_bytes: Mutex::default(),
            marks: Mutex::default(),
            closed: AtomicBool::new(false),
            over: AtomicU8::new(0),
        }))
    }

    /// Starts the threads; `seen` is called as the first bytes come in, before they go on.
    pub(super) fn run(self, seen: impl Fn(&Self) + Send + 'static) {
        let connection = self.clone();
        std::thread::spawn(move || connection.read_up(&seen));
        if self.upstream().is_some() {
            let connection = self.clone();
            std::thread::spawn(move || connection.read_down());
            let connection = self.clone();
            std::thread::spawn(move || connection.write(Direction::Up));
            std::thread::spawn(move || self.write(Direction::Down));
        }
    }

    /// Its number in the order of accept.
    pub(crate) fn index(&self) -> usize {
        self.0.index
    }

    /// The first bytes that the connecting side sent, up to 4 KiB.
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        self.0.first_bytes.lock().expect("first bytes lock").clone()
    }

    /// Holds the bytes of this direction.
    pub(crate) fn pause(&self, direction: Direction) {
        self.gate(direction, Gate::Held);
    }

    /// Sends on what is held and goes on.
    pub(crate) fn resume(&self, direction: Direction) {
        self.gate(direction, Gate::Open);
    }

    /// Lets `count` more bytes through, then holds.
    pub(crate) fn hold_after(&self, direction: Direction, count: usize) {
        self.gate(
            direction,
            if count == 0 {
                Gate::Held
            } else {
                Gate::OpenFor(count)
            },
        );
    }

    /// Lets everything through that comes before the next `pattern`, then holds.
    pub(crate) fn hold_before(&self, direction: Direction, pattern: &[u8]) {
        self.gate(direction, Gate::Before(pattern.to_vec()));
    }

    /// Waits until bytes of this direction have arrived here and are held.
    #[track_caller]
    pub(crate) fn wait_held(&self, direction: Direction) {
        assert!(
            self.pipe(direction).wait_held(),
            "nothing is held {direction:?} on connection {}",
            self.0.index
        );
    }

    /// Writes chunks of 1 to `largest` bytes from now on; `None` for as they come.
    pub(crate) fn split(&self, largest: Option<usize>) {
        for pipe in &self.0.pipes {
            pipe.set_split(largest);
        }
    }

    /// Closes both sides; what is held is lost.
    pub(crate) fn cut(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        // Before the writers see the end and let go of them.
        let sides = [self.downstream(), self.upstream()];
        for pipe in &self.0.pipes {
            pipe.cut();
        }
        for side in sides.into_iter().flatten() {
            let _ = side.shutdown(Shutdown::Both); // may be closed already
        }
        self.forget_streams();
    }

    /// Resets both sides (RST) without a word before; what is held is lost.
    pub(crate) fn reset(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        let sides = [self.downstream(), self.upstream()];
        self.forget_streams();
        for stream in sides.iter().flatten() {
            // The last of the threads to end closes it, and that resets it.
            let lingered = socket2::SockRef::from(&**stream).set_linger(Some(Duration::ZERO));
            lingered.expect("set_linger");
        }
        for pipe in &self.0.pipes {
            pipe.cut();
        }
        for stream in sides.iter().flatten() {
            let _ = stream.shutdown(Shutdown::Read); // may be closed already
        }
    }

    /// How slow it is from now on, both ways.
    pub(crate) fn set_weather(&self, weather: Weather) {
        for pipe in &self.0.pipes {
            pipe.set_weather(weather);
        }
    }

    /// Whether neither side has closed it.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.closed.load(Ordering::SeqCst)
    }

    /// How many bytes of this direction have arrived here.
    pub(crate) fn received(&self, direction: Direction) -> u64 {
        self.pipe(direction).received()
    }

    /// How many bytes of this direction went on.
    pub(crate) fn forwarded(&self, direction: Direction) -> u64 {
        self.pipe(direction).forwarded()
    }

    pub(super) fn gate(&self, direction: Direction, gate: Gate) {
        self.pipe(direction).set_gate(gate);
    }

    /// Marks a rule as applied; false when it already was.
    pub(super) fn mark(&self, rule: usize) -> bool {
        self.0.marks.lock().expect("marks lock").insert(rule)
    }

    fn pipe(&self, direction: Direction) -> &Pipe {
        &self.0.pipes[direction as usize]
    }

    fn read_up(&self, seen: &impl Fn(&Self)) {
        let pipe = self.pipe(Direction::Up);
        let Some(downstream) = self.downstream() else {
            return;
        };
        let leads_on = self.upstream().is_some();
        self.read(&downstream, Direction::Up, |chunk| {
            self.remember(chunk, seen);
            if leads_on {
                return pipe.push(chunk);
            }
            pipe.swallow(chunk);
            true
        });
    }

    fn read_down(&self) {
        if let Some(upstream) = self.upstream() {
            self.read(&upstream, Direction::Down, |chunk| {
                self.pipe(Direction::Down).push(chunk)
            });
        }
    }

    fn read(
        &self,
        mut source: &TcpStream,
        direction: Direction,
        mut sink: impl FnMut(&[u8]) -> bool,
    ) {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) if sink(&chunk[..count]) => {}
                Ok(_) => return,
                Err(_) => {
                    self.cut();
                    return;
                }
            }
        }
        self.0.closed.store(true, Ordering::SeqCst);
        self.pipe(direction).finish();
        if self.upstream().is_none() {
            self.forget_streams();
        }
    }

    fn remember(&self, chunk: &[u8], seen: &impl Fn(&Self)) {
        {
            let mut first = self.0.first_bytes.lock().expect("first bytes lock");
            if first.len() >= FIRST_BYTES {
                return;
            }
            let room = FIRST_BYTES - first.len();
            first.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        seen(self);
    }

    /// The handle may be kept for long; the sockets go when the last thread is done with them.
    fn forget_streams(&self) {
        for side in [&self.0.downstream, &self.0.upstream] {
            side.lock().expect("stream lock").take();
        }
    }

    fn write(&self, direction: Direction) {
        self.write_all(direction);
        if self.0.over.fetch_add(1, Ordering::SeqCst) == 1 {
            self.forget_streams();
        }
    }

    fn write_all(&self, direction: Direction) {
        let target = match direction {
            Direction::Down => self.downstream(),
            Direction::Up => self.upstream(),
        };
        let Some(target) = target else {
            return;
        };
        let pipe = self.pipe(direction);
        while let Some(bytes) = pipe.pull() {
            if (&*target).write_all(&bytes).is_err() {
                self.cut();
                return;
            }
            let pause = pipe.pause();
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
        if !pipe.is_cut() {
            let _ = target.shutdown(Shutdown::Write); // pass the end on; it may be closed already
        }
    }

    fn downstream(&self) -> Option<Arc<TcpStream>> {
        self.0.downstream.lock().expect("stream lock").clone()
    }

    fn upstream(&self) -> Option<Arc<TcpStream>> {
        self.0.upstream.lock().expect("stream lock").clone()
    }
}
