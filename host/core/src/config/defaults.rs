//! The defaults of the configuration and of its sections, which `defaults.toml` contains.

use super::{AlertingConfig, Config, DecisionsConfig, MetricsConfig, PoliciesConfig, RetryConfig, ServerConfig};

impl Default for Config {
    fn default() -> Self {
        Self::built_in("")
    }
}

macro_rules! impl_default {
    ($($section:ty: $field:ident),*) => {
        $(
            /// The values of a configuration without the section.
            impl Default for $section {
                fn default() -> Self {
                    Config::default().$field
                }
            }
        )*
    };
}

impl_default!(
    RetryConfig: retry,
    MetricsConfig: metrics,
    AlertingConfig: alerting,
    PoliciesConfig: policies,
    DecisionsConfig: decisions,
    ServerConfig: server
);
