//! Known inputs, changed at random: whatever a loader is given, it answers, and says where the mistake is.
//!
//! All targets together take `TIDEGATE_FUZZ_SECONDS` (3, and a minute in the thorough test). What a target was given last
//! lies in `target/tmp/fuzz/TARGET`, also where the process itself ended; `TIDEGATE_FUZZ_INPUT=FILE cargo test -p
//! tidegate-tests fuzz::TARGET` gives it that file and nothing else.

mod loaders;
mod replies;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestError, TestRunner};
use tidegate_core::config::reader::Diagnostic;

/// How many targets share the time.
const TARGETS: u32 = 8;
/// Inputs between two looks at the clock.
const BATCH: u32 = 16;
/// The longest seed, in bytes: what is large is slow, and seldom has more mistakes.
const SEED: usize = 8 << 10;
/// The longest that a mistake or a fault may be told in, in bytes.
const MAX_WORDS: usize = 4_096;

/// Gives a target its seeds, and then changed ones until its time is over.
fn fuzz(target: &str, mut seeds: Vec<Vec<u8>>, check: impl Fn(&[u8])) {
    let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(target);
    fs::create_dir_all(last.parent().unwrap()).unwrap();
    if let Some(input) = std::env::var_os("TIDEGATE_FUZZ_INPUT") {
        return check(&fs::read(input).unwrap());
    }
    seeds.retain(|seed| seed.len() <= SEED);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    let given = |input: &[u8]| {
        fs::write(&last, input).unwrap();
        check(input);
    };
    seeds.iter().for_each(|seed| given(seed));
    let begun = Instant::now();
    while begun.elapsed() < share() {
        let mut runner = TestRunner::new(ProptestConfig {
            cases: BATCH,
            failure_persistence: None,
            max_shrink_time: 20_000,
            max_shrink_iters: 300,
            ..ProptestConfig::default()
        });
        let inputs = inputs(seeds.clone());
        if let Err(TestError::Fail(why, input)) = runner.run(&inputs, |input| {
            given(&input.0);
            Ok(())
        }) {
            fs::write(&last, &input.0).unwrap();
            panic!("{why}\nthe input is in {}:\n{}", last.display(), String::from_utf8_lossy(&input.0));
        }
    }
}

/// The time of one target.
fn share() -> Duration {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds) / TARGETS
}

/// Bytes that are shown by their number, since they stand in a file.
#[derive(Clone)]
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// One change of an input, at places that are chosen when its length is known.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Insert(Index, Vec<u8>),
    /// A part of another seed.
    Splice(Index, Index, Index, usize),
    /// Another number where one stands.
    Number(Index, &'static str),
}

/// Numbers at whose edges mistakes are made.
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

fn edits() -> impl Strategy<Value = Edit> {
    let (at, long) = (any::<Index>, 1_usize..40);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), long.clone()).prop_map(|(at, long)| Edit::Remove(at, long)),
        (at(), long, 2_usize..400).prop_map(|(at, long, times)| Edit::Repeat(at, long, times)),
        (at(), proptest::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at(), "[ -~\\n]{1,3}").prop_map(|(at, text)| Edit::Insert(at, text.into_bytes())),
        (at(), at(), at(), 1_usize..200).prop_map(|(at, seed, from, long)| Edit::Splice(at, seed, from, long)),
        (at(), proptest::sample::select(&NUMBERS[..])).prop_map(|(at, number)| Edit::Number(at, number)),
    ]
}

fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let changes = (any::<Index>(), proptest::collection::vec(edits(), 1..6));
    changes.prop_map(move |(seed, edits)| {
        let mut bytes = seed.get(&seeds).clone();
        edits.iter().for_each(|edit| edit.change(&mut bytes, &seeds));
        Input(bytes)
    })
}

impl Edit {
    fn change(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let whole = bytes.len();
        match self {
            Self::Set(at, byte) => bytes[part(at, 1, whole)].fill(*byte),
            Self::Remove(at, long) => drop(bytes.drain(part(at, *long, whole))),
            Self::Repeat(at, long, times) => {
                let part = part(at, *long, whole);
                let repeated = bytes[part.clone()].repeat(*times);
                bytes.splice(part, repeated);
            }
            Self::Insert(at, new) => drop(bytes.splice(part(at, 0, whole), new.clone())),
            Self::Splice(at, seed, from, long) => {
                let seed = seed.get(seeds);
                let new = seed[part(from, *long, seed.len())].to_vec();
                bytes.splice(part(at, 0, whole), new);
            }
            Self::Number(at, number) => {
                let from = at.index(whole + 1);
                let Some(first) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
                let long = bytes[from + first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(from + first..from + first + long, number.bytes());
            }
        }
    }
}

/// So many bytes from a place on, as far as there are.
fn part(at: &Index, long: usize, whole: usize) -> Range<usize> {
    let from = at.index(whole + 1);
    from..(from + long).min(whole)
}

/// The files of a folder with this ending, the folders inside included.
fn files(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(fs::read(&path).unwrap());
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A problem stands somewhere in the text, or right behind its end.
fn stands_in(problem: &Diagnostic, text: &str) {
    let lines: Vec<_> = text.split('\n').collect();
    assert!((1..=lines.len() + 1).contains(&problem.line), "{problem}: there are {} lines", lines.len());
    let long = lines.get(problem.line - 1).map_or(0, |line| line.chars().count());
    assert!((1..=long + 2).contains(&problem.column), "{problem}: that line has {long} characters");
}
