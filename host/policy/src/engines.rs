//! The policy engines, and how a file is loaded as a policy.

#![cfg_attr(
    not(all(feature = "rhai", feature = "wasm")),
    allow(unused_variables, dead_code, reason = "an engine is missing")
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::AlertPolicy;
use tidegate_core::config::reader::{Diagnostic, SpannedString};
use tidegate_core::config::{PoliciesConfig, ResolvedPolicyConfig};

use crate::compile_progress::CompileProgress;
use crate::error::Error;
use crate::files::FileContent;
use crate::loaded::LoadedPolicy;
#[cfg(feature = "rhai")]
use crate::origin::Origin;
#[cfg(feature = "rhai")]
use crate::paths::RULES;
use crate::paths::{PolicyKind, PolicyLanguage};
#[cfg(feature = "rhai")]
use crate::rhai::RhaiEngines;
#[cfg(feature = "wasm")]
use crate::wasm::{WasmBinary, WasmEngine};

/// The engine of each language.
pub struct Engines {
    #[cfg(feature = "rhai")]
    rhai: RhaiEngines,
    /// Created with the first component, because it reserves memory.
    #[cfg(feature = "wasm")]
    wasm: std::sync::OnceLock<Result<WasmEngine, Error>>,
    /// The configuration at the start. The Wasm engine is created once and does not follow changes.
    #[cfg(feature = "wasm")]
    config: PoliciesConfig,
}

/// The content of a policy file.
pub struct PolicySource<'a> {
    /// The path within the directory.
    pub path: &'a str,
    /// The file name that errors use.
    pub file: &'a str,
    /// The bytes of the file.
    pub bytes: &'a [u8],
    /// The SHA-256 of the bytes in hexadecimal, if it is known.
    pub hash: Option<&'a str>,
}

impl Engines {
    /// Creates engines with the limits of the configuration.
    pub fn new(config: &PoliciesConfig) -> Self {
        Self {
            #[cfg(feature = "rhai")]
            rhai: RhaiEngines::new(),
            #[cfg(feature = "wasm")]
            wasm: std::sync::OnceLock::new(),
            #[cfg(feature = "wasm")]
            config: config.clone(),
        }
    }

    /// Loads the policy in a file.
    ///
    /// # Errors
    /// Returns every error as `file:line:column: message`, one per line.
    pub fn load(
        &self,
        kind: PolicyKind,
        source: &PolicySource<'_>,
        config: &ResolvedPolicyConfig,
    ) -> Result<LoadedPolicy, Error> {
        let file = source.file;
        match PolicyLanguage::from_path(Path::new(source.path)) {
            Some(PolicyLanguage::Toml) | None => {
                Err(Error::rejected("expected a file name that ends in .rhai or .wasm").in_file(file))
            }
            #[cfg(feature = "rhai")]
            Some(PolicyLanguage::Rhai) => self.load_script(kind, source, config),
            #[cfg(feature = "wasm")]
            Some(PolicyLanguage::Wasm) => {
                self.load_component(kind, source, config).map_err(|error| error.in_file(file))
            }
            #[cfg(not(all(feature = "rhai", feature = "wasm")))]
            Some(language) => Err(Error::rejected(unsupported(language, file))),
        }
    }

    #[cfg(feature = "rhai")]
    fn load_script(
        &self,
        kind: PolicyKind,
        source: &PolicySource<'_>,
        config: &ResolvedPolicyConfig,
    ) -> Result<LoadedPolicy, Error> {
        let text = text(source.file, source.bytes).map_err(Error::rejected)?;
        let origin = Origin::file(source.file).with_path(source.path);
        let loaded = self.rhai.load(kind, text, origin.clone(), config);
        loaded.map_err(|diagnostics| Error::rejected_at(format_lines(&origin, &diagnostics), diagnostics))
    }

    #[cfg(feature = "wasm")]
    fn load_component(
        &self,
        kind: PolicyKind,
        source: &PolicySource<'_>,
        config: &ResolvedPolicyConfig,
    ) -> Result<LoadedPolicy, Error> {
        let binary = match source.hash {
            Some(hash) => WasmBinary::hashed(source.bytes, hash),
            None => WasmBinary::new(source.bytes),
        };
        self.wasm()?.load(kind, source.path, &binary, config)
    }

    /// Compiles an inline condition of `file`.
    ///
    /// # Errors
    /// Returns every error, with its position in the file.
    #[cfg(feature = "rhai")]
    pub fn condition(
        &self,
        file: &str,
        text: &SpannedString,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<dyn AlertPolicy>, Vec<Diagnostic>> {
        let origin = Origin::inside(file, text.clone()).with_path(RULES);
        let compiled = self.rhai.load_alert(&text.value, origin.clone(), config);
        compiled.map_err(|diagnostics| diagnostics.into_iter().map(|diagnostic| origin.locate(diagnostic)).collect())
    }

    /// Compiles an inline condition of `file`.
    ///
    /// # Errors
    /// Always returns an error: inline conditions are Rhai.
    #[cfg(not(feature = "rhai"))]
    pub fn condition(
        &self,
        file: &str,
        text: &SpannedString,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<dyn AlertPolicy>, Vec<Diagnostic>> {
        Err(vec![Diagnostic::new(text.at, unsupported(PolicyLanguage::Rhai, file))])
    }

    /// Prepares a file for loading, and waits at most `compile_wait` for it. A longer compilation continues in the
    /// background.
    pub fn prepare(&self, compile_wait: Duration, path: &str, content: &FileContent) -> CompileProgress {
        #[cfg(feature = "wasm")]
        if let (Some(PolicyLanguage::Wasm), Ok(wasm)) = (PolicyLanguage::from_path(Path::new(path)), self.wasm()) {
            return wasm.compiler().prepare(compile_wait, &WasmBinary::hashed(&content.bytes, &content.hash));
        }
        CompileProgress::Ready
    }

    /// Waits until the component with this hash is compiled. Returns at once if it is not being compiled.
    pub fn wait(&self, hash: &str) {
        #[cfg(feature = "wasm")]
        if let Ok(wasm) = self.wasm() {
            wasm.compiler().wait(hash);
        }
    }

    #[cfg(feature = "wasm")]
    fn wasm(&self) -> Result<&WasmEngine, Error> {
        self.wasm.get_or_init(|| WasmEngine::new(&self.config)).as_ref().map_err(Clone::clone)
    }
}

/// Returns the text of a file.
///
/// # Errors
/// Returns the position of the first byte that is not valid UTF-8.
pub fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{file}:{line}:{column}: not UTF-8; save the file as UTF-8")
    })
}

#[cfg(feature = "rhai")]
fn format_lines(origin: &Origin, diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| origin.show(diagnostic.clone())).collect::<Vec<_>>().join("\n")
}

#[cfg(not(all(feature = "rhai", feature = "wasm")))]
fn unsupported(language: PolicyLanguage, file: &str) -> String {
    format!("{file}: this program was built without {language} policies; build it with the feature `{language}`")
}
