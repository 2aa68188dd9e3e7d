//! The guests of one policy: instances that are created on demand, called within a deadline, and reused until they
//! fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::config::{Isolation, ResolvedPolicyConfig};
use tidegate_core::units::format_duration;
use tidegate_core::{Fault, FaultKind};
use wasmtime::{Engine, Error, Store, Trap, UpdateDeadline, WasmBacktrace};

use super::engine::TICK;
use super::imports::GuestCall;
use super::limits::GuestLimits;
use super::pool::{Pool, PoolOwner};

/// The maximum number of calls of one instance. A store does not free what its guest deallocated, so the instance is
/// replaced after these calls. A new one costs about 20 µs.
const MAX_CALLS_PER_INSTANCE: u32 = 1_000;

/// The maximum number of bytes that the host copies out of a guest for one verdict.
const MAX_VERDICT_SIZE: usize = 64 * 1024;

/// The host state of a store.
pub struct GuestState {
    limits: GuestLimits,
    cpu_budget: CpuBudget,
    /// The context of the host functions.
    pub call: GuestCall,
}

/// How much longer a guest may run.
///
/// Epochs also pass while a thread waits for a CPU, and on a busy machine a thread may wait longer than a deadline.
/// Therefore the CPU time of the thread is read at each tick during which the guest runs. Few calls last until a tick.
struct CpuBudget {
    deadline: Duration,
    /// The tick in which the call began.
    start_tick: u64,
    /// The CPU time at the first tick during the call, and the time that counts as used until then.
    first_tick: Option<(Duration, Duration)>,
}

/// The number of ticks that have passed.
pub type TickCounter = Arc<AtomicU64>;

/// One instance and its store.
pub struct GuestInstance<B> {
    store: Store<GuestState>,
    exports: B,
    calls: u32,
}

/// Creates an instance in a store and configures it.
pub type StartGuest<B> = Box<dyn Fn(&mut Store<GuestState>) -> wasmtime::Result<B> + Send + Sync>;

/// The instances are boxed, because each call takes one from the pool and returns it: this moves a pointer instead of
/// half a kilobyte.
pub type InstancePool<B> = Pool<Box<GuestInstance<B>>>;

/// The guests of one policy.
pub struct Guests<B> {
    engine: Engine,
    ticks: TickCounter,
    pool: Arc<InstancePool<B>>,
    owner: PoolOwner,
    policy: Arc<str>,
    config: ResolvedPolicyConfig,
    start: StartGuest<B>,
}

impl<B> Guests<B> {
    /// Creates the guests of a policy, without an instance yet. `start` creates instances, within the policy's limits.
    pub fn new(
        (engine, ticks): (&Engine, &TickCounter),
        pool: &Arc<InstancePool<B>>,
        policy: &str,
        config: &ResolvedPolicyConfig,
        start: StartGuest<B>,
    ) -> Self {
        let owner = PoolOwner::new(config.limits.max_instances);
        let (engine, ticks, pool) = (engine.clone(), Arc::clone(ticks), Arc::clone(pool));
        Self { engine, ticks, pool, owner, policy: policy.into(), config: config.clone(), start }
    }

    /// Calls a guest. Reuses a warm instance if there is one. Without a `deadline`, the deadline of the policy applies.
    ///
    /// The deadline covers the creation of an instance and the call together.
    pub fn call<R>(
        &self,
        deadline: Option<Duration>,
        call: impl FnOnce(&mut Store<GuestState>, &B) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let deadline = deadline.unwrap_or(self.config.deadline);
        let mut lease = self.pool.lease(&self.owner);
        let instance = match lease.instance.take() {
            Some(mut warm) => {
                self.set_deadline(&mut warm.store, deadline);
                warm
            }
            None => self.create(deadline)?,
        };
        let guest = lease.instance.insert(instance);
        guest.store.data_mut().limits.reset_exceeded();
        let result = call(&mut guest.store, &guest.exports);
        let warning = guest.store.data_mut().call.end();
        guest.calls += 1;
        let may_reuse = self.config.limits.isolation == Isolation::Reuse && guest.calls < MAX_CALLS_PER_INSTANCE;
        lease.is_reusable = result.is_ok() && may_reuse;
        result.map_err(|error| {
            let exceeded = guest.store.data().limits.was_exceeded();
            with_warning(fault(&error, exceeded, deadline, FaultKind::Type), warning)
        })
    }

    fn set_deadline(&self, store: &mut Store<GuestState>, deadline: Duration) {
        let start_tick = self.ticks.load(Ordering::Relaxed);
        store.data_mut().cpu_budget = CpuBudget { deadline, start_tick, first_tick: None };
        store.set_epoch_deadline(1);
    }

