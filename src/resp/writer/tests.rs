use super::*;

/// What `write` writes in both versions.
fn both(write: impl Fn(&mut ReplyWriter<'_>)) -> (String, String) {
    let in_version = |proto| {
        let mut out = b"before".to_vec();
        let mut writer = ReplyWriter::new(&mut out, proto);
        assert!(writer.is_empty());
        write(&mut writer);
        assert_eq!(writer.proto(), proto);
        assert_eq!(writer.len(), out.len() - 6);
        out[6..].escape_ascii().to_string().replace("\\r\\n", "|")
    };
    (in_version(Proto::Resp2), in_version(Proto::Resp3))
}

#[track_caller]
fn check(write: impl Fn(&mut ReplyWriter<'_>), resp2: &str, resp3: &str) {
    assert_eq!(both(write), (resp2.to_owned(), resp3.to_owned()));
}

#[test]
fn every_reply_in_both_versions() {
    check(|w| w.ok(), "+OK|", "+OK|");
    check(|w| w.simple("PONG"), "+PONG|", "+PONG|");
    check(|w| w.simple(b"a\r\nb"), "+a  b|", "+a  b|");
    check(|w| w.error("ERR no"), "-ERR no|", "-ERR no|");
    check(
        |w| w.error("\nERR a\r\nb\u{e9}\r\n"),
        "-ERR a  b\\xc3\\xa9|",
        "-ERR a  b\\xc3\\xa9|",
    );
    check(|w| w.error([b'E', 0xff]), "-E\\xff|", "-E\\xff|");
    check(|w| w.error("\r\n"), "-|", "-|");
    check(
        |w| w.integer(i64::MIN),
        ":-9223372036854775808|",
        ":-9223372036854775808|",
    );
    check(|w| w.bulk(b"a\r\nb"), "$4|a|b|", "$4|a|b|");
    check(|w| w.bulk(""), "$0||", "$0||");
    check(|w| w.null(), "$-1|", "_|");
    check(|w| w.null_array(), "*-1|", "_|");
    check(|w| w.array(12), "*12|", "*12|");
    check(|w| w.map(2), "*4|", "%2|");
    check(|w| w.set(2), "*2|", "~2|");
    check(|w| w.push(3), "*3|", ">3|");
    check(|w| w.boolean(true), ":1|", "#t|");
    check(|w| w.boolean(false), ":0|", "#f|");
    check(|w| w.verbatim("txt", b"hi"), "$2|hi|", "=6|txt:hi|");
    check(|w| w.verbatim("markdown", b""), "$0||", "=4|mar:|");
    check(|w| w.verbatim("m", b""), "$0||", "=4|m  :|");
    check(|w| w.raw(b"+x\r\n"), "+x|", "+x|");
    check(|w| w.double(1.5), "$3|1.5|", ",1.5|");
}

#[test]
fn doubles_are_short_and_laid_out_as_in_c() {
    let cases = [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (0.1, "0.1"),
        (-3.25, "-3.25"),
        (100_000.0, "100000"),
        (1e16, "10000000000000000"),
        (1e17, "1e+17"),
        (1.5e300, "1.5e+300"),
        (-1e-5, "-1e-05"),
        (0.0001, "0.0001"),
        (5e-324, "5e-324"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ];
    for (number, text) in cases {
        let mut buf = [0; DOUBLE_TEXT_MAX];
        assert_eq!(
            std::str::from_utf8(format_double(number, &mut buf)),
            Ok(text)
        );
    }
}
