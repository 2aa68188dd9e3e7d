//! Doing one thing again and again, and saying how long it took.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How many callers ask at once where Redis answers.
pub const CALLERS: usize = 64;

/// How many times in a row something is done between two readings of the clock, which cost as much as a check.
const ROW: u32 = 64;

/// One caller in memory: times a second, and nanoseconds each.
pub fn alone(lasting: Duration, name: &str, mut once: impl FnMut()) -> Value {
    let (start, mut rows) = (Instant::now(), Vec::new());
    while start.elapsed() < lasting {
        let row = Instant::now();
        (0..ROW).for_each(|_| once());
        rows.push(row.elapsed().as_secs_f64() * 1e9 / f64::from(ROW));
    }
    let total: f64 = rows.iter().sum();
    let count = u32::try_from(rows.len()).map_or(f64::MAX, f64::from);
    json!({
        format!("{name}_per_s"): (1e9 * count / total).round(),
        "p50_ns": at(&mut rows, 0.50),
        "p99_ns": at(&mut rows, 0.99),
    })
}

/// One caller in memory, each time measured alone: nanoseconds, less the cost of reading the clock.
pub fn each(lasting: Duration, mut once: impl FnMut()) -> Value {
    let clock = clock_ns();
    let (start, mut took) = (Instant::now(), Vec::new());
    // What is cold the first times is no figure of the rest.
    (0..ROW).for_each(|_| once());
    while start.elapsed() < lasting {
        for _ in 0..ROW {
            let begun = Instant::now();
            once();
            took.push((begun.elapsed().as_secs_f64() * 1e9 - clock).max(0.0));
        }
    }
    let count = u32::try_from(took.len()).map_or(f64::MAX, f64::from);
    let mean = took.iter().sum::<f64>() / count;
    json!({ "ns_per_verdict": mean.round(), "p50_ns": at(&mut took, 0.50), "p99_ns": at(&mut took, 0.99) })
}

/// What reading the clock once more costs, in nanoseconds.
fn clock_ns() -> f64 {
    let reads = (0..1_000).map(|_| Instant::now().elapsed().as_secs_f64() * 1e9);
    reads.fold(f64::MAX, f64::min)
}

/// Many callers at once: times a second, and microseconds each.
pub async fn together<F: Future<Output = ()> + Send + 'static>(
    lasting: Duration,
    name: &str,
    caller: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> Value {
    let (start, mut callers) = (Instant::now(), JoinSet::new());
    for number in 0..CALLERS {
        let once = caller.clone();
        callers.spawn(async move {
            let mut took = Vec::new();
            while start.elapsed() < lasting {
                let begun = Instant::now();
                once(number).await;
                took.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            took
        });
    }
    let mut took = callers.join_all().await.concat();
    let count = u32::try_from(took.len()).map_or(f64::MAX, f64::from);
    json!({
        "callers": CALLERS,
        format!("{name}_per_s"): (count / start.elapsed().as_secs_f64()).round(),
        "p50_us": at(&mut took, 0.50),
        "p99_us": at(&mut took, 0.99),
    })
}

/// The figure below which the fraction `q` of all lies, to one decimal.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
pub fn at(figures: &mut [f64], q: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let rank = (figures.len() as f64 * q) as usize;
    figures.get(rank.min(figures.len().saturating_sub(1))).map_or(0.0, |figure| (figure * 10.0).round() / 10.0)
}
