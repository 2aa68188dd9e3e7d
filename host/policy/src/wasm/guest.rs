//! The guests of one policy: instances that are created on demand, called within a deadline, and reused until they
//! fault.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::{Isolation, ResolvedPolicyConfig};
use tidegate_core::units::format_duration;
use tidegate_core::{Fault, FaultKind};
use wasmtime::{Engine, Error, Store};

use super::budget::CpuBudget;
use super::call::GuestCall;
use super::contract::{Guest, Instantiate, PolicyInput};
use super::fault::{TimeLimit, fault, with_warning};
use super::limits::GuestLimits;
use super::pool::{Pool, PoolOwner};
use super::state::GuestState;
use super::text::cut;
use super::ticks::Ticks;
use crate::decisions::mask::masked_message;

/// The maximum number of calls of one instance. A store does not free what its guest deallocated, so the instance is
/// replaced after these calls. A new one costs about 20 µs.
const MAX_CALLS_PER_INSTANCE: u32 = 1_000;
/// The maximum number of bytes that the host copies out of a guest for one verdict.
const MAX_VERDICT_SIZE: usize = 64 * 1024;
/// The prefix of the error with which a policy rejects its settings.
pub const SETTINGS_REJECTED: &str = "the policy rejected its settings: ";

/// One instance and its store.
pub struct GuestInstance<I> {
    store: Store<GuestState>,
    guest: Box<dyn Guest<I>>,
    calls: u32,
}

/// The instances are boxed, because each call takes one from the pool and returns it: this moves a pointer instead of
/// half a kilobyte.
pub type InstancePool<I> = Pool<Box<GuestInstance<I>>>;

/// What runs the guests of all policies.
#[derive(Clone)]
pub struct GuestRuntime {
    /// The engine.
    pub engine: Engine,
    /// The ticks of the engine.
    pub ticks: Ticks,
}

/// The guests of one policy.
pub struct Guests<I: PolicyInput> {
    runtime: GuestRuntime,
    pool: Arc<InstancePool<I>>,
    owner: PoolOwner,
    policy: Arc<str>,
    config: ResolvedPolicyConfig,
    instantiate: Instantiate<I>,
}

impl<I: PolicyInput> Guests<I> {
    /// Creates the guests of a policy, without an instance yet. `instantiate` creates instances, within the policy's
    /// limits.
    pub fn new(
        runtime: &GuestRuntime,
        pool: &Arc<InstancePool<I>>,
        policy: &str,
        config: &ResolvedPolicyConfig,
        instantiate: Instantiate<I>,
    ) -> Self {
        let owner = PoolOwner::new(config.limits.max_instances);
        let (runtime, pool, config) = (runtime.clone(), Arc::clone(pool), config.clone());
        Self { runtime, pool, owner, policy: policy.into(), config, instantiate }
    }

    /// Returns a guest's verdict. Reuses a warm instance if there is one. `begin` sets what the guest may read. Without
    /// a `deadline`, the deadline of the policy applies.
    ///
    /// The deadline covers the wait for an instance, the creation of one and the call together.
    pub fn decide(
        &self,
        deadline: Option<Duration>,
        input: &I,
        begin: impl FnOnce(&mut GuestCall),
    ) -> Result<I::Verdict, Fault> {
        let deadline = deadline.unwrap_or(self.config.deadline);
        let Some(mut lease) = self.pool.lease(&self.owner, deadline) else {
            let message = format!("no instance became free within {}", format_duration(deadline));
            return Err(Fault::new(FaultKind::Deadline, message));
        };
        let time = TimeLimit { deadline, waited: lease.waited };
        let instance = match lease.instance.take() {
            Some(mut warm) => {
                self.start_budget(&mut warm.store, time);
                warm
            }
            None => self.create(time)?,
        };
        let GuestInstance { store, guest, calls } = &mut **lease.instance.insert(instance);
        store.data_mut().limits.reset_exceeded();
        begin(&mut store.data_mut().call);
        let result = guest.decide(store, input);
        let warning = store.data_mut().call.end();
        *calls += 1;
        let may_reuse = self.config.limits.isolation == Isolation::Reuse && *calls < MAX_CALLS_PER_INSTANCE;
        lease.is_reusable = result.is_ok() && may_reuse;
        let exceeded = store.data().limits.was_exceeded();
        result.map_err(|error| with_warning(fault(&error, exceeded, time, FaultKind::Type), warning))
    }

    fn start_budget(&self, store: &mut Store<GuestState>, time: TimeLimit) {
        store.data_mut().budget = CpuBudget::new(time.available(), self.runtime.ticks.count());
        store.set_epoch_deadline(1);
    }

