//! How Wasmtime is configured: bounded memory for a bounded number of instances, and interruption by epochs.

use tidegate_core::config::PoliciesConfig;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};

/// The maximum number of instances of retry policies, and of admission policies, idle ones included. An instance
/// occupies a CPU while it runs, so more running instances than cores have no use; the other instances stay warm for
/// the policies of many platforms.
pub const MAX_INSTANCES: u32 = 48;
/// The maximum number of instances of alert conditions, which one thread evaluates.
pub const MAX_ALERT_INSTANCES: u32 = 16;
/// The size of a Wasm page, in bytes. The size of a memory is a multiple of it.
const PAGE_SIZE: usize = 65_536;

/// The memory and tables that the engine reserves for each instance at its start. No policy can have more.
#[derive(Clone, Copy, Debug)]
pub struct ReservedSizes {
    /// The size of a memory, in bytes.
    pub max_memory: usize,
    /// The size of a table, in elements.
    pub max_table_elements: usize,
}

impl ReservedSizes {
    /// Returns the largest sizes that any policy of the configuration may have.
    pub fn of(config: &PoliciesConfig) -> Self {
        let all_limits =
            || std::iter::once(&config.limits).chain(config.overrides.values().map(|policy| &policy.limits));
        Self {
            max_memory: all_limits().map(|limits| limits.max_memory).max().unwrap_or_default(),
            max_table_elements: all_limits().map(|limits| limits.max_table_elements).max().unwrap_or_default(),
        }
    }
}

/// Returns the configuration of an engine that reserves these sizes.
pub fn engine_config(sizes: ReservedSizes) -> Config {
    let instances = 2 * MAX_INSTANCES + MAX_ALERT_INSTANCES;
    let memory = sizes.max_memory.next_multiple_of(PAGE_SIZE);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(instances)
        .total_core_instances(instances * MAX_CORE_INSTANCES)
        .total_memories(instances * MAX_MEMORIES)
        .total_tables(instances * MAX_TABLES)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_module(MAX_TABLES)
        .table_elements(sizes.max_table_elements)
        .max_memory_size(memory);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling))
        // Reservations of 4 GiB would save bounds checks, but containers with limited address space do not grant them.
        .memory_reservation(memory as u64)
        .epoch_interruption(true)
        // Only asynchronous components need this, and it doubles the cost of a call.
        .concurrency_support(false)
        // A reload must leave the other cores to the calls in progress.
        .parallel_compilation(false);
    config
}
