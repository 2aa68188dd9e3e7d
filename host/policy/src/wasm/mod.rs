//! Wasm policies: components that are compiled once, run on warm instances, and are bounded by deadlines and limits.
//!
//! A policy is a component of a world in `sdk/wit`, or a core module with such a component's metadata. Every call runs
//! on an instance with its own store. After a fault the instance is dropped, because a trap leaves its memory in an
//! unknown state. After a success it is kept warm for the next call.

mod admit;
mod alert;
mod bindings;
mod cache;
mod compiler;
mod engine;
mod guest;
mod imports;
mod limits;
mod pool;
mod retry;
mod v0_1;
mod world;

pub use compiler::WasmBinary;
pub use engine::WasmEngine;

/// The maximum size of a text that the host copies from a verdict, in bytes.
const MAX_TEXT_SIZE: usize = 512;

/// Cuts a guest's text at a size, between two characters.
fn cut(mut text: String, max_size: usize) -> String {
    text.truncate(text.floor_char_boundary(max_size));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_the_limit_and_never_within_a_character() {
        let rows = [
            ("a".repeat(MAX_TEXT_SIZE), MAX_TEXT_SIZE),
            ("a".repeat(MAX_TEXT_SIZE + 1), MAX_TEXT_SIZE),
            ("限".repeat(200), MAX_TEXT_SIZE / 3 * 3),
            ("short".to_owned(), 5),
        ];
        for (text, expected_size) in rows {
            assert_eq!(cut(text, MAX_TEXT_SIZE).len(), expected_size);
        }
    }
}