    fn create(&self, time: TimeLimit) -> Result<Box<GuestInstance<I>>, Fault> {
        let state = GuestState {
            limits: GuestLimits::new(&self.config.limits),
            budget: CpuBudget::new(time.available(), 0),
            call: GuestCall::new(&self.policy),
        };
        let mut store = Store::new(&self.runtime.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(MAX_VERDICT_SIZE);
        let ticks = self.runtime.ticks.clone();
        store.epoch_deadline_callback(move |mut context| Ok(context.data_mut().budget.on_tick(ticks.count())));
        self.start_budget(&mut store, time);
        match self.start(&mut store) {
            Ok(guest) => Ok(Box::new(GuestInstance { store, guest, calls: 0 })),
            Err(error) => {
                let warning = store.data_mut().call.end();
                let exceeded = store.data().limits.was_exceeded();
                Err(with_warning(fault(&error, exceeded, time, FaultKind::Trap), warning))
            }
        }
    }

    /// Creates a guest in a store and configures it.
    fn start(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Box<dyn Guest<I>>> {
        let guest = (self.instantiate)(store)?;
        let configured = guest.configure(store, &self.config.settings)?;
        configured.map_err(|message| {
            let reason = masked_message(&cut(message), &self.config.settings);
            Error::msg(format!("{SETTINGS_REJECTED}{reason}"))
        })?;
        Ok(guest)
    }
}

impl<I: PolicyInput> Drop for Guests<I> {
    fn drop(&mut self) {
        self.pool.remove_owner(&self.owner);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use tidegate_core::config::{Config, Settings};
    use tidegate_core::{Failure, Verdict};

    use super::*;

    /// A deadline that no test reaches.
    const LONG: Duration = Duration::from_secs(60);
    /// A deadline that every waiting caller reaches.
    const SHORT: Duration = Duration::from_millis(20);

    /// A guest that waits at two barriers for the attempts 2 and higher, and returns its time as the verdict.
    struct WaitingGuest(Arc<[Barrier; 2]>);

    impl Guest<Failure> for WaitingGuest {
        fn configure(&self, _: &mut Store<GuestState>, _: &Settings) -> wasmtime::Result<Result<(), String>> {
            Ok(Ok(()))
        }

        fn decide(&self, store: &mut Store<GuestState>, failure: &Failure) -> wasmtime::Result<Verdict> {
            if failure.attempt > 1 {
                self.0.iter().for_each(|barrier| {
                    barrier.wait();
                });
            }
            Ok(Verdict::abstain().with_delay(store.data().budget.available))
        }
    }

    /// The guests of a policy with one instance, and the barriers at which a guest waits.
    fn guests() -> (Guests<Failure>, Arc<[Barrier; 2]>) {
        let engine = Engine::default();
        let ticks = Ticks::start(&engine).unwrap();
        let barriers = Arc::new([Barrier::new(2), Barrier::new(2)]);
        let mut config = Config::default().policies.resolve("retry/x.wasm");
        config.limits.max_instances = 1;
        let instantiate: Instantiate<Failure> = Box::new({
            let barriers = Arc::clone(&barriers);
            move |_| Ok(Box::new(WaitingGuest(Arc::clone(&barriers))))
        });
        let pool = Arc::new(Pool::new(9));
        (Guests::new(&GuestRuntime { engine, ticks }, &pool, "retry/x.wasm", &config, instantiate), barriers)
    }

    fn decide(guests: &Guests<Failure>, attempt: u32, deadline: Duration) -> Result<Verdict, Fault> {
        guests.decide(Some(deadline), &Failure::default().with_attempt(attempt), |_| {})
    }

    #[test]
    fn wait_for_an_instance_that_reaches_the_deadline_is_a_deadline_fault() {
        let (guests, barriers) = guests();
        thread::scope(|scope| {
            let holder = scope.spawn(|| decide(&guests, 2, LONG));
            barriers[0].wait();
            let waiters = [(); 4].map(|()| scope.spawn(|| decide(&guests, 1, SHORT)));
            for waiter in waiters {
                let fault = waiter.join().unwrap().unwrap_err();
                assert_eq!(fault, Fault::new(FaultKind::Deadline, "no instance became free within 20ms"));
            }
            barriers[1].wait();
            assert!(holder.join().unwrap().is_ok(), "the running guest is not affected");
        });
        assert!(decide(&guests, 1, SHORT).is_ok(), "the instance is free again");
    }

    #[test]
    fn wait_for_an_instance_is_subtracted_from_the_time_of_the_guest() {
        let (guests, barriers) = guests();
        let available = |result: Result<Verdict, Fault>| Duration::from_millis(result.unwrap().after_ms.unwrap());
        thread::scope(|scope| {
            let holder = scope.spawn(|| decide(&guests, 2, LONG));
            barriers[0].wait();
            let waiters = [(); 4].map(|()| scope.spawn(|| decide(&guests, 1, LONG)));
            guests.pool.await_waiting(4);
            barriers[1].wait();
            assert_eq!(available(holder.join().unwrap()), LONG, "it did not wait");
            for waiter in waiters {
                assert!(available(waiter.join().unwrap()) < LONG);
            }
        });
        assert_eq!(available(decide(&guests, 1, LONG)), LONG);
    }
}
