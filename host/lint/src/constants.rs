//! Collects the constants of a script, and derives the sample values around them.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Expr};
use tidegate_policy::scripts::{Literal, Tokens, truncate};

use crate::value::SampleValue;

/// The maximum number of constants for which sums and products are tried: each is combined with every other.
const MAX_COMBINED: usize = 6;
/// The maximum length of a string that is created for a script that reads the length of a string, in bytes.
const MAX_LENGTH: f64 = 4_096.0;
/// The maximum length to which each string of the script is padded, in bytes.
const MAX_PADDED: usize = 64;

/// The constants of a script.
pub struct Constants {
    numbers: Vec<f64>,
    /// The sums and products of each two of the numbers, because a script may add or multiply before it compares.
    combined: Vec<f64>,
    /// The strings that the script may compare something with.
    pub strings: Vec<String>,
    /// The sample values of an input that is a string.
    pub string_values: Vec<SampleValue>,
}

impl Constants {
    /// Collects the constants of a script. `folded` is its optimized syntax tree, which also has the results of
    /// constant expressions such as `5 * 60 * 1000`.
    pub fn collect(folded: &AST, tokens: &Tokens) -> Self {
        let (mut numbers, mut strings) = (Vec::new(), Vec::new());
        for constant in tokens.constants() {
            match constant {
                Literal::Number(number) => numbers.push(number),
                Literal::String(text) => strings.push(text),
            }
        }
        folded.walk(&mut |path| {
            match path.last() {
                #[expect(clippy::cast_precision_loss, reason = "a literal is written by hand and stays far below 2^53")]
                Some(ASTNode::Expr(Expr::IntegerConstant(number, _))) => numbers.push(*number as f64),
                Some(ASTNode::Expr(Expr::FloatConstant(number, _))) => numbers.push(**number),
                _ => {}
            }
            true
        });
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        let few = if numbers.len() > MAX_COMBINED { &[][..] } else { &numbers };
        let combined =
            few.iter().flat_map(|left| few.iter().flat_map(move |right| [left + right, left * right])).collect();
        let mut constants = Self { numbers, combined, strings, string_values: vec![] };
        constants.string_values = constants.derive_strings(tokens);
        constants
    }

    /// Returns strings that contain what the script looks for, with the lengths and at the positions that it checks.
    fn derive_strings(&self, tokens: &Tokens) -> Vec<SampleValue> {
        let uses = |names: &[&str]| names.iter().any(|name| tokens.contains(name));
        let mut strings = vec![String::new(), "sample".to_owned()];
        strings.extend(self.strings.iter().cloned());
        if uses(&["parse_int", "parse_float", "epoch_ms", "seconds_in"]) {
            strings.extend(self.numeric_strings(tokens));
        }
        let base = strings.clone();
        if uses(&["len"]) {
            for length in self.lengths() {
                let padded = base.iter().filter(|_| length <= MAX_PADDED);
                strings.extend(padded.map(|text| format!("{text:0<length$}")));
                strings.extend([length, length + 1].map(|length| "0".repeat(length)));
            }
        }
        if uses(&["sub_string", "crop", "index_of"]) {
            for length in self.lengths().into_iter().filter(|length| *length <= MAX_PADDED) {
                strings.extend(base.iter().map(|text| format!("{}{text}", "0".repeat(length + 1))));
                strings.extend(base.iter().map(|text| format!("{}{text}", "0".repeat(length))));
            }
        }
        if uses(&["split"]) {
            let counts = self.lengths().into_iter().filter(|length| *length <= 8);
            strings.extend(counts.flat_map(|count| base.iter().map(move |text| text.repeat(count))));
        }
        let mut known = BTreeSet::new();
        let truncated = strings.into_iter().map(|text| truncate(&text).to_owned());
        truncated.filter(|text| known.insert(text.clone())).map(SampleValue::String).collect()
    }

    fn numeric_strings(&self, tokens: &Tokens) -> Vec<String> {
        let mut strings = Vec::new();
        for number in self.around(&[0.0, 1.0, 7.0, 60.0, 3_600.0, 86_400.0], 1.0, 0.0, f64::MAX) {
            strings.push(number.to_string());
            if tokens.contains("seconds_in") {
                strings.push(format!("This ban will last for {number} more seconds"));
            }
        }
        if tokens.contains("epoch_ms") {
            strings.extend(["1763913660000".to_owned(), "2025-11-23T16:01:00Z".to_owned()]);
        }
        strings
    }

    /// Returns the constants that may be the length of a string.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "they are integers from 1 to MAX_LENGTH"
    )]
    fn lengths(&self) -> Vec<usize> {
        let is_length = |number: &&f64| (1.0..=MAX_LENGTH).contains(*number) && number.fract() == 0.0;
        self.numbers.iter().filter(is_length).map(|number| *number as usize).collect()
    }

    /// Returns the typical values, and for each constant the constant itself, one `step` below and one `step` above.
    pub fn around(&self, typical: &[f64], step: f64, min: f64, max: f64) -> Vec<SampleValue> {
        let near = self.numbers.iter().chain(&self.combined).flat_map(|number| [number - step, *number, number + step]);
        let mut all: Vec<_> =
            typical.iter().copied().chain(near).filter(|number| (min..=max).contains(number)).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all.into_iter().map(SampleValue::Number).collect()
    }

    /// Returns sample values for a rate, which is a fraction from 0 to 1.
    pub fn rates(&self) -> Vec<SampleValue> {
        let mut rates = self.around(&[0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99, 1.0], 0.001, 0.0, 1.0);
        let complements = self.numbers.iter().map(|number| 1.0 - number).filter(|rate| (0.0..=1.0).contains(rate));
        let near = complements.flat_map(|rate| [rate, (rate + 0.001).min(1.0), (rate - 0.001).max(0.0)]);
        rates.extend(near.map(SampleValue::Number));
        rates
    }
}
