//! What tidegate promises, as tests over the whole.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so")]
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
mod fleet_leader;
mod fleet_limits;
mod fleet_metrics;
mod fleet_trouble;
mod formulas;
mod fuzz;
mod guests_alike;
mod hostile;
mod http;
mod layer;
mod limits;
mod locks;
mod notes;
mod openapi;
mod platforms;
mod policies;
mod python;
mod reload;
mod servers;
mod standing;
mod three_forms;
