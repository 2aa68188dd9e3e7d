//! End-to-end tests of tidegate.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic on an unexpected error")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the numbers of these tests are small"
)]

mod admission;
mod alerts;
mod blocking;
mod cache;
mod check;
mod config;
mod connections;
mod contract;
mod decisions;
mod fleet_alerts;
mod fleet_builtin_alerts;
mod fleet_failures;
mod fleet_leader;
mod fleet_limits;
mod fleet_metrics;
mod formulas;
mod fuzz;
mod guest_languages;
mod hostile;
mod http;
mod layer;
mod limits;
mod locks;
mod notes;
mod openapi;
mod platforms;
mod policies;
mod policy_lifecycle;
mod python;
mod reference;
mod reload;
mod request_tracing;
mod response_body;
mod servers;
mod store_equivalence;
