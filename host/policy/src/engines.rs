//! The engines that policies run on, and the way from a file to a policy.

#![cfg_attr(not(any(feature = "rhai", feature = "wasm")), allow(unused_variables, reason = "no engine to make"))]

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::AlertPolicy;
use tidegate_core::config::reader::{Problem, Text};
use tidegate_core::config::{PoliciesConfig, Terms};

use crate::files::Content;
use crate::load::{Loaded, PolicyKind};
#[cfg(feature = "rhai")]
use crate::origin::Origin;
#[cfg(feature = "rhai")]
use crate::rhai::Rhai;
#[cfg(feature = "wasm")]
use crate::wasm::{Binary, WasmEngine};

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

/// How far a file is on its way to be loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It can be loaded at once.
    Ready,
    /// It takes long, and that has begun now.
    Begun,
    /// It takes long, and somebody waits for it already.
    UnderWay,
}

/// One engine a language.
pub struct Engines {
    #[cfg(feature = "rhai")]
    rhai: Rhai,
    /// Made when the first component is seen: its memory pool is of no use to those who have none.
    #[cfg(feature = "wasm")]
    wasm: std::sync::OnceLock<Result<WasmEngine, String>>,
    /// What held at the start: an engine of Wasm is made once.
    #[cfg(feature = "wasm")]
    config: PoliciesConfig,
}

/// The contents of a policy's file.
pub struct Source<'a> {
    /// Its path within the directory.
    pub path: &'a str,
    /// Its name as errors tell it.
    pub file: &'a str,
    /// What stands in it.
    pub bytes: &'a [u8],
    /// The SHA-256 of that in hexadecimal, where it is known.
    pub hash: Option<&'a str>,
}

impl Engines {
    /// Engines with the limits of the configuration.
    pub fn new(config: &PoliciesConfig) -> Self {
        Self {
            #[cfg(feature = "rhai")]
            rhai: Rhai::new(),
            #[cfg(feature = "wasm")]
            wasm: std::sync::OnceLock::new(),
            #[cfg(feature = "wasm")]
            config: config.clone(),
        }
    }

    /// The policy in a file.
    ///
    /// # Errors
    /// Every problem as `file:line:column: message`, one a line.
    pub fn load(&self, kind: PolicyKind, source: &Source<'_>, terms: &Terms) -> Result<Loaded, String> {
        let Source { file, .. } = source;
        match Language::of(source.path) {
            #[cfg(feature = "rhai")]
            Some(Language::Rhai) => self.script(kind, source, terms),
            #[cfg(feature = "wasm")]
            Some(Language::Wasm) => self.component(kind, source, terms).map_err(|error| format!("{file}: {error}")),
            #[cfg(not(all(feature = "rhai", feature = "wasm")))]
            Some(language) => Err(unsupported(language, file)),
            None => Err(format!("{file}: expected a name ending in .rhai or .wasm")),
        }
    }

    #[cfg(feature = "rhai")]
    fn script(&self, kind: PolicyKind, source: &Source<'_>, terms: &Terms) -> Result<Loaded, String> {
        let (text, origin) = (text(source.file, source.bytes)?, Origin::file(source.file));
        let loaded = match kind {
            PolicyKind::Retry => self.rhai.retry(text, origin.clone(), terms).map(Loaded::Retry),
            PolicyKind::Alert => self.rhai.alert(text, origin.clone(), terms).map(Loaded::Alert),
            PolicyKind::Admit => self.rhai.admit(text, origin.clone(), terms).map(Loaded::Admit),
        };
        loaded.map_err(|problems| lines(&origin, problems))
    }

    #[cfg(feature = "wasm")]
    fn component(&self, kind: PolicyKind, source: &Source<'_>, terms: &Terms) -> Result<Loaded, String> {
        let (wasm, path) = (self.wasm()?, source.path);
        let bytes = source.hash.map_or_else(|| source.bytes.into(), |hash| Binary::hashed(source.bytes, hash));
        match kind {
            PolicyKind::Retry => wasm.retry(path, bytes, terms).map(Loaded::Retry),
            PolicyKind::Alert => wasm.alert(path, bytes, terms).map(Loaded::Alert),
            PolicyKind::Admit => wasm.admit(path, bytes, terms).map(Loaded::Admit),
        }
    }

    /// A condition that stands in line in `file`.
    ///
    /// # Errors
    /// Every problem, at its place in the file.
    #[cfg(feature = "rhai")]
    pub fn condition(&self, file: &str, text: &Text, terms: &Terms) -> Result<Arc<dyn AlertPolicy>, Vec<Problem>> {
        let origin = Origin::inside(file, text.clone());
        let place = |problems: Vec<Problem>| problems.into_iter().map(|problem| origin.place(problem)).collect();
        self.rhai.alert(&text.value, origin.clone(), terms).map_err(place)
    }

    /// A condition that stands in line in `file`.
    ///
    /// # Errors
    /// Always: such conditions are Rhai.
    #[cfg(not(feature = "rhai"))]
    pub fn condition(&self, file: &str, text: &Text, terms: &Terms) -> Result<Arc<dyn AlertPolicy>, Vec<Problem>> {
        let (at, message) = (text.at, unsupported(Language::Rhai, file));
        Err(vec![Problem { line: at.line, column: at.column, message }])
    }

    /// Sees to it that a file can be loaded at once, and waits for that so long at most; what takes longer goes on off
    /// the way of others.
    pub fn prepare(&self, patience: Duration, path: &str, content: &Content) -> Progress {
        #[cfg(feature = "wasm")]
        if let (Some(Language::Wasm), Ok(wasm)) = (Language::of(path), self.wasm()) {
            return wasm.compiler().prepare(patience, &Binary::hashed(&content.bytes, &content.hash));
        }
        Progress::Ready
    }

    /// Waits until the component of this hash is compiled, if it is being compiled.
    pub fn wait(&self, hash: &str) {
        #[cfg(feature = "wasm")]
        if let Ok(wasm) = self.wasm() {
            wasm.compiler().wait(hash);
        }
    }

    #[cfg(feature = "wasm")]
    fn wasm(&self) -> Result<&WasmEngine, String> {
        self.wasm.get_or_init(|| WasmEngine::new(&self.config)).as_ref().map_err(Clone::clone)
    }
}

/// The text of a file.
///
/// # Errors
/// The place of the first byte that is none.
pub fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
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
