//! Weaves probes into a script: every condition and every quotient tells what it came to.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rhai::{
    AST, Dynamic, Engine, EvalAltResult, Expr, FnCallExpr, NativeCallContext, Position, Scope, Shared, Stmt, StmtBlock,
};

use crate::rhai::bodies::{self, Body};

/// The function that probes call; no script has one of the name, since the check at load knows none.
const PROBE: &str = "tidegate_probe";
/// The most operations that all samples together may take.
const MAX_OPERATIONS: u64 = 5_000_000;
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
    /// Whether it came to infinity or to no number at all.
    pub is_odd: bool,
}

/// A script with probes.
pub struct Woven {
    engine: Engine,
    ast: AST,
    probes: Arc<Mutex<(Vec<Probe>, bool)>>,
    operations: Arc<AtomicU64>,
}

impl Woven {
    /// Weaves probes into a script that was checked.
    pub fn new(mut engine: Engine, ast: &AST) -> Option<Self> {
        let probes: Arc<Mutex<(Vec<Probe>, bool)>> = Arc::default();
        let operations = Arc::new(AtomicU64::new(0));
        let (log, spent) = (Arc::clone(&probes), Arc::clone(&operations));
        // Probes are operations and calls too, so the script's own limits would be met too soon.
        engine.set_max_operations(0).set_max_call_levels(2 * MAX_DEPTH);
        engine.on_progress(move |_| (spent.fetch_add(1, Ordering::Relaxed) > MAX_OPERATIONS).then_some(Dynamic::UNIT));
        engine.register_fn(PROBE, move |probe: i64, value: Dynamic| {
            see(&mut log.lock(), probe, &value);
            value
        });
        let mut weaver = Weaver { probes: vec![], parent: None, call: template(&engine)? };
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
        probes.lock().0 = weaver.probes;
        let ast = AST::new(outermost.statements, Shared::clone(nameless.shared_lib()));
        Some(Self { engine, ast, probes, operations })
    }

    /// Runs the script; the answer comes with whether a probe came to something new.
    pub fn run(&self, scope: &mut Scope<'_>) -> (Result<Dynamic, Box<EvalAltResult>>, bool) {
        self.probes.lock().1 = false;
        let answer = self.engine.eval_ast_with_scope(scope, &self.ast);
        (answer, self.probes.lock().1)
    }

    /// Where its last statement stands.
    pub fn end(&self) -> Position {
        self.ast.statements().last().map_or(Position::NONE, Stmt::position)
    }

    /// Whether the samples have taken all operations that they may.
    pub fn is_spent(&self) -> bool {
        self.operations.load(Ordering::Relaxed) > MAX_OPERATIONS
    }

    /// Looks at the probes.
    pub fn probes<T>(&self, look: impl FnOnce(&[Probe]) -> T) -> T {
        look(&self.probes.lock().0)
    }
}

