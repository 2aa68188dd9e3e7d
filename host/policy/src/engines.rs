//! The engines that policies run on, and the way from a file to a policy.

#![cfg_attr(not(any(feature = "rhai", feature = "wasm")), allow(unused_variables, reason = "no engine to make"))]

use std::sync::Arc;

use tidegate_core::config::PoliciesConfig;
use tidegate_core::config::reader::{Problem, Text};
use tidegate_core::{AlertPolicy, RetryPolicy};

#[cfg(feature = "rhai")]
use crate::origin::Origin;
#[cfg(feature = "rhai")]
use crate::rhai::Rhai;
#[cfg(feature = "wasm")]
use crate::wasm::WasmEngine;

/// What a policy is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A script.
    Rhai,
    /// A component.
    Wasm,
}

impl Language {
    /// The language of a file by the ending of its name.
    pub fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "rhai" => Some(Self::Rhai),
            "wasm" => Some(Self::Wasm),
            _ => None,
        }
    }

    /// The name as the status shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rhai => "rhai",
            Self::Wasm => "wasm",
        }
    }
}

/// One engine a language.
pub struct Engines {
    #[cfg(feature = "rhai")]
    rhai: Rhai,
    /// Made when the first component is seen: its memory pool is of no use to those who have none.
    #[cfg(feature = "wasm")]
    wasm: std::sync::OnceLock<Result<WasmEngine, String>>,
    #[cfg(feature = "wasm")]
    config: PoliciesConfig,
}

impl Engines {
    /// Engines with the limits of the configuration.
    pub fn new(config: &PoliciesConfig) -> Self {
        Self {
            #[cfg(feature = "rhai")]
            rhai: Rhai::new(config),
            #[cfg(feature = "wasm")]
            wasm: std::sync::OnceLock::new(),
            #[cfg(feature = "wasm")]
            config: config.clone(),
        }
    }

    /// The classifier in `bytes`, the contents of `file`.
    ///
    /// # Errors
    /// Every problem as `file:line:column: message`, one a line.
    pub fn retry(&self, language: Language, file: &str, bytes: &[u8]) -> Result<Arc<dyn RetryPolicy>, String> {
        match language {
            #[cfg(feature = "rhai")]
            Language::Rhai => {
                let origin = Origin::file(file);
                self.rhai.retry(script(file, bytes)?, origin.clone()).map_err(|problems| lines(&origin, problems))
            }
            #[cfg(feature = "wasm")]
            Language::Wasm => self.wasm()?.retry(bytes).map_err(|error| format!("{file}: {error}")),
            #[cfg(not(all(feature = "rhai", feature = "wasm")))]
            language => Err(unsupported(language, file)),
        }
    }

    /// The condition in `bytes`, the contents of `file`.
    ///
    /// # Errors
    /// Every problem as `file:line:column: message`, one a line.
    pub fn alert(&self, language: Language, file: &str, bytes: &[u8]) -> Result<Arc<dyn AlertPolicy>, String> {
        match language {
            #[cfg(feature = "rhai")]
            Language::Rhai => {
                let origin = Origin::file(file);
                self.rhai.alert(script(file, bytes)?, origin.clone()).map_err(|problems| lines(&origin, problems))
            }
            #[cfg(feature = "wasm")]
            Language::Wasm => self.wasm()?.alert(bytes).map_err(|error| format!("{file}: {error}")),
            #[cfg(not(all(feature = "rhai", feature = "wasm")))]
            language => Err(unsupported(language, file)),
        }
    }

    /// A condition that stands in line in `file`.
    ///
    /// # Errors
    /// Every problem, at its place in the file.
    #[cfg(feature = "rhai")]
    pub fn condition(&self, file: &str, text: &Text) -> Result<Arc<dyn AlertPolicy>, Vec<Problem>> {
        let origin = Origin::inside(file, text.clone());
        let place = |problems: Vec<Problem>| problems.into_iter().map(|problem| origin.place(problem)).collect();
        self.rhai.alert(&text.value, origin.clone()).map_err(place)
    }

    /// A condition that stands in line in `file`.
    ///
    /// # Errors
    /// Always: such conditions are Rhai.
    #[cfg(not(feature = "rhai"))]
    pub fn condition(&self, file: &str, text: &Text) -> Result<Arc<dyn AlertPolicy>, Vec<Problem>> {
        let (at, message) = (text.at, unsupported(Language::Rhai, file));
        Err(vec![Problem { line: at.line, column: at.column, message }])
    }

    #[cfg(feature = "wasm")]
    fn wasm(&self) -> Result<&WasmEngine, String> {
        self.wasm.get_or_init(|| WasmEngine::new(&self.config)).as_ref().map_err(Clone::clone)
    }
}

#[cfg(feature = "rhai")]
fn script<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{file}:{line}:{column}: not UTF-8; save the file in that encoding")
    })
}

#[cfg(feature = "rhai")]
fn lines(origin: &Origin, problems: Vec<Problem>) -> String {
    problems.into_iter().map(|problem| origin.show(problem)).collect::<Vec<_>>().join("\n")
}

#[cfg(not(all(feature = "rhai", feature = "wasm")))]
fn unsupported(language: Language, file: &str) -> String {
    let name = language.name();
    format!("{file}: this program was built without {name} policies; build it with the feature `{name}`")
}
