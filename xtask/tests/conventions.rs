//! Checks the conventions of the workspace that the compiler does not check: short files, short functions, and
//! dependencies only on lower layers.
#![allow(clippy::unwrap_used, reason = "a test may panic on an unexpected error")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;

/// The layers of the workspace, lowest first. A crate may depend only on crates in lower layers.
const LAYERS: [&[&str]; 6] = [
    &["tidegate-core", "tidegate-lua", "tidegate-sdk"],
    &["tidegate-policy", "tidegate-redis", "pdd-retry-policy"],
    &["tidegate", "tidegate-lint"],
    &["tidegate-server"],
    &["gateway"],
    &["tidegate-tests", "xtask"],
];

/// The crates that `tidegate-core` may depend on. It contains no runtime, no store, no policy engine and no clock.
const CORE_DEPENDENCIES: [&str; 3] = ["serde", "thiserror", "toml"];

/// External crates and the only workspace crates that may depend on them. Only servers and clients use wire formats,
/// only the policy runtime and the lints of policies use the policy engines, and only one crate uses Redis commands.
const RESTRICTED: [(&str, &[&str]); 8] = [
    ("redis", &["tidegate-redis"]),
    ("wasmtime", &["tidegate-policy"]),
    ("rhai", &["tidegate-policy", "tidegate-lint"]),
    ("notify", &["tidegate-policy"]),
    ("axum", &["tidegate-server", "gateway", "xtask"]),
    ("reqwest", &["tidegate-server", "gateway", "xtask"]),
    ("lettre", &["tidegate-server"]),
    ("utoipa", &["tidegate-server"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns all Rust files of the workspace, except build output.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let kept = entries.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name != "target" && !name.starts_with('.')
    });
    let files = kept.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Returns the functions in a file with their lengths. It relies on the layout of rustfmt, which indents the closing
/// brace like the first line.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(at, line)| Some((at, line, function_name(line)?)));
    starts
        .map(|(at, line, name)| {
            let indent = &line[..line.len() - line.trim_start().len()];
            // A signature without a body ends with a semicolon; a short body ends on its first line.
            let ends = |line: &str| {
                let own = line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' '));
                own && (line.ends_with('}') || line.ends_with(';'))
            };
            let length = lines[at..].iter().position(|line| ends(line)).map_or(lines.len() - at, |last| last + 1);
            (name, length)
        })
        .collect()
}

/// Returns the name of the function whose signature starts on this line.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\"", "default"];
    let declares = before.split_whitespace().all(|word| modifiers.contains(&word));
    let name = after.split(['(', '<']).next()?;
    (declares && !name.is_empty()).then(|| name.to_owned())
}

#[test]
fn files_and_functions_are_short() {
    let mut messages = Vec::new();
    for path in rust_files(&root()) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            messages.push(format!("{}: {lines} lines, at most {MAX_FILE_LINES}", path.display()));
        }
        let long = functions(&text).into_iter().filter(|(_, length)| *length > MAX_FUNCTION_LINES);
        messages.extend(long.map(|(name, length)| {
            format!("{}: fn {name} has {length} lines, at most {MAX_FUNCTION_LINES}", path.display())
        }));
    }
    assert!(messages.is_empty(), "{}", messages.join("\n"));
}

#[test]
fn function_lengths_are_measured() {
    let long =
        format!("    pub(crate) async fn long(\n        a: u8,\n    ) {{\n{}    }}\n", "        a;\n".repeat(67));
    let rows = [
        ("fn one() {}\n", vec![("one", 1)]),
        (
            "trait T {\n    fn two(\n        &self,\n    ) -> u8;\n    fn three(&self) {\n    }\n}\n",
            vec![("two", 3), ("three", 2)],
        ),
        (
            "/// A comment with fn in it.\nlet f = call(fn x);\nconst fn four<T>() {\n    {\n    }\n}\n",
            vec![("four", 4)],
        ),
        (long.as_str(), vec![("long", 71)]),
    ];
    for (text, expected) in rows {
        let expected: Vec<_> = expected.into_iter().map(|(name, length)| (name.to_owned(), length)).collect();
        assert_eq!(functions(text), expected, "{text}");
    }
}

/// Returns the crates of the workspace, each with its dependencies except dev-dependencies.
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

/// Returns a message for each forbidden dependency of these crates.
fn forbidden_dependencies(crates: &[(String, Vec<String>)]) -> Vec<String> {
    let layer_of = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let mut messages = Vec::new();
    for (name, uses) in crates {
        let Some(own) = layer_of(name) else {
            messages.push(format!("{name} has no layer; add it to LAYERS"));
            continue;
        };
        for used in uses {
            if layer_of(used).is_some_and(|other| other >= own) {
                messages.push(format!("{name} depends on {used}, which is not in a lower layer"));
            }
            if name == "tidegate-core" && !CORE_DEPENDENCIES.contains(&used.as_str()) {
                messages.push(format!("{name} depends on {used}, which is not in CORE_DEPENDENCIES"));
            }
            let restricted = RESTRICTED.iter().find(|(restricted, _)| restricted == used);
            if restricted.is_some_and(|(_, owners)| !owners.contains(&name.as_str())) {
                messages.push(format!("{name} depends on {used}, which RESTRICTED does not allow"));
            }
        }
    }
    messages
}

#[test]
fn crates_depend_only_on_lower_layers() {
    let crates = crates();
    assert!(
        crates.iter().any(|(name, _)| name == "tidegate-core"),
        "cannot parse the output of `cargo metadata`: {crates:?}"
    );
    assert_eq!(forbidden_dependencies(&crates), Vec::<String>::new());
}

#[test]
fn forbidden_dependencies_are_found() {
    let crates = |name: &str, used: &str| [(name.to_owned(), vec![used.to_owned()])];
    let rows = [
        ("tidegate", "tidegate-core", None),
        ("tidegate-core", "serde", None),
        ("tidegate-core", "tidegate", Some("not in a lower layer")),
        ("tidegate-core", "tokio", Some("CORE_DEPENDENCIES")),
        ("tidegate-core", "wasmtime", Some("CORE_DEPENDENCIES")),
        ("tidegate-policy", "tidegate-server", Some("not in a lower layer")),
        ("tidegate", "tidegate-redis", None),
        ("tidegate-redis", "tidegate-policy", Some("not in a lower layer")),
        ("tidegate", "axum", Some("RESTRICTED")),
        ("tidegate", "redis", Some("RESTRICTED")),
        ("tidegate-unknown", "serde", Some("no layer")),
    ];
    for (name, used, expected) in rows {
        let messages = forbidden_dependencies(&crates(name, used));
        assert_eq!(messages.is_empty(), expected.is_none(), "{name} depends on {used}: {messages:?}");
        let matches = |text| messages.iter().any(|message| message.contains(text));
        assert!(expected.is_none_or(matches), "{messages:?}");
    }
}