fn see((probes, fresh): &mut (Vec<Probe>, bool), probe: i64, value: &Dynamic) {
    let Some(probe) = usize::try_from(probe).ok().and_then(|at| probes.get_mut(at)) else { return };
    if let Ok(truth) = value.as_bool() {
        *fresh |= !probe.truths[usize::from(truth)];
        probe.truths[usize::from(truth)] = true;
    }
    if value.as_float().is_ok_and(|number| !number.is_finite()) {
        *fresh |= !probe.is_odd;
        probe.is_odd = true;
    }
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

/// The call of a probe, to be filled in.
fn template(engine: &Engine) -> Option<FnCallExpr> {
    let ast = engine.compile(format!("{PROBE}(0, 0)")).ok()?;
    match ast.statements().first()? {
        Stmt::FnCall(call, _) => Some((**call).clone()),
        Stmt::Expr(value) => match &**value {
            Expr::FnCall(call, _) => Some((**call).clone()),
            _ => None,
        },
        _ => None,
    }
}

struct Weaver {
    probes: Vec<Probe>,
    parent: Option<usize>,
    call: FnCallExpr,
}

impl Weaver {
    fn statements(&mut self, statements: &mut [Stmt]) {
        statements.iter_mut().for_each(|statement| self.statement(statement));
    }

    fn block(&mut self, block: &mut StmtBlock) {
        self.statements(block.statements_mut());
    }

    fn statement(&mut self, statement: &mut Stmt) {
        match statement {
            Stmt::If(choice, _) => {
                self.truth(&mut choice.expr);
                self.block(&mut choice.body);
                self.block(&mut choice.branch);
            }
            Stmt::While(again, _) | Stmt::Do(again, ..) => {
                self.truth(&mut again.expr);
                self.block(&mut again.body);
            }
            Stmt::For(each, _) => {
                self.value(&mut each.2.expr);
                self.block(&mut each.2.body);
            }
            Stmt::Switch(switch, _) => {
                self.value(&mut switch.0);
                for case in &mut switch.1.expressions {
                    self.truth(&mut case.lhs);
                    self.value(&mut case.rhs);
                }
            }
            Stmt::TryCatch(attempt, _) => {
                self.block(&mut attempt.body);
                self.block(&mut attempt.branch);
            }
            Stmt::Block(block) => self.block(block),
            Stmt::Var(variable, ..) => self.value(&mut variable.1),
            Stmt::Assignment(assignment) => self.value(&mut assignment.1.rhs),
            Stmt::Expr(value) => self.value(value),
            Stmt::Return(Some(value), ..) => self.value(value),
            Stmt::FnCall(call, at) => {
                let mut value = Expr::FnCall(call.clone(), *at);
                self.value(&mut value);
                *statement = Stmt::Expr(Box::new(value));
            }
            _ => {}
        }
    }

    /// What is looked at for being true or false. What is written out as such is meant: `loop`, `while true`, a case
    /// without a condition.
    fn truth(&mut self, value: &mut Expr) {
        match value {
            Expr::Unit(_) | Expr::BoolConstant(..) => {}
            value if is_probed(value) => self.value(value),
            value => self.probe(value),
        }
    }

    fn value(&mut self, value: &mut Expr) {
        if is_probed(value) { self.probe(value) } else { self.inside(value) }
    }

    fn probe(&mut self, value: &mut Expr) {
        let id = self.probes.len();
        let (at, parent) = (start(value), self.parent);
        self.probes.push(Probe { at, parent, truths: [false; 2], is_odd: false });
        self.parent = Some(id);
        self.inside(value);
        self.parent = parent;
        let mut call = self.call.clone();
        let number = i64::try_from(id).unwrap_or(i64::MAX);
        call.args = [Expr::IntegerConstant(number, at), std::mem::take(value)].into_iter().collect();
        *value = Expr::FnCall(Box::new(call), at);
    }

    fn inside(&mut self, value: &mut Expr) {
        match value {
            // An operand that is written out decides for both sides of it.
            Expr::And(all, _) | Expr::Or(all, _) => all.iter_mut().for_each(|one| match one {
                Expr::BoolConstant(..) => self.probe(one),
                one => self.truth(one),
            }),
            Expr::FnCall(call, _) | Expr::MethodCall(call, _) => call.args.iter_mut().for_each(|one| self.value(one)),
            Expr::Dot(pair, ..) | Expr::Index(pair, ..) => {
                self.value(&mut pair.lhs);
                self.value(&mut pair.rhs);
            }
            Expr::Array(all, _) | Expr::InterpolatedString(all, _) => all.iter_mut().for_each(|one| self.value(one)),
            Expr::Map(map, _) => map.0.iter_mut().for_each(|(_, one)| self.value(one)),
            Expr::Stmt(block) => self.block(block),
            _ => {}
        }
    }
}

/// Whether a value is looked at wherever it stands.
fn is_probed(value: &Expr) -> bool {
    match value {
        Expr::And(..) | Expr::Or(..) => true,
        Expr::FnCall(call, _) => {
            let operators = ["==", "!=", "<", "<=", ">", ">=", "/", "%", "contains"];
            call.args.len() == 2 && operators.contains(&call.name.as_str())
        }
        _ => false,
    }
}

/// Where an expression begins; Rhai's own place of an operator is the operator.
pub fn start(value: &Expr) -> Position {
    match value {
        Expr::FnCall(call, at) if call.is_operator_call() => {
            let first = call.args.iter().map(start).filter(|at| !at.is_none());
            first.chain([*at]).min().unwrap_or(*at)
        }
        Expr::And(all, _) | Expr::Or(all, _) => all.first().map_or(Position::NONE, start),
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => start(&pair.lhs),
        other => other.start_position(),
    }
}
