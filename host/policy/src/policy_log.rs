//! The log lines of policies: limited in rate and length, and always one line each.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing::Level;

use crate::decisions::mask::Masker;

/// The maximum length of a line, in bytes.
const MAX_LINE_SIZE: usize = 512;
/// The maximum number of lines in one second, of all policies together. Further lines are dropped and counted.
const MAX_LINES_PER_SECOND: u64 = 200;

/// The current second in the upper 32 bits, and the number of lines in it in the lower ones.
static LINES_IN_SECOND: AtomicU64 = AtomicU64::new(0);
/// The number of lines dropped since the last one that was logged.
static DROPPED_LINES: AtomicU64 = AtomicU64::new(0);

/// A line that is written when the evaluation of its policy ends.
struct Line {
    level: Level,
    policy: String,
    text: String,
}

thread_local! {
    /// The lines of the evaluation that runs on this thread; `None` outside of an evaluation.
    static LINES: RefCell<Option<Vec<Line>>> = const { RefCell::new(None) };
}

/// Runs an evaluation, which must not panic, and then writes its lines without the secrets of its input.
pub fn with_input<T>(input: &impl Serialize, evaluate: impl FnOnce() -> T) -> T {
    let outer = LINES.replace(Some(vec![]));
    let result = evaluate();
    let lines = LINES.replace(outer).unwrap_or_default();
    if !lines.is_empty() {
        let mut masker = Masker::of(input);
        lines.iter().for_each(|line| write(line, &mut masker));
    }
    result
}

/// Writes a line of a policy to the host's log. `policy` is the path within the policy directory.
///
/// The text may contain data that a platform or its users control. Its secrets are masked. Control characters become
/// spaces, so that the text can neither start a line of its own nor send commands to a terminal.
pub fn log_line(level: Level, policy: &str, text: &str) {
    // All registries of the process share this limit, so it does not use the clock of one of them.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if !try_acquire(&LINES_IN_SECOND, now) {
        DROPPED_LINES.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let text = text[..text.floor_char_boundary(MAX_LINE_SIZE)].to_owned();
    let line = Line { level, policy: policy.to_owned(), text };
    let line = LINES.with_borrow_mut(|lines| match lines {
        Some(lines) => {
            lines.push(line);
            None
        }
        None => Some(line),
    });
    if let Some(line) = line {
        write(&line, &mut Masker::default());
    }
}

fn write(Line { level, policy, text }: &Line, masker: &mut Masker) {
    let (dropped_lines, text) = (DROPPED_LINES.swap(0, Ordering::Relaxed), sanitize(text, masker));
    if dropped_lines > 0 {
        tracing::warn!(target: "tidegate::policy", dropped_lines, "policy messages dropped, too many per second");
    }
    match *level {
        Level::WARN => tracing::warn!(target: "tidegate::policy", policy, text, "policy message"),
        Level::INFO => tracing::info!(target: "tidegate::policy", policy, text, "policy message"),
        _ => tracing::debug!(target: "tidegate::policy", policy, text, "policy message"),
    }
}

fn sanitize(text: &str, masker: &mut Masker) -> String {
    masker.message(text).replace(char::is_control, " ")
}

/// Counts a line, and returns whether it is within the limit of this second.
fn try_acquire(lines: &AtomicU64, second: u64) -> bool {
    let second = second & 0xffff_ffff;
    let next = |lines: u64| if lines >> 32 == second { lines + 1 } else { second << 32 | 1 };
    let before = lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lines| Some(next(lines)));
    before.is_ok_and(|before| next(before) & 0xffff_ffff <= MAX_LINES_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_per_second() {
        let lines = AtomicU64::new(0);
        let acquired = |second| (0..300).filter(|_| try_acquire(&lines, second)).count();
        assert_eq!([acquired(1_795_000_000), acquired(1_795_000_000), acquired(1_795_000_001)], [200, 0, 200]);
    }

    #[test]
    fn text_becomes_one_line_without_secrets() {
        let mut masker = Masker::of(&serde_json::json!({ "headers": [["x-auth", "swordfish7"]] }));
        let rows = [
            ("hi\n2026 ERROR forged\x1b[2J\r", "hi 2026 ERROR forged [2J "),
            ("token=hunter2 for 7", "token=*** for 7"),
            ("auth swordfish7 of seller 7", "auth *** of seller 7"),
        ];
        for (text, expected) in rows {
            assert_eq!(sanitize(text, &mut masker), expected);
        }
    }
}
