//! INFO texts of real servers, and what Prometheus is told of them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::*;
use crate::fleet::{Latest, Snapshot, State, Target};

const REDIS: &str = include_str!("../../fleet/testdata/redis-7.0.txt");
const SENTINEL: &str = include_str!("../../fleet/testdata/sentinel-7.0.txt");

fn status(state: State, info: &str) -> Status {
    let latest = Latest {
        snapshot: Snapshot::new(info.replace('\n', "\r\n").into_bytes()).expect("INFO"),
        asked: Instant::now(),
        role: None,
        ops_per_sec: None,
    };
    let target = Target {
        id: "a".to_owned(),
        endpoint: "redis://h:1".parse().expect("a URL"),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
    };
    Status {
        id: "a".into(),
        target: Arc::new(target),
        source: "static".into(),
        state,
        interval: Duration::from_millis(500),
        failures: 0,
        error: None,
        latest: Some(Arc::new(latest)),
        age: Some(Duration::from_millis(1500)),
        poller: None,
    }
}

/// The samples for an INFO without those of every shard and without the time of the start.
fn samples(info: &str) -> Vec<String> {
    let text = text(&status(State::Live, info));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let left_out = [
        "redis_up",
        "redis_exporter_",
        "respite_",
        "redis_start_time",
    ];
    lines
        .filter(|line| !left_out.iter().any(|name| line.starts_with(name)))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn has(samples: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(
            samples.iter().any(|found| found == line),
            "{line}: {samples:#?}"
        );
    }
}

/// Compares with a file; the name of each metric with its type comes first in it.
#[track_caller]
fn is_golden(info: &str, golden: &str) {
    let text = text(&status(State::Live, info));
    let lines = text.lines().filter(|line| !line.starts_with("# HELP"));
    let lines = lines.filter(|line| !line.starts_with("redis_start_time_seconds "));
    let (found, golden): (Vec<&str>, Vec<&str>) = (lines.collect(), golden.lines().collect());
    for (found, golden) in found.iter().zip(&golden) {
        assert_eq!(found, golden);
    }
    assert_eq!(found.len(), golden.len());
}

#[test]
fn a_server_is_told_whole() {
    is_golden(REDIS, include_str!("testdata/redis-7.0.prom"));
}

#[test]
fn a_sentinel_is_told_whole() {
    is_golden(SENTINEL, include_str!("testdata/sentinel-7.0.prom"));
}

#[test]
fn a_replica_and_a_master_tell_of_each_other() {
    has(
        &samples(
            "# Replication\nrole:slave\nmaster_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:up\n\
             master_last_io_seconds_ago:3\nmaster_sync_in_progress:0\nslave_repl_offset:42\n\
             slave_priority:100\nslave_read_only:1\nmaster_repl_offset:43\n",
        ),
        &[
            "redis_slave_info{master_host=\"10.0.0.1\",master_port=\"6379\",read_only=\"1\"} 1",
            "redis_master_link_up{master_host=\"10.0.0.1\",master_port=\"6379\"} 1",
            "redis_master_last_io_seconds_ago{master_host=\"10.0.0.1\",master_port=\"6379\"} 3",
            "redis_master_sync_in_progress{master_host=\"10.0.0.1\",master_port=\"6379\"} 0",
            "redis_slave_repl_offset{master_host=\"10.0.0.1\",master_port=\"6379\"} 42",
            "redis_slave_priority 100",
            "redis_master_repl_offset 43",
        ],
    );
    // KeyDB with two masters.
    has(
        &samples(
            "# Replication\nrole:active-replica\nmaster_host:a\nmaster_port:1\nmaster_link_status:up\n\
             master_1_host:b\nmaster_1_port:2\nmaster_1_link_status:down\n",
        ),
        &[
            "redis_master_link_up{master_host=\"a\",master_port=\"1\"} 1",
            "redis_master_link_up{master_host=\"b\",master_port=\"2\"} 0",
        ],
    );
    let master = samples(
        "# Replication\nrole:master\nconnected_slaves:3\n\
         slave0:ip=10.0.0.2,port=6379,state=online,offset=42,lag=1\n\
         slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\n\
         slave2:ip=10.0.0.2,port=6379,state=online,offset=41,lag=1\n",
    );
    has(
        &master,
        &[
            "redis_connected_slaves 3",
            "redis_connected_slave_offset_bytes{slave_ip=\"10.0.0.2\",slave_port=\"6379\",slave_state=\"online\"} 42",
            "redis_connected_slave_lag_seconds{slave_ip=\"10.0.0.3\",slave_port=\"6379\",slave_state=\"wait_bgsave\"} 0",
        ],
    );
    let offsets = master.iter().filter(|line| line.contains("offset_bytes{"));
    assert_eq!(offsets.count(), 2, "no series comes twice: {master:#?}");
}

