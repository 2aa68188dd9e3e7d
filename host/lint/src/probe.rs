//! A condition or a quotient of a script, and the values that it had.

use rhai::Position;

/// The name of the probe function. No script defines or calls it, because the load-time checks reject unknown names.
pub const PROBE: &str = "tidegate_probe";

/// A condition or a quotient.
#[derive(Debug)]
pub struct Probe {
    /// The start of its expression.
    pub at: Position,
    /// The index of the probe that contains it.
    pub parent: Option<usize>,
    /// Whether its value was false, and whether it was true.
    pub results: [bool; 2],
}

impl Probe {
    /// Returns whether it is a condition that always had the same value. A condition that was never evaluated is not
    /// constant.
    pub const fn is_constant(&self) -> bool {
        self.results[0] != self.results[1]
    }
}
