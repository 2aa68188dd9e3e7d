//! How much longer a guest may run.

use std::time::Duration;

use wasmtime::UpdateDeadline;

use super::ticks::TICK;

/// The running time that is left to a guest.
///
/// Epochs also pass while a thread waits for a CPU, and on a busy machine a thread may wait longer than a deadline.
/// Therefore the CPU time of the thread is read at each tick during which the guest runs. Few calls last until a tick.
pub struct CpuBudget {
    /// The CPU time that the guest may use.
    pub available: Duration,
    /// The tick in which the call began.
    start_tick: u64,
    /// The CPU time at the first tick during the call, and the time that counts as used until then.
    first_tick: Option<(Duration, Duration)>,
}

impl CpuBudget {
    /// Creates the budget of a call that begins in this tick.
    pub const fn new(available: Duration, start_tick: u64) -> Self {
        Self { available, start_tick, first_tick: None }
    }

    /// Decides at a tick whether the guest may continue. The first tick may come directly after the start, so it never
    /// ends a guest.
    pub fn on_tick(&mut self, tick: u64) -> UpdateDeadline {
        let cpu = cpu_time();
        let Some((cpu_before, used_before)) = self.first_tick else {
            self.first_tick = Some((cpu, self.used_before(tick)));
            return UpdateDeadline::Continue(1);
        };
        // Ticks are not exact, and one that comes a little early must not grant a further tick.
        let used = used_before + cpu.saturating_sub(cpu_before) + TICK / 4;
        if used >= self.available { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }

    /// Returns the time that counts as used before the first tick during the call: the tick in which the call began,
    /// and the missed ones.
    ///
    /// Ticks are missed during one long instruction, or while the thread waits for a CPU. To tell these apart, the CPU
    /// time would have to be read at the start of each call, which costs a third of a call. Therefore missed ticks
    /// count, but at most for half of the available time.
    fn used_before(&self, tick: u64) -> Duration {
        let missed = u32::try_from(tick.saturating_sub(self.start_tick + 1)).unwrap_or(u32::MAX);
        TICK + TICK.saturating_mul(missed).min(self.available / 2)
    }
}

/// Returns the CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default() // it starts at zero, so it is never negative
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used_before_us(available_ms: u64, start_tick: u64, tick: u64) -> u128 {
        CpuBudget::new(Duration::from_millis(available_ms), start_tick).used_before(tick).as_micros()
    }

    #[test]
    fn missed_ticks_count_up_to_half_of_the_available_time() {
        let rows =
            [((5, 7, 8), 1_000), ((5, 7, 10), 3_000), ((5, 7, 11), 3_500), ((5, 7, 999), 3_500), ((1, 0, 9), 1_500)];
        for ((available, start, tick), expected) in rows {
            assert_eq!(used_before_us(available, start, tick), expected, "{available} ms, from {start} to {tick}");
        }
    }

    #[test]
    fn guest_is_not_ended_at_its_first_tick() {
        let mut budget = CpuBudget::new(Duration::from_millis(1), 0);
        assert!(matches!(budget.on_tick(99), UpdateDeadline::Continue(1)));
        assert!(matches!(budget.on_tick(100), UpdateDeadline::Interrupt), "the deadline has passed at the second tick");
    }
}
