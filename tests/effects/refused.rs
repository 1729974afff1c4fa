//! Rules about categories when the backing does not say what its commands are: they fail closed.

use crate::support::{RedisServer, Respite};

const USERS: &str = r#"
[access]
deny = ["@scripting"]
users = [
  { name = "app", password_sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", commands = ["+@all", "-@dangerous"], keys = ["*"] },
]
"#;

#[test]
fn a_backing_that_lists_nothing_opens_nothing() {
    let redis = RedisServer::start();
    let user = [
        "ACL", "SETUSER", "respite", "on", ">secret", "~*", "&*", "+@all", "-command",
    ];
    redis.call(&user).assert_ok();
    let respite = Respite::builder()
        .upstream(&redis.url().replace("://", "://respite:secret@"))
        .config(USERS)
        .allow_log("the built-in table serves")
        .allow_log("list of commands is of no use")
        .start();
    let mut client = respite.connect();
    client.call(&["AUTH", "app", "secret"]).assert_ok();
    for command in [
        &["FLUSHALL"][..],
        &["KEYS", "*"],
        &["CONFIG", "GET", "dir"],
        &["CONFIG", "NOSUCH"],
        &["SWAPDB", "0", "1"],
        &["DEBUG", "SLEEP", "0"],
        &["EVAL", "return 1", "0"],
        &["NO.SUCH.COMMAND"],
    ] {
        client.call(command).assert_error("NOPERM");
    }
    client.call(&["SET", "k", "v"]).assert_ok();
    client.call(&["HSET", "h", "f", "v"]).assert_int(1);
    client.call(&["GET", "k"]).assert_str("v");
}
