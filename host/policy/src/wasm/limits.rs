//! The resource limits of one instance, and whether it exceeded them.

use tidegate_core::config::PolicyLimits;
use wasmtime::{ResourceLimiter, Result, StoreLimits, StoreLimitsBuilder};

/// The maximum number of core instances of one component. A Rust guest has 3, an interpreter about 20.
pub const MAX_CORE_INSTANCES: u32 = 32;
/// The maximum number of tables of one component.
pub const MAX_TABLES: u32 = 16;
/// The maximum number of memories of one component. They share one size limit. A JavaScript guest has 3.
pub const MAX_MEMORIES: u32 = 4;

/// The resource limits of one store.
pub struct GuestLimits {
    store_limits: StoreLimits,
    max_memory: usize,
    memory: usize,
    was_exceeded: bool,
}

impl GuestLimits {
    /// Creates limits that allow `max_memory` bytes for all memories of the store together.
    pub fn new(limits: &PolicyLimits) -> Self {
        let store_limits = StoreLimitsBuilder::new()
            .instances(MAX_CORE_INSTANCES as usize)
            .tables(MAX_TABLES as usize)
            .table_elements(limits.max_table_elements)
            .memories(MAX_MEMORIES as usize)
            .build();
        Self { store_limits, max_memory: limits.max_memory, memory: 0, was_exceeded: false }
    }

    /// Resets [`GuestLimits::was_exceeded`] for the next call.
    pub fn reset_exceeded(&mut self) {
        self.was_exceeded = false;
    }

    /// Whether the guest exceeded a limit since the last reset.
    pub fn was_exceeded(&self) -> bool {
        self.was_exceeded
    }
}

impl ResourceLimiter for GuestLimits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        let allowed = total <= self.max_memory && maximum.is_none_or(|max| desired <= max);
        if allowed {
            self.memory = total;
        }
        self.was_exceeded |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let allowed = self.store_limits.table_growing(current, desired, maximum)?;
        self.was_exceeded |= !allowed;
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        self.store_limits.instances()
    }

    fn tables(&self) -> usize {
        self.store_limits.tables()
    }

    fn memories(&self) -> usize {
        self.store_limits.memories()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the limits of a policy with this memory and table size.
    fn limits(max_memory: usize, max_table_elements: usize) -> GuestLimits {
        let mut limits = tidegate_core::config::PoliciesConfig::default().limits;
        limits.max_memory = max_memory;
        limits.max_table_elements = max_table_elements;
        GuestLimits::new(&limits)
    }

    #[test]
    fn memories_share_one_limit_and_an_excess_is_reported_until_reset() {
        let mut limits = limits(100, 1);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_growing(0, 40, None).unwrap(), "exactly the limit is allowed");
        assert!(!limits.was_exceeded());
        assert!(!limits.memory_growing(60, 61, None).unwrap(), "one byte more is not");
        assert!(limits.was_exceeded());
        limits.reset_exceeded();
        assert!(!limits.was_exceeded());
    }

    #[test]
    fn table_cannot_grow_beyond_its_limit() {
        let mut limits = limits(0, 20);
        assert!(limits.table_growing(0, 20, None).unwrap());
        assert!(!limits.table_growing(0, 20 + 1, None).unwrap());
        assert!(limits.was_exceeded());
    }
}
