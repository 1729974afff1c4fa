//! A reload changes the gateway: its file, its listener, its limits.

use super::{Backend, Rig, service};
use crate::support::{HttpClient, ReservedPort, fetch, get};

#[test]
fn a_reload_changes_the_gateway() {
    let (one, two) = (Backend::start(), Backend::start());
    let rig = Rig::start(&service(&[&one]));
    let other = rig.file().with_file_name("other.yaml");
    std::fs::write(&other, service(&[&two])).expect("written");
    let config = |port: u16, file: &str, keys: &str| {
        format!("[gateway]\nlisten = \"127.0.0.1:{port}\"\nservices = '{file}'\n{keys}\n")
    };
    let mut client = rig.client();
    let file = other.display().to_string();
    // Another file, and less patience.
    let text = config(rig.port(), &file, "timeout = \"200ms\"");
    rig.respite.rewrite_config(&text);
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    rig.wait_healthy(1);
    let seen = fetch(rig.port(), "GET", "/", &[]).json();
    assert_eq!(seen["port"], two.port());
    assert_eq!(get(rig.port(), "/hang").0, 504);
    // Another port; what is under way over the old one is finished.
    rig.respite.rewrite_config(&config(rig.port(), &file, ""));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    let mut hanging = HttpClient::connect(rig.port());
    hanging.send("GET", "/hang", &[], b"").expect("sent");
    crate::support::wait_until("it hangs", crate::support::DEADLINE, || two.hanging() == 1);
    let moved = ReservedPort::any();
    rig.respite
        .rewrite_config(&config(moved.get(), &file, "threads = 3\nconnections = 7"));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    assert_eq!(get(moved.get(), "/").0, 202);
    assert!(std::net::TcpStream::connect(("127.0.0.1", rig.port())).is_err());
    two.release();
    assert_eq!(hanging.read("GET").expect("a response").text(), "released");
    // And none.
    rig.respite.rewrite_config("# nothing");
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    assert!(client.call(&["GATEWAY.SERVICES"]).items().is_empty());
    assert!(std::net::TcpStream::connect(("127.0.0.1", moved.get())).is_err());
    // A file with mistakes is refused as a whole.
    std::fs::write(&other, "app: {nonsense: 1}").expect("written");
    rig.respite.rewrite_config(&text);
    let refused = client.call(&["RESPITE.RELOAD"]);
    refused.assert_error("ERR the old configuration stays: ");
}
