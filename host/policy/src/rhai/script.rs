//! A script: from its text to a value.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, GlobalRuntimeState, Identifier, OptimizationLevel, Position, Scope,
};
use tidegate_core::config::reader::Problem;
use tidegate_core::config::{Settings, Terms};
use tidegate_core::{Fault, FaultKind};

use super::check;
use super::findings::Needs;
use super::hints;
use super::names::{Contract, Functions};
use super::run::{Call, during};
use super::tokens::Tokens;
use crate::origin::Origin;

/// How long a script may take on a sample; a busy machine must not make a good script look bad.
pub const SAMPLE_DEADLINE: Duration = Duration::from_secs(2);
/// What a script may define to check its settings.
pub const CONFIGURE: &str = "configure";

/// A parsed and checked script.
pub struct Script {
    engine: Arc<Engine>,
    ast: AST,
    origin: Origin,
    deadline: Duration,
    /// The inputs that it reads, by their place in the contract: the others need not be made.
    inputs: Vec<(usize, Identifier)>,
    needs: Needs,
    /// What it is set to.
    settings: Arc<Settings>,
    /// What evaluations leave for the next: found functions, and room for variables.
    #[expect(
        clippy::vec_box,
        reason = "a runtime is taken and put back at each evaluation: a pointer moves, not its 400 bytes"
    )]
    idle: Mutex<Vec<Box<Runtime>>>,
}

struct Runtime {
    global: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
}

/// A fault with its place in the script.
pub struct Misstep {
    kind: FaultKind,
    problem: Problem,
}

impl Misstep {
    /// The misstep as a problem of the script.
    pub fn into_problem(self) -> Problem {
        self.problem
    }

    /// The misstep as a problem of the script, found by trying it on a sample.
    pub fn on_sample(self, sample: &str) -> Problem {
        Problem { message: format!("{} (tried on {sample})", self.problem.message), ..self.problem }
    }
}

impl Script {
    /// Parses and checks a script.
    ///
    /// # Errors
    /// Every problem, at its place in the script.
    pub fn parse(
        (engine, functions): (Arc<Engine>, &Functions),
        text: &str,
        origin: Origin,
        contract: &Contract,
        terms: &Terms,
    ) -> Result<Self, Vec<Problem>> {
        let parse = |names: &mut dyn Iterator<Item = &'static str>| {
            let mut scope = Scope::new();
            for name in names {
                scope.push_dynamic(name, Dynamic::UNIT);
            }
            engine.compile_with_scope(&scope, text).map_err(|error| vec![hints::of(&error, text, contract)])
        };
        let ast = parse(&mut contract.inputs.iter().map(|(name, _)| *name))?;
        let findings = check::check(&ast, &Tokens::of(&engine, text), contract, functions)?;
        findings.refuse_odd_settings(&terms.settings)?;
        let read = contract.inputs.iter().enumerate().map(|(at, (name, _))| (at, *name));
        let read: Vec<_> = read.filter(|(_, name)| findings.reads(name)).collect();
        let ast = parse(&mut read.iter().map(|(_, name)| *name))?;
        let inputs = read.into_iter().map(|(at, name)| (at, name.into())).collect();
        let ast = engine.optimize_ast(&Scope::new(), ast, OptimizationLevel::Simple);
        let (settings, needs, idle) = (Arc::new(terms.settings.clone()), findings.needs(), Mutex::default());
        let script = Self { engine, ast, origin, deadline: terms.deadline, inputs, needs, settings, idle };
        script.configure()?;
        Ok(script)
    }

    /// What was parsed.
    pub const fn ast(&self) -> &AST {
        &self.ast
    }

    /// Lets the script check its settings.
    fn configure(&self) -> Result<(), Vec<Problem>> {
        if !self.ast.iter_functions().any(|function| function.name == CONFIGURE && function.params.is_empty()) {
            return Ok(());
        }
        let call = Call { settings: Arc::clone(&self.settings), ..Call::default() };
        let options = rhai::CallFnOptions::new().eval_ast(false);
        let checked: Result<Dynamic, _> = during(Some(call), SAMPLE_DEADLINE, || {
            self.engine.call_fn_with_options(options, &mut Scope::new(), &self.ast, CONFIGURE, ())
        });
        checked.map(drop).map_err(|error| {
            let mut problem = misstep(*error, SAMPLE_DEADLINE).problem;
            problem.message = format!("it refused its settings: {}", problem.message);
            vec![problem]
        })
    }

    /// What its functions need, if it calls any that need something.
    pub fn call(&self, make: impl FnOnce(Needs) -> Call) -> Option<Call> {
        if !self.needs.any {
            return None;
        }
        let mut call = make(self.needs);
        if self.needs.settings {
            call.settings = Arc::clone(&self.settings);
        }
        if self.needs.log {
            call.policy = self.origin.name().into();
        }
        Some(call)
    }

    /// Runs the script on inputs by their place in the contract; `read` makes an answer of its last value, or says what
    /// was expected. `None` for the deadline means the policy's own.
    pub fn run<T>(
        &self,
        input: impl Fn(usize) -> Dynamic,
        call: Option<Call>,
        deadline: Option<Duration>,
        read: impl FnOnce(Dynamic) -> Result<T, String>,
    ) -> Result<T, Misstep> {
        let deadline = deadline.unwrap_or(self.deadline);
        let idle = self.idle.lock().pop();
        let mut runtime = idle.unwrap_or_else(|| Box::new(Runtime::new(&self.engine, &self.ast)));
        for (at, name) in &self.inputs {
            runtime.scope.push_dynamic(name.clone(), input(*at));
        }
        let value = during(call, deadline, || runtime.evaluate(&self.engine, &self.ast));
        // One that failed may have stopped anywhere, so the next evaluation begins with another.
        let value = value.map_err(|error| misstep(*error, deadline))?;
        runtime.clear();
        self.idle.lock().push(runtime);
        read(value).map_err(|message| Misstep {
            kind: FaultKind::Type,
            problem: problem(self.ast.statements().last().map_or(Position::NONE, rhai::Stmt::position), message),
        })
    }

    /// The misstep as a fault, with its place in the file.
    pub fn fault(&self, misstep: Misstep) -> Fault {
        Fault::new(misstep.kind, self.origin.show(misstep.problem))
    }
}

