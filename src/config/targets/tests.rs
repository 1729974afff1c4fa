use super::*;
use TargetFormat::{Json, Yaml};

fn read(format: TargetFormat, text: &str) -> Vec<TargetSpec> {
    parse(format, text).unwrap_or_else(|(place, reason)| panic!("{text}{place}: {reason}"))
}

#[track_caller]
fn refused(format: TargetFormat, text: &str) -> String {
    let (place, reason) = parse(format, text).expect_err(text);
    format!("{place} {reason}")
}

#[test]
fn the_example_is_valid() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/targets.json");
    let targets = read_targets(&example).expect("valid");
    let ids: Vec<&str> = targets.iter().map(|target| target.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "10.0.0.11:6379",
            "10.0.0.12:6379",
            "sessions",
            "cache.example.org:6380"
        ]
    );
    assert_eq!(targets[2].credential.as_deref(), Some("main"));
    assert!(targets[3].address.tls);
}

#[test]
fn both_formats_say_the_same() {
    let json = r#"[
        {"targets": ["h:1", "[::1]:2"], "labels": {"env": "prod", "__meta_x": "y"}},
        {"targets": ["rediss://h:3"], "labels": {"id": "tls", "credential": "main", "env": "010"}},
        {"targets": ["unix:///run/r.sock", "redis://u:hush@h:4/2"]}
    ]"#;
    let yaml = "# redis\n- targets: ['h:1', '[::1]:2']\n  labels: {env: prod, __meta_x: y}\n\
                - targets:\n  - rediss://h:3\n  labels:\n    id: tls\n    credential: main\n    env: 010\n\
                - targets: ['unix:///run/r.sock', 'redis://u:hush@h:4/2']\n";
    let targets = read(Json, json);
    assert_eq!(targets, read(Yaml, yaml));
    let shown: Vec<String> = targets
        .iter()
        .map(|t| format!("{} {} {:?} {:?}", t.id, t.address, t.credential, t.labels))
        .collect();
    assert_eq!(
        shown,
        [
            r#"h:1 redis://h:1/0 None {"env": "prod"}"#,
            r#"[::1]:2 redis://[::1]:2/0 None {"env": "prod"}"#,
            r#"tls rediss://h:3/0 Some("main") {"env": "010"}"#,
            r#"/run/r.sock unix:///run/r.sock None {}"#,
            r#"h:4 redis://u@h:4/2 None {}"#,
        ]
    );
    assert_eq!(read(Json, "[]"), []);
    assert_eq!(read(Yaml, "[]"), []);
}

#[track_caller]
fn each_refused(format: TargetFormat, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let error = refused(format, text);
        assert_eq!(error, *expected, "{text}");
        assert!(!error.contains("hush"), "{error}");
    }
}

#[test]
fn json_that_is_wrong_has_its_place() {
    let empty = " is empty: without targets, a list is written []";
    each_refused(
        Json,
        &[
            ("", empty),
            (
                r#"[{"targets": ["h:1"]}"#,
                ":1:21: EOF while parsing a list",
            ),
            ("[]\n]", ":2:1: trailing characters"),
            ("{}", ":1:1: must be a sequence"),
            (
                "[{\n\"target\": []}]",
                ":2:8: unknown field `target`, expected `targets` or `labels`",
            ),
            (
                r#"[{"targets": "redis://:hush@h"}]"#,
                ":1:30: must be a sequence",
            ),
            (r#"[{"labels": {"a": 1}}]"#, ":1:19: must be a string"),
            ("[null]", ":1:5: must be a table of targets and labels"),
        ],
    );
}

#[test]
fn yaml_that_is_wrong_has_its_place() {
    let empty = " is empty: without targets, a list is written []";
    each_refused(
        Yaml,
        &[
            (" \n", empty),
            ("- targets: [h:1\n- x", ":1:12: unclosed bracket '['"),
            (
                "- targets: redis://:hush@h",
                ":1:12: expected sequence start",
            ),
            (
                "- target: []",
                ":1:3: unknown field `target`, expected one of targets, labels",
            ),
            ("a: b", ":1:1: expected sequence start"),
            (
                "[]\n---\n[]\n",
                ":3:1: only single YAML document expected but multiple found",
            ),
            (
                "- targets: ['h:1']\n  targets: ['h:2']\n",
                ":2:3: duplicate mapping key: targets not allowed here",
            ),
        ],
    );
}

#[test]
fn a_target_that_cannot_be_has_its_place() {
    let address = ": [0].targets[0]: must be HOST:PORT or a redis://, rediss:// or unix:// URL";
    each_refused(
        Json,
        &[
            (r#"[{"targets": ["h"]}]"#, address),
            (r#"[{"targets": ["h:99999"]}]"#, address),
            (r#"[{"targets": ["h:1/metrics"]}]"#, address),
            (
                r#"[{}, {"targets": ["h:1", "http://h:1"]}]"#,
                ": [1].targets[1]: must be a redis://, rediss:// or unix:// URL",
            ),
            (
                r#"[{"targets": ["h:0"]}]"#,
                ": [0].targets[0]: the port must not be 0",
            ),
            (
                r#"[{"targets": ["h:1"]}, {"targets": ["redis://h:1/2"]}]"#,
                r#": [1].targets[0]: the id "h:1" is taken by [0].targets[0]"#,
            ),
            (
                r#"[{"targets": ["h:1", "h:2"], "labels": {"id": "a"}}]"#,
                ": [0].labels: an id is for one target, and this list has more",
            ),
            (
                r#"[{"targets": ["h:1"], "labels": {"id": ""}}]"#,
                ": [0].targets[0]: id must have 1 to 255 bytes and no control characters",
            ),
            (
                r#"[{"targets": ["redis://:hush@h:1"], "labels": {"credential": "a"}}]"#,
                ": [0].targets[0]: credential cannot be given with a login in the URL",
            ),
            (
                r#"[{"labels": {"a-b": "c"}}]"#,
                ": [0].labels: \"a-b\" cannot be a label's name: letters, digits and _, no digit first",
            ),
        ],
    );
}

#[test]
fn no_text_is_too_much() {
    for (format, text) in [
        (Json, "[".repeat(1_000_000)),
        (Yaml, "[".repeat(1_000_000)),
        (Yaml, "- ".repeat(1_000_000)),
        (Yaml, "- labels: {a: ".repeat(100_000)),
    ] {
        refused(format, &text);
    }
    // Aliases are no way around the bounds.
    let many = "- {targets: ['h:1'], labels: *a}\n".repeat(2000);
    let aliases = format!("- labels: &a {{env: prod}}\n{many}");
    let error = refused(Yaml, &aliases);
    assert!(error.contains("limits breached"), "{error}");
}

#[test]
fn labels_are_bounded() {
    let labels = |n: usize, bytes: usize| {
        let labels = (0..n).map(|i| format!("\"l{i}\": \"{}\"", "x".repeat(bytes)));
        let labels: Vec<String> = labels.collect();
        format!("[{{\"labels\": {{{}}}}}]", labels.join(","))
    };
    assert_eq!(read(Json, &labels(64, 1)), []);
    let error = refused(Json, &labels(65, 1));
    assert_eq!(error, ": [0].labels: more than 64 labels");
    let error = refused(Json, &labels(2, 2100));
    assert_eq!(error, ": [0].labels: more than 4096 bytes of labels");
}
