//! The Wasm engine of a process: it compiles components and loads them as policies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::{PoliciesConfig, PolicyLimits, ResolvedPolicyConfig};
use tidegate_core::{Failure, Fault, Request, Snapshot};
use wasmtime::Engine;
use wasmtime::component::Linker;

use super::compiler::{Compiler, WasmBinary};
use super::contract::PolicyInput;
use super::engine_config::{MAX_ALERT_INSTANCES, MAX_INSTANCES, ReservedSizes, engine_config};
use super::guest::{GuestRuntime, Guests, InstancePool, SETTINGS_REJECTED};
use super::policy::WasmPolicy;
use super::pool::Pool;
use super::state::GuestState;
use super::ticks::Ticks;
use super::versions;
use crate::error::Error;
use crate::loaded::LoadedPolicy;
use crate::paths::PolicyKind;
use crate::samples;

/// The deadline of the check at load. It is generous, so that no policy is rejected because the machine is busy.
const CHECK_DEADLINE: Duration = Duration::from_secs(1);

/// Loads Wasm policies and holds their instances. A process has one engine.
pub struct WasmEngine {
    compiler: Compiler,
    runtime: GuestRuntime,
    linker: Linker<GuestState>,
    reserved: ReservedSizes,
    retry: Arc<InstancePool<Failure>>,
    alert: Arc<InstancePool<Snapshot>>,
    admit: Arc<InstancePool<Request>>,
}

impl WasmEngine {
    /// Creates an engine with the limits of the configuration.
    ///
    /// # Errors
    /// Returns an error if the address space cannot be reserved or a thread cannot be started.
    pub fn new(config: &PoliciesConfig) -> Result<Self, Error> {
        let reserved = ReservedSizes::of(config);
        let engine = Engine::new(&engine_config(reserved))
            .map_err(|error| Error::engine(format!("cannot create the Wasm engine: {error:#}")))?;
        let ticks = Ticks::start(&engine)
            .map_err(|error| Error::engine(format!("cannot start the thread that enforces Wasm deadlines: {error}")))?;
        let linker = versions::linker(&engine)
            .map_err(|error| Error::engine(format!("cannot provide the host functions: {error:#}")))?;
        let capacity = |instances: u32| instances as usize;
        Ok(Self {
            compiler: Compiler::new(engine.clone(), config),
            runtime: GuestRuntime { engine, ticks },
            linker,
            reserved,
            retry: Arc::new(Pool::new(capacity(MAX_INSTANCES))),
            alert: Arc::new(Pool::new(capacity(MAX_ALERT_INSTANCES))),
            admit: Arc::new(Pool::new(capacity(MAX_INSTANCES))),
        })
    }

    /// Returns the compiler, which can compile components before they are loaded.
    pub(crate) fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// Loads a policy of a kind from a component, or from a core module with a component's metadata. `policy` is its
    /// path within the policy directory.
    ///
    /// # Errors
    /// Returns an error with the expected and the actual format of the bytes, or with the policy's fault on a sample.
    pub fn load(
        &self,
        kind: PolicyKind,
        policy: &str,
        binary: &WasmBinary<'_>,
        config: &ResolvedPolicyConfig,
    ) -> Result<LoadedPolicy, Error> {
        let loaded = match kind {
            PolicyKind::Retry => {
                self.load_world(&self.retry, policy, binary, config).map(|policy| LoadedPolicy::Retry(policy))
            }
            PolicyKind::Alert => {
                self.load_world(&self.alert, policy, binary, config).map(|policy| LoadedPolicy::Alert(policy))
            }
            PolicyKind::Admit => {
                self.load_world(&self.admit, policy, binary, config).map(|policy| LoadedPolicy::Admit(policy))
            }
        };
        loaded.map_err(Error::rejected)
    }

    /// Loads a policy of the world to which these inputs belong.
    fn load_world<I: PolicyInput>(
        &self,
        pool: &Arc<InstancePool<I>>,
        policy: &str,
        binary: &WasmBinary<'_>,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<WasmPolicy<I>>, String> {
        self.check_limits(&config.limits)?;
        let component = self.compiler.component(binary)?;
        let contract = versions::contract::<I>(&self.runtime.engine, &component)?;
        if !contract.has_settings && !config.settings.is_empty() {
            return Err(format!(
                "the policy is built for contract {}, which has no settings; remove its settings or build it for a \
                 newer contract",
                contract.version
            ));
        }
        let linked = self.linker.instantiate_pre(&component).map_err(|error| versions::import_error::<I>(&error))?;
        let instantiate = (contract.bind)(linked).map_err(|error| versions::export_type_error::<I>(&error))?;
        let guests = Guests::new(&self.runtime, pool, policy, config, instantiate);
        let policy = WasmPolicy { guests, needs: contract.needs };
        policy
            .decide(Some(CHECK_DEADLINE), &I::sample(), &samples::view())
            .map_err(|fault| sample_error::<I>(&fault))?;
        Ok(Arc::new(policy))
    }

    /// Returns an error if a policy needs more memory than the engine reserved.
    fn check_limits(&self, limits: &PolicyLimits) -> Result<(), String> {
        let ReservedSizes { max_memory, max_table_elements } = self.reserved;
        if limits.max_memory > max_memory || limits.max_table_elements > max_table_elements {
            return Err("`max_memory` or `max_table_elements` is larger than what the process reserved at its start; \
                        restart the process to apply it"
                .to_owned());
        }
        Ok(())
    }
}

impl fmt::Debug for WasmEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmEngine").field("reserved", &self.reserved).finish_non_exhaustive()
    }
}

/// Returns the error for a policy that faulted on a sample, or that rejected its settings.
fn sample_error<I: PolicyInput>(fault: &Fault) -> String {
    match fault.message.find(SETTINGS_REJECTED) {
        Some(at) => fault.message[at..].to_owned(),
        None => format!("the policy fails on a sample {}: {fault}", I::WORLD.input),
    }
}
