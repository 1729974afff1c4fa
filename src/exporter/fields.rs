//! The fields of INFO that are one sample each, with the names and types that redis_exporter gives them.
//!
//! The names are those of <https://github.com/oliver006/redis_exporter>, `exporter/exporter.go`, as of 2026,
//! oddities included: dashboards and alerts are written against them. The order is that of INFO.

use crate::metrics::Kind;

/// A field and its metric.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in INFO.
    pub(super) name: &'static str,
    pub(super) metric: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) help: &'static str,
}

/// What the number in INFO has to be divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// By nothing.
    AsIs,
    /// Milliseconds become seconds.
    Millis,
    /// Microseconds become seconds.
    Micros,
}

impl Unit {
    pub(super) fn divisor(self) -> f64 {
        match self {
            Unit::AsIs => 1.0,
            Unit::Millis => 1e3,
            Unit::Micros => 1e6,
        }
    }
}

macro_rules! fields {
    ($(#[$doc:meta])* $ident:ident: $($kind:ident $name:literal $metric:literal $unit:ident)+) => {
        $(#[$doc])*
        pub(super) const $ident: &[Field] = &[$(
            Field {
                name: $name,
                metric: concat!("redis_", $metric),
                kind: Kind::$kind,
                unit: Unit::$unit,
                help: concat!("The field ", $name, " of INFO."),
            }
        ),+];
    };
}
pub(super) use fields;

// `config_…` are CONFIG GET in redis_exporter; INFO says the same of these three.
fields! {
    /// Those of the server itself.
    CORE:
    // Server
    Gauge "uptime_in_seconds" "uptime_in_seconds" AsIs
    Gauge "process_id" "process_id" AsIs
    Gauge "hz" "hz" AsIs
    Gauge "configured_hz" "configured_hz" AsIs
    Gauge "io_threads_active" "io_threads_active" AsIs
    // Clients
    Gauge "connected_clients" "connected_clients" AsIs
    Gauge "active_clients" "active_clients" AsIs
    Gauge "cluster_connections" "cluster_connections" AsIs
    Gauge "maxclients" "max_clients" AsIs
    Gauge "maxclients" "config_maxclients" AsIs
    Gauge "client_longest_output_list" "client_longest_output_list" AsIs
    Gauge "client_biggest_input_buf" "client_biggest_input_buf" AsIs
    Gauge "client_recent_max_input_buffer" "client_recent_max_input_buffer_bytes" AsIs
    Gauge "client_recent_max_output_buffer" "client_recent_max_output_buffer_bytes" AsIs
    Gauge "blocked_clients" "blocked_clients" AsIs
    Gauge "tracking_clients" "tracking_clients" AsIs
    Gauge "pubsub_clients" "pubsub_clients" AsIs
    Gauge "watching_clients" "watching_clients" AsIs
    Gauge "clients_in_timeout_table" "clients_in_timeout_table" AsIs
    Gauge "total_watched_keys" "total_watched_keys" AsIs
    Gauge "total_blocking_keys" "total_blocking_keys" AsIs
    Gauge "total_blocking_keys_on_nokey" "total_blocking_keys_on_nokey" AsIs
    // Memory
    Gauge "used_memory" "memory_used_bytes" AsIs
    Gauge "used_memory_rss" "memory_used_rss_bytes" AsIs
    Gauge "used_memory_peak" "memory_used_peak_bytes" AsIs
    Gauge "used_memory_overhead" "memory_used_overhead_bytes" AsIs
    Gauge "used_memory_startup" "memory_used_startup_bytes" AsIs
    Gauge "used_memory_dataset" "memory_used_dataset_bytes" AsIs
    Gauge "allocator_allocated" "allocator_allocated_bytes" AsIs
    Gauge "allocator_active" "allocator_active_bytes" AsIs
    Gauge "allocator_resident" "allocator_resident_bytes" AsIs
    Gauge "allocator_muzzy" "allocator_muzzy_bytes" AsIs
    Gauge "total_system_memory" "total_system_memory_bytes" AsIs
    Gauge "used_memory_lua" "memory_used_lua_bytes" AsIs
    Gauge "used_memory_vm_eval" "memory_used_vm_eval_bytes" AsIs
    Gauge "used_memory_scripts_eval" "memory_used_scripts_eval_bytes" AsIs
    Gauge "number_of_cached_scripts" "number_of_cached_scripts" AsIs
    Gauge "number_of_functions" "number_of_functions" AsIs
    Gauge "number_of_libraries" "number_of_libraries" AsIs
    Gauge "used_memory_vm_functions" "memory_used_vm_functions_bytes" AsIs
    Gauge "used_memory_vm_total" "memory_used_vm_total" AsIs
    Gauge "used_memory_functions" "memory_used_functions_bytes" AsIs
    Gauge "used_memory_scripts" "memory_used_scripts_bytes" AsIs
    Gauge "used_memory_hash_templates" "memory_used_hash_templates_bytes" AsIs
    Gauge "maxmemory" "memory_max_bytes" AsIs
    Gauge "maxmemory" "config_maxmemory" AsIs
    Gauge "maxmemory_reservation" "memory_max_reservation_bytes" AsIs
    Gauge "maxmemory_desired_reservation" "memory_max_reservation_desired_bytes" AsIs
    Gauge "maxfragmentationmemory_reservation" "memory_max_fragmentation_reservation_bytes" AsIs
    Gauge "maxfragmentationmemory_desired_reservation" "memory_max_fragmentation_reservation_desired_bytes" AsIs
    Gauge "allocator_frag_ratio" "allocator_frag_ratio" AsIs
    Gauge "allocator_frag_bytes" "allocator_frag_bytes" AsIs
    Gauge "allocator_rss_ratio" "allocator_rss_ratio" AsIs
    Gauge "allocator_rss_bytes" "allocator_rss_bytes" AsIs
    Gauge "mem_fragmentation_ratio" "mem_fragmentation_ratio" AsIs
    Gauge "mem_fragmentation_bytes" "mem_fragmentation_bytes" AsIs
    Gauge "mem_not_counted_for_evict" "mem_not_counted_for_eviction_bytes" AsIs
    Gauge "mem_replication_backlog" "mem_replication_backlog_bytes" AsIs
    Gauge "mem_total_replication_buffers" "mem_total_replication_buffers_bytes" AsIs
    Gauge "mem_replicas_repl_buffer" "mem_replicas_repl_buffer_bytes" AsIs
    Gauge "mem_clients_slaves" "mem_clients_slaves" AsIs
    Gauge "mem_clients_normal" "mem_clients_normal" AsIs
    Gauge "mem_cluster_links" "mem_cluster_links_bytes" AsIs
    Gauge "mem_aof_buffer" "mem_aof_buffer_bytes" AsIs
    Gauge "mem_overhead_db_hashtable_rehashing" "mem_overhead_db_hashtable_rehashing_bytes" AsIs
    Gauge "active_defrag_running" "active_defrag_running" AsIs
    Gauge "lazyfree_pending_objects" "lazyfree_pending_objects" AsIs
    Gauge "lazyfreed_objects" "lazyfreed_objects" AsIs
    // Persistence
    Gauge "loading" "loading_dump_file" AsIs
    Gauge "async_loading" "async_loading" AsIs
    Gauge "rdb_changes_since_last_save" "rdb_changes_since_last_save" AsIs
    Gauge "rdb_bgsave_in_progress" "rdb_bgsave_in_progress" AsIs
    Gauge "backup_in_progress" "backup_in_progress" AsIs
    Gauge "rdb_last_save_time" "rdb_last_save_timestamp_seconds" AsIs
    Gauge "rdb_last_bgsave_status" "rdb_last_bgsave_status" AsIs
    Gauge "rdb_last_bgsave_time_sec" "rdb_last_bgsave_duration_sec" AsIs
    Gauge "rdb_current_bgsave_time_sec" "rdb_current_bgsave_duration_sec" AsIs
    Gauge "rdb_saves" "rdb_saves_total" AsIs
    Gauge "rdb_last_cow_size" "rdb_last_cow_size_bytes" AsIs
    Gauge "rdb_last_load_keys_expired" "rdb_last_load_expired_keys" AsIs
    Gauge "rdb_last_load_keys_loaded" "rdb_last_load_loaded_keys" AsIs
    Gauge "aof_enabled" "aof_enabled" AsIs
    Gauge "aof_rewrite_in_progress" "aof_rewrite_in_progress" AsIs
    Gauge "aof_rewrite_scheduled" "aof_rewrite_scheduled" AsIs
    Gauge "aof_last_rewrite_time_sec" "aof_last_rewrite_duration_sec" AsIs
    Gauge "aof_current_rewrite_time_sec" "aof_current_rewrite_duration_sec" AsIs
    Gauge "aof_last_bgrewrite_status" "aof_last_bgrewrite_status" AsIs
    Gauge "aof_last_write_status" "aof_last_write_status" AsIs
    Gauge "aof_last_cow_size" "aof_last_cow_size_bytes" AsIs
    Gauge "module_fork_in_progress" "module_fork_in_progress" AsIs
    Gauge "module_fork_last_cow_size" "module_fork_last_cow_size" AsIs
    Gauge "aof_current_size" "aof_current_size_bytes" AsIs
    Gauge "aof_base_size" "aof_base_size_bytes" AsIs
    Gauge "aof_pending_rewrite" "aof_pending_rewrite" AsIs
    Gauge "aof_buffer_length" "aof_buffer_length" AsIs
    Gauge "aof_rewrite_buffer_length" "aof_rewrite_buffer_length" AsIs
    Gauge "aof_pending_bio_fsync" "aof_pending_bio_fsync" AsIs
    Gauge "aof_delayed_fsync" "aof_delayed_fsync" AsIs
    // Stats
    Counter "total_connections_received" "connections_received_total" AsIs
    Counter "total_commands_processed" "commands_processed_total" AsIs
    Counter "total_net_input_bytes" "net_input_bytes_total" AsIs
    Counter "total_net_output_bytes" "net_output_bytes_total" AsIs
    Counter "total_net_repl_input_bytes" "net_repl_input_bytes_total" AsIs
    Counter "total_net_repl_output_bytes" "net_repl_output_bytes_total" AsIs
    Counter "rejected_connections" "rejected_connections_total" AsIs
    Gauge "sync_full" "replica_resyncs_full" AsIs
    Gauge "sync_partial_ok" "replica_partial_resync_accepted" AsIs
    Gauge "sync_partial_err" "replica_partial_resync_denied" AsIs
    Counter "expired_subkeys" "expired_subkeys_total" AsIs
    Counter "expired_fields" "expired_fields_total" AsIs
    Counter "expired_keys" "expired_keys_total" AsIs
    Gauge "expired_stale_perc" "expired_stale_percentage" AsIs
    Gauge "expired_keys_with_volatile_items_stale_perc" "expired_keys_with_volatile_items_stale_percentage" AsIs
    Counter "expired_time_cap_reached_count" "expired_time_cap_reached_total" AsIs
    Counter "expire_cycle_cpu_milliseconds" "expire_cycle_cpu_time_ms_total" AsIs
    Counter "evicted_keys" "evicted_keys_total" AsIs
    Counter "evicted_clients" "evicted_clients_total" AsIs
    Counter "evicted_scripts" "evicted_scripts_total" AsIs
    Counter "total_eviction_exceeded_time" "eviction_exceeded_time_ms_total" AsIs
    Gauge "current_eviction_exceeded_time" "current_eviction_exceeded_time_ms" AsIs
    Counter "keyspace_hits" "keyspace_hits_total" AsIs
    Counter "keyspace_misses" "keyspace_misses_total" AsIs
    Gauge "pubsub_channels" "pubsub_channels" AsIs
    Gauge "pubsub_patterns" "pubsub_patterns" AsIs
    Gauge "pubsubshard_channels" "pubsubshard_channels" AsIs
    Gauge "latest_fork_usec" "latest_fork_seconds" Micros
    Gauge "migrate_cached_sockets" "migrate_cached_sockets_total" AsIs
    Gauge "slave_expires_tracked_keys" "slave_expires_tracked_keys" AsIs
    Gauge "active_defrag_hits" "defrag_hits" AsIs
    Gauge "active_defrag_misses" "defrag_misses" AsIs
    Gauge "active_defrag_key_hits" "defrag_key_hits" AsIs
    Gauge "active_defrag_key_misses" "defrag_key_misses" AsIs
    Gauge "tracking_total_keys" "tracking_total_keys" AsIs
    Gauge "tracking_total_items" "tracking_total_items" AsIs
    Gauge "tracking_total_prefixes" "tracking_total_prefixes" AsIs
    Counter "unexpected_error_replies" "unexpected_error_replies" AsIs
    Counter "total_error_replies" "total_error_replies" AsIs
    Counter "dump_payload_sanitizations" "dump_payload_sanitizations" AsIs
    Counter "total_reads_processed" "total_reads_processed" AsIs
    Counter "total_writes_processed" "total_writes_processed" AsIs
    Counter "io_threaded_reads_processed" "io_threaded_reads_processed" AsIs
    Counter "io_threaded_writes_processed" "io_threaded_writes_processed" AsIs
    Counter "client_query_buffer_limit_disconnections" "client_query_buffer_limit_disconnections_total" AsIs
    Counter "client_output_buffer_limit_disconnections" "client_output_buffer_limit_disconnections_total" AsIs
    Counter "reply_buffer_shrinks" "reply_buffer_shrinks_total" AsIs
    Counter "reply_buffer_expands" "reply_buffer_expands_total" AsIs
    Counter "eventloop_cycles" "eventloop_cycles_total" AsIs
    Counter "eventloop_cycles_with_clients_processing" "eventloop_cycles_with_clients_processing_total" AsIs
    Counter "eventloop_duration_sum" "eventloop_duration_sum_usec_total" AsIs
    Counter "eventloop_duration_cmd_sum" "eventloop_duration_cmd_sum_usec_total" AsIs
    Gauge "instantaneous_eventloop_cycles_per_sec" "instantaneous_eventloop_cycles_per_sec" AsIs
    Gauge "instantaneous_eventloop_duration_usec" "instantaneous_eventloop_duration_usec" AsIs
    Counter "total_client_processing_events" "client_processing_events_total" AsIs
    Gauge "avg_pipeline_length" "client_processing_pipeline_length" AsIs
    Counter "avg_pipeline_length_sum" "client_processing_pipeline_commands_total" AsIs
    Counter "avg_pipeline_length_cnt" "client_processing_pipeline_batches_total" AsIs
    Counter "slowlog_commands_count" "slowlog_commands_total" AsIs
    Counter "slowlog_commands_time_ms_sum" "slowlog_commands_duration_seconds_total" Millis
    Gauge "slowlog_commands_time_ms_max" "slowlog_commands_duration_seconds_max" Millis
    Counter "acl_access_denied_auth" "acl_access_denied_auth_total" AsIs
    Counter "acl_access_denied_cmd" "acl_access_denied_cmd_total" AsIs
    Counter "acl_access_denied_key" "acl_access_denied_key_total" AsIs
    Counter "acl_access_denied_channel" "acl_access_denied_channel_total" AsIs
    Counter "acl_access_denied_tls_cert" "acl_access_denied_tls_cert_total" AsIs
    Counter "acl_access_denied_db" "acl_access_denied_db_total" AsIs
    Gauge "hash_templates" "hash_templates" AsIs
    Gauge "hash_template_keys" "hash_template_keys" AsIs
    // Replication
    Gauge "connected_slaves" "connected_slaves" AsIs
    Gauge "replicas_waiting_psync" "replicas_waiting_psync" AsIs
    Gauge "replicas_repl_buffer_size" "replicas_repl_buffer_size_bytes" AsIs
    Gauge "replicas_repl_buffer_peak" "replicas_repl_buffer_peak_bytes" AsIs
    Gauge "slave_priority" "slave_priority" AsIs
    Gauge "master_repl_offset" "master_repl_offset" AsIs
    Gauge "second_repl_offset" "second_repl_offset" AsIs
    Gauge "repl_backlog_active" "repl_backlog_is_active" AsIs
    Gauge "repl_backlog_size" "replication_backlog_bytes" AsIs
    Gauge "repl_backlog_size" "config_repl_backlog_size" AsIs
    Gauge "repl_backlog_first_byte_offset" "repl_backlog_first_byte_offset" AsIs
    Gauge "repl_backlog_histlen" "repl_backlog_history_bytes" AsIs
    // CPU
    Counter "used_cpu_sys" "cpu_sys_seconds_total" AsIs
    Counter "used_cpu_user" "cpu_user_seconds_total" AsIs
    Counter "used_cpu_sys_children" "cpu_sys_children_seconds_total" AsIs
    Counter "used_cpu_user_children" "cpu_user_children_seconds_total" AsIs
    Counter "used_cpu_sys_main_thread" "cpu_sys_main_thread_seconds_total" AsIs
    Counter "used_cpu_user_main_thread" "cpu_user_main_thread_seconds_total" AsIs
    Counter "used_active_time_main_thread" "active_time_main_thread_seconds_total" AsIs
    // TLS and scripting engines of Valkey
    Gauge "tls_server_cert_expires_in_seconds" "tls_server_cert_expires_in_seconds" AsIs
    Gauge "tls_client_cert_expires_in_seconds" "tls_client_cert_expires_in_seconds" AsIs
    Gauge "tls_ca_cert_expires_in_seconds" "tls_ca_cert_expires_in_seconds" AsIs
    Gauge "engines_count" "scripting_engines_count" AsIs
    Gauge "engines_total_used_memory" "scripting_engines_memory_used_bytes" AsIs
    Gauge "engines_total_memory_overhead" "scripting_engines_memory_overhead_bytes" AsIs
    // Cluster; all but the first only where INFO has them (Valkey 9.1)
    Gauge "cluster_enabled" "cluster_enabled" AsIs
    Gauge "cluster_state" "cluster_state" AsIs
    Gauge "cluster_slots_assigned" "cluster_slots_assigned" AsIs
    Gauge "cluster_slots_ok" "cluster_slots_ok" AsIs
    Gauge "cluster_slots_pfail" "cluster_slots_pfail" AsIs
    Gauge "cluster_slots_fail" "cluster_slots_fail" AsIs
    Gauge "cluster_known_nodes" "cluster_known_nodes" AsIs
    Gauge "cluster_size" "cluster_size" AsIs
    Gauge "cluster_current_epoch" "cluster_current_epoch" AsIs
    Gauge "cluster_my_epoch" "cluster_my_epoch" AsIs
    Gauge "cluster_stats_messages_sent" "cluster_messages_sent_total" AsIs
    Gauge "cluster_stats_messages_received" "cluster_messages_received_total" AsIs
    // Sentinel
    Gauge "sentinel_masters" "sentinel_masters" AsIs
    Gauge "sentinel_tilt" "sentinel_tilt" AsIs
    Gauge "sentinel_running_scripts" "sentinel_running_scripts" AsIs
    Gauge "sentinel_scripts_queue_length" "sentinel_scripts_queue_length" AsIs
    Gauge "sentinel_simulate_failure_flags" "sentinel_simulate_failure_flags" AsIs
}
