//! Policies as Wasm components: compiled once, called on warm instances, contained by epochs and limits.
//!
//! A policy is a component of a world of `sdk/wit`, or a core module that carries such a component's metadata. Every
//! call runs on an instance with a store of its own. An instance that faulted is dropped, since a trap leaves its
//! memory in an unknown state; one that answered is kept warm for the next call.

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

pub use compiler::Binary;
pub use engine::WasmEngine;

/// The longest text that the host takes over from a verdict, in bytes.
const MAX_TEXT: usize = 512;

/// A guest's text, cut where a character ends.
fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_the_limit_and_never_within_a_character() {
        let rows = [
            ("a".repeat(MAX_TEXT), MAX_TEXT),
            ("a".repeat(MAX_TEXT + 1), MAX_TEXT),
            ("限".repeat(200), MAX_TEXT / 3 * 3),
            ("short".to_owned(), 5),
        ];
        for (text, kept) in rows {
            assert_eq!(cut(text, MAX_TEXT).len(), kept);
        }
    }
}
