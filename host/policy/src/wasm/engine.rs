//! The one engine of a process: what it loads, and the clock that bounds every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tidegate_core::config::{Bounds, PoliciesConfig, Setting, Settings, Terms};
use tidegate_core::{AdmitPolicy, AlertPolicy, Fault, RetryPolicy};
use wasmtime::component::{HasSelf, InstancePre, Linker};
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::admit::WasmAdmit;
use super::alert::{AlertGuest, WasmAlert};
use super::bindings::admit::{Admit, AdmitPre};
use super::bindings::alert::AlertPre;
use super::bindings::retry::RetryPre;
use super::bindings::shared::{limits, log, metrics, settings_types};
use super::bindings::v0_1;
use super::compiler::{Binary, Compiler};
use super::guest::{Guests, Room, Start, State, Ticks};
use super::limits::{INSTANCES, MEMORIES, TABLES};
use super::pool::Pool;
use super::retry::{RetryGuest, WasmRetry};
use super::world::{ADMIT, ALERT, RETRY, Version, World};
use crate::samples;

/// Deadlines are counted in ticks of this length.
pub const TICK: Duration = Duration::from_millis(1);
/// Instances of the policies of one kind at one time, idle ones included. They hold a CPU while they run, so more than
/// there are cores serve no one sooner; the rest keeps the platforms' policies warm.
const ROOM: u32 = 48;
/// The same of alert conditions, which one thread evaluates.
const ALERT_ROOM: u32 = 16;
/// How long the check at load may take: generous, since a policy must not be refused for a busy machine's sake.
const CHECK_DEADLINE: Duration = Duration::from_secs(1);
/// How the refusal of settings begins.
const REFUSED: &str = "it refused its settings: ";
/// The size of a Wasm page; a memory is a whole number of them.
const PAGE: usize = 65_536;

/// Loads Wasm policies and holds their instances; a process has one.
///
/// ```
/// use tidegate_core::config::Config;
/// use tidegate_policy::wasm::WasmEngine;
///
/// let config = Config::default().policies;
/// let engine = WasmEngine::new(&config)?;
/// let refused = engine.retry("retry/x.wasm", b"not wasm", &config.terms("retry/x.wasm")).err().unwrap();
/// assert!(refused.contains("expected a Wasm component"));
/// # Ok::<(), String>(())
/// ```
pub struct WasmEngine {
    compiler: Compiler,
    ticks: Ticks,
    linker: Linker<State>,
    /// What the pool was made for; no policy may have more.
    most: (usize, usize),
    retry: Arc<Room<RetryGuest>>,
    alert: Arc<Room<AlertGuest>>,
    admit: Arc<Room<Admit>>,
}

/// A component of the right world, ready to be instantiated.
struct Linked {
    ready: InstancePre<State>,
    version: Version,
    looks: bool,
}

impl WasmEngine {
    /// An engine whose policies keep to the limits of this configuration.
    ///
    /// # Errors
    /// One sentence where the machine does not grant the address space or a thread.
    pub fn new(config: &PoliciesConfig) -> Result<Self, String> {
        let all = || std::iter::once(&config.bounds).chain(config.each.values().map(|own| &own.bounds));
        let memory = all().map(|bounds| bounds.max_memory).max().unwrap_or_default();
        let table = all().map(|bounds| bounds.max_table).max().unwrap_or_default();
        let engine = Engine::new(&engine_config(memory, table))
            .map_err(|error| format!("cannot set up the Wasm engine: {error:#}"))?;
        let (weak, ticks) = (engine.weak(), Ticks::default());
        let counted = Arc::clone(&ticks);
        thread::Builder::new()
            .name("tidegate-epochs".to_owned())
            .spawn(move || tick(&weak, &counted))
            .map_err(|error| format!("cannot start the thread that bounds Wasm policies: {error}"))?;
        let linker = linker(&engine).map_err(|error| format!("cannot offer host functions: {error:#}"))?;
        let room = |instances: u32| instances as usize;
        Ok(Self {
            compiler: Compiler::new(engine, config),
            ticks,
            linker,
            most: (memory, table),
            retry: Arc::new(Pool::new(room(ROOM))),
            alert: Arc::new(Pool::new(room(ALERT_ROOM))),
            admit: Arc::new(Pool::new(room(ROOM))),
        })
    }

