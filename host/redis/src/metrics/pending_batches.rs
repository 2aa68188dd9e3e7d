//! The counts of one platform that this process has not written to Redis yet.

use std::collections::{BTreeMap, VecDeque};

use tidegate_core::window::Window;

use super::fields;

/// The maximum number of fields in a batch; a script with that many takes Redis a fifth of a millisecond.
const MAX_FIELDS: usize = 200;

/// Counts with a batch number. A batch that is sent again has the same number and the same counts.
#[derive(Debug)]
pub struct MetricBatch {
    pub number: u64,
    /// Fields and counts of each series (`""` is the platform, `":x"` its endpoint x).
    pub series: Vec<(String, Vec<(String, u64)>)>,
}

/// The batches to send, and one merged window for each series that is not in a batch yet.
#[derive(Default)]
pub struct PendingBatches {
    unbatched: BTreeMap<String, Window>,
    batches: VecDeque<MetricBatch>,
    /// The number of the last batch that was created.
    last_number: u64,
}

impl PendingBatches {
    /// Adds the counts of endpoints.
    pub fn add(&mut self, deltas: BTreeMap<String, Window>) {
        for (endpoint, window) in deltas.into_iter().filter(|(_, window)| !window.is_empty()) {
            self.unbatched.entry(String::new()).or_default().merge(&window);
            self.unbatched.entry(format!(":{endpoint}")).or_default().merge(&window);
        }
    }

    /// Returns the next batch to send, which is the same one until [`confirm`](Self::confirm) is called.
    pub fn next(&mut self) -> Option<&MetricBatch> {
        if self.batches.is_empty() {
            self.create_batches();
        }
        self.batches.front()
    }

    /// Removes the next batch after it has been written.
    pub fn confirm(&mut self) {
        self.batches.pop_front();
    }

    fn create_batches(&mut self) {
        let mut room = 0;
        for (series, window) in std::mem::take(&mut self.unbatched) {
            let mut fields = fields::encode(&window).into_iter().peekable();
            while fields.peek().is_some() {
                if room == 0 {
                    self.last_number += 1;
                    self.batches.push_back(MetricBatch { number: self.last_number, series: Vec::new() });
                    room = MAX_FIELDS;
                }
                let chunk: Vec<_> = fields.by_ref().take(room).collect();
                room -= chunk.len();
                if let Some(batch) = self.batches.back_mut() {
                    batch.series.push((series.clone(), chunk));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(buckets: u16) -> Window {
        let mut window = Window::default();
        window.success = buckets.into();
        (0..buckets).for_each(|index| window.sketch.add(index, 1));
        window
    }

    #[test]
    fn batches_are_bounded_numbered_and_kept_until_confirmed() {
        let mut pending = PendingBatches::default();
        pending.add([("a".to_owned(), window(500)), ("b".to_owned(), window(1)), ("c".to_owned(), window(0))].into());
        let mut sizes = Vec::new();
        while let Some(batch) = pending.next() {
            let (number, size) = (batch.number, batch.series.iter().map(|(_, fields)| fields.len()).sum::<usize>());
            assert_eq!(pending.next().map(|repeated| repeated.number), Some(number));
            pending.add([("late".to_owned(), window(1))].into()); // not part of the existing batches
            sizes.push((number, size));
            pending.confirm();
            if number == 6 {
                pending.unbatched.clear();
            }
        }
        // Platform and a: 502 fields each; b: 3.
        assert_eq!(sizes, [(1, 200), (2, 200), (3, 200), (4, 200), (5, 200), (6, 7)]);
    }
}
