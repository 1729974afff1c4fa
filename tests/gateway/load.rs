//! Instances that die under load: no idempotent request fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Backend, Rig, service};
use crate::support::{DEADLINE, HttpClient, wait_until};

const CLIENTS: usize = 8;

#[test]
fn killed_instances_cost_no_idempotent_request() {
    let mut backends = [Backend::start(), Backend::start(), Backend::start()];
    let services = service(&[&backends[0], &backends[1], &backends[2]]);
    let rig = Rig::with(&services, "", |builder| builder);
    rig.wait_healthy(3);
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (rig, done, stop) = (&rig, &done, &stop);
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = HttpClient::connect(rig.port());
                client.set_timeout(Duration::from_secs(30));
                let body = vec![b'x'; n * 1000];
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let method = ["GET", "PUT", "DELETE"][round % 3];
                    let path = format!("/{n}/{round}");
                    let response = client.call(method, &path, &[], &body);
                    let response = response.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
                    assert_eq!(response.status, 202, "{method} {path}: {}", response.text());
                    assert_eq!(response.json()["uri"], path.as_str());
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let more = |what: &str| {
            let target = done.load(Ordering::Relaxed) + 100;
            wait_until(what, DEADLINE, || done.load(Ordering::Relaxed) >= target);
        };
        more("requests are answered");
        for victim in &mut backends {
            victim.kill();
            more("requests are answered by the others");
            victim.restart();
            rig.wait_state(victim.port(), "up");
            more("requests are answered by all");
        }
        stop.store(true, Ordering::Relaxed);
    });
    for backend in &backends {
        assert!(backend.requests() > 0);
    }
}
