//! The functions that tidegate adds to the language.

mod admit;
mod common;
mod dates;
mod retry;

use rhai::Engine;

/// Registers the functions of every kind of script with an engine. The load-time checks reject those of other kinds.
pub fn register(engine: &mut Engine) {
    common::register(engine);
    retry::register(engine);
    admit::register(engine);
}
