//! The guests of one policy: instances made on demand, called within a deadline, kept while they behave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::units::show_duration;
use tidegate_core::{Fault, FaultKind};
use wasmtime::{Engine, Error, Store, Trap, UpdateDeadline, WasmBacktrace};

use super::alert::Line;
use super::limits::Limits;
use super::pool::Pool;

/// A store frees nothing that its guest gave back, so an instance is retired after so many calls; making the next
/// one costs some 20 µs.
const CALLS_OF_AN_INSTANCE: u32 = 1_000;

/// The most bytes the host copies out of a guest for one verdict.
const MAX_ANSWER: usize = 64 * 1024;

/// A call loses its deadline to other threads only where it loses every slice of it.
const SLICES: u32 = 4;

/// What a store carries for its guest.
pub struct State {
    limits: Limits,
    /// To the metrics, while an alert condition is being evaluated.
    pub line: Option<Line>,
    /// The slices of the deadline that are left, and the epochs of each.
    slices: (u32, u64),
}

/// One instance in its store.
pub struct Guest<B> {
    store: Store<State>,
    exports: B,
    calls: u32,
}

/// Makes an instance in a store.
type Start<B> = Box<dyn Fn(&mut Store<State>) -> wasmtime::Result<B> + Send + Sync>;

/// The guests of one policy.
pub struct Guests<B> {
    owner: u64,
    engine: Engine,
    pool: Arc<Pool<Guest<B>>>,
    max_memory: usize,
    start: Start<B>,
}

impl<B> Guests<B> {
    /// No guest yet; `start` makes them, each with `max_memory` bytes at most.
    pub fn new(engine: &Engine, pool: &Arc<Pool<Guest<B>>>, max_memory: usize, start: Start<B>) -> Self {
        static NEXT_OWNER: AtomicU64 = AtomicU64::new(0);
        let owner = NEXT_OWNER.fetch_add(1, Ordering::Relaxed);
        Self { owner, engine: engine.clone(), pool: Arc::clone(pool), max_memory, start }
    }

    /// Calls a guest, a warm one where there is one.
    ///
    /// The deadline holds for making an instance and again for the call.
    pub fn call<R>(
        &self,
        deadline: Duration,
        ask: impl FnOnce(&mut Store<State>, &B) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let mut lease = self.pool.lease(self.owner);
        let ready = match lease.instance.take() {
            Some(warm) => warm,
            None => self.make(deadline)?,
        };
        let guest = lease.instance.insert(ready);
        allow(&mut guest.store, deadline);
        guest.store.data_mut().limits.begin();
        let answer = ask(&mut guest.store, &guest.exports);
        guest.store.data_mut().line = None;
        guest.calls += 1;
        let denied = guest.store.data().limits.was_denied();
        lease.keep = answer.is_ok() && guest.calls < CALLS_OF_AN_INSTANCE;
        answer.map_err(|error| fault(&error, denied, deadline, FaultKind::Type))
    }

    fn make(&self, deadline: Duration) -> Result<Guest<B>, Fault> {
        let state = State { limits: Limits::new(self.max_memory), line: None, slices: (0, 0) };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(MAX_ANSWER);
        store.epoch_deadline_callback(|mut context| Ok(next_slice(context.data_mut())));
        allow(&mut store, deadline);
        match (self.start)(&mut store) {
            Ok(exports) => Ok(Guest { store, exports, calls: 0 }),
            Err(error) => Err(fault(&error, store.data().limits.was_denied(), deadline, FaultKind::Trap)),
        }
    }
}

impl<B> Drop for Guests<B> {
    fn drop(&mut self) {
        self.pool.forget(self.owner);
    }
}

/// Gives a guest its deadline, slice after slice.
///
/// Epochs pass while a thread waits for a CPU, and a busy machine makes threads wait longer than a deadline. A guest
/// that lost a slice that way needs microseconds of the next one, which begins when the guest runs again.
fn allow(store: &mut Store<State>, deadline: Duration) {
    // The epoch that has begun is partly over, hence one more.
    let epochs = tidegate_core::clock::millis(deadline).div_ceil(SLICES.into()).saturating_add(1);
    store.data_mut().slices = (SLICES - 1, epochs);
    store.set_epoch_deadline(epochs);
}

fn next_slice(state: &mut State) -> UpdateDeadline {
    let (left, epochs) = &mut state.slices;
    match left.checked_sub(1) {
        Some(fewer) => {
            *left = fewer;
            UpdateDeadline::Continue(*epochs)
        }
        None => UpdateDeadline::Interrupt,
    }
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
