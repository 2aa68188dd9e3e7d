//! What one instance may take, and whether it was refused anything.

use tidegate_core::config::Bounds;
use wasmtime::{ResourceLimiter, Result, StoreLimits, StoreLimitsBuilder};

/// The most core instances of one component; a Rust guest has 3, an interpreter some 20.
pub const INSTANCES: u32 = 32;
/// The most tables of one component.
pub const TABLES: u32 = 16;
/// The most memories of one component; together they stay below the limit of memory. A JavaScript guest has 3.
pub const MEMORIES: u32 = 4;

/// The limits of one store.
pub struct Limits {
    counts: StoreLimits,
    max_memory: usize,
    memory: usize,
    denied: bool,
}

impl Limits {
    /// Limits that allow `max_memory` bytes over all memories of the store.
    pub fn new(bounds: &Bounds) -> Self {
        let counts = StoreLimitsBuilder::new()
            .instances(INSTANCES as usize)
            .tables(TABLES as usize)
            .table_elements(bounds.max_table)
            .memories(MEMORIES as usize)
            .build();
        Self { counts, max_memory: bounds.max_memory, memory: 0, denied: false }
    }

    /// Forgets earlier refusals, so that [`Limits::was_denied`] speaks of the call that begins.
    pub fn begin(&mut self) {
        self.denied = false;
    }

    /// Whether the guest wanted more than it may have.
    pub fn was_denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        let allowed = total <= self.max_memory && maximum.is_none_or(|most| desired <= most);
        if allowed {
            self.memory = total;
        }
        self.denied |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let allowed = self.counts.table_growing(current, desired, maximum)?;
        self.denied |= !allowed;
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        self.counts.instances()
    }

    fn tables(&self) -> usize {
        self.counts.tables()
    }

    fn memories(&self) -> usize {
        self.counts.memories()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bounds of a policy of so many bytes and table entries.
    fn limits(max_memory: usize, max_table: usize) -> Limits {
        let bounds = tidegate_core::config::Config::default().policies.bounds;
        Limits::new(&Bounds { max_memory, max_table, ..bounds })
    }

    #[test]
    fn memories_share_one_limit_and_a_refusal_is_remembered_for_its_call() {
        let mut limits = limits(100, 1);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_growing(0, 40, None).unwrap(), "exactly the limit is allowed");
        assert!(!limits.was_denied());
        assert!(!limits.memory_growing(60, 61, None).unwrap(), "one byte beyond is not");
        assert!(limits.was_denied());
        limits.begin();
        assert!(!limits.was_denied());
    }

    #[test]
    fn a_table_ends_at_its_limit() {
        let mut limits = limits(0, 20);
        assert!(limits.table_growing(0, 20, None).unwrap());
        assert!(!limits.table_growing(0, 20 + 1, None).unwrap());
        assert!(limits.was_denied());
    }
}
