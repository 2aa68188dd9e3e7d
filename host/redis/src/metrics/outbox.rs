//! What one process counted of one platform and Redis does not have yet.

use std::collections::{BTreeMap, VecDeque};

use tidegate_core::window::Window;

use super::fields;

/// The most fields of one batch: a script that long takes Redis a fifth of a millisecond.
const MOST_FIELDS: usize = 200;

/// Some counts under a number of their own; sent again, the same number has the same counts.
#[derive(Debug)]
pub struct Batch {
    pub number: u64,
    /// Series (`""` is the platform, `":x"` its endpoint x) with fields and counts.
    pub series: Vec<(String, Vec<(String, u64)>)>,
}

/// Counts on their way: at most one window for each series waits behind the batches that were tried.
#[derive(Default)]
pub struct Outbox {
    waiting: BTreeMap<String, Window>,
    batches: VecDeque<Batch>,
    /// The number of the last batch that was made.
    number: u64,
}

impl Outbox {
    /// Takes in what endpoints counted.
    pub fn take(&mut self, counted: BTreeMap<String, Window>) {
        for (endpoint, window) in counted.into_iter().filter(|(_, window)| !window.is_empty()) {
            self.waiting.entry(String::new()).or_default().merge(&window);
            self.waiting.entry(format!(":{endpoint}")).or_default().merge(&window);
        }
    }

    /// The batch to be sent next; the same until it has [`arrived`](Self::arrived).
    pub fn next(&mut self) -> Option<&Batch> {
        if self.batches.is_empty() {
            self.pack();
        }
        self.batches.front()
    }

    /// The batch that was sent last has arrived.
    pub fn arrived(&mut self) {
        self.batches.pop_front();
    }

    fn pack(&mut self) {
        let mut room = 0;
        for (series, window) in std::mem::take(&mut self.waiting) {
            let mut fields = fields::of(&window).into_iter().peekable();
            while fields.peek().is_some() {
                if room == 0 {
                    self.number += 1;
                    self.batches.push_back(Batch { number: self.number, series: Vec::new() });
                    room = MOST_FIELDS;
                }
                let some: Vec<_> = fields.by_ref().take(room).collect();
                room -= some.len();
                if let Some(batch) = self.batches.back_mut() {
                    batch.series.push((series.clone(), some));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(buckets: u16) -> Window {
        let mut window = Window { success: buckets.into(), ..Window::default() };
        (0..buckets).for_each(|index| window.sketch.add(index, 1));
        window
    }

    #[test]
    fn batches_are_small_numbered_and_stay_until_they_arrive() {
        let mut outbox = Outbox::default();
        outbox.take([("a".to_owned(), window(500)), ("b".to_owned(), window(1)), ("c".to_owned(), window(0))].into());
        let mut sizes = Vec::new();
        while let Some(batch) = outbox.next() {
            let (number, size) = (batch.number, batch.series.iter().map(|(_, fields)| fields.len()).sum::<usize>());
            assert_eq!(outbox.next().map(|again| again.number), Some(number));
            outbox.take([("late".to_owned(), window(1))].into()); // waits behind
            sizes.push((number, size));
            outbox.arrived();
            if number == 6 {
                outbox.waiting.clear();
            }
        }
        // Platform and a: 502 fields each; b: 3.
        assert_eq!(sizes, [(1, 200), (2, 200), (3, 200), (4, 200), (5, 200), (6, 7)]);
    }
}