    /// What compiles components, and may do so ahead of their loading.
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// A retry classifier from a component, or from a core module with a component's metadata.
    ///
    /// # Errors
    /// One sentence that says what was expected and what the bytes are, or how the policy misbehaved on a sample.
    pub fn retry<'b>(
        &self,
        policy: &str,
        bytes: impl Into<Binary<'b>>,
        terms: &Terms,
    ) -> Result<Arc<dyn RetryPolicy>, String> {
        let Linked { ready, version, looks } = self.link(&RETRY, &bytes.into(), terms)?;
        let settings = terms.settings.clone();
        let start: Start<RetryGuest> = match version {
            Version::Current => {
                let ready = RetryPre::new(ready).map_err(|error| RETRY.mistyped(&error))?;
                Box::new(move |store| {
                    let guest = ready.instantiate(&mut *store)?;
                    accepted(guest.call_configure(store, &outbound(&settings))?)?;
                    Ok(RetryGuest::Current(guest))
                })
            }
            Version::V0_1 => {
                let ready = v0_1::retry::RetryPre::new(ready).map_err(|error| RETRY.mistyped(&error))?;
                Box::new(move |store| ready.instantiate(store).map(RetryGuest::V0_1))
            }
        };
        let policy = WasmRetry { guests: Guests::new(self.clocked(), &self.retry, policy, terms, start), looks };
        policy.check(CHECK_DEADLINE, &samples::view()).map_err(|fault| failed("failure", &fault))?;
        Ok(Arc::new(policy))
    }

    /// An alert condition from a component, or from a core module with a component's metadata.
    ///
    /// # Errors
    /// One sentence that says what was expected and what the bytes are, or how the policy misbehaved on a sample.
    pub fn alert<'b>(
        &self,
        policy: &str,
        bytes: impl Into<Binary<'b>>,
        terms: &Terms,
    ) -> Result<Arc<dyn AlertPolicy>, String> {
        let Linked { ready, version, .. } = self.link(&ALERT, &bytes.into(), terms)?;
        let settings = terms.settings.clone();
        let start: Start<AlertGuest> = match version {
            Version::Current => {
                let ready = AlertPre::new(ready).map_err(|error| ALERT.mistyped(&error))?;
                Box::new(move |store| {
                    let guest = ready.instantiate(&mut *store)?;
                    accepted(guest.call_configure(store, &outbound(&settings))?)?;
                    Ok(AlertGuest::Current(guest))
                })
            }
            Version::V0_1 => {
                let ready = v0_1::alert::AlertPre::new(ready).map_err(|error| ALERT.mistyped(&error))?;
                Box::new(move |store| ready.instantiate(store).map(AlertGuest::V0_1))
            }
        };
        let policy = WasmAlert { guests: Guests::new(self.clocked(), &self.alert, policy, terms, start) };
        policy.check(CHECK_DEADLINE, &samples::view()).map_err(|fault| failed("snapshot", &fault))?;
        Ok(Arc::new(policy))
    }

    /// An admission policy from a component, or from a core module with a component's metadata.
    ///
    /// # Errors
    /// One sentence that says what was expected and what the bytes are, or how the policy misbehaved on a sample.
    pub fn admit<'b>(
        &self,
        policy: &str,
        bytes: impl Into<Binary<'b>>,
        terms: &Terms,
    ) -> Result<Arc<dyn AdmitPolicy>, String> {
        let Linked { ready, looks, .. } = self.link(&ADMIT, &bytes.into(), terms)?;
        let settings = terms.settings.clone();
        let ready = AdmitPre::new(ready).map_err(|error| ADMIT.mistyped(&error))?;
        let start: Start<Admit> = Box::new(move |store| {
            let guest = ready.instantiate(&mut *store)?;
            accepted(guest.call_configure(store, &outbound(&settings))?)?;
            Ok(guest)
        });
        let policy = WasmAdmit { guests: Guests::new(self.clocked(), &self.admit, policy, terms, start), looks };
        policy.check(CHECK_DEADLINE, &samples::view()).map_err(|fault| failed("request", &fault))?;
        Ok(Arc::new(policy))
    }

    fn clocked(&self) -> (&Engine, &Ticks) {
        (self.engine(), &self.ticks)
    }

    fn engine(&self) -> &Engine {
        self.compiler.engine()
    }

    fn link(&self, world: &World, binary: &Binary<'_>, terms: &Terms) -> Result<Linked, String> {
        let Bounds { max_memory, max_table, .. } = terms.bounds;
        if max_memory > self.most.0 || max_table > self.most.1 {
            return Err(
                "its `max_memory` or `max_table` is above what held at the start; restart to grant it".to_owned()
            );
        }
        let component = self.compiler.component(binary)?;
        let version = world.version(self.engine(), &component)?;
        if version == Version::V0_1 && !terms.settings.is_empty() {
            return Err("takes no settings: it is built for contract 0.1.0, which has none".to_owned());
        }
        let looks = world.looks(self.engine(), &component);
        let ready = self.linker.instantiate_pre(&component).map_err(|error| world.unlinkable(&error))?;
        Ok(Linked { ready, version, looks })
    }
}

