//! The timer that enforces the deadlines of guests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::{Engine, EngineWeak};

/// The length of a tick. Deadlines are checked at each tick.
pub const TICK: Duration = Duration::from_millis(1);

/// The number of ticks of an engine so far.
#[derive(Clone)]
pub struct Ticks(Arc<AtomicU64>);

impl Ticks {
    /// Starts the thread that advances the epoch of an engine at each tick. It ends when the engine is dropped.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub fn start(engine: &Engine) -> io::Result<Self> {
        let ticks = Self(Arc::default());
        let (engine, count) = (engine.weak(), Arc::clone(&ticks.0));
        thread::Builder::new().name("tidegate-epochs".to_owned()).spawn(move || run(&engine, &count))?;
        Ok(ticks)
    }

    /// Returns the number of ticks so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Advances the epoch at each tick, until the engine and the last policy are dropped.
fn run(engine: &EngineWeak, ticks: &AtomicU64) {
    let mut next = Instant::now();
    while let Some(engine) = engine.upgrade() {
        ticks.fetch_add(1, Ordering::Relaxed);
        engine.increment_epoch();
        drop(engine);
        // Sleeps until an absolute time, so that fifty ticks take fifty milliseconds. Ticks that a busy machine missed
        // are not repeated.
        next = (next + TICK).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
