//! The rules of the house that no compiler knows: short files, short functions, imports that point downwards.
#![allow(clippy::unwrap_used, reason = "a look that fails must fail its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const MOST_LINES_OF_A_FILE: usize = 500;
const MOST_LINES_OF_A_FUNCTION: usize = 70;

/// The floors, lowest first: a crate may use those below its own and none beside or above.
const FLOORS: [&[&str]; 6] = [
    &["tidegate-core", "tidegate-lua", "tidegate-sdk"],
    &["tidegate-policy", "tidegate-redis", "pdd-classifier"],
    &["tidegate"],
    &["tidegate-server"],
    &["gateway"],
    &["tidegate-tests", "xtask"],
];

/// All that the pure core may use: no runtime, no store, no engine, no clock.
const PURE: [&str; 3] = ["serde", "thiserror", "toml"];

/// Who alone may use a crate: only the doors know a wire format, only the policy runtime knows its engines, only one
/// crate names a command of Redis.
const RESERVED: [(&str, &[&str]); 7] = [
    ("redis", &["tidegate-redis"]),
    ("wasmtime", &["tidegate-policy"]),
    ("rhai", &["tidegate-policy"]),
    ("notify", &["tidegate-policy"]),
    ("axum", &["tidegate-server", "gateway", "xtask"]),
    ("reqwest", &["tidegate-server", "gateway", "xtask"]),
    ("lettre", &["tidegate-server"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the workspace; what was built is not looked at.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let kept = entries.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name != "target" && !name.starts_with('.')
    });
    let files = kept.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Functions with their lengths, as rustfmt lays them out: the closing brace stands where the first line began.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(at, line)| Some((at, line, function_name(line)?)));
    starts
        .map(|(at, line, name)| {
            let indent = &line[..line.len() - line.trim_start().len()];
            // A signature without a body ends with a semicolon, a short body on its own line.
            let ends = |line: &str| {
                let own = line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' '));
                own && (line.ends_with('}') || line.ends_with(';'))
            };
            let length = lines[at..].iter().position(|line| ends(line)).map_or(lines.len() - at, |last| last + 1);
            (name, length)
        })
        .collect()
}

/// The name of the function whose signature begins on this line.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\"", "default"];
    let declares = before.split_whitespace().all(|word| modifiers.contains(&word));
    let name = after.split(['(', '<']).next()?;
    (declares && !name.is_empty()).then(|| name.to_owned())
}

#[test]
fn files_and_functions_are_short() {
    let mut faults = Vec::new();
    for path in sources(&root()) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > MOST_LINES_OF_A_FILE {
            faults.push(format!("{}: {lines} lines, at most {MOST_LINES_OF_A_FILE}", path.display()));
        }
        let long = functions(&text).into_iter().filter(|(_, length)| *length > MOST_LINES_OF_A_FUNCTION);
        faults.extend(long.map(|(name, length)| {
            format!("{}: fn {name} has {length} lines, at most {MOST_LINES_OF_A_FUNCTION}", path.display())
        }));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_look_at_functions_sees_their_lengths() {
    let long =
        format!("    pub(crate) async fn long(\n        a: u8,\n    ) {{\n{}    }}\n", "        a;\n".repeat(67));
    let rows = [
        ("fn one() {}\n", vec![("one", 1)]),
        (
            "trait T {\n    fn two(\n        &self,\n    ) -> u8;\n    fn three(&self) {\n    }\n}\n",
            vec![("two", 3), ("three", 2)],
        ),
        ("/// A fn in words.\nlet f = call(fn x);\nconst fn four<T>() {\n    {\n    }\n}\n", vec![("four", 4)]),
        (long.as_str(), vec![("long", 71)]),
    ];
    for (text, expected) in rows {
        let expected: Vec<_> = expected.into_iter().map(|(name, length)| (name.to_owned(), length)).collect();
        assert_eq!(functions(text), expected, "{text}");
    }
}

/// The crates of the workspace, each with the names it uses outside tests.
fn crates() -> Vec<(String, Vec<String>)> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let metadata: Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let uses = package["dependencies"].as_array().unwrap().iter();
            (name(package), uses.filter(|used| used["kind"] != "dev").map(name).collect())
        })
        .collect()
}

/// What is wrong with the imports of these crates.
fn upward(crates: &[(String, Vec<String>)]) -> Vec<String> {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    let mut faults = Vec::new();
    for (name, uses) in crates {
        let Some(own) = floor(name) else {
            faults.push(format!("{name} stands on no floor; give it one in FLOORS"));
            continue;
        };
        for used in uses {
            if floor(used).is_some_and(|other| other >= own) {
                faults.push(format!("{name} uses {used}, which is not below it"));
            }
            if name == "tidegate-core" && !PURE.contains(&used.as_str()) {
                faults.push(format!("{name} uses {used}, but the core is pure"));
            }
            let reserved = RESERVED.iter().find(|(reserved, _)| reserved == used);
            if reserved.is_some_and(|(_, owners)| !owners.contains(&name.as_str())) {
                faults.push(format!("{name} uses {used}, which is not its business"));
            }
        }
    }
    faults
}

#[test]
fn crates_import_downwards() {
    let crates = crates();
    assert!(crates.iter().any(|(name, _)| name == "tidegate-core"), "the metadata were not understood: {crates:?}");
    assert_eq!(upward(&crates), Vec::<String>::new());
}

#[test]
fn the_look_at_imports_sees_those_that_point_upwards() {
    let crates = |name: &str, used: &str| [(name.to_owned(), vec![used.to_owned()])];
    let rows = [
        ("tidegate", "tidegate-core", None),
        ("tidegate-core", "serde", None),
        ("tidegate-core", "tidegate", Some("not below")),
        ("tidegate-core", "tokio", Some("pure")),
        ("tidegate-core", "wasmtime", Some("pure")),
        ("tidegate-policy", "tidegate-server", Some("not below")),
        ("tidegate", "tidegate-redis", None),
        ("tidegate-redis", "tidegate-policy", Some("not below")),
        ("tidegate", "axum", Some("not its business")),
        ("tidegate", "redis", Some("not its business")),
        ("tidegate-unheard-of", "serde", Some("no floor")),
    ];
    for (name, used, fault) in rows {
        let faults = upward(&crates(name, used));
        assert_eq!(faults.is_empty(), fault.is_none(), "{name} uses {used}: {faults:?}");
        assert!(fault.is_none_or(|fault| faults.iter().any(|told| told.contains(fault))), "{faults:?}");
    }
}
