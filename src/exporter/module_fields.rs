//! The fields that KeyDB and modules add to INFO; see `fields`.

use super::fields::{Field, Unit, fields};
use crate::metrics::Kind;

fields! {
    /// Those of KeyDB and of modules.
    ADDED:
    // KeyDB
    Gauge "server_threads" "server_threads_total" AsIs
    Gauge "long_lock_waits" "long_lock_waits_total" AsIs
    Gauge "current_client_thread" "current_client_thread" AsIs
    Counter "cached_keys" "cached_keys_total" AsIs
    Counter "storage_provider_read_hits" "storage_provider_read_hits" AsIs
    Counter "storage_provider_read_misses" "storage_provider_read_misses" AsIs
    // Modules: search
    Gauge "search_number_of_indexes" "search_number_of_indexes" AsIs
    Gauge "search_used_memory_indexes" "search_used_memory_indexes_bytes" AsIs
    Counter "search_total_indexing_time" "search_indexing_time_ms_total" AsIs
    Gauge "search_dialect_1" "search_dialect_1" AsIs
    Gauge "search_dialect_2" "search_dialect_2" AsIs
    Gauge "search_dialect_3" "search_dialect_3" AsIs
    Gauge "search_dialect_4" "search_dialect_4" AsIs
    Gauge "search_global_idle" "search_global_idle" AsIs
    Gauge "search_global_total" "search_global_total" AsIs
    Gauge "search_bytes_collected" "search_collected_bytes" AsIs
    Counter "search_total_cycles" "search_cycles_total" AsIs
    Counter "search_total_ms_run" "search_run_ms_total" AsIs
    Gauge "search_number_of_active_indexes" "search_number_of_active_indexes" AsIs
    Gauge "search_number_of_active_indexes_running_queries" "search_number_of_active_indexes_running_queries" AsIs
    Gauge "search_number_of_active_indexes_indexing" "search_number_of_active_indexes_indexing" AsIs
    Gauge "search_total_active_write_threads" "search_total_active_write_threads" AsIs
    Gauge "search_total_num_docs_in_indexes" "search_total_num_docs_in_indexes" AsIs
    Gauge "search_smallest_memory_index" "search_smallest_memory_index_bytes" AsIs
    Gauge "search_largest_memory_index" "search_largest_memory_index_bytes" AsIs
    Gauge "search_used_memory_vector_index" "search_used_memory_vector_index_bytes" AsIs
    Gauge "search_global_idle_user" "search_global_idle_user" AsIs
    Gauge "search_global_idle_internal" "search_global_idle_internal" AsIs
    Gauge "search_global_total_user" "search_global_total_user" AsIs
    Gauge "search_global_total_internal" "search_global_total_internal" AsIs
    Gauge "search_gc_bytes_collected" "search_gc_collected_bytes" AsIs
    Gauge "search_gc_total_docs_not_collected" "search_gc_total_docs_not_collected" AsIs
    Gauge "search_gc_marked_deleted_vectors" "search_gc_marked_deleted_vectors" AsIs
    Counter "search_gc_total_cycles" "search_gc_cycles_total" AsIs
    Counter "search_gc_total_ms_run" "search_gc_run_ms_total" AsIs
    Counter "search_total_queries_processed" "search_queries_processed_total" AsIs
    Counter "search_total_query_commands" "search_query_commands_total" AsIs
    Counter "search_total_query_execution_time_ms" "search_query_execution_time_ms_total" AsIs
    Counter "search_total_active_queries" "search_active_queries_total" AsIs
    Gauge "search_errors_indexing_failures" "search_errors_indexing_failures" AsIs
    Gauge "search_used_memory_bytes" "search_used_memory_bytes" AsIs
    Gauge "search_number_of_attributes" "search_number_of_attributes" AsIs
    Gauge "search_total_indexed_documents" "search_total_indexed_documents" AsIs
    Gauge "search_query_queue_size" "search_query_queue_size" AsIs
    Gauge "search_writer_queue_size" "search_writer_queue_size" AsIs
    Counter "search_worker_pool_suspend_cnt" "search_worker_pool_suspend_count" AsIs
    Counter "search_writer_resumed_cnt" "search_writer_resumed_count" AsIs
    Counter "search_reader_resumed_cnt" "search_reader_resumed_count" AsIs
    Counter "search_writer_suspension_expired_cnt" "search_writer_suspension_expired_count" AsIs
    Counter "search_rdb_load_success_cnt" "search_rdb_load_success_count" AsIs
    Counter "search_rdb_load_failure_cnt" "search_rdb_load_failure_count" AsIs
    Counter "search_rdb_save_success_cnt" "search_rdb_save_success_count" AsIs
    Counter "search_rdb_save_failure_cnt" "search_rdb_save_failure_count" AsIs
    Counter "search_successful_requests_count" "search_successful_requests_count" AsIs
    Counter "search_failure_requests_count" "search_failure_requests_count" AsIs
    Counter "search_hybrid_requests_count" "search_hybrid_requests_count" AsIs
    Counter "search_inline_filtering_requests_count" "search_inline_filtering_requests_count" AsIs
    Counter "search_hnsw_add_exceptions_count" "search_hnsw_add_exceptions_count" AsIs
    Counter "search_hnsw_remove_exceptions_count" "search_hnsw_remove_exceptions_count" AsIs
    Counter "search_hnsw_modify_exceptions_count" "search_hnsw_modify_exceptions_count" AsIs
    Counter "search_hnsw_search_exceptions_count" "search_hnsw_search_exceptions_count" AsIs
    Counter "search_hnsw_create_exceptions_count" "search_hnsw_create_exceptions_count" AsIs
    Gauge "search_string_interning_store_size" "search_string_interning_store_size" AsIs
    Counter "search_vector_externing_entry_count" "search_vector_externing_entry_count" AsIs
    Gauge "search_vector_externing_hash_extern_errors" "search_vector_externing_hash_extern_errors" AsIs
    Counter "search_vector_externing_generated_value_cnt" "search_vector_externing_generated_value_count" AsIs
    Gauge "search_vector_externing_num_lru_entries" "search_vector_externing_num_lru_entries" AsIs
    Counter "search_vector_externing_lru_promote_cnt" "search_vector_externing_lru_promote_count" AsIs
    Counter "search_vector_externing_deferred_entry_cnt" "search_vector_externing_deferred_entry_count" AsIs
    // Modules: bloom and JSON of Valkey
    Gauge "bf_bloom_total_memory_bytes" "bf_bloom_total_memory_bytes" AsIs
    Gauge "bf_bloom_num_objects" "bf_bloom_num_objects" AsIs
    Gauge "bf_bloom_num_filters_across_objects" "bf_bloom_num_filters_across_objects" AsIs
    Gauge "bf_bloom_num_items_across_objects" "bf_bloom_num_items_across_objects" AsIs
    Gauge "bf_bloom_capacity_across_objects" "bf_bloom_capacity_across_objects" AsIs
    Counter "bf_bloom_defrag_hits" "bf_bloom_defrag_hits_total" AsIs
    Counter "bf_bloom_defrag_misses" "bf_bloom_defrag_misses_total" AsIs
    Gauge "json_total_memory_bytes" "json_total_memory_bytes" AsIs
    Gauge "json_num_documents" "json_num_documents" AsIs
}
