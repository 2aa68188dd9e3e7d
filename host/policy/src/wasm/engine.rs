//! The Wasm engine of a process: it loads policies, and runs the timer that enforces deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tidegate_core::config::{PoliciesConfig, PolicyLimits, ResolvedPolicyConfig, Setting, Settings};
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
use super::compiler::{Compiler, WasmBinary};
use super::guest::{GuestState, Guests, InstancePool, StartGuest, TickCounter};
use super::limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};
use super::pool::Pool;
use super::retry::{RetryGuest, WasmRetry};
use super::world::{ADMIT, ALERT, ContractVersion, PolicyWorld, RETRY};
use crate::samples;

/// The length of a tick. Deadlines are checked at each tick.
pub const TICK: Duration = Duration::from_millis(1);
/// The maximum number of instances of retry policies, and of admission policies, idle ones included. An instance
/// occupies a CPU while it runs, so more running instances than cores have no use; the other instances stay warm for
/// the policies of many platforms.
const MAX_INSTANCES: u32 = 48;
/// The maximum number of instances of alert conditions, which one thread evaluates.
const MAX_ALERT_INSTANCES: u32 = 16;
/// The deadline of the check at load. It is generous, so that no policy is rejected because the machine is busy.
const CHECK_DEADLINE: Duration = Duration::from_secs(1);
/// The prefix of the error with which a policy rejects its settings.
const SETTINGS_REJECTED: &str = "the policy rejected its settings: ";
/// The size of a Wasm page, in bytes. The size of a memory is a multiple of it.
const PAGE_SIZE: usize = 65_536;

/// Loads Wasm policies and holds their instances. A process has one engine.
///
/// ```
/// use tidegate_core::config::Config;
/// use tidegate_policy::wasm::WasmEngine;
///
/// let config = Config::default().policies;
/// let engine = WasmEngine::new(&config)?;
/// let error = engine.load_retry("retry/x.wasm", b"not wasm", &config.resolve("retry/x.wasm")).err().unwrap();
/// assert!(error.contains("expected a Wasm component"));
/// # Ok::<(), String>(())
/// ```
pub struct WasmEngine {
    compiler: Compiler,
    ticks: TickCounter,
    linker: Linker<GuestState>,
    /// The memory size that the pool reserves for an instance, in bytes.
    max_memory: usize,
    /// The table size that the pool reserves for an instance, in elements.
    max_table_elements: usize,
    retry: Arc<InstancePool<RetryGuest>>,
    alert: Arc<InstancePool<AlertGuest>>,
    admit: Arc<InstancePool<Admit>>,
}

/// A component of the right world that can be instantiated.
struct LinkedComponent {
    instance_pre: InstancePre<GuestState>,
    version: ContractVersion,
    reads_host: bool,
}

impl WasmEngine {
    /// Creates an engine with the limits of the configuration.
    ///
    /// # Errors
    /// Returns a message if the address space cannot be reserved or a thread cannot be started.
    pub fn new(config: &PoliciesConfig) -> Result<Self, String> {
        let all_limits =
            || std::iter::once(&config.limits).chain(config.overrides.values().map(|policy| &policy.limits));
        let max_memory = all_limits().map(|limits| limits.max_memory).max().unwrap_or_default();
        let max_table_elements = all_limits().map(|limits| limits.max_table_elements).max().unwrap_or_default();
        let engine = Engine::new(&engine_config(max_memory, max_table_elements))
            .map_err(|error| format!("cannot create the Wasm engine: {error:#}"))?;
        let (weak, ticks) = (engine.weak(), TickCounter::default());
        let counter = Arc::clone(&ticks);
        thread::Builder::new()
            .name("tidegate-epochs".to_owned())
            .spawn(move || run_ticks(&weak, &counter))
            .map_err(|error| format!("cannot start the thread that enforces Wasm deadlines: {error}"))?;
        let linker = linker(&engine).map_err(|error| format!("cannot provide the host functions: {error:#}"))?;
        let capacity = |instances: u32| instances as usize;
        Ok(Self {
            compiler: Compiler::new(engine, config),
            ticks,
            linker,
            max_memory,
            max_table_elements,
            retry: Arc::new(Pool::new(capacity(MAX_INSTANCES))),
            alert: Arc::new(Pool::new(capacity(MAX_ALERT_INSTANCES))),
            admit: Arc::new(Pool::new(capacity(MAX_INSTANCES))),
        })
    }

