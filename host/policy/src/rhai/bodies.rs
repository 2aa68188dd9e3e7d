//! The parts of a script that have their own variables: the top-level statements and each function.

use rhai::{AST, ASTNode, Stmt};

/// The function that a script may define to check its settings.
pub const CONFIGURE: &str = "configure";

/// The top-level statements of a script, or one of its functions.
#[derive(Clone, Debug)]
pub struct FunctionBody {
    /// The function's name; `None` for the top-level statements.
    pub function: Option<String>,
    /// The names of the function's parameters.
    pub parameters: Vec<String>,
    /// The statements of the body.
    pub statements: Vec<Stmt>,
}

impl FunctionBody {
    /// Returns the function's name and number of parameters, which identify it; `None` for the top-level statements.
    #[must_use]
    pub fn key(&self) -> Option<(&str, usize)> {
        self.function.as_deref().map(|name| (name, self.parameters.len()))
    }

    /// Returns whether the value of the last statement is used.
    pub(super) fn returns_value(&self) -> bool {
        self.function.as_deref() != Some(CONFIGURE)
    }

    /// Calls `visit` for every statement and expression of the body.
    pub fn walk(&self, visit: &mut dyn FnMut(&[ASTNode<'_>]) -> bool) {
        for statement in &self.statements {
            statement.walk(&mut Vec::new(), visit);
        }
    }
}

/// Returns all bodies of a script; the top-level statements come first.
pub fn collect(ast: &AST) -> Vec<FunctionBody> {
    let top_level = FunctionBody { function: None, parameters: vec![], statements: ast.statements().to_vec() };
    let functions = ast.iter_functions().map(|function| {
        let mut alone = ast.clone_functions_only();
        alone.retain_functions(|_, _, name, arity| name == function.name && arity == function.params.len());
        let mut statements = Vec::new();
        alone.walk(&mut |path| {
            if let [ASTNode::Stmt(statement)] = path {
                statements.push((*statement).clone());
            }
            true
        });
        let parameters = function.params.iter().map(|name| (*name).to_owned()).collect();
        FunctionBody { function: Some(function.name.to_owned()), parameters, statements }
    });
    std::iter::once(top_level).chain(functions).collect()
}
