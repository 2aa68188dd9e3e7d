//! What policies log: bounded, and in lines that only the host begins.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::Level;

/// The longest line, in bytes.
const MAX_LINE: usize = 512;
/// The lines of all policies in one second; what is beyond is counted.
const A_SECOND: u64 = 200;

/// The second, and the lines said in it.
static SAID: AtomicU64 = AtomicU64::new(0);
/// Lines that were not said since one was.
static UNSAID: AtomicU64 = AtomicU64::new(0);

/// Writes a line of a policy into the host's log.
///
/// Its words may be a platform's, and so anybody's: what would begin a line of its own or move a terminal is a space.
pub fn say(level: Level, policy: &str, text: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if !is_granted(&SAID, now) {
        UNSAID.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let (unsaid, text) = (UNSAID.swap(0, Ordering::Relaxed), line(text));
    if unsaid > 0 {
        tracing::warn!(target: "tidegate::policy", unsaid, "policies log too much");
    }
    match level {
        Level::WARN => tracing::warn!(target: "tidegate::policy", policy, "{text}"),
        Level::INFO => tracing::info!(target: "tidegate::policy", policy, "{text}"),
        _ => tracing::debug!(target: "tidegate::policy", policy, "{text}"),
    }
}

fn line(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_LINE)].replace(char::is_control, " ")
}

/// Whether this second has room for a line.
fn is_granted(said: &AtomicU64, second: u64) -> bool {
    let second = second & 0xffff_ffff;
    let next = |said: u64| if said >> 32 == second { said + 1 } else { second << 32 | 1 };
    let before = said.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |said| Some(next(said)));
    before.is_ok_and(|before| next(before) & 0xffff_ffff <= A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_so_many_lines_and_the_next_one_again() {
        let said = AtomicU64::new(0);
        let granted = |second| (0..300).filter(|_| is_granted(&said, second)).count();
        assert_eq!([granted(1_795_000_000), granted(1_795_000_000), granted(1_795_000_001)], [200, 0, 200]);
    }

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        assert_eq!(line("hi\n2026 ERROR forged\x1b[2J\r"), "hi 2026 ERROR forged [2J ");
        assert_eq!(line(&"限".repeat(300)).len(), 510);
    }
}
