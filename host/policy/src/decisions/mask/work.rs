//! Counts the work of masking in tests.

/// Adds to the work: the number of bytes that are read, or of secrets that are compared. Does nothing outside of tests.
#[cfg(not(test))]
pub const fn add(_: usize) {}

#[cfg(test)]
pub use counted::{add, count};

#[cfg(test)]
mod counted {
    use std::cell::Cell;

    thread_local! {
        static WORK: Cell<usize> = const { Cell::new(0) };
    }

    pub fn add(work: usize) {
        WORK.set(WORK.get() + work);
    }

    /// Returns the work of a function.
    pub fn count(function: impl FnOnce()) -> usize {
        WORK.set(0);
        function();
        WORK.get()
    }
}
