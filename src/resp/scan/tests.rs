use super::*;

/// Replies of every type, one by one.
const REPLIES: [&[u8]; 28] = [
    b"+OK\r\n",
    b"+\r\n",
    b"+a\rb\nc\r\n",
    b"-ERR no\r\n",
    b":-12\r\n",
    b"$0\r\n\r\n",
    b"$5\r\n\r\n$1\r\r\n",
    b"$-1\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
    b"*3\r\n*0\r\n*-1\r\n$-1\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",3.25\r\n",
    b"(123456789012345678901234567890\r\n",
    b"!5\r\nERR x\r\n",
    b"=6\r\ntxt:ab\r\n",
    b"%0\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n_\r\n_\r\n",
    b"~2\r\n:1\r\n:2\r\n",
    b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
    b"*1\r\n>1\r\n+x\r\n",
    b"|0\r\n+OK\r\n",
    b"|1\r\n+ttl\r\n:5\r\n$1\r\na\r\n",
    b"|1\r\n+a\r\n:1\r\n|1\r\n+b\r\n:2\r\n*1\r\n:1\r\n",
    b"*2\r\n|1\r\n+ttl\r\n:5\r\n:1\r\n:2\r\n",
    b"%1\r\n|1\r\n*1\r\n:0\r\n_\r\n+k\r\n|1\r\n+a\r\n+b\r\n+v\r\n",
];

#[test]
fn every_type_ends_where_it_ends() {
    for reply in REPLIES {
        let mut buf = reply.to_vec();
        buf.extend_from_slice(b":7\r\n");
        let mut scanner = ReplyScanner::default();
        let want = Scanned {
            consumed: reply.len(),
            complete: true,
        };
        assert_eq!(scanner.scan(&buf), Ok(want), "{}", reply.escape_ascii());
        assert!(scanner.at_start());
    }
}

#[test]
fn any_cut_is_resumed() {
    for reply in REPLIES {
        for cut in 0..reply.len() {
            let mut scanner = ReplyScanner::default();
            let first = scanner.scan(&reply[..cut]).expect("a part of a reply");
            assert!(!first.complete, "{} cut at {cut}", reply.escape_ascii());
            assert_eq!(scanner.at_start(), first.consumed == 0);
            let rest = &reply[first.consumed..];
            let want = Scanned {
                consumed: rest.len(),
                complete: true,
            };
            assert_eq!(
                scanner.scan(rest),
                Ok(want),
                "{} cut at {cut}",
                reply.escape_ascii()
            );
        }
    }
}

#[test]
fn long_values_are_consumed_as_they_come() {
    let mut scanner = ReplyScanner::default();
    let begun = Scanned {
        consumed: 100_000,
        complete: false,
    };
    let mut line = vec![b'x'; 100_000];
    line[0] = b'+';
    assert_eq!(scanner.scan(&line), Ok(begun));
    line[0] = b'x';
    assert_eq!(scanner.scan(&line), Ok(begun));
    assert_eq!(
        scanner.scan(b"\r\n"),
        Ok(Scanned {
            consumed: 2,
            complete: true
        })
    );

    assert_eq!(
        scanner.scan(b"$100000\r\n"),
        Ok(Scanned {
            consumed: 9,
            complete: false
        })
    );
    assert_eq!(scanner.scan(&line), Ok(begun));
    assert_eq!(
        scanner.scan(b"\r"),
        Ok(Scanned {
            consumed: 1,
            complete: false
        })
    );
    assert_eq!(
        scanner.scan(b"\n"),
        Ok(Scanned {
            consumed: 1,
            complete: true
        })
    );
}

#[test]
fn a_first_line_that_is_cut_off_is_left() {
    for cut in [&b"*"[..], b"*1", b"*12\r", b"$-", b"$-1\r", b""] {
        let mut scanner = ReplyScanner::default();
        assert_eq!(
            scanner.scan(cut),
            Ok(Scanned {
                consumed: 0,
                complete: false
            })
        );
        assert!(scanner.at_start());
    }
}