    /// Returns the compiler, which can compile components before they are loaded.
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// Loads a retry policy from a component, or from a core module with a component's metadata.
    ///
    /// # Errors
    /// Returns a message with the expected and the actual format of the bytes, or the policy's fault on a sample.
    pub fn load_retry<'b>(
        &self,
        policy: &str,
        bytes: impl Into<WasmBinary<'b>>,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<dyn RetryPolicy>, String> {
        let LinkedComponent { instance_pre, version, reads_host } = self.link(&RETRY, &bytes.into(), config)?;
        let settings = config.settings.clone();
        let start: StartGuest<RetryGuest> = match version {
            ContractVersion::Current => {
                let instance_pre = RetryPre::new(instance_pre).map_err(|error| RETRY.export_type_error(&error))?;
                Box::new(move |store| {
                    let guest = instance_pre.instantiate(&mut *store)?;
                    check_configured(guest.call_configure(store, &settings_to_wit(&settings))?)?;
                    Ok(RetryGuest::Current(guest))
                })
            }
            ContractVersion::V0_1 => {
                let instance_pre =
                    v0_1::retry::RetryPre::new(instance_pre).map_err(|error| RETRY.export_type_error(&error))?;
                Box::new(move |store| instance_pre.instantiate(store).map(RetryGuest::V0_1))
            }
        };
        let policy =
            WasmRetry { guests: Guests::new(self.engine_and_ticks(), &self.retry, policy, config, start), reads_host };
        policy.check(CHECK_DEADLINE, &samples::view()).map_err(|fault| sample_error("failure", &fault))?;
        Ok(Arc::new(policy))
    }

    /// Loads an alert condition from a component, or from a core module with a component's metadata.
    ///
    /// # Errors
    /// Returns a message with the expected and the actual format of the bytes, or the policy's fault on a sample.
    pub fn load_alert<'b>(
        &self,
        policy: &str,
        bytes: impl Into<WasmBinary<'b>>,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<dyn AlertPolicy>, String> {
        let LinkedComponent { instance_pre, version, .. } = self.link(&ALERT, &bytes.into(), config)?;
        let settings = config.settings.clone();
        let start: StartGuest<AlertGuest> = match version {
            ContractVersion::Current => {
                let instance_pre = AlertPre::new(instance_pre).map_err(|error| ALERT.export_type_error(&error))?;
                Box::new(move |store| {
                    let guest = instance_pre.instantiate(&mut *store)?;
                    check_configured(guest.call_configure(store, &settings_to_wit(&settings))?)?;
                    Ok(AlertGuest::Current(guest))
                })
            }
            ContractVersion::V0_1 => {
                let instance_pre =
                    v0_1::alert::AlertPre::new(instance_pre).map_err(|error| ALERT.export_type_error(&error))?;
                Box::new(move |store| instance_pre.instantiate(store).map(AlertGuest::V0_1))
            }
        };
        let policy = WasmAlert { guests: Guests::new(self.engine_and_ticks(), &self.alert, policy, config, start) };
        policy.check(CHECK_DEADLINE, &samples::view()).map_err(|fault| sample_error("snapshot", &fault))?;
        Ok(Arc::new(policy))
    }

    /// Loads an admission policy from a component, or from a core module with a component's metadata.
    ///
    /// # Errors
    /// Returns a message with the expected and the actual format of the bytes, or the policy's fault on a sample.
    pub fn load_admit<'b>(
        &self,
        policy: &str,
        bytes: impl Into<WasmBinary<'b>>,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<dyn AdmitPolicy>, String> {
        let LinkedComponent { instance_pre, reads_host, .. } = self.link(&ADMIT, &bytes.into(), config)?;
        let settings = config.settings.clone();
        let instance_pre = AdmitPre::new(instance_pre).map_err(|error| ADMIT.export_type_error(&error))?;
        let start: StartGuest<Admit> = Box::new(move |store| {
            let guest = instance_pre.instantiate(&mut *store)?;
            check_configured(guest.call_configure(store, &settings_to_wit(&settings))?)?;
            Ok(guest)
        });
        let policy =
            WasmAdmit { guests: Guests::new(self.engine_and_ticks(), &self.admit, policy, config, start), reads_host };
        policy.check(CHECK_DEADLINE, &samples::view()).map_err(|fault| sample_error("request", &fault))?;
        Ok(Arc::new(policy))
    }

    fn engine_and_ticks(&self) -> (&Engine, &TickCounter) {
        (self.engine(), &self.ticks)
    }

    fn engine(&self) -> &Engine {
        self.compiler.engine()
    }

    fn link(
        &self,
        world: &PolicyWorld,
        binary: &WasmBinary<'_>,
        config: &ResolvedPolicyConfig,
    ) -> Result<LinkedComponent, String> {
        let PolicyLimits { max_memory, max_table_elements, .. } = config.limits;
        if max_memory > self.max_memory || max_table_elements > self.max_table_elements {
            return Err("`max_memory` or `max_table_elements` is larger than what the process reserved at its start; \
                        restart the process to apply it"
                .to_owned());
        }
        let component = self.compiler.component(binary)?;
        let version = world.version(self.engine(), &component)?;
        if version == ContractVersion::V0_1 && !config.settings.is_empty() {
            return Err("the policy is built for contract 0.1.0, which has no settings; remove its settings or build \
                        it for contract 0.2.0"
                .to_owned());
        }
        let reads_host = world.reads_host(self.engine(), &component);
        let instance_pre = self.linker.instantiate_pre(&component).map_err(|error| world.import_error(&error))?;
        Ok(LinkedComponent { instance_pre, version, reads_host })
    }
}