    fn create(&self, deadline: Duration) -> Result<Box<GuestInstance<B>>, Fault> {
        let state = GuestState {
            limits: GuestLimits::new(&self.config.limits),
            cpu_budget: CpuBudget { deadline, start_tick: 0, first_tick: None },
            call: GuestCall::new(&self.policy),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(MAX_VERDICT_SIZE);
        let ticks = Arc::clone(&self.ticks);
        store.epoch_deadline_callback(move |mut context| {
            Ok(context.data_mut().cpu_budget.on_tick(ticks.load(Ordering::Relaxed)))
        });
        self.set_deadline(&mut store, deadline);
        match (self.start)(&mut store) {
            Ok(exports) => Ok(Box::new(GuestInstance { store, exports, calls: 0 })),
            Err(error) => {
                let warning = store.data_mut().call.end();
                let exceeded = store.data().limits.was_exceeded();
                Err(with_warning(fault(&error, exceeded, deadline, FaultKind::Trap), warning))
            }
        }
    }
}

impl<B> Drop for Guests<B> {
    fn drop(&mut self) {
        self.pool.remove_owner(&self.owner);
    }
}

impl CpuBudget {
    /// Decides at a tick whether the guest may continue. The first tick may come directly after the start, so it never
    /// ends a guest.
    fn on_tick(&mut self, tick: u64) -> UpdateDeadline {
        let cpu = cpu_time();
        let Some((cpu_before, used_before)) = self.first_tick else {
            self.first_tick = Some((cpu, self.used_before(tick)));
            return UpdateDeadline::Continue(1);
        };
        // Ticks are not exact, and one that comes a little early must not grant a further tick.
        let used = used_before + cpu.saturating_sub(cpu_before) + TICK / 4;
        if used >= self.deadline { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }

    /// Returns the time that counts as used before the first tick during the call: the tick in which the call began,
    /// and the missed ones.
    ///
    /// Ticks are missed during one long instruction, or while the thread waits for a CPU. To tell these apart, the CPU
    /// time would have to be read at the start of each call, which costs a third of a call. Therefore missed ticks
    /// count, but at most for half of the deadline.
    fn used_before(&self, tick: u64) -> Duration {
        let missed = u32::try_from(tick.saturating_sub(self.start_tick + 1)).unwrap_or(u32::MAX);
        TICK + TICK.saturating_mul(missed).min(self.deadline / 2)
    }
}

/// Returns the CPU time that this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default() // it starts at zero, so it is never negative
}

/// Adds the guest's last warning to a trap. The trap only says where the guest ended; the warning may say why.
fn with_warning(mut fault: Fault, warning: Option<String>) -> Fault {
    if let (FaultKind::Trap, Some(line)) = (fault.kind, warning.as_deref().and_then(|text| text.lines().next())) {
        fault.message = format!("{}: {line}", fault.message);
    }
    fault
}

/// Converts a Wasmtime error to a fault. `other` is the kind of an error that is not a trap.
fn fault(error: &Error, exceeded: bool, deadline: Duration, other: FaultKind) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    let kind = match trap {
        Some(Trap::Interrupt) => FaultKind::Deadline,
        Some(Trap::StackOverflow | Trap::AllocationTooLarge) => FaultKind::Memory,
        _ if exceeded => FaultKind::Memory,
        Some(_) => FaultKind::Trap,
        None => other,
    };
    let message = match (kind, trap) {
        (FaultKind::Deadline, _) => format!("ran longer than {}", format_duration(deadline)),
        (FaultKind::Memory, Some(Trap::StackOverflow)) => "stack overflow: calls nested too deeply".to_owned(),
        (FaultKind::Memory, _) => "exceeded its memory limit".to_owned(),
        (_, Some(trap)) => trap.to_string(),
        (_, None) => format!("{error:#}"),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let function = backtrace.and_then(|trace| trace.frames().iter().find_map(|frame| frame.func_name()));
    match function {
        Some(name) => Fault::new(kind, format!("{message}, in {name}")),
        None => Fault::new(kind, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used_before_us(deadline_ms: u64, start_tick: u64, tick: u64) -> u128 {
        let budget = CpuBudget { deadline: Duration::from_millis(deadline_ms), start_tick, first_tick: None };
        budget.used_before(tick).as_micros()
    }

    #[test]
    fn missed_ticks_count_up_to_half_of_the_deadline() {
        let rows =
            [((5, 7, 8), 1_000), ((5, 7, 10), 3_000), ((5, 7, 11), 3_500), ((5, 7, 999), 3_500), ((1, 0, 9), 1_500)];
        for ((deadline, start, tick), expected) in rows {
            assert_eq!(used_before_us(deadline, start, tick), expected, "{deadline} ms, from {start} to {tick}");
        }
    }

    #[test]
    fn guest_is_not_ended_at_its_first_tick() {
        let mut budget = CpuBudget { deadline: Duration::from_millis(1), start_tick: 0, first_tick: None };
        assert!(matches!(budget.on_tick(99), UpdateDeadline::Continue(1)));
        assert!(matches!(budget.on_tick(100), UpdateDeadline::Interrupt), "the deadline has passed at the second tick");
    }
}
