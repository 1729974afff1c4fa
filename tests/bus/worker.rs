//! `respite worker`: a command for each call.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::World;
use crate::support::{Client, DEADLINE, respite_command, wait_until};

struct Worker(Child);

impl Worker {
    fn start(world: &World, method: &str, args: &[&str]) -> Self {
        let server = format!("127.0.0.1:{}", world.respites[0].port());
        let all = [&["worker", "b", method, "--server", &server], args].concat();
        let mut command: Command = respite_command(&all);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let worker = Worker(command.spawn().expect("a worker"));
        let mut client = world.connect();
        wait_until("the worker waits", DEADLINE, || {
            !client.call(&["BUS.WORKERS", "b"]).items().is_empty()
        });
        worker
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).expect("a pid fits");
        kill(Pid::from_raw(pid), signal).expect("a signal");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_command_gets_arguments_and_payload_and_its_output_is_the_reply() {
    let world = World::of(1);
    let script = "sh -c 'printf \"%s-\" \"$@\"; cat' 'the name'";
    let _worker = Worker::start(&world, "m", &["--exec", script, "--concurrency", "2"]);
    let mut client = world.connect();
    let reply = client.call(&[
        "BUS.CALL", "b", "m", "PAYLOAD", "p\0q", "ARGS", "a b", "$HOME", "*",
    ]);
    reply.assert_str("a b-$HOME-*-p\0q");
    let workers = client.call(&["BUS.WORKERS", "b"]);
    assert_eq!(workers.items().len(), 2);
    assert_eq!(workers.items()[0].field("patterns").strings(), ["m"]);
}

#[test]
fn what_a_caller_says_is_no_option_of_the_command() {
    let world = World::of(1);
    world.register("dashes", &[]);
    world.register("file", &[]);
    let _one = Worker::start(
        &world,
        "dashes",
        &["--exec", "sh -c 'printf \"%s.\" \"$@\"' x", "--end-options"],
    );
    // The script that its argument would be, were it one.
    let script = "sh -c 'printf \"%s,\" \"$#\"; tr \"\\0\" . < \"$RESPITE_ARGS_FILE\"; ls -l \"$RESPITE_ARGS_FILE\" | cut -c1-10' x";
    let _two = Worker::start(&world, "file", &["--exec", script, "--args-file"]);
    let mut client = world.connect();
    wait_until("both wait", DEADLINE, || {
        client.call(&["BUS.WORKERS", "b"]).items().len() == 2
    });
    let call = |client: &mut Client, method: &str| {
        client.call(&[
            "BUS.CALL",
            "b",
            method,
            "ARGS",
            "--use-compress-program=id",
            "a b",
        ])
    };
    call(&mut client, "dashes").assert_str("--.--use-compress-program=id.a b.");
    call(&mut client, "file").assert_str("0,--use-compress-program=id.a b.-rw-------\n");
}

#[test]
fn the_environment_of_a_command_is_a_list() {
    let world = World::of(1);
    world.register("m", &[]);
    let server = format!("127.0.0.1:{}", world.respites[0].port());
    let args = [
        "worker", "b", "m", "--server", &server, "--exec", "env", "--env", "MINE",
    ];
    let mut command: Command = respite_command(&args);
    command
        .env("MINE", "seen")
        .env("A_SECRET", "hush")
        .env("LC_ALL", "C");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _worker = Worker(command.spawn().expect("a worker"));
    let mut client = world.connect();
    wait_until("the worker waits", DEADLINE, || {
        !client.call(&["BUS.WORKERS", "b"]).items().is_empty()
    });
    let reply = client.call(&["BUS.CALL", "b", "m"]);
    let names: Vec<&str> = reply
        .as_str()
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    assert!(names.contains(&"MINE") && names.contains(&"PATH") && names.contains(&"LC_ALL"));
    assert!(!reply.as_str().contains("hush"), "{names:?}");
}

#[test]
fn a_command_that_fails_is_the_callers_error() {
    let world = World::of(1);
    world.register("m", &["PARAMS", "1", "code"]);
    let script = "sh -c 'echo nothing; echo went wrong >&2; if [ $1 = kill ]; then kill -9 $$; fi; exit $1' x";
    let _worker = Worker::start(&world, "*", &["--exec", script]);
    let mut client = world.connect();
    let mut call = |code: &str| client.call(&["BUS.CALL", "b", "m", "ARGS", code]);
    assert_eq!(call("3").error(), "BUSFAIL EXIT3 went wrong");
    assert_eq!(call("kill").error(), "BUSFAIL SIGNAL9 went wrong");
    call("0").assert_str("nothing\n");
    world.register("gone", &[]);
    drop(_worker);
    let _worker = Worker::start(&world, "gone", &["--exec", "/no/such/program"]);
    let reply = world.connect().call(&["BUS.CALL", "b", "gone"]);
    reply.assert_error("BUSFAIL EXEC cannot start /no/such/program: ");
}

#[test]
fn a_long_command_outlives_its_visibility_and_sigterm_but_not_its_caller() {
    let world = World::of(1);
    let dir = tempfile::tempdir().expect("a folder");
    let pids = dir.path().join("pids");
    world.register("m", &["VISIBILITY", "300", "PARAMS", "1", "s"]);
    let mut worker = Worker::start(
        &world,
        "m",
        &[
            "--exec",
            &format!(
                "sh -c 'sleep $1 & echo $! >> {}; wait; echo done' x",
                pids.display()
            ),
            "--concurrency",
            "2",
        ],
    );
    let patient = world.calling(&["BUS.CALL", "b", "m", "ARGS", "1.5"]);
    // The caller of this one goes: its command would run for an hour.
    let mut hasty = world.connect();
    hasty.send(&["BUS.CALL", "b", "m", "ARGS", "3600"]);
    let in_flight = || {
        world.connect().call(&["BUS.STATS", "b", "m"]).items()[0]
            .field("in_flight")
            .int()
    };
    wait_until("both are worked on", DEADLINE, || in_flight() == 2);
    drop(hasty);
    worker.signal(Signal::SIGTERM);
    patient.join().expect("no panic").assert_str("done\n");
    let mut status = None;
    wait_until("the worker ends", DEADLINE, || {
        status = worker.0.try_wait().expect("wait");
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    // Nothing that the commands had started is left.
    let pids = std::fs::read_to_string(pids).expect("two numbers");
    for pid in pids.lines().map(|line| line.parse().expect("a number")) {
        wait_until("it is gone", DEADLINE, || {
            kill(Pid::from_raw(pid), None).is_err()
        });
    }
}

#[test]
fn a_worker_comes_back_after_an_outage() {
    let mut world = World::of(1);
    let _worker = Worker::start(&world, "m", &["--exec", "echo done"]);
    world
        .connect()
        .call(&["BUS.CALL", "b", "m"])
        .assert_str("done\n");
    world.restart_backing();
    wait_until("the call is answered", DEADLINE, || {
        std::thread::sleep(Duration::from_millis(50));
        let reply = world
            .connect()
            .call(&["BUS.CALL", "b", "m", "TIMEOUT", "1000"]);
        !reply.is_error()
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    for exec in ["", "'unfinished"] {
        let status = respite_command(&["worker", "b", "m", "--exec", exec])
            .stderr(Stdio::null())
            .status();
        assert_eq!(status.expect("a status").code(), Some(2), "{exec:?}");
    }
}
