//! The guests of one policy: instances made on demand, called within a deadline, kept while they behave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::config::{Isolation, Terms};
use tidegate_core::units::show_duration;
use tidegate_core::{Fault, FaultKind};
use wasmtime::{Engine, Error, Store, Trap, UpdateDeadline, WasmBacktrace};

use super::engine::TICK;
use super::imports::Call;
use super::limits::Limits;
use super::pool::{Owner, Pool};

/// A store frees nothing that its guest gave back, so an instance is retired after so many calls; making the next
/// one costs some 20 µs.
const CALLS_OF_AN_INSTANCE: u32 = 1_000;

/// The most bytes the host copies out of a guest for one verdict.
const MAX_ANSWER: usize = 64 * 1024;

/// What a store carries for its guest.
pub struct State {
    limits: Limits,
    allowance: Allowance,
    /// What its host functions answer by.
    pub call: Call,
}

/// How much longer a guest may run.
///
/// Epochs pass while a thread waits for a CPU, and a busy machine makes threads wait longer than a deadline. So at each
/// tick that the running guest meets, the CPU time of its thread is looked at. Few verdicts meet any.
struct Allowance {
    deadline: Duration,
    /// The tick in which it began.
    begun: u64,
    /// The CPU time at the first tick that it met, and what counts as used by then.
    since: Option<(Duration, Duration)>,
}

/// How many ticks have passed.
pub type Ticks = Arc<AtomicU64>;

/// One instance in its store.
pub struct Guest<B> {
    store: Store<State>,
    exports: B,
    calls: u32,
}

/// Makes an instance in a store and sets it up.
pub type Start<B> = Box<dyn Fn(&mut Store<State>) -> wasmtime::Result<B> + Send + Sync>;

/// Boxed, since an instance is taken from the pool and put back at each call: a pointer moves, not half a kilobyte.
pub type Room<B> = Pool<Box<Guest<B>>>;

/// The guests of one policy.
pub struct Guests<B> {
    engine: Engine,
    ticks: Ticks,
    pool: Arc<Room<B>>,
    owner: Owner,
    policy: Arc<str>,
    terms: Terms,
    start: Start<B>,
}

impl<B> Guests<B> {
    /// No guest yet; `start` makes them, each within the terms of this policy.
    pub fn new(
        (engine, ticks): (&Engine, &Ticks),
        pool: &Arc<Room<B>>,
        policy: &str,
        terms: &Terms,
        start: Start<B>,
    ) -> Self {
        let owner = Owner::new(terms.bounds.max_instances);
        let (engine, ticks, pool) = (engine.clone(), Arc::clone(ticks), Arc::clone(pool));
        Self { engine, ticks, pool, owner, policy: policy.into(), terms: terms.clone(), start }
    }

    /// Calls a guest, a warm one where there is one; `None` for the deadline means the policy's own.
    ///
    /// The deadline holds for making an instance and the call together.
    pub fn call<R>(
        &self,
        deadline: Option<Duration>,
        ask: impl FnOnce(&mut Store<State>, &B) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let deadline = deadline.unwrap_or(self.terms.deadline);
        let mut lease = self.pool.lease(&self.owner);
        let ready = match lease.instance.take() {
            Some(mut warm) => {
                self.allow(&mut warm.store, deadline);
                warm
            }
            None => self.make(deadline)?,
        };
        let guest = lease.instance.insert(ready);
        guest.store.data_mut().limits.begin();
        let answer = ask(&mut guest.store, &guest.exports);
        let warned = guest.store.data_mut().call.end();
        guest.calls += 1;
        let reused = self.terms.bounds.isolation == Isolation::Reuse && guest.calls < CALLS_OF_AN_INSTANCE;
        lease.keep = answer.is_ok() && reused;
        answer.map_err(|error| {
            with_warning(fault(&error, guest.store.data().limits.was_denied(), deadline, FaultKind::Type), warned)
        })
    }

    /// Gives a guest its deadline.
    fn allow(&self, store: &mut Store<State>, deadline: Duration) {
        let begun = self.ticks.load(Ordering::Relaxed);
        store.data_mut().allowance = Allowance { deadline, begun, since: None };
        store.set_epoch_deadline(1);
    }

