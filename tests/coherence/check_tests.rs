//! Hand-made histories, one pair per rule: the smallest violation and its legal twin. Times in milliseconds.

use std::ops::Range;
use std::time::Duration;

use super::check::{Promise, Rules, check};
use super::history::{Content, History, Place, Read, Write};
use Place::{A, B, Direct};

const NIL: Content = Content::Nil;
const RULES: Rules = Rules {
    staleness: Some(Duration::from_millis(100)),
    strict: false,
    slack: Duration::from_millis(5),
    keys_vanish: false,
};

fn v(version: u64) -> Content {
    Content::Value { origin: 0, version }
}

#[derive(Default)]
struct Story(History);

impl Story {
    fn write(mut self, place: Place, time: Range<u64>, content: Content) -> Self {
        self.0.writes.push(Write {
            slot: 0,
            place,
            start: time.start * 1_000_000,
            end: time.end * 1_000_000,
            content,
            size: 0,
            ttl: None,
            sure: true,
            how: "",
        });
        self
    }

    fn read(mut self, place: Place, time: Range<u64>, seen: Content) -> Self {
        self.0.reads.push(Read {
            slot: 0,
            place,
            start: time.start * 1_000_000,
            end: time.end * 1_000_000,
            seen,
            how: "",
        });
        self
    }

    fn size(mut self, size: u32) -> Self {
        self.0.writes.last_mut().expect("a write").size = size;
        self
    }

    fn ttl(mut self, millis: u64) -> Self {
        let last = self.0.writes.last_mut().expect("a write");
        last.ttl = Some(Duration::from_millis(millis));
        self
    }

    fn unsure(mut self) -> Self {
        self.0.writes.last_mut().expect("a write").sure = false;
        self
    }

    #[track_caller]
    fn breaks(self, promises: &[Promise]) {
        self.breaks_under(&RULES, promises);
    }

    #[track_caller]
    fn breaks_under(self, rules: &Rules, promises: &[Promise]) {
        let mut found: Vec<Promise> = check(&self.0, rules).iter().map(|v| v.promise).collect();
        found.sort_unstable();
        assert_eq!(found, promises, "{:#?}", self.0);
    }

    #[track_caller]
    fn legal(self) {
        self.breaks(&[]);
    }
}

fn story() -> Story {
    Story::default()
}

#[test]
fn p1_values_are_real() {
    let written = || story().write(A, 10..20, v(1));
    written().read(A, 5..12, v(1)).legal();
    written().read(A, 5..9, v(1)).breaks(&[Promise::P1]);
    written().read(A, 30..40, v(2)).breaks(&[Promise::P1]);
    let foreign = Content::Value {
        origin: 3,
        version: 1,
    };
    written().read(A, 30..40, foreign).breaks(&[Promise::P1]);
    written()
        .read(B, 30..40, Content::Garbage)
        .breaks(&[Promise::P1]);
    written()
        .read(A, 30..40, Content::Other)
        .breaks(&[Promise::P1]);
}

#[test]
fn p2_staleness_is_bounded() {
    let two = || {
        story()
            .write(Direct, 10..20, v(1))
            .write(Direct, 30..40, v(2))
    };
    two().read(A, 139..150, v(1)).legal();
    two().read(A, 141..150, v(1)).breaks(&[Promise::P2]);
    two().read(A, 500..501, v(2)).legal();
    let deleted = || {
        story()
            .write(Direct, 10..20, v(1))
            .write(Direct, 30..40, NIL)
    };
    deleted().read(A, 500..501, NIL).legal();
    deleted().read(A, 500..501, v(1)).breaks(&[Promise::P2]);
    // a nil that nothing explains any more
    two().read(A, 500..501, NIL).breaks(&[Promise::P2]);
    // a third write in flight does not excuse the first value
    two()
        .write(Direct, 60..600, v(3))
        .read(A, 141..150, v(1))
        .breaks(&[Promise::P2]);
    two()
        .write(Direct, 60..600, v(3))
        .read(A, 500..501, v(2))
        .legal();
}

