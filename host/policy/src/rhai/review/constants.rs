//! The constants of a script, and the values around them that are worth trying.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Expr};

use super::fields::Value;
use crate::rhai::common::clip;
use crate::rhai::tokens::{Literal, Tokens};

/// Sums and products are tried of so many constants at most: each brings one with each other.
const MAX_JOINED: usize = 6;
/// The longest text that is made for a script that asks how long one is, in bytes.
const MAX_LENGTH: f64 = 4_096.0;
/// The longest that each text of the script is filled up to.
const MAX_FILLED: usize = 64;

/// The constants of a script.
pub struct Constants {
    numbers: Vec<f64>,
    /// Sums and products of two of the numbers, as a script may add or multiply before it compares.
    joined: Vec<f64>,
    /// The texts that something may be compared with.
    pub texts: Vec<String>,
    /// The values of an input that is a text.
    pub tried: Vec<Value>,
}

impl Constants {
    /// The constants of a script, with what is computed of constants alone, as 5 * 60 * 1000.
    pub fn of(folded: &AST, tokens: &Tokens) -> Self {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for constant in tokens.constants() {
            match constant {
                Literal::Number(number) => numbers.push(number),
                Literal::Text(text) => texts.push(text),
            }
        }
        folded.walk(&mut |path| {
            match path.last() {
                #[expect(clippy::cast_precision_loss, reason = "a number that someone wrote down")]
                Some(ASTNode::Expr(Expr::IntegerConstant(number, _))) => numbers.push(*number as f64),
                Some(ASTNode::Expr(Expr::FloatConstant(number, _))) => numbers.push(**number),
                _ => {}
            }
            true
        });
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        let few = if numbers.len() > MAX_JOINED { &[][..] } else { &numbers };
        let joined = few.iter().flat_map(|one| few.iter().flat_map(move |other| [one + other, one * other])).collect();
        let mut constants = Self { numbers, joined, texts, tried: vec![] };
        constants.tried = constants.all_texts(tokens);
        constants
    }

    /// Texts in which a script may find what it looks for, at the length and at the place where it looks.
    fn all_texts(&self, tokens: &Tokens) -> Vec<Value> {
        let has = |names: &[&str]| names.iter().any(|name| tokens.has(name));
        let mut texts = vec![String::new(), "sample".to_owned()];
        texts.extend(self.texts.iter().cloned());
        if has(&["parse_int", "parse_float", "epoch_ms", "seconds_in"]) {
            texts.extend(self.numbers_in_texts(tokens));
        }
        let begin = texts.clone();
        if has(&["len"]) {
            for length in self.lengths() {
                let filled = begin.iter().filter(|_| length <= MAX_FILLED);
                texts.extend(filled.map(|text| format!("{text:0<length$}")));
                texts.extend([length, length + 1].map(|length| "0".repeat(length)));
            }
        }
        if has(&["sub_string", "crop", "index_of"]) {
            for length in self.lengths().into_iter().filter(|length| *length <= MAX_FILLED) {
                texts.extend(begin.iter().map(|text| format!("{}{text}", "0".repeat(length + 1))));
                texts.extend(begin.iter().map(|text| format!("{}{text}", "0".repeat(length))));
            }
        }
        if has(&["split"]) {
            let small = self.lengths().into_iter().filter(|length| *length <= 8);
            texts.extend(small.flat_map(|times| begin.iter().map(move |text| text.repeat(times))));
        }
        let mut seen = BTreeSet::new();
        let clipped = texts.into_iter().map(|text| clip(&text).to_owned());
        clipped.filter(|text| seen.insert(text.clone())).map(Value::Text).collect()
    }

    fn numbers_in_texts(&self, tokens: &Tokens) -> Vec<String> {
        let mut texts = Vec::new();
        for number in self.around(&[0.0, 1.0, 7.0, 60.0, 3_600.0, 86_400.0], 1.0, 0.0, f64::MAX) {
            texts.push(number.to_string());
            if tokens.has("seconds_in") {
                texts.push(format!("This ban will last for {number} more seconds"));
            }
        }
        if tokens.has("epoch_ms") {
            texts.extend(["1763913660000".to_owned(), "2025-11-23T16:01:00Z".to_owned()]);
        }
        texts
    }

    /// The constants that may be the length of a text.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "they are whole numbers between 1 and MAX_LENGTH"
    )]
    fn lengths(&self) -> Vec<usize> {
        let is_length = |number: &&f64| (1.0..=MAX_LENGTH).contains(*number) && number.fract() == 0.0;
        self.numbers.iter().filter(is_length).map(|number| *number as usize).collect()
    }

    /// The usual values, and those at, just below and just above each constant.
    pub fn around(&self, usual: &[f64], step: f64, least: f64, most: f64) -> Vec<Value> {
        let near = self.numbers.iter().chain(&self.joined).flat_map(|number| [number - step, *number, number + step]);
        let mut all: Vec<_> =
            usual.iter().copied().chain(near).filter(|number| (least..=most).contains(number)).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all.into_iter().map(Value::Number).collect()
    }

    /// Fractions of 1.
    pub fn rates(&self) -> Vec<Value> {
        let mut rates = self.around(&[0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99, 1.0], 0.001, 0.0, 1.0);
        let rest = self.numbers.iter().map(|number| 1.0 - number).filter(|rate| (0.0..=1.0).contains(rate));
        rates.extend(rest.flat_map(|rate| [rate, (rate + 0.001).min(1.0), (rate - 0.001).max(0.0)]).map(Value::Number));
        rates
    }
}
