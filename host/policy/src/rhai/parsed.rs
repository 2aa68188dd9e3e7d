//! A script that was parsed, with everything that its checks read.

use rhai::{AST, Dynamic, Engine, OptimizationLevel, ParseError, Scope};
use tidegate_core::config::reader::Diagnostic;

use super::bodies::{self, FunctionBody};
use super::contract::Contract;
use super::hints;
use super::tokens::Tokens;
use super::types::InferredTypes;
use crate::paths::PolicyKind;

/// A script that was parsed, but not checked.
#[derive(Debug)]
#[non_exhaustive]
pub struct ParsedScript {
    /// The syntax tree, as it is written: nothing is optimized.
    pub ast: AST,
    /// The tokens in their order.
    pub tokens: Tokens,
    /// The top-level statements, followed by each function.
    pub bodies: Vec<FunctionBody>,
    /// The variables and functions that scripts of this kind can use.
    pub contract: Contract,
}

impl ParsedScript {
    /// Parses a script of this kind.
    ///
    /// # Errors
    /// Returns the first syntax error or undefined variable, with its position in the script.
    pub fn parse(engine: &Engine, text: &str, kind: PolicyKind) -> Result<Self, Diagnostic> {
        let contract = Contract::for_kind(kind);
        let inputs = contract.inputs.iter().map(|(name, _)| *name);
        let ast = compile(engine, text, inputs).map_err(|error| hints::explain(&error, text, &contract))?;
        Ok(Self { tokens: Tokens::lex(engine, text), bodies: bodies::collect(&ast), ast, contract })
    }

    /// Infers the types of the variables and functions.
    #[must_use]
    pub fn infer_types(&self) -> InferredTypes {
        InferredTypes::of_script(&self.bodies, &self.contract)
    }
}

/// Parses a script that can read these input variables.
///
/// # Errors
/// Returns an error of the parser.
pub fn compile(engine: &Engine, text: &str, inputs: impl Iterator<Item = &'static str>) -> Result<AST, ParseError> {
    let mut scope = Scope::new();
    for name in inputs {
        scope.push_dynamic(name, Dynamic::UNIT);
    }
    engine.compile_with_scope(&scope, text)
}

/// Returns the syntax tree with its constant expressions evaluated and its dead branches removed.
#[must_use]
pub fn optimize(engine: &Engine, ast: AST) -> AST {
    engine.optimize_ast(&Scope::new(), ast, OptimizationLevel::Simple)
}