#[test]
fn p3_own_writes_are_seen() {
    let by = |place| {
        story()
            .write(Direct, 10..20, v(1))
            .write(place, 30..40, v(2))
    };
    by(A).read(A, 41..45, v(1)).breaks(&[Promise::P3]);
    by(A).read(A, 40..45, v(1)).legal();
    by(B).read(A, 41..45, v(1)).legal();
    by(Direct).read(A, 41..45, v(1)).legal();
    by(A)
        .write(Direct, 60..70, v(3))
        .read(A, 71..75, v(2))
        .legal();
    by(A)
        .write(Direct, 60..70, v(3))
        .read(A, 71..75, v(1))
        .breaks(&[Promise::P3]);
    let deleted = story().write(Direct, 10..20, v(1)).write(A, 30..40, NIL);
    deleted.read(A, 41..45, v(1)).breaks(&[Promise::P3]);
}

#[test]
fn p4_reads_do_not_go_back() {
    let two = || {
        story()
            .write(Direct, 10..20, v(1))
            .write(Direct, 30..40, v(2))
    };
    two()
        .read(A, 41..45, v(2))
        .read(A, 46..50, v(1))
        .breaks(&[Promise::P4]);
    two().read(A, 41..45, v(1)).read(A, 46..50, v(2)).legal();
    two().read(A, 41..46, v(2)).read(A, 46..50, v(1)).legal();
    two().read(A, 41..45, v(2)).read(B, 46..50, v(1)).legal();
    two()
        .read(Direct, 41..45, v(2))
        .read(A, 46..50, v(1))
        .legal();
    // seen while it was being written
    two()
        .read(A, 31..32, v(2))
        .read(A, 33..34, v(1))
        .breaks(&[Promise::P4]);
    // an old nil may have come back, unless the newer value is older than the nil
    let nil_again = || two().write(Direct, 60..70, NIL);
    nil_again()
        .read(A, 61..65, v(2))
        .read(A, 66..68, NIL)
        .legal();
    nil_again()
        .read(A, 61..65, NIL)
        .read(A, 66..68, v(2))
        .legal();
    nil_again()
        .read(A, 41..45, v(2))
        .read(A, 61..65, NIL)
        .read(A, 66..68, v(2))
        .breaks(&[Promise::P4]);
}

#[test]
fn p5_expired_values_are_gone() {
    let expiring = || story().write(A, 10..20, v(1)).ttl(30);
    expiring().read(A, 54..56, v(1)).legal();
    expiring().read(A, 56..57, v(1)).breaks(&[Promise::P5]);
    expiring().read(A, 36..37, NIL).legal();
    expiring().read(A, 30..34, NIL).breaks(&[Promise::P3]);
    expiring().read(A, 60..61, NIL).legal();
    // the deadline was taken away, or moved
    let persisted = || expiring().write(Direct, 25..28, v(1));
    persisted().read(A, 200..201, v(1)).legal();
    persisted()
        .read(A, 200..201, NIL)
        .breaks(&[Promise::P2, Promise::P3]);
    persisted().ttl(100).read(A, 120..130, v(1)).legal();
    persisted()
        .ttl(100)
        .read(A, 140..150, v(1))
        .breaks(&[Promise::P5]);
    // without a bound on staleness too
    let rules = Rules {
        staleness: None,
        ..RULES
    };
    expiring()
        .read(A, 300..301, v(1))
        .breaks_under(&rules, &[Promise::P5]);
    expiring().read(A, 300..301, NIL).breaks_under(&rules, &[]);
}

#[test]
fn p6_strict_is_linearizable() {
    let rules = Rules {
        strict: true,
        ..RULES
    };
    let two = || {
        story()
            .write(Direct, 10..20, v(1))
            .write(Direct, 30..40, v(2))
    };
    two()
        .read(A, 41..45, v(1))
        .breaks_under(&rules, &[Promise::P6]);
    two().read(A, 39..45, v(1)).breaks_under(&rules, &[]);
    two()
        .read(A, 31..32, v(2))
        .read(B, 33..34, v(1))
        .breaks_under(&rules, &[Promise::P6]);
    two()
        .read(Direct, 31..32, v(2))
        .read(B, 33..34, v(1))
        .breaks_under(&rules, &[Promise::P6]);
    two()
        .read(A, 31..32, v(1))
        .read(B, 33..34, v(2))
        .breaks_under(&rules, &[]);
}

