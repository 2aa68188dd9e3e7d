//! Limits the size of the texts that guests return.

/// The maximum size of a text that the host copies from a verdict, in bytes.
pub const MAX_TEXT_SIZE: usize = 512;

/// Cuts a guest's text at [`MAX_TEXT_SIZE`], between two characters.
pub fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT_SIZE));
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
            assert_eq!(cut(text).len(), expected_size);
        }
    }
}