    fn make(&self, deadline: Duration) -> Result<Box<Guest<B>>, Fault> {
        let state = State {
            limits: Limits::new(&self.terms.bounds),
            allowance: Allowance { deadline, begun: 0, since: None },
            call: Call::of(&self.policy),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(MAX_ANSWER);
        let ticks = Arc::clone(&self.ticks);
        store.epoch_deadline_callback(move |mut context| {
            Ok(context.data_mut().allowance.tick(ticks.load(Ordering::Relaxed)))
        });
        self.allow(&mut store, deadline);
        match (self.start)(&mut store) {
            Ok(exports) => Ok(Box::new(Guest { store, exports, calls: 0 })),
            Err(error) => {
                let warned = store.data_mut().call.end();
                Err(with_warning(fault(&error, store.data().limits.was_denied(), deadline, FaultKind::Trap), warned))
            }
        }
    }
}

impl<B> Drop for Guests<B> {
    fn drop(&mut self) {
        self.pool.forget(&self.owner);
    }
}

impl Allowance {
    /// Looks at what is used, at this tick; never ends a guest at the first, which may come at any moment.
    fn tick(&mut self, tick: u64) -> UpdateDeadline {
        let cpu = cpu_time();
        let Some((cpu_before, used_before)) = self.since else {
            self.since = Some((cpu, self.before(tick)));
            return UpdateDeadline::Continue(1);
        };
        // Ticks do not come to the microsecond, and one that comes a little early is not to cost another.
        let used = used_before + cpu.saturating_sub(cpu_before) + TICK / 4;
        if used >= self.deadline { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }

    /// What counts as used before the first tick that was met: the tick in which it began, and those that were missed.
    ///
    /// It missed them in one long instruction, or while its thread stood still: reading the CPU time at each call, to
    /// tell, would cost a third of a verdict. So they count, and half of the deadline is left in any case.
    fn before(&self, tick: u64) -> Duration {
        let missed = u32::try_from(tick.saturating_sub(self.begun + 1)).unwrap_or(u32::MAX);
        TICK + TICK.saturating_mul(missed).min(self.deadline / 2)
    }
}

/// What this thread has used of a CPU.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default() // it counts up from zero
}

/// A trap says where a guest ended; the guest's last warning, if it gave one, says why.
fn with_warning(mut fault: Fault, warned: Option<String>) -> Fault {
    if let (FaultKind::Trap, Some(line)) = (fault.kind, warned.as_deref().and_then(|words| words.lines().next())) {
        fault.message = format!("{}: {line}", fault.message);
    }
    fault
}

/// The fault that an error of wasmtime is; `other` where it is no trap.
fn fault(error: &Error, denied: bool, deadline: Duration, other: FaultKind) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    let kind = match trap {
        Some(Trap::Interrupt) => FaultKind::Deadline,
        Some(Trap::StackOverflow | Trap::AllocationTooLarge) => FaultKind::Memory,
        _ if denied => FaultKind::Memory,
        Some(_) => FaultKind::Trap,
        None => other,
    };
    let what = match (kind, trap) {
        (FaultKind::Deadline, _) => format!("ran longer than {}", show_duration(deadline)),
        (FaultKind::Memory, Some(Trap::StackOverflow)) => "calls nested too deeply".to_owned(),
        (FaultKind::Memory, _) => "wanted more memory than it may have".to_owned(),
        (_, Some(trap)) => trap.to_string(),
        (_, None) => format!("{error:#}"),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let function = backtrace.and_then(|trace| trace.frames().iter().find_map(|frame| frame.func_name()));
    match function {
        Some(name) => Fault::new(kind, format!("{what}, in {name}")),
        None => Fault::new(kind, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(deadline_ms: u64, begun: u64, tick: u64) -> u128 {
        let allowance = Allowance { deadline: Duration::from_millis(deadline_ms), begun, since: None };
        allowance.before(tick).as_micros()
    }

    #[test]
    fn ticks_that_were_missed_count_up_to_half_of_the_deadline() {
        let rows =
            [((5, 7, 8), 1_000), ((5, 7, 10), 3_000), ((5, 7, 11), 3_500), ((5, 7, 999), 3_500), ((1, 0, 9), 1_500)];
        for ((deadline, begun, tick), expected) in rows {
            assert_eq!(before(deadline, begun, tick), expected, "{deadline} ms, from {begun} to {tick}");
        }
    }

    #[test]
    fn a_guest_is_never_ended_at_the_first_tick_that_it_meets() {
        let mut allowance = Allowance { deadline: Duration::from_millis(1), begun: 0, since: None };
        assert!(matches!(allowance.tick(99), UpdateDeadline::Continue(1)));
        assert!(matches!(allowance.tick(100), UpdateDeadline::Interrupt), "and at the second its time is over");
    }
}