#[test]
fn commands_errors_and_databases_have_labels() {
    has(
        &samples(
            "# Commandstats\n\
             cmdstat_config|get:calls=3,usec=1500,usec_per_call=500.00,rejected_calls=1,failed_calls=2,\
             slowlog_count=4,slowlog_time_ms_sum=1500,slowlog_time_ms_max=1000\n\
             cmdstat_old:calls=7,usec=14,usec_per_call=2.00\n\
             # Errorstats\nerrorstat_WRONGTYPE:count=5\n\
             # Latencystats\nlatency_percentiles_usec_config|get:p50=1.003,p99=2.007,p99.9=2.007\n\
             latency_percentiles_usec_unheard:p50=1.003\n\
             # Keyspace\ndb0:keys=5,expires=2,avg_ttl=1500,subexpiry=1\ndb15:keys=1,expires=0,avg_ttl=0\n",
        ),
        &[
            "redis_commands_total{cmd=\"config|get\"} 3",
            "redis_commands_total{cmd=\"old\"} 7",
            "redis_commands_duration_seconds_total{cmd=\"config|get\"} 0.0015",
            "redis_commands_rejected_calls_total{cmd=\"config|get\"} 1",
            "redis_commands_failed_calls_total{cmd=\"config|get\"} 2",
            "redis_commands_slowlog_total{cmd=\"config|get\"} 4",
            "redis_commands_slowlog_duration_seconds_total{cmd=\"config|get\"} 1.5",
            "redis_commands_slowlog_duration_seconds_max{cmd=\"config|get\"} 1",
            "redis_latency_percentiles_usec_sum{cmd=\"config|get\"} 1500",
            "redis_latency_percentiles_usec_count{cmd=\"config|get\"} 3",
            "redis_latency_percentiles_usec{cmd=\"config|get\",quantile=\"50\"} 1.003",
            "redis_latency_percentiles_usec{cmd=\"config|get\",quantile=\"99.9\"} 2.007",
            "redis_errors_total{err=\"WRONGTYPE\"} 5",
            "redis_db_keys{db=\"db0\"} 5",
            "redis_db_keys_expiring{db=\"db0\"} 2",
            "redis_db_avg_ttl_seconds{db=\"db0\"} 1.5",
            "redis_db_keys_with_expiring_items{db=\"db0\"} 1",
            "redis_db_keys{db=\"db15\"} 1",
        ],
    );
}

#[test]
fn newer_servers_and_modules_have_more() {
    has(
        &samples(
            "# Server\nredis_version:7.2.4\nserver_name:valkey\nvalkey_version:9.1.0\nserver_mode:cluster\n\
             availability_zone:eu-1a\n\
             # Stats\nlatest_fork_usec:1500\nslowlog_commands_time_ms_sum:2.50\n\
             # TLS\ntls_server_cert_serial:0A\n\
             # Scripting Engines\nengines_count:1\n\
             engine_0:name=LUA,module=built-in,abi_version=3,used_memory=9,memory_overhead=2\n\
             # CPU\nused_active_time_io_thread_1:0.25\n\
             # Cluster\ncluster_enabled:1\n# Cluster Info\ncluster_state:ok\ncluster_slots_fail:0\n\
             # Modules\nmodule:name=bf,ver=10001,api=1,filters=0,usedby=[],using=[a|b],options=[]\n\
             # bf\nbf_bloom_num_objects:4\n",
        ),
        &[
            "redis_instance_info{role=\"\",redis_version=\"7.2.4\",redis_build_id=\"\",redis_mode=\"cluster\",os=\"\",\
             maxmemory_policy=\"\",tcp_port=\"\",run_id=\"\",process_id=\"\",master_replid=\"\",\
             valkey_version=\"9.1.0\",availability_zone=\"eu-1a\"} 1",
            "redis_latest_fork_seconds 0.0015",
            "redis_slowlog_commands_duration_seconds_total 0.0025",
            "redis_tls_certificate_info{certificate=\"server\",serial=\"0A\"} 1",
            "redis_scripting_engine_info{engine=\"LUA\",module=\"built-in\",abi_version=\"3\"} 1",
            "redis_scripting_engine_memory_used_bytes{engine=\"LUA\",module=\"built-in\",abi_version=\"3\"} 9",
            "redis_active_time_io_thread_seconds_total{thread=\"1\"} 0.25",
            "redis_cluster_enabled 1",
            "redis_cluster_state 1",
            "redis_cluster_slots_fail 0",
            "redis_module_info{name=\"bf\",ver=\"10001\",api=\"1\",filters=\"0\",usedby=\"[]\",using=\"[a|b]\"} 1",
            "redis_bf_bloom_num_objects 4",
        ],
    );
}

