//! Instruments a script: wraps every condition and every quotient in a call of the probe function.

use rhai::{Engine, Expr, FnCallExpr, Position, Stmt, StmtBlock};

use crate::probe::{PROBE, Probe};

/// Adds probes to statements.
pub struct Instrumenter {
    /// The probes that were added.
    pub probes: Vec<Probe>,
    parent: Option<usize>,
    call: FnCallExpr,
}

impl Instrumenter {
    /// Creates an instrumenter without probes.
    pub fn new(engine: &Engine) -> Option<Self> {
        Some(Self { probes: vec![], parent: None, call: probe_call(engine)? })
    }

    /// Adds probes to the statements.
    pub fn statements(&mut self, statements: &mut [Stmt]) {
        statements.iter_mut().for_each(|statement| self.statement(statement));
    }

    fn block(&mut self, block: &mut StmtBlock) {
        self.statements(block.statements_mut());
    }

    fn statement(&mut self, statement: &mut Stmt) {
        match statement {
            Stmt::If(choice, _) => {
                self.condition(&mut choice.expr);
                self.block(&mut choice.body);
                self.block(&mut choice.branch);
            }
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => {
                self.condition(&mut flow.expr);
                self.block(&mut flow.body);
            }
            Stmt::For(each, _) => {
                self.value(&mut each.2.expr);
                self.block(&mut each.2.body);
            }
            Stmt::Switch(switch, _) => {
                self.value(&mut switch.0);
                for case in &mut switch.1.expressions {
                    self.condition(&mut case.lhs);
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

    /// Adds a probe to a condition. A literal is intended, as in `loop`, `while true` or a case without a condition,
    /// and gets no probe.
    fn condition(&mut self, value: &mut Expr) {
        match value {
            Expr::Unit(_) | Expr::BoolConstant(..) => {}
            value if needs_probe(value) => self.value(value),
            value => self.probe(value),
        }
    }

    fn value(&mut self, value: &mut Expr) {
        if needs_probe(value) { self.probe(value) } else { self.children(value) }
    }

    fn probe(&mut self, value: &mut Expr) {
        let index = self.probes.len();
        let (at, parent) = (start(value), self.parent);
        self.probes.push(Probe { at, parent, results: [false; 2] });
        self.parent = Some(index);
        self.children(value);
        self.parent = parent;
        let mut call = self.call.clone();
        let id = i64::try_from(index).unwrap_or(i64::MAX);
        call.args = [Expr::IntegerConstant(id, at), std::mem::take(value)].into_iter().collect();
        *value = Expr::FnCall(Box::new(call), at);
    }

    fn children(&mut self, value: &mut Expr) {
        match value {
            // A literal operand determines the result, so it gets a probe.
            Expr::And(all, _) | Expr::Or(all, _) => all.iter_mut().for_each(|operand| match operand {
                Expr::BoolConstant(..) => self.probe(operand),
                operand => self.condition(operand),
            }),
            Expr::FnCall(call, _) | Expr::MethodCall(call, _) => {
                call.args.iter_mut().for_each(|argument| self.value(argument));
            }
            Expr::Dot(pair, ..) | Expr::Index(pair, ..) => {
                self.value(&mut pair.lhs);
                self.value(&mut pair.rhs);
            }
            Expr::Array(all, _) | Expr::InterpolatedString(all, _) => all.iter_mut().for_each(|item| self.value(item)),
            Expr::Map(map, _) => map.0.iter_mut().for_each(|(_, item)| self.value(item)),
            Expr::Stmt(block) => self.block(block),
            _ => {}
        }
    }
}

/// Returns whether an expression gets a probe wherever it occurs.
fn needs_probe(value: &Expr) -> bool {
    match value {
        Expr::And(..) | Expr::Or(..) => true,
        Expr::FnCall(call, _) => {
            let operators = ["==", "!=", "<", "<=", ">", ">=", "/", "%", "contains"];
            call.args.len() == 2 && operators.contains(&call.name.as_str())
        }
        _ => false,
    }
}

/// Returns the start of an expression. Rhai's own position of an operation is that of its operator.
pub fn start(value: &Expr) -> Position {
    match value {
        Expr::FnCall(call, at) if call.is_operator_call() => {
            let operands = call.args.iter().map(start).filter(|at| !at.is_none());
            operands.chain([*at]).min().unwrap_or(*at)
        }
        Expr::And(all, _) | Expr::Or(all, _) => all.first().map_or(Position::NONE, start),
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => start(&pair.lhs),
        other => other.start_position(),
    }
}

/// Returns a call of the probe function, whose arguments are set for each probe.
fn probe_call(engine: &Engine) -> Option<FnCallExpr> {
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
