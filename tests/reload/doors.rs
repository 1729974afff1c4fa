//! Listeners are opened, closed and moved while clients are at work.

use super::{Comers, Load, put_in_force, start};
use crate::support::{Client, RedisServer, ReservedPort};

#[test]
fn clients_of_a_closed_listener_go_on_and_others_come_by_the_new_one() {
    let redis = RedisServer::start();
    let respite = start(&redis, "");
    let (second, pages) = (ReservedPort::any(), ReservedPort::any());
    let (first, second) = (respite.port(), second.get());
    let text = |ports: &[u16], http: &str| {
        let listen: Vec<_> = ports
            .iter()
            .map(|port| format!("\"127.0.0.1:{port}\""))
            .collect();
        format!(
            "listen = [{}]\nupstream = \"{}\"\nworkers = 2\nhttp.listen = \"{http}\"\n",
            listen.join(", "),
            redis.url()
        )
    };
    let http = format!("127.0.0.1:{}", pages.get());
    let load = Load::start(|| respite.connect());
    load.goes_on();
    respite.rewrite_config(&text(&[first, second], ""));
    let mut admin = respite.connect();
    admin.call(&["RESPITE.RELOAD"]).assert_ok();
    // The second listener stays once it is open: whoever comes there is served, whatever happens to others.
    let comers = Comers::start(second);
    let rounds: [(&[u16], &str); 4] = [
        (&[second], ""),
        (&[second, first], &http),
        (&[second], &http),
        (&[first, second], ""),
    ];
    for (ports, http) in rounds {
        respite.rewrite_config(&text(ports, http));
        admin.call(&["RESPITE.RELOAD"]).assert_ok();
        assert_eq!(Client::try_connect(first).is_ok(), ports.contains(&first));
        assert_eq!(Client::try_connect(pages.get()).is_ok(), !http.is_empty());
        load.goes_on();
        comers.go_on();
    }
    comers.end();
    put_in_force(&respite, &text(&[first], ""));
    load.goes_on();
    load.end();
}