#[test]
fn many_are_counted_and_pushes_stop_them() {
    let buf = b"+OK\r\n:1\r\n$1\r\na\r\n>1\r\n+p\r\n*1\r\n>1\r\n:1\r\n+OK\r\n$3\r\nab";
    let mut scanner = ReplyScanner::default();
    assert_eq!(scanner.scan_many(buf, 2, true), Ok((9, 2)));
    assert_eq!(scanner.scan_many(&buf[9..], 9, true), Ok((7, 1)));
    assert_eq!(scanner.scan_many(&buf[16..], 9, true), Ok((0, 0)));
    assert_eq!(scanner.scan_many(&buf[16..], 1, false), Ok((8, 1)));
    assert_eq!(scanner.scan_many(&buf[24..], 0, true), Ok((0, 0)));
    assert_eq!(
        scanner.scan_many(&buf[24..], 9, true),
        Ok((buf.len() - 24, 2))
    );
    assert!(!scanner.at_start());
    assert_eq!(scanner.scan_many(b"c\r\n>", 9, true), Ok((3, 1)));
    assert_eq!(scanner.scan_many(b"", 9, true), Ok((0, 0)));
}

#[test]
fn replies_in_front_of_an_error_are_kept() {
    let mut scanner = ReplyScanner::default();
    let buf = b"+OK\r\n:1\r\n*2\r\n:1\r\nx";
    assert_eq!(scanner.scan_many(buf, 9, true), Ok((9, 2)));
    assert!(scanner.at_start());
    assert_eq!(
        scanner.scan_many(&buf[9..], 9, true),
        Err(ReplyError::UnknownType(b'x'))
    );
}

#[test]
fn what_is_no_reply_is_an_error() {
    let cases: [(&[u8], ReplyError); 16] = [
        (b"x", ReplyError::UnknownType(b'x')),
        (b"\r\n", ReplyError::UnknownType(b'\r')),
        (b"*1\r\n@", ReplyError::UnknownType(b'@')),
        (b"$x", ReplyError::InvalidLength),
        (b"$-2\r\n", ReplyError::InvalidLength),
        (b"~-1\r\n", ReplyError::InvalidLength),
        (b"!-1\r\n", ReplyError::InvalidLength),
        (b"$1\n", ReplyError::InvalidLength),
        (b"*99999999999999999999", ReplyError::InvalidLength),
        (b"%9999999999999999999\r\n", ReplyError::InvalidLength),
        (
            b"*9999999999999999999\r\n*9999999999999999999\r\n",
            ReplyError::InvalidLength,
        ),
        (b"$?\r\n", ReplyError::Streamed),
        (b"*?\r\n", ReplyError::Streamed),
        (b".\r\n", ReplyError::Streamed),
        (b"$1\r\nabc", ReplyError::MissingLineEnd),
        (b"$1\r\na\rx", ReplyError::MissingLineEnd),
    ];
    for (input, error) in cases {
        assert_eq!(
            ReplyScanner::default().scan(input),
            Err(error),
            "{}",
            input.escape_ascii()
        );
    }
    // A missing line end is noticed byte by byte too.
    for (good, bad) in [(&b"$1\r\na"[..], b"x"), (b"$1\r\na\r", b"\r")] {
        let mut scanner = ReplyScanner::default();
        assert!(scanner.scan(good).is_ok());
        assert_eq!(scanner.scan(bad), Err(ReplyError::MissingLineEnd));
    }
}

#[test]
fn the_largest_counts_are_only_numbers() {
    let mut scanner = ReplyScanner::default();
    let input = b"*9999999999999999999\r\n$9999999999999999999\r\nabc";
    let want = Scanned {
        consumed: input.len(),
        complete: false,
    };
    assert_eq!(scanner.scan(input), Ok(want));
}
