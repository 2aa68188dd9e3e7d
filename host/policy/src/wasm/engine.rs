//! The one engine of a process: what it compiles, what it refuses, and the clock that bounds every call.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::{AlertPolicy, RetryPolicy};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};
use wit_component::ComponentEncoder;

use super::alert::WasmAlert;
use super::bindings::alert::{Alert, AlertPre};
use super::bindings::retry::{Retry, RetryPre};
use super::guest::{Guest, Guests, State};
use super::limits::{INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use super::pool::Pool;
use super::retry::WasmRetry;

/// Deadlines are counted in ticks of this length.
const TICK: Duration = Duration::from_millis(1);
/// Instances of retry classifiers at one time, idle ones included. They hold a CPU while they run, so more than
/// there are cores serve no one sooner; the rest keeps the platforms' classifiers warm.
const RETRY_ROOM: u32 = 48;
/// Instances of alert conditions at one time.
const ALERT_ROOM: u32 = 16;
/// How long the check at load may take: generous, since a policy must not be refused for a busy machine's sake.
const CHECK_DEADLINE: Duration = Duration::from_secs(1);
/// The size of a Wasm page; a memory is a whole number of them.
const PAGE: usize = 65_536;

/// Compiles Wasm policies and holds their instances; a process has one.
///
/// ```
/// use std::time::Duration;
/// use tidegate_core::config::PoliciesConfig;
/// use tidegate_policy::wasm::WasmEngine;
///
/// let engine = WasmEngine::new(&PoliciesConfig {
///     dir: "policies".into(),
///     retry_deadline: Duration::from_millis(5),
///     alert_deadline: Duration::from_millis(50),
///     max_memory: 16 << 20,
///     max_operations: 100_000,
/// })?;
/// let refused = engine.retry(b"not wasm").err().unwrap();
/// assert!(refused.contains("expected a Wasm component"));
/// # Ok::<(), String>(())
/// ```
pub struct WasmEngine {
    engine: Engine,
    max_memory: usize,
    retry: World<Retry>,
    alert: World<Alert>,
}

/// What all policies of one kind share.
struct World<B> {
    name: &'static str,
    export: &'static str,
    linker: Linker<State>,
    pool: Arc<Pool<Guest<B>>>,
    deadline: Duration,
}

impl WasmEngine {
    /// An engine whose policies keep to the deadlines and the memory of this configuration.
    ///
    /// # Errors
    /// One sentence where the machine does not grant the address space or a thread.
    pub fn new(config: &PoliciesConfig) -> Result<Self, String> {
        let engine = Engine::new(&engine_config(config.max_memory))
            .map_err(|error| format!("cannot set up the Wasm engine: {error:#}"))?;
        let weak = engine.weak();
        thread::Builder::new()
            .name("tidegate-epochs".to_owned())
            .spawn(move || tick(&weak))
            .map_err(|error| format!("cannot start the thread that bounds Wasm policies: {error}"))?;
        let retry = World {
            name: "retry",
            export: "classify",
            linker: Linker::new(&engine),
            pool: Arc::new(Pool::new(RETRY_ROOM as usize)),
            deadline: config.retry_deadline,
        };
        let mut linker = Linker::new(&engine);
        Alert::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)
            .map_err(|error| format!("cannot offer metrics to Wasm policies: {error:#}"))?;
        let alert = World {
            name: "alert",
            export: "evaluate",
            linker,
            pool: Arc::new(Pool::new(ALERT_ROOM as usize)),
            deadline: config.alert_deadline,
        };
        Ok(Self { engine, max_memory: config.max_memory, retry, alert })
    }

    /// A retry classifier from a component, or from a core module with a component's metadata.
    ///
    /// # Errors
    /// One sentence that says what was expected and what the bytes are, or how the policy misbehaved on a sample.
    pub fn retry(&self, bytes: &[u8]) -> Result<Arc<dyn RetryPolicy>, String> {
        let world = &self.retry;
        let component = world.component(&self.engine, bytes)?;
        let linked = world.linker.instantiate_pre(&component).map_err(|error| world.unlinkable(&error))?;
        let ready = RetryPre::new(linked).map_err(|error| world.mistyped(&error))?;
        let start = Box::new(move |store: &mut _| ready.instantiate(store));
        let guests = Guests::new(&self.engine, &world.pool, self.max_memory, start);
        let policy = WasmRetry { guests, deadline: world.deadline };
        policy.check(CHECK_DEADLINE).map_err(|fault| format!("failed on a sample failure: {fault}"))?;
        Ok(Arc::new(policy))
    }

    /// An alert condition from a component, or from a core module with a component's metadata.
    ///
    /// # Errors
    /// One sentence that says what was expected and what the bytes are, or how the policy misbehaved on a sample.
    pub fn alert(&self, bytes: &[u8]) -> Result<Arc<dyn AlertPolicy>, String> {
        let world = &self.alert;
        let component = world.component(&self.engine, bytes)?;
        let linked = world.linker.instantiate_pre(&component).map_err(|error| world.unlinkable(&error))?;
        let ready = AlertPre::new(linked).map_err(|error| world.mistyped(&error))?;
        let start = Box::new(move |store: &mut _| ready.instantiate(store));
        let guests = Guests::new(&self.engine, &world.pool, self.max_memory, start);
        let policy = WasmAlert { guests, deadline: world.deadline };
        policy.check(CHECK_DEADLINE).map_err(|fault| format!("failed on a sample snapshot: {fault}"))?;
        Ok(Arc::new(policy))
    }
}

impl<B> World<B> {
    /// The component in these bytes, if it exports what this world demands.
    fn component(&self, engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
        let encoded = as_component(bytes)?;
        let component = Component::new(engine, encoded.as_deref().unwrap_or(bytes))
            .map_err(|error| format!("is not a component that can run here: {error:#}"))?;
        let ty = component.component_type();
        if ty.get_export(engine, self.export).is_some() {
            return Ok(component);
        }
        let exports: Vec<_> = ty.exports(engine).map(|(name, _)| format!("`{name}`")).collect();
        let has =
            if exports.is_empty() { "exports nothing".to_owned() } else { format!("exports {}", exports.join(", ")) };
        Err(format!("expected {}, which exports `{}`; this one {has}", self.title(), self.export))
    }

    fn title(&self) -> String {
        format!("a component of the world tidegate:policy/{}@0.1.0", self.name)
    }

    fn unlinkable(&self, error: &wasmtime::Error) -> String {
        format!("expected {}, which gets nothing else from the host: {error:#}", self.title())
    }

    fn mistyped(&self, error: &wasmtime::Error) -> String {
        format!("expected {}, whose `{}` has another type: {error:#}", self.title(), self.export)
    }
}

/// The component made of a core module; `None` where the bytes are a component already.
fn as_component(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(None),
        Some(b"\0asm\x01\0\0\0") => ComponentEncoder::default()
            .validate(true)
            .module(bytes)
            .and_then(|mut encoder| encoder.encode())
            .map(Some)
            .map_err(|error| {
                format!("expected a Wasm component, or a core module with a component's metadata: {error:#}")
            }),
        _ => Err("expected a Wasm component; the bytes do not begin as one".to_owned()),
    }
}

fn engine_config(max_memory: usize) -> Config {
    let room = RETRY_ROOM + ALERT_ROOM;
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
        .table_elements(TABLE_ELEMENTS)
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
fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        thread::sleep(TICK);
    }
}
