//! The decision log: the input and the verdict of each policy evaluation, as one line of JSON.
//!
//! The caller of a policy never waits for the log. Decisions go into a bounded queue, and a background thread writes
//! them.

mod counts;
mod log;
pub mod mask;
mod record;
mod recording_view;
mod writer;

pub use counts::DecisionsStatus;
pub use log::DecisionLog;
pub use record::{LoggedDecision, PolicyId};
