//! A script with probes, which record the values of its conditions and quotients.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rhai::{AST, Dynamic, Engine, EvalAltResult, NativeCallContext, Position, Scope, Shared, Stmt};
use tidegate_policy::scripts::{FunctionBody, ParsedScript};

use crate::instrument::Instrumenter;
use crate::probe::{PROBE, Probe};

/// The maximum time of all samples of one script. Few scripts need a tenth of it; only a script with slow operations,
/// such as those on large arrays, needs all of it.
const MAX_DURATION: Duration = Duration::from_secs(1);
/// The number of operations between two readings of the clock.
const CLOCK_INTERVAL: u64 = 64;
/// A script with probes needs at most this many times the operations of the script without them.
const PROBE_FACTOR: u64 = 4;
/// The maximum depth of calls between functions; no script can call deeper. Each level needs a part of this thread's
/// stack.
const MAX_CALL_DEPTH: usize = 33;

/// The values that the probes record.
#[derive(Default)]
struct ProbeLog {
    probes: Vec<Probe>,
    /// Whether a probe had a new value in this run.
    has_new_value: bool,
    /// A hash of the values of all probes in this run.
    path: u64,
    /// The positions of values in this run that are infinite or not a number.
    divisions_by_zero: Vec<Position>,
}

/// The outcome of one run.
pub struct RunOutcome {
    /// The last value of the script.
    pub value: Result<Dynamic, Box<EvalAltResult>>,
    /// Whether a condition had a new value.
    pub has_new_value: bool,
    /// A hash of the path through the script.
    pub path: u64,
    /// The positions of divisions by 0.
    pub divisions_by_zero: Vec<Position>,
}

/// A script with probes.
pub struct InstrumentedScript {
    engine: Engine,
    ast: AST,
    log: Arc<Mutex<ProbeLog>>,
    /// The number of operations that all further runs can use.
    budget: Arc<AtomicU64>,
}

impl InstrumentedScript {
    /// Adds probes to a script that passed the checks.
    pub fn new(mut engine: Engine, script: ParsedScript) -> Option<Self> {
        let ParsedScript { ast, bodies, .. } = script;
        let log: Arc<Mutex<ProbeLog>> = Arc::default();
        let budget = Arc::new(AtomicU64::new(0));
        let (budget_in_progress, log_in_probe) = (Arc::clone(&budget), Arc::clone(&log));
        // Probes are operations and calls too, so the script's own limits would be reached too early.
        let max_operations = engine.max_operations().saturating_mul(PROBE_FACTOR);
        engine.set_max_operations(max_operations).set_max_call_levels(2 * MAX_CALL_DEPTH);
        let end = Instant::now() + MAX_DURATION;
        engine.on_progress(move |_| (!spend(&budget_in_progress, end)).then_some(Dynamic::UNIT));
        engine.register_fn(PROBE, move |probe: i64, value: Dynamic| {
            log_in_probe.lock().record(probe, &value);
            value
        });
        let mut instrumenter = Instrumenter::new(&engine)?;
        let mut bodies = bodies.into_iter();
        let mut top_level = bodies.next()?;
        instrumenter.statements(&mut top_level.statements);
        // Anonymous functions are called by their index in the library, so they stay unchanged.
        let mut anonymous = ast.clone_functions_only();
        anonymous.retain_functions(|_, _, name, _| name.starts_with("anon$"));
        let depth = Arc::new(AtomicUsize::new(0));
        for mut body in bodies.filter(|body| !is_anonymous(body)) {
            instrumenter.statements(&mut body.statements);
            register(&mut engine, body, &anonymous, &depth);
        }
        log.lock().probes = instrumenter.probes;
        let ast = AST::new(top_level.statements, Shared::clone(anonymous.shared_lib()));
        Some(Self { engine, ast, log, budget })
    }

    /// Runs the script.
    pub fn run(&self, scope: &mut Scope<'_>) -> RunOutcome {
        self.log.lock().start_run();
        let value = self.engine.eval_ast_with_scope(scope, &self.ast);
        let mut log = self.log.lock();
        RunOutcome {
            value,
            has_new_value: log.has_new_value,
            path: log.path,
            divisions_by_zero: std::mem::take(&mut log.divisions_by_zero),
        }
    }

    /// Returns the position of the last statement.
    pub fn end(&self) -> Position {
        self.ast.statements().last().map_or(Position::NONE, Stmt::position)
    }

    /// Sets the number of operations that all further runs can use.
    pub fn set_budget(&self, operations: u64) {
        self.budget.store(operations, Ordering::Relaxed);
    }

    /// Returns whether the runs have used all operations.
    pub fn is_budget_spent(&self) -> bool {
        self.budget.load(Ordering::Relaxed) == 0
    }

    /// Calls `f` with the probes.
    pub fn with_probes<T>(&self, f: impl FnOnce(&[Probe]) -> T) -> T {
        f(&self.log.lock().probes)
    }
}

impl ProbeLog {
    fn start_run(&mut self) {
        (self.has_new_value, self.path) = (false, 0);
        self.divisions_by_zero.clear();
    }

    fn record(&mut self, id: i64, value: &Dynamic) {
        let Some(probe) = usize::try_from(id).ok().and_then(|index| self.probes.get_mut(index)) else { return };
        if let Ok(result) = value.as_bool() {
            self.has_new_value |= !probe.results[usize::from(result)];
            probe.results[usize::from(result)] = true;
            let step = 2 * id.unsigned_abs() + u64::from(result) + 1;
            self.path = (self.path.rotate_left(5) ^ step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        if value.as_float().is_ok_and(|number| !number.is_finite()) && !self.divisions_by_zero.contains(&probe.at) {
            self.divisions_by_zero.push(probe.at);
        }
    }
}

/// Uses one operation of the budget; returns whether the script can continue. After `end` the budget is empty.
fn spend(budget: &AtomicU64, end: Instant) -> bool {
    let before = budget.load(Ordering::Relaxed);
    let is_late = before.is_multiple_of(CLOCK_INTERVAL) && Instant::now() > end;
    budget.store(if is_late { 0 } else { before.saturating_sub(1) }, Ordering::Relaxed);
    before > 1 && !is_late
}

fn is_anonymous(body: &FunctionBody) -> bool {
    body.function.as_deref().is_some_and(|name| name.starts_with("anon$"))
}

/// Registers a function of the script with the engine, because the function definitions in a syntax tree cannot be
/// replaced.
fn register(engine: &mut Engine, body: FunctionBody, anonymous: &AST, depth: &Arc<AtomicUsize>) {
    let FunctionBody { function, parameters, statements } = body;
    let types = vec![TypeId::of::<Dynamic>(); parameters.len()];
    let ast = AST::new(statements, Shared::clone(anonymous.shared_lib()));
    let depth = Arc::clone(depth);
    let run = move |context: NativeCallContext<'_>, arguments: &mut [&mut Dynamic]| {
        if depth.fetch_add(1, Ordering::Relaxed) >= MAX_CALL_DEPTH {
            depth.fetch_sub(1, Ordering::Relaxed);
            return Err(Box::new(EvalAltResult::ErrorStackOverflow(Position::NONE)));
        }
        let mut scope = Scope::new();
        for (name, value) in parameters.iter().zip(arguments) {
            scope.push_dynamic(name.clone(), value.clone());
        }
        let result = context.engine().eval_ast_with_scope::<Dynamic>(&mut scope, &ast);
        depth.fetch_sub(1, Ordering::Relaxed);
        result
    };
    engine.register_raw_fn(function.unwrap_or_default(), types, run);
}
