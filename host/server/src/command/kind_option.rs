//! The kind of a policy as an argument.

use clap::ValueEnum;
use tidegate_policy::PolicyKind;

/// The kind of a policy as an argument.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindOption {
    /// Decides whether to retry a failed call.
    Retry,
    /// Decides whether an alert condition holds.
    Alert,
    /// Decides whether to admit a request, and at what cost.
    Admit,
}

impl KindOption {
    /// Returns the folder of the policy directory that contains policies of this kind.
    pub fn folder(self) -> &'static str {
        PolicyKind::from(self).folder()
    }
}

impl From<KindOption> for PolicyKind {
    fn from(kind: KindOption) -> Self {
        match kind {
            KindOption::Retry => Self::Retry,
            KindOption::Alert => Self::Alert,
            KindOption::Admit => Self::Admit,
        }
    }
}