#[test]
fn unsure_writes_may_happen_late_or_never() {
    let unsure = || {
        story()
            .write(A, 10..20, v(1))
            .write(A, 30..40, v(2))
            .unsure()
    };
    unsure().read(A, 500..501, v(1)).legal();
    unsure().read(A, 500..501, v(2)).legal();
    unsure().read(A, 25..29, v(2)).breaks(&[Promise::P1]);
    // it lands after a later write
    let late = || unsure().write(Direct, 60..70, v(3));
    late().read(A, 80..85, v(3)).read(A, 400..410, v(2)).legal();
    // once it was seen it has landed, and later writes replace it
    let seen = || unsure().read(B, 50..55, v(2)).write(Direct, 60..70, v(3));
    seen().read(A, 80..85, v(2)).legal();
    seen()
        .read(A, 80..85, v(3))
        .read(A, 90..95, v(2))
        .breaks(&[Promise::P4]);
    seen().read(A, 180..185, v(2)).breaks(&[Promise::P2]);
    // and its expiry is possible from the start, sure never
    let expiring = || unsure().ttl(50);
    expiring().read(A, 76..77, NIL).legal();
    expiring().read(A, 60..70, NIL).breaks(&[Promise::P3]);
    expiring().read(A, 900..901, v(2)).legal();
}

#[test]
fn keys_that_vanish_excuse_nil_only() {
    let rules = Rules {
        keys_vanish: true,
        ..RULES
    };
    let two = || story().write(A, 10..20, v(1)).write(A, 30..40, v(2));
    two().read(A, 41..45, NIL).breaks_under(&rules, &[]);
    two()
        .read(A, 41..45, NIL)
        .read(A, 46..47, v(2))
        .breaks_under(&rules, &[]);
    two()
        .read(A, 41..45, v(1))
        .breaks_under(&rules, &[Promise::P3]);
}

#[test]
fn a_part_of_a_value_is_judged_like_the_whole() {
    let two = || {
        let one = story().write(A, 10..20, v(1)).size(3);
        one.write(A, 30..40, v(2)).size(1)
    };
    let whole = |version, size| Content::Whole {
        origin: 0,
        version,
        size,
    };
    for old in [Content::Size(3), Content::Has(2), whole(1, 3)] {
        two().read(A, 21..25, old).legal();
        two().read(A, 41..45, old).breaks(&[Promise::P3]);
        two().read(B, 41..45, old).legal();
        two()
            .read(B, 41..45, v(2))
            .read(B, 46..47, old)
            .breaks(&[Promise::P4]);
        two().read(B, 180..185, old).breaks(&[Promise::P2]);
    }
    for new in [Content::Size(1), whole(2, 1)] {
        two().read(A, 41..45, new).legal();
        two().read(A, 21..25, new).breaks(&[Promise::P1]);
    }
    // Nor were there so many before the first write.
    two().read(A, 41..45, Content::Lacks(2)).legal();
    two()
        .read(A, 21..25, Content::Lacks(2))
        .breaks(&[Promise::P3]);
    for both in [Content::Has(0), Content::Typed, Content::There] {
        two().read(A, 41..45, both).legal();
        two().read(A, 5..8, both).breaks(&[Promise::P1]);
    }
    two()
        .read(A, 41..45, Content::Size(2))
        .breaks(&[Promise::P1]);
    two().read(A, 41..45, whole(2, 3)).breaks(&[Promise::P1]);
    two().read(A, 5..8, Content::Size(0)).legal();
    two().read(A, 5..8, Content::Lacks(0)).legal();
}

#[test]
fn a_backing_that_goes_back_means_a_wrong_test() {
    let two = || story().write(B, 10..20, v(1)).write(B, 30..40, v(2));
    two().read(Direct, 41..45, v(1)).breaks(&[Promise::Model]);
    two().read(Direct, 41..45, v(2)).legal();
}

#[test]
fn a_million_reads_are_judged_at_once() {
    let mut long = story();
    for n in 0..200_000 {
        long = long.write(A, n * 10..n * 10 + 5, v(n)).ttl(3_600_000);
        for read in 0..5 {
            long = long.read(B, n * 10 + 5..n * 10 + 6 + read, v(n));
        }
    }
    long.legal();
}
