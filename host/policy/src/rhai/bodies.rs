//! The parts of a script that have variables of their own: its outermost statements, and each function.

use rhai::{AST, ASTNode, Stmt};

use super::script::CONFIGURE;

/// The outermost statements, or one function.
pub struct Body {
    /// The function's name; the outermost statements have none.
    pub function: Option<String>,
    /// The function's arguments.
    pub arguments: Vec<String>,
    /// What it does.
    pub statements: Vec<Stmt>,
}

impl Body {
    /// The key of a function among the others.
    pub fn key(&self) -> Option<(&str, usize)> {
        self.function.as_deref().map(|name| (name, self.arguments.len()))
    }

    /// Whether anyone looks at the value of its last statement.
    pub fn is_asked(&self) -> bool {
        self.function.as_deref() != Some(CONFIGURE)
    }

    /// Visits every statement and expression inside.
    pub fn walk(&self, visit: &mut dyn FnMut(&[ASTNode<'_>]) -> bool) {
        for statement in &self.statements {
            statement.walk(&mut Vec::new(), visit);
        }
    }
}

/// All bodies, the outermost first.
pub fn of(ast: &AST) -> Vec<Body> {
    let outermost = Body { function: None, arguments: vec![], statements: ast.statements().to_vec() };
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
        let arguments = function.params.iter().map(|name| (*name).to_owned()).collect();
        Body { function: Some(function.name.to_owned()), arguments, statements }
    });
    std::iter::once(outermost).chain(functions).collect()
}
