//! A subscription to generations.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::generation::Generation;

/// The generations that become active after [`Policies::subscribe`](crate::Policies::subscribe), in order. They wait
/// in memory until they are read.
///
/// As an iterator it blocks until the next generation is active, and ends when the registry is dropped.
#[derive(Debug)]
pub struct Generations(Receiver<Arc<Generation>>);

impl Generations {
    pub(crate) const fn new(receiver: Receiver<Arc<Generation>>) -> Self {
        Self(receiver)
    }

    /// Returns the next generation, if it is active already.
    #[must_use]
    pub fn try_next(&self) -> Option<Arc<Generation>> {
        self.0.try_recv().ok()
    }

    /// Blocks until the next generation is active. Returns `None` after `timeout`, or when the registry was dropped.
    #[must_use]
    pub fn next_within(&self, timeout: Duration) -> Option<Arc<Generation>> {
        self.0.recv_timeout(timeout).ok()
    }
}

impl Iterator for Generations {
    type Item = Arc<Generation>;

    fn next(&mut self) -> Option<Arc<Generation>> {
        self.0.recv().ok()
    }
}
