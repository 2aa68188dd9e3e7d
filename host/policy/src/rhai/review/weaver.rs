//! Weaves probes into a script: the call of a function around every condition and every quotient.

use rhai::{Engine, Expr, FnCallExpr, Position, Stmt, StmtBlock};

use super::weave::Probe;

/// The function that probes call; no script has one of the name, since the check at load knows none.
pub const PROBE: &str = "tidegate_probe";

/// Puts probes into statements.
pub struct Weaver {
    /// The probes so far.
    pub probes: Vec<Probe>,
    parent: Option<usize>,
    call: FnCallExpr,
}

impl Weaver {
    /// One that has put none yet.
    pub fn new(engine: &Engine) -> Option<Self> {
        Some(Self { probes: vec![], parent: None, call: template(engine)? })
    }

    /// Puts probes into these.
    pub fn statements(&mut self, statements: &mut [Stmt]) {
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
        self.probes.push(Probe { at, parent, truths: [false; 2] });
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
