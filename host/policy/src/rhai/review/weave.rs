//! A script whose conditions and quotients tell what they come to.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rhai::{AST, Dynamic, Engine, EvalAltResult, NativeCallContext, Position, Scope, Shared, Stmt};

use super::weaver::{PROBE, Weaver};
use crate::rhai::bodies::{self, Body};

/// The longest that all samples of one script may take; few scripts take a tenth, and only one whose operations are
/// themselves long, as on large lists, takes all.
const PATIENCE: Duration = Duration::from_secs(1);
/// The operations between two looks at the clock.
const CLOCK_EVERY: u64 = 64;
/// A script with probes takes no more than so many times its operations.
const PROBED: u64 = 4;
/// The deepest that functions may call each other, beyond what any script may: each level takes a piece of this
/// thread's stack.
const MAX_DEPTH: usize = 33;

/// A condition or a quotient.
pub struct Probe {
    /// Where it begins.
    pub at: Position,
    /// The probe that it is a part of.
    pub parent: Option<usize>,
    /// Whether it came to true, and to false.
    pub truths: [bool; 2],
}

impl Probe {
    /// Whether it is a condition that only ever came to one answer; one that nothing came to is none.
    pub const fn is_constant(&self) -> bool {
        self.truths[0] != self.truths[1]
    }
}

/// What the probes saw.
#[derive(Default)]
struct Log {
    probes: Vec<Probe>,
    /// Whether one of them came to something new in this run.
    fresh: bool,
    /// What they came to in this run, one after the other, as a number.
    path: u64,
    /// Where infinity or no number at all came out in this run.
    odd: Vec<Position>,
}

/// What became of one run.
pub struct Ran {
    /// What came out.
    pub answer: Result<Dynamic, Box<EvalAltResult>>,
    /// Whether a condition came to something new.
    pub fresh: bool,
    /// The way through the script, as a number.
    pub path: u64,
    /// Where a quotient was no number.
    pub odd: Vec<Position>,
}

/// A script with probes.
pub struct Woven {
    engine: Engine,
    ast: AST,
    log: Arc<Mutex<Log>>,
    /// The operations that are left.
    left: Arc<AtomicU64>,
}

impl Woven {
    /// Weaves probes into a script that was checked.
    pub fn new(mut engine: Engine, ast: &AST) -> Option<Self> {
        let log: Arc<Mutex<Log>> = Arc::default();
        let left = Arc::new(AtomicU64::new(0));
        let (kept, seen) = (Arc::clone(&left), Arc::clone(&log));
        // Probes are operations and calls too, so the script's own limits would be met too soon.
        let most = engine.max_operations().saturating_mul(PROBED);
        engine.set_max_operations(most).set_max_call_levels(2 * MAX_DEPTH);
        let end = Instant::now() + PATIENCE;
        engine.on_progress(move |_| (!spend(&kept, end)).then_some(Dynamic::UNIT));
        engine.register_fn(PROBE, move |probe: i64, value: Dynamic| {
            seen.lock().see(probe, &value);
            value
        });
        let mut weaver = Weaver::new(&engine)?;
        let mut bodies = bodies::of(ast).into_iter();
        let mut outermost = bodies.next()?;
        weaver.statements(&mut outermost.statements);
        // Functions without a name are called by their place in the library, so they stay as they are.
        let mut nameless = ast.clone_functions_only();
        nameless.retain_functions(|_, _, name, _| name.starts_with("anon$"));
        let depth = Arc::new(AtomicUsize::new(0));
        for mut body in bodies.filter(|body| !is_nameless(body)) {
            weaver.statements(&mut body.statements);
            register(&mut engine, body, &nameless, &depth);
        }
        log.lock().probes = weaver.probes;
        let ast = AST::new(outermost.statements, Shared::clone(nameless.shared_lib()));
        Some(Self { engine, ast, log, left })
    }

    /// Runs the script.
    pub fn run(&self, scope: &mut Scope<'_>) -> Ran {
        self.log.lock().begin();
        let answer = self.engine.eval_ast_with_scope(scope, &self.ast);
        let mut log = self.log.lock();
        Ran { answer, fresh: log.fresh, path: log.path, odd: std::mem::take(&mut log.odd) }
    }

    /// Where its last statement stands.
    pub fn end(&self) -> Position {
        self.ast.statements().last().map_or(Position::NONE, Stmt::position)
    }

    /// From now on runs may take so many operations together.
    pub fn grant(&self, operations: u64) {
        self.left.store(operations, Ordering::Relaxed);
    }

    /// Whether the runs have taken all operations that they may.
    pub fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Looks at the probes.
    pub fn probes<T>(&self, look: impl FnOnce(&[Probe]) -> T) -> T {
        look(&self.log.lock().probes)
    }
}

impl Log {
    fn begin(&mut self) {
        (self.fresh, self.path) = (false, 0);
        self.odd.clear();
    }

    fn see(&mut self, number: i64, value: &Dynamic) {
        let Some(probe) = usize::try_from(number).ok().and_then(|at| self.probes.get_mut(at)) else { return };
        if let Ok(truth) = value.as_bool() {
            self.fresh |= !probe.truths[usize::from(truth)];
            probe.truths[usize::from(truth)] = true;
            let step = 2 * number.unsigned_abs() + u64::from(truth) + 1;
            self.path = (self.path.rotate_left(5) ^ step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        if value.as_float().is_ok_and(|number| !number.is_finite()) && !self.odd.contains(&probe.at) {
            self.odd.push(probe.at);
        }
    }
}

/// Takes one operation of those that are left; past the end in time none is.
fn spend(left: &AtomicU64, end: Instant) -> bool {
    let before = left.load(Ordering::Relaxed);
    let late = before.is_multiple_of(CLOCK_EVERY) && Instant::now() > end;
    left.store(if late { 0 } else { before.saturating_sub(1) }, Ordering::Relaxed);
    before > 1 && !late
}

fn is_nameless(body: &Body) -> bool {
    body.function.as_deref().is_some_and(|name| name.starts_with("anon$"))
}

/// A function of the script, made one of the engine: the tree of functions cannot be taken apart and put together.
fn register(engine: &mut Engine, body: Body, nameless: &AST, depth: &Arc<AtomicUsize>) {
    let Body { function, arguments, statements } = body;
    let types = vec![TypeId::of::<Dynamic>(); arguments.len()];
    let ast = AST::new(statements, Shared::clone(nameless.shared_lib()));
    let depth = Arc::clone(depth);
    let run = move |context: NativeCallContext<'_>, given: &mut [&mut Dynamic]| {
        if depth.fetch_add(1, Ordering::Relaxed) >= MAX_DEPTH {
            depth.fetch_sub(1, Ordering::Relaxed);
            return Err(Box::new(EvalAltResult::ErrorStackOverflow(Position::NONE)));
        }
        let mut scope = Scope::new();
        for (name, value) in arguments.iter().zip(given) {
            scope.push_dynamic(name.clone(), value.clone());
        }
        let answer = context.engine().eval_ast_with_scope::<Dynamic>(&mut scope, &ast);
        depth.fetch_sub(1, Ordering::Relaxed);
        answer
    };
    engine.register_raw_fn(function.unwrap_or_default(), types, run);
}
