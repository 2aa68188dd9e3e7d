//! The scripts of a policy directory, for tools that analyze them.
//!
//! [`sources`] finds the scripts, [`ParsedScript`] parses one, and [`Contract`] lists the variables and functions that
//! it can use. A tool can run a script too, on an engine of [`new_engine`] and inside of [`CallContext::provide`].
//!
//! The syntax tree consists of types of the crate `rhai`, in the exact version that this crate uses. The module is
//! exempt from semantic versioning: it exists for the crate `tidegate-lint`.
//!
//! ```
//! use tidegate_policy::scripts::{ParsedScript, new_engine, sources};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let mut config = tidegate_core::config::PoliciesConfig::default();
//! # config.dir = dir.path().to_owned();
//! std::fs::write(dir.path().join("alerts.toml"), "[rules.errors]\ncondition = \"error_rate > 10\"\n")?;
//! for source in sources(&config)? {
//!     let engine = new_engine(&source.config().limits);
//!     let script = ParsedScript::parse(&engine, source.text(), source.kind());
//!     assert!(script.is_ok_and(|script| script.tokens.contains("error_rate")));
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

use std::cell::RefCell;
use std::io;
use std::path::Path;

use tidegate_core::config::reader::{self, Diagnostic, SpannedString};
use tidegate_core::config::{PoliciesConfig, ResolvedPolicyConfig};

use crate::files;
use crate::origin::Origin;
use crate::paths::{PolicyKind, PolicyLanguage, RULES};
pub use crate::rhai::{
    CallContext, CallView, Contract, FunctionBody, InferredTypes, LIMIT_FIELDS, Literal, ParsedScript, STATS,
    StatGetter, Tokens, ValueType, diagnostic, error_diagnostic, new_engine, optimize, truncate,
};

/// The text of one script, and where it comes from: a file, or a condition in `alerts.toml`.
#[derive(Clone, Debug)]
pub struct ScriptSource {
    text: String,
    kind: PolicyKind,
    config: ResolvedPolicyConfig,
    origin: Origin,
}

impl ScriptSource {
    /// Returns the text of the script.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns what the script decides.
    #[must_use]
    pub const fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// Returns the limits and settings of the policy.
    #[must_use]
    pub const fn config(&self) -> &ResolvedPolicyConfig {
        &self.config
    }

    /// Formats a diagnostic of the script as `file:line:column: message`.
    #[must_use]
    pub fn show(&self, diagnostic: Diagnostic) -> String {
        self.origin.show(diagnostic)
    }
}

/// Returns the scripts of a policy directory, whether they are valid or not: the files in Rhai, and the conditions in
/// `alerts.toml`. Skips files that cannot be read.
///
/// # Errors
/// Returns an error if the directory itself cannot be read.
pub fn sources(config: &PoliciesConfig) -> io::Result<Vec<ScriptSource>> {
    let mut sources = Vec::new();
    for file in files::scan(&config.dir, |_, _| false)?.into_values().flatten() {
        let Some(text) = file.content.ok().and_then(|content| String::from_utf8(content.bytes).ok()) else { continue };
        let (policy_path, full_path) = (Path::new(&file.path), config.dir.join(&file.path).display().to_string());
        let config = config.resolve(&file.path);
        if file.path == RULES {
            sources.extend(conditions(&text).into_iter().map(|condition| ScriptSource {
                text: condition.value.clone(),
                kind: PolicyKind::Alert,
                config: config.clone(),
                origin: Origin::inside(&full_path, condition),
            }));
        } else if let (Some(PolicyLanguage::Rhai), Some(kind)) =
            (PolicyLanguage::from_path(policy_path), PolicyKind::from_path(policy_path))
        {
            sources.push(ScriptSource { text, kind, config, origin: Origin::file(&full_path) });
        }
    }
    Ok(sources)
}

/// Returns the inline conditions of `alerts.toml`, in the order of their positions.
fn conditions(text: &str) -> Vec<SpannedString> {
    let conditions = RefCell::new(Vec::new());
    let result = reader::read(text, |file| {
        for (_, mut section) in file.tables("rules") {
            conditions.borrow_mut().extend(section.optional("condition", reader::spanned_string));
        }
        Some(())
    });
    // The other keys are reported as unknown, because only the conditions are read here.
    drop(result);
    let mut conditions = conditions.into_inner();
    conditions.sort_by_key(|condition| condition.at);
    conditions
}
