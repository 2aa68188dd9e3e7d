//! A script: from its text to a value.

use std::sync::Arc;
use std::time::Duration;

use rhai::{AST, Dynamic, EvalAltResult, OptimizationLevel, ParseError, ParseErrorType, Position, Scope};
use tidegate_core::config::reader::{Problem, suggestion};
use tidegate_core::{Fault, FaultKind};

use super::engine::{Call, during};
use super::names::Contract;
use super::{Shared, check};
use crate::origin::Origin;

/// How long a script may take on a sample; a busy machine must not make a good script look bad.
pub const SAMPLE_DEADLINE: Duration = Duration::from_secs(2);

/// A parsed and checked script.
pub struct Script {
    shared: Arc<Shared>,
    ast: AST,
    origin: Origin,
    /// The ranges that the script asks `window` for.
    pub windows: Vec<Duration>,
}

/// A fault with its place in the script.
pub struct Misstep {
    kind: FaultKind,
    problem: Problem,
}

impl Misstep {
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
    pub fn parse(shared: Arc<Shared>, text: &str, origin: Origin, contract: &Contract) -> Result<Self, Vec<Problem>> {
        let mut scope = Scope::new();
        for (name, _) in &contract.inputs {
            scope.push_dynamic(*name, Dynamic::UNIT);
        }
        let parsed = shared.engine.compile_with_scope(&scope, text);
        let ast = parsed.map_err(|error| vec![parse_problem(&error, contract)])?;
        let windows = check::check(&ast, contract, &shared.functions)?;
        let ast = shared.engine.optimize_ast(&Scope::new(), ast, OptimizationLevel::Simple);
        Ok(Self { shared, ast, origin, windows })
    }

    /// Runs the script; `read` makes an answer of its last value, or says what was expected.
    pub fn run<T>(
        &self,
        mut scope: Scope<'_>,
        call: Call,
        deadline: Duration,
        read: impl FnOnce(Dynamic) -> Result<T, String>,
    ) -> Result<T, Misstep> {
        let engine = &self.shared.engine;
        let value = during(call, deadline, || engine.eval_ast_with_scope::<Dynamic>(&mut scope, &self.ast));
        let value = value.map_err(|error| misstep(*error, deadline))?;
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

/// A problem at a position of the script; without one, at its beginning.
pub fn problem(at: Position, message: impl Into<String>) -> Problem {
    Problem { line: at.line().unwrap_or(1), column: at.position().unwrap_or(1), message: message.into() }
}

fn parse_problem(error: &ParseError, contract: &Contract) -> Problem {
    let message = match error.err_type() {
        ParseErrorType::VariableUndefined(name) => {
            let inputs: Vec<_> = contract.inputs.iter().map(|(name, _)| *name).collect();
            format!("no such name `{name}`; {}", suggestion(name, &inputs))
        }
        other => other.to_string(),
    };
    problem(error.position(), message)
}

fn misstep(error: EvalAltResult, deadline: Duration) -> Misstep {
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