fn settings_to_wit(settings: &Settings) -> Vec<(&str, settings_types::Setting<'_>)> {
    let value = |setting| match setting {
        &Setting::Flag(flag) => settings_types::Setting::Flag(flag),
        &Setting::Number(number) => settings_types::Setting::Number(number),
        Setting::Text(text) => settings_types::Setting::Text(text),
    };
    settings.iter().map(|(name, setting)| (name.as_str(), value(setting))).collect()
}

/// Returns the error for a policy that faulted on a sample, or that rejected its settings.
fn sample_error(sample: &str, fault: &Fault) -> String {
    match fault.message.find(SETTINGS_REJECTED) {
        Some(at) => fault.message[at..].to_owned(),
        None => format!("the policy fails on a sample {sample}: {fault}"),
    }
}

/// Converts the result of a guest's `configure` function.
fn check_configured(result: Result<(), String>) -> wasmtime::Result<()> {
    result.map_err(|message| {
        wasmtime::Error::msg(format!("{SETTINGS_REJECTED}{}", super::cut(message, super::MAX_TEXT_SIZE)))
    })
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    log::add_to_linker::<GuestState, HasSelf<GuestState>>(&mut linker, |state| state)?;
    metrics::add_to_linker::<GuestState, HasSelf<GuestState>>(&mut linker, |state| state)?;
    limits::add_to_linker::<GuestState, HasSelf<GuestState>>(&mut linker, |state| state)?;
    v0_1::alert::tidegate::policy::metrics::add_to_linker::<GuestState, HasSelf<GuestState>>(&mut linker, |state| {
        state
    })?;
    Ok(linker)
}

fn engine_config(max_memory: usize, max_table_elements: usize) -> Config {
    let instances = 2 * MAX_INSTANCES + MAX_ALERT_INSTANCES;
    let memory = max_memory.next_multiple_of(PAGE_SIZE);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(instances)
        .total_core_instances(instances * MAX_CORE_INSTANCES)
        .total_memories(instances * MAX_MEMORIES)
        .total_tables(instances * MAX_TABLES)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_module(MAX_TABLES)
        .table_elements(max_table_elements)
        .max_memory_size(memory);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling))
        // Reservations of 4 GiB would save bounds checks, but containers with limited address space do not grant them.
        .memory_reservation(memory as u64)
        .epoch_interruption(true)
        // Only asynchronous components need this, and it doubles the cost of a call.
        .concurrency_support(false)
        // A reload must leave the other cores to the calls in progress.
        .parallel_compilation(false);
    config
}

/// Advances the epoch at each tick, until the engine and the last policy are dropped.
fn run_ticks(engine: &EngineWeak, ticks: &AtomicU64) {
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
