//! Parses, checks and runs a script.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, GlobalRuntimeState, Identifier, ImmutableString, Position, Scope,
};
use tidegate_core::config::reader::Diagnostic;
use tidegate_core::config::{PolicyLimits, ResolvedPolicyConfig, Settings};
use tidegate_core::{Fault, FaultKind};

use super::bodies::CONFIGURE;
use super::check;
use super::engine::ScriptEngine;
use super::error::{ScriptError, diagnostic};
use super::hints;
use super::messages;
use super::parsed::{ParsedScript, compile, optimize};
use super::run::{CallContext, run_with};
use super::usage::HostNeeds;
use crate::decisions::mask::masked_message;
use crate::origin::Origin;
use crate::paths::PolicyKind;

/// The deadline of a script on a sample. It is generous, so that a busy machine does not reject a good script.
pub const SAMPLE_DEADLINE: Duration = Duration::from_secs(2);

/// A parsed and checked script.
pub struct Script {
    engine: Arc<Engine>,
    ast: AST,
    origin: Origin,
    limits: PolicyLimits,
    deadline: Duration,
    /// The inputs that the script reads, with their indexes in the contract; other inputs are not computed.
    inputs: Vec<(usize, Identifier)>,
    needs: HostNeeds,
    /// The settings of the policy.
    settings: Arc<Settings>,
    /// Runtimes for the next evaluations, which reuse the resolved functions and the memory for variables.
    #[expect(
        clippy::vec_box,
        reason = "each evaluation takes a runtime and puts it back: this moves a pointer, not 400 bytes"
    )]
    idle: Mutex<Vec<Box<ScriptRuntime>>>,
}

struct ScriptRuntime {
    global: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
}