impl Runtime {
    fn new(engine: &Engine, ast: &AST) -> Self {
        let mut global = engine.new_global_runtime_state();
        global.lib.push(Arc::clone(ast.shared_lib()));
        Self { global, caches: Caches::new(), scope: Scope::new() }
    }

    #[expect(deprecated, reason = "the one way to keep what was found of functions from one evaluation to the next")]
    fn evaluate(&mut self, engine: &Engine, ast: &AST) -> Result<Dynamic, Box<EvalAltResult>> {
        engine.eval_statements_raw(&mut self.global, &mut self.caches, &mut self.scope, ast.statements())
    }

    fn clear(&mut self) {
        self.scope.clear();
        self.global.num_operations = Default::default();
        self.global.constants = None;
    }
}

/// A problem at a position of the script; without one, at its beginning.
pub fn problem(at: Position, message: impl Into<String>) -> Problem {
    Problem { line: at.line().unwrap_or(1), column: at.position().unwrap_or(1), message: message.into() }
}

/// What went wrong, with its place in the script.
pub fn misstep(error: EvalAltResult, deadline: Duration) -> Misstep {
    // What went wrong inside a function of the script is told at the place inside.
    let inner = error.unwrap_inner();
    let at = if inner.position().is_none() { error.position() } else { inner.position() };
    let kind = match inner {
        EvalAltResult::ErrorTerminated(..) => FaultKind::Deadline,
        EvalAltResult::ErrorTooManyOperations(_) => FaultKind::Operations,
        EvalAltResult::ErrorDataTooLarge(..)
        | EvalAltResult::ErrorStackOverflow(_)
        | EvalAltResult::ErrorTooManyVariables(_) => FaultKind::Memory,
        EvalAltResult::ErrorMismatchOutputType(..) => FaultKind::Type,
        _ => FaultKind::Trap,
    };
    let message = match inner {
        EvalAltResult::ErrorTerminated(..) => format!("took longer than {deadline:?}"),
        EvalAltResult::ErrorMismatchOutputType(expected, found, _) => format!("expected {expected}, not {found}"),
        other => without_position(&other.to_string()),
    };
    Misstep { kind, problem: problem(at, message) }
}

/// Rhai's words without the place at their end, which is told in front.
fn without_position(message: &str) -> String {
    message.rsplit_once(" (line ").map_or(message, |(words, _)| words).to_owned()
}
