//! The limiters of the configured limits.

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(feature = "policies")]
use std::sync::Weak;

use parking_lot::RwLock;
use tidegate_core::config::LimitConfig;

use crate::error::UnknownPlatform;
use crate::limiter::Limiter;
use crate::stores::Stores;

/// The limiters of a host, by the name of their limit. Clones share the same limiters.
#[derive(Clone)]
pub struct Limiters(Arc<LimitersInner>);

/// A reference that does not keep the limiters alive.
#[cfg(feature = "policies")]
pub struct WeakLimiters(Weak<LimitersInner>);

struct LimitersInner {
    stores: Stores,
    table: RwLock<LimiterTable>,
}

struct LimiterTable {
    active: BTreeMap<String, Limiter>,
    /// The limiters of limits that were removed from the configuration. A limit that is added again continues with its
    /// limiter instead of a full bucket.
    removed: BTreeMap<String, Limiter>,
}

impl Limiters {
    pub fn new(stores: Stores, limits: &BTreeMap<String, LimitConfig>) -> Self {
        let active = limits.iter().map(|(name, limit)| (name.clone(), stores.limiter(name, *limit))).collect();
        let table = RwLock::new(LimiterTable { active, removed: BTreeMap::new() });
        Self(Arc::new(LimitersInner { stores, table }))
    }

    /// Returns the limiter of a limit.
    pub fn get(&self, name: &str) -> Result<Limiter, UnknownPlatform> {
        let table = self.0.table.read();
        table.active.get(name).cloned().ok_or_else(|| UnknownPlatform::new(name, table.active.keys()))
    }

    /// Returns the limiters of all limits, by name.
    pub fn all(&self) -> BTreeMap<String, Limiter> {
        self.0.table.read().active.clone()
    }

    /// Applies the limits of a new configuration. A limit changes only if its section changed.
    pub fn apply(&self, old: &BTreeMap<String, LimitConfig>, new: &BTreeMap<String, LimitConfig>) {
        let mut table = self.0.table.write();
        let LimiterTable { active, removed } = &mut *table;
        removed.extend(active.extract_if(.., |name, _| !new.contains_key(name)));
        for (name, limit) in new {
            match active.get(name) {
                Some(_) if old.get(name) == Some(limit) => {}
                Some(limiter) => limiter.configure(*limit),
                None => {
                    let restored = removed.remove(name).inspect(|limiter| limiter.configure(*limit));
                    let limiter = restored.unwrap_or_else(|| self.0.stores.limiter(name, *limit));
                    active.insert(name.clone(), limiter);
                }
            }
        }
    }

    #[cfg(feature = "policies")]
    pub fn downgrade(&self) -> WeakLimiters {
        WeakLimiters(Arc::downgrade(&self.0))
    }
}

#[cfg(feature = "policies")]
impl WeakLimiters {
    pub fn upgrade(&self) -> Option<Limiters> {
        self.0.upgrade().map(Limiters)
    }
}