#[test]
fn nonsense_is_left_out_and_bounded() {
    let mut info = String::from(
        "# Memory\nused_memory:lots\nmaxmemory:\nused_memory_rss:-5\nmem_fragmentation_ratio:nan\n\
         # Keyspace\ndb:keys=1\ndbx:keys=1\ndb0:keys=many\ndb1\n# Commandstats\n\
         cmdstat_a:calls=1\ncmdstat_a:calls=2\ncmdstat_\"\\:calls=3\ncmdstat_b\n",
    );
    for n in 0..5000 {
        info.push_str(&format!("cmdstat_x{n}:calls=1,usec=1\n"));
    }
    let samples = samples(&info);
    has(
        &samples,
        &[
            "redis_memory_used_rss_bytes -5",
            "redis_commands_total{cmd=\"a\"} 1",
            "redis_commands_total{cmd=\"\\\"\\\\\"} 3",
        ],
    );
    let some = |name: &str| samples.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!(some("redis_memory_"), 1, "{samples:#?}");
    assert_eq!(some("redis_mem_"), 0);
    assert_eq!(some("redis_db_"), 0);
    assert_eq!(some("redis_commands_total"), 1000);
}

#[test]
fn what_is_too_old_is_not_shown() {
    let shown = |status: &Status| {
        let text = text(status);
        (
            text.contains("redis_up 1\n"),
            text.contains("redis_uptime_in_seconds 1\n"),
            text.lines()
                .find(|line| line.starts_with("redis_exporter_last_scrape_error{"))
                .expect("always there")
                .to_owned(),
        )
    };
    let fine = "redis_exporter_last_scrape_error{err=\"\"} 0".to_owned();
    for state in [State::Live, State::Loading] {
        assert_eq!(shown(&status(state, REDIS)), (true, true, fine.clone()));
    }
    let mut refused = status(State::Loading, REDIS);
    refused.error = Some("LOADING".into());
    let error = |text: &str| format!("redis_exporter_last_scrape_error{{err=\"{text}\"}} 1");
    assert_eq!(shown(&refused), (false, false, error("LOADING")));
    let mut down = status(State::Down, REDIS);
    down.error = Some("connection refused".into());
    assert_eq!(shown(&down), (false, false, error("connection refused")));
    let stale = status(State::Stale, REDIS);
    assert_eq!(
        shown(&stale),
        (false, false, error("the server answered 1500 ms ago"))
    );
    let gone = status(State::Gone, REDIS);
    let text = "no watcher names this server any more";
    assert_eq!(shown(&gone), (false, false, error(text)));
    let pending = Status {
        latest: None,
        age: None,
        ..status(State::Pending, REDIS)
    };
    assert_eq!(
        shown(&pending),
        (false, false, error("the server has not answered yet"))
    );
}

#[test]
fn a_start_is_reckoned_from_when_the_server_was_asked() {
    let status = status(State::Live, "# Server\nuptime_in_seconds:100\n");
    let text = text(&status);
    let line = text
        .lines()
        .find(|line| line.starts_with("redis_start_time_seconds "));
    let start: f64 = line
        .and_then(|line| line.split(' ').nth(1))
        .expect("a line")
        .parse()
        .expect("a number");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    assert!(start <= now - 100.0, "{start}");
    // The clock of a busy machine may have gone on meanwhile.
    assert!(start > now - 400.0, "{start}");
}

#[test]
fn targets_are_urls_without_a_login() {
    for (target, read) in [
        ("h:1", "h:1"),
        ("redis://h:1", "redis://h:1"),
        ("redis://u:p@h:1", "redis://h:1"),
        ("valkey://u@h:1/0", "redis://h:1/0"),
        ("valkeys://h", "rediss://h"),
        ("unix:///run/r.sock", "unix:///run/r.sock"),
    ] {
        assert_eq!(plain(target), read);
    }
}
