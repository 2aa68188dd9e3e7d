//! Suggestions for misspelled names.

/// The maximum length of a misspelled name that gets a suggestion, in bytes.
const MAX_NAME_LEN: usize = 128;

/// Appends the known name that is most similar to `name` to a message, or all known names if none is similar.
///
/// ```
/// use tidegate_core::config::reader::with_suggestion;
/// let known = ["rate", "burst"];
/// assert_eq!(with_suggestion("unknown key `brust`", "brust", &known), "unknown key `brust` (did you mean `burst`?)");
/// assert_eq!(with_suggestion("unknown key `x`", "x", &known), "unknown key `x`; expected one of `rate`, `burst`");
/// ```
#[must_use]
pub fn with_suggestion(message: impl Into<String>, name: &str, known: &[&str]) -> String {
    let message = message.into();
    match nearest_name(name, known) {
        Some(nearest) => format!("{message} (did you mean `{nearest}`?)"),
        None => match known {
            [] => format!("{message}; none is defined"),
            [only] => format!("{message}; expected `{only}`"),
            _ => {
                let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                format!("{message}; expected one of {}", names.join(", "))
            }
        },
    }
}

/// Returns the known name that is most similar to `name`, if one is similar enough to be a misspelling.
#[must_use]
pub fn nearest_name<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // The time of a comparison grows with the length, and no known name is nearly this long.
    let candidates = known.iter().filter(|_| name.len() <= MAX_NAME_LEN);
    let (distance, nearest) = candidates.map(|candidate| (edit_distance(name, candidate), *candidate)).min()?;
    (distance <= 1 + nearest.chars().count() / 4).then_some(nearest)
}

/// Returns the number of insertions, deletions, replacements and swaps of neighbors that turn `a` into `b` (optimal
/// string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(swap)
            };
        }
    }
    rows[a.len()][b.len()]
}
