//! Fuzz tests with random mutations of known inputs. For every input, a loader must return a result or an error with a
//! position.
//!
//! All targets together run for `TIDEGATE_FUZZ_SECONDS` (default: 3; a minute in the thorough test). The last input of
//! a target is in `target/tmp/fuzz`, even if the process crashed. To run a target with one input file only, use
//! `TIDEGATE_FUZZ_INPUT=FILE cargo test -p tidegate-tests TARGET`, where `TARGET` is the name of the test, for example
//! `fuzz::loaders::scripts`.

mod guest_results;
mod loaders;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestError, TestRunner};
use tidegate_core::config::reader::Diagnostic;

/// The number of targets that share the time.
const TARGETS: u32 = 8;
/// The number of inputs between two checks of the time.
const BATCH: u32 = 16;
/// The maximum size of a seed, in bytes. Larger seeds are slow and rarely find more errors.
const MAX_SEED: usize = 8 << 10;
/// The maximum length of an error or a fault, in bytes.
const MAX_MESSAGE: usize = 4_096;

/// Runs a check with the seeds of a target, and then with mutations of them until the time of the target is over.
fn fuzz(target: &str, mut seeds: Vec<Vec<u8>>, check: impl Fn(&[u8])) {
    let last_input = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(target);
    fs::create_dir_all(last_input.parent().unwrap()).unwrap();
    if let Some(input) = std::env::var_os("TIDEGATE_FUZZ_INPUT") {
        return check(&fs::read(input).unwrap());
    }
    seeds.retain(|seed| seed.len() <= MAX_SEED);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    let run_input = |input: &[u8]| {
        fs::write(&last_input, input).unwrap();
        check(input);
    };
    seeds.iter().for_each(|seed| run_input(seed));
    let started_at = Instant::now();
    while started_at.elapsed() < time_per_target() {
        let mut runner = TestRunner::new(ProptestConfig {
            cases: BATCH,
            failure_persistence: None,
            max_shrink_time: 20_000,
            max_shrink_iters: 300,
            ..ProptestConfig::default()
        });
        let inputs = inputs(seeds.clone());
        if let Err(TestError::Fail(reason, input)) = runner.run(&inputs, |input| {
            run_input(&input.0);
            Ok(())
        }) {
            fs::write(&last_input, &input.0).unwrap();
            panic!("{reason}\nthe input is in {}:\n{}", last_input.display(), String::from_utf8_lossy(&input.0));
        }
    }
}

/// Returns the run time of one target.
fn time_per_target() -> Duration {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds) / TARGETS
}

/// An input. Its debug output is only its length, because the bytes are in a file.
#[derive(Clone)]
struct FuzzInput(Vec<u8>);

impl std::fmt::Debug for FuzzInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// One mutation of an input. Its positions are chosen when the length of the input is known.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Insert(Index, Vec<u8>),
    /// Inserts a part of another seed.
    Splice(Index, Index, Index, usize),
    /// Replaces a number.
    Number(Index, &'static str),
}

/// Numbers at the limits of common types.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "4294967295",
    "2147483648",
    "9223372036854775807",
    "18446744073709551616",
    "0.5",
    "1e308",
    "nan",
];

fn mutations() -> impl Strategy<Value = Mutation> {
    let (at, length) = (any::<Index>, 1_usize..40);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), length.clone()).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (at(), length, 2_usize..400).prop_map(|(at, length, times)| Mutation::Repeat(at, length, times)),
        (at(), proptest::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), "[ -~\\n]{1,3}").prop_map(|(at, text)| Mutation::Insert(at, text.into_bytes())),
        (at(), at(), at(), 1_usize..200).prop_map(|(at, seed, from, length)| Mutation::Splice(at, seed, from, length)),
        (at(), proptest::sample::select(&NUMBERS[..])).prop_map(|(at, number)| Mutation::Number(at, number)),
    ]
}

fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = FuzzInput> {
    let mutations = (any::<Index>(), proptest::collection::vec(mutations(), 1..6));
    mutations.prop_map(move |(seed, mutations)| {
        let mut bytes = seed.get(&seeds).clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes, &seeds));
        FuzzInput(bytes)
    })
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let total = bytes.len();
        match self {
            Self::Set(at, byte) => bytes[range(at, 1, total)].fill(*byte),
            Self::Remove(at, length) => drop(bytes.drain(range(at, *length, total))),
            Self::Repeat(at, length, times) => {
                let range = range(at, *length, total);
                let repeated = bytes[range.clone()].repeat(*times);
                bytes.splice(range, repeated);
            }
            Self::Insert(at, new) => drop(bytes.splice(range(at, 0, total), new.clone())),
            Self::Splice(at, seed, from, length) => {
                let seed = seed.get(seeds);
                let new = seed[range(from, *length, seed.len())].to_vec();
                bytes.splice(range(at, 0, total), new);
            }
            Self::Number(at, number) => {
                let from = at.index(total + 1);
                let Some(first) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
                let length = bytes[from + first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(from + first..from + first + length, number.bytes());
            }
        }
    }
}

/// Returns the range of `length` bytes from a position on, cut at the end of the input.
fn range(at: &Index, length: usize, total: usize) -> Range<usize> {
    let from = at.index(total + 1);
    from..(from + length).min(total)
}

/// Returns the contents of all files in a directory tree whose names have a suffix.
fn files(dir: &Path, suffix: &str) -> Vec<Vec<u8>> {
    let mut contents = vec![];
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            contents.extend(files(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            contents.push(fs::read(&path).unwrap());
        }
    }
    contents
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Asserts that the position of an error is in the text or directly after its end.
fn assert_position_in(error: &Diagnostic, text: &str) {
    let lines: Vec<_> = text.split('\n').collect();
    assert!((1..=lines.len() + 1).contains(&error.position.line), "{error}: the text has {} lines", lines.len());
    let length = lines.get(error.position.line - 1).map_or(0, |line| line.chars().count());
    assert!((1..=length + 2).contains(&error.position.column), "{error}: the line has {length} characters");
}
