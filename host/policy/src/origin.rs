//! Where the text of a policy stands.

use tidegate_core::config::reader::{Problem, Text};

/// A file, or a string inside one; it turns the positions of a script into positions that people can go to.
#[derive(Clone, Debug)]
pub struct Origin {
    file: String,
    inside: Option<Text>,
}

impl Origin {
    /// The script is the whole of `file`.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), inside: None }
    }

    /// The script is a string of `file`.
    pub fn inside(file: impl Into<String>, text: Text) -> Self {
        Self { file: file.into(), inside: Some(text) }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.file
    }

    /// The same problem at its place in the file.
    pub fn place(&self, problem: Problem) -> Problem {
        let Some(text) = &self.inside else { return problem };
        let at = text.place(problem.line, problem.column);
        Problem { line: at.line, column: at.column, message: problem.message }
    }

    /// `file:line:column: message`.
    pub fn show(&self, problem: Problem) -> String {
        format!("{}:{}", self.file, self.place(problem))
    }
}