impl Script {
    /// Parses and checks a script.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load(
        ScriptEngine { engine, functions }: &ScriptEngine,
        text: &str,
        origin: Origin,
        kind: PolicyKind,
        config: &ResolvedPolicyConfig,
    ) -> Result<Self, Vec<Diagnostic>> {
        let parsed = ParsedScript::parse(engine, text, kind).map_err(|error| vec![error])?;
        let contract = &parsed.contract;
        let usage = check::check(&parsed, functions)?;
        usage.check_settings(&config.settings)?;
        let inputs = contract.inputs.iter().enumerate().map(|(index, (name, _))| (index, *name));
        let inputs: Vec<_> = inputs.filter(|(_, name)| usage.reads(name)).collect();
        // The position of a variable in the scope is part of the syntax tree, so the script is parsed again.
        let ast = compile(engine, text, inputs.iter().map(|(_, name)| *name));
        let ast = ast.map_err(|error| vec![hints::explain(&error, text, contract)])?;
        let ast = optimize(engine, ast);
        let inputs = inputs.into_iter().map(|(index, name)| (index, name.into())).collect();
        let (settings, needs, idle) = (Arc::new(config.settings.clone()), usage.host_needs(), Mutex::default());
        let (engine, limits, deadline) = (Arc::clone(engine), config.limits, config.deadline);
        let script = Self { engine, ast, origin, limits, deadline, inputs, needs, settings, idle };
        script.configure()?;
        Ok(script)
    }

    /// Returns whether the script reads an input.
    pub fn reads(&self, input: &str) -> bool {
        self.inputs.iter().any(|(_, name)| name == input)
    }

    /// Returns the syntax tree of the script.
    pub const fn ast(&self) -> &AST {
        &self.ast
    }

    /// Calls the function `configure` of the script, if it has one, so that the script can check its settings.
    fn configure(&self) -> Result<(), Vec<Diagnostic>> {
        if !self.ast.iter_functions().any(|function| function.name == CONFIGURE && function.params.is_empty()) {
            return Ok(());
        }
        let (policy, settings) = (Some(self.origin.path().into()), Arc::clone(&self.settings));
        let call = CallContext { policy, settings, ..CallContext::default() };
        let options = rhai::CallFnOptions::new().eval_ast(false);
        let result: Result<Dynamic, _> = run_with(Some(call), SAMPLE_DEADLINE, || {
            self.engine.call_fn_with_options(options, &mut Scope::new(), &self.ast, CONFIGURE, ())
        });
        result.map(drop).map_err(|error| {
            let thrown = messages::thrown_text(error.unwrap_inner());
            let mut diagnostic = ScriptError::new(&error, &self.limits, SAMPLE_DEADLINE).diagnostic;
            let reason = masked_message(thrown.as_ref().unwrap_or(&diagnostic.message), &*self.settings);
            diagnostic.message = format!("the policy rejected its settings: {reason}");
            vec![diagnostic]
        })
    }

    /// Returns the context for a call, if the functions that the script calls need one.
    pub fn call_context(&self, create: impl FnOnce(HostNeeds) -> CallContext) -> Option<CallContext> {
        if !self.needs.any {
            return None;
        }
        let mut call = create(self.needs);
        if self.needs.settings {
            call.settings = Arc::clone(&self.settings);
        }
        if self.needs.log {
            call.policy = Some(self.origin.path().into());
        }
        Some(call)
    }

    /// Runs the script.
    ///
    /// `input` returns the value of the input at an index of the contract. `convert` converts the last value of the
    /// script, or says what was expected. Without a `deadline`, the deadline of the policy applies.
    pub fn run<T>(
        &self,
        input: impl Fn(usize) -> Dynamic,
        call: Option<CallContext>,
        deadline: Option<Duration>,
        convert: impl FnOnce(Dynamic) -> Result<T, String>,
    ) -> Result<T, ScriptError> {
        let deadline = deadline.unwrap_or(self.deadline);
        let idle = self.idle.lock().pop();
        let mut runtime = idle.unwrap_or_else(|| Box::new(ScriptRuntime::new(&self.engine, &self.ast)));
        for (index, name) in &self.inputs {
            runtime.scope.push_dynamic(name.clone(), fit(input(*index), self.limits.max_string_size));
        }
        let value = run_with(call, deadline, || runtime.evaluate(&self.engine, &self.ast));
        // A runtime that failed may have stopped in any state, so it is not reused.
        let value = value.map_err(|error| ScriptError::new(&error, &self.limits, deadline))?;
        runtime.clear();
        self.idle.lock().push(runtime);
        convert(value).map_err(|message| ScriptError {
            kind: FaultKind::Type,
            diagnostic: diagnostic(self.ast.statements().last().map_or(Position::NONE, rhai::Stmt::position), message),
        })
    }

    /// Returns the error as a fault, with its position in the file.
    pub fn fault(&self, error: ScriptError) -> Fault {
        Fault::new(error.kind, self.origin.show(error.diagnostic))
    }
}

/// Truncates an input string to `max` bytes. A script with a longer one would fail in every expression that uses it.
fn fit(value: Dynamic, max: usize) -> Dynamic {
    let short = value.as_immutable_string_ref().ok().filter(|text| text.len() > max).map(|text| {
        let end = text.floor_char_boundary(max);
        Dynamic::from(ImmutableString::from(&text[..end]))
    });
    short.unwrap_or(value)
}

impl ScriptRuntime {
    fn new(engine: &Engine, ast: &AST) -> Self {
        let mut global = engine.new_global_runtime_state();
        global.lib.push(Arc::clone(ast.shared_lib()));
        Self { global, caches: Caches::new(), scope: Scope::new() }
    }

    #[expect(deprecated, reason = "the only way to keep the resolved functions from one evaluation to the next")]
    fn evaluate(&mut self, engine: &Engine, ast: &AST) -> Result<Dynamic, Box<EvalAltResult>> {
        engine.eval_statements_raw(&mut self.global, &mut self.caches, &mut self.scope, ast.statements())
    }

    fn clear(&mut self) {
        self.scope.clear();
        self.global.num_operations = Default::default();
        self.global.constants = None;
    }
}
