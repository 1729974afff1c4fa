use super::*;
use crate::resp::parse_reply;

const HELLO_RESP2: &[u8] = b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:5\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";

#[test]
fn who_watches_late_hears_what_is_known() {
    let endpoint = "redis://localhost".parse().expect("a URL");
    let backing = Backing::new(endpoint, None);
    assert!(!backing.watch().has_changed().expect("the sender lives"));
    let (value, _) = parse_reply(HELLO_RESP2).expect("valid").expect("whole");
    let hello = ServerHello::from_reply(&value).map(Arc::new);
    backing.state.send_modify(|state| state.hello = hello);
    assert!(backing.watch().has_changed().expect("the sender lives"));
}

#[test]
fn reads_hello_of_both_versions() {
    let resp2 = HELLO_RESP2;
    let resp3 = [b"%7".as_slice(), &resp2[3..]].concat();
    for reply in [resp2, resp3.as_slice()] {
        let (value, _) = parse_reply(reply).expect("valid").expect("whole");
        let hello = ServerHello::from_reply(&value).expect("complete");
        assert_eq!((hello.version.as_str(), hello.id), ("7.0.15", 5));
        assert_eq!(
            (hello.mode.as_str(), hello.role.as_str()),
            ("standalone", "master")
        );
        assert_eq!(hello.modules(Proto::Resp3), b"*0\r\n");
    }
}