fn outbound(settings: &Settings) -> Vec<(&str, settings_types::Setting<'_>)> {
    let value = |setting| match setting {
        &Setting::Flag(flag) => settings_types::Setting::Flag(flag),
        &Setting::Number(number) => settings_types::Setting::Number(number),
        Setting::Text(text) => settings_types::Setting::Text(text),
    };
    settings.iter().map(|(name, setting)| (name.as_str(), value(setting))).collect()
}

/// Why a policy that was tried is not taken.
fn failed(sample: &str, fault: &Fault) -> String {
    match fault.message.find(REFUSED) {
        Some(at) => fault.message[at..].to_owned(),
        None => format!("failed on a sample {sample}: {fault}"),
    }
}

fn accepted(answer: Result<(), String>) -> wasmtime::Result<()> {
    answer.map_err(|words| wasmtime::Error::msg(format!("{REFUSED}{}", super::cut(words, super::MAX_TEXT))))
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    log::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    metrics::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    limits::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    v0_1::alert::tidegate::policy::metrics::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

fn engine_config(max_memory: usize, max_table: usize) -> Config {
    let room = 2 * ROOM + ALERT_ROOM;
    let memory = max_memory.next_multiple_of(PAGE);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(room)
        .total_core_instances(room * INSTANCES)
        .total_memories(room * MEMORIES)
        .total_tables(room * TABLES)
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .table_elements(max_table)
        .max_memory_size(memory);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling))
        // Slots of 4 GiB would spare bounds checks, but containers that limit address space refuse them.
        .memory_reservation(memory as u64)
        .epoch_interruption(true)
        // Only asynchronous components need it, and it doubles the cost of a call.
        .concurrency_support(false)
        // A reload must leave the other cores to the calls in flight.
        .parallel_compilation(false);
    config
}

/// Advances the epoch until the last policy and the engine are gone.
fn tick(engine: &EngineWeak, ticks: &AtomicU64) {
    let mut next = Instant::now();
    while let Some(engine) = engine.upgrade() {
        ticks.fetch_add(1, Ordering::Relaxed);
        engine.increment_epoch();
        drop(engine);
        // By the clock, so that fifty ticks are fifty milliseconds; what a busy machine missed is not made up for.
        next = (next + TICK).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
