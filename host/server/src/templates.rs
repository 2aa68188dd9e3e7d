//! The beginnings of policies that `tidegate new` writes: the files of `sdk/templates`, and the SDKs they stand on.

/// The text of a file of `sdk/templates`.
macro_rules! text {
    ($($path:literal)+) => { include_str!(concat!("../templates/", $($path),+)) };
}

/// The texts of one kind of policy.
macro_rules! texts {
    ($kind:literal) => {
        Texts {
            cases: text!($kind "/policy.test.toml"),
            rhai: text!($kind "/policy.rhai"),
            rust: text!($kind "/policy.rs"),
            javascript: text!($kind "/policy.js"),
            javascript_tests: text!($kind "/policy.test.js"),
        }
    };
}

/// A project's files by their path in it; `{{name}}` and its like are still to be filled in.
pub type Files = Vec<(&'static str, &'static str)>;

/// One kind of policy in every language.
pub struct Texts {
    /// What `tidegate test` runs, whatever the language.
    pub cases: &'static str,
    /// The script.
    pub rhai: &'static str,
    rust: &'static str,
    javascript: &'static str,
    javascript_tests: &'static str,
}

/// A retry classifier.
pub const RETRY: Texts = texts!("retry");
/// An alert condition.
pub const ALERT: Texts = texts!("alert");
/// An admission policy.
pub const ADMIT: Texts = texts!("admit");

/// The SDK for Rust, which a project carries along: a policy is built without this repository.
const RUST_SDK: [(&str, &str); 8] = [
    ("sdk/Cargo.toml", text!("rust/sdk.toml.in")),
    ("sdk/src/bindings.rs", text!("rust/src/bindings.rs")),
    ("sdk/src/host.rs", text!("rust/src/host.rs")),
    ("sdk/src/lib.rs", text!("rust/src/lib.rs")),
    ("sdk/src/allocator.rs", text!("rust/src/allocator.rs")),
    ("sdk/src/settings.rs", text!("rust/src/settings.rs")),
    ("sdk/src/verdict.rs", text!("rust/src/verdict.rs")),
    ("sdk/wit/policy.wit", text!("rust/wit/policy.wit")),
];

/// The SDK for JavaScript.
const JAVASCRIPT_SDK: [(&str, &str); 10] = [
    ("sdk/admit.js", text!("js/sdk/admit.js")),
    ("sdk/alert.js", text!("js/sdk/alert.js")),
    ("sdk/build.mjs", text!("js/sdk/build.mjs")),
    ("sdk/contract.d.ts", text!("js/sdk/contract.d.ts")),
    ("sdk/retry.js", text!("js/sdk/retry.js")),
    ("sdk/wit/policy.wit", text!("js/sdk/wit/policy.wit")),
    ("sdk/worlds/admit.js", text!("js/sdk/worlds/admit.js")),
    ("sdk/worlds/alert.js", text!("js/sdk/worlds/alert.js")),
    ("sdk/worlds/host.js", text!("js/sdk/worlds/host.js")),
    ("sdk/worlds/retry.js", text!("js/sdk/worlds/retry.js")),
];

impl Texts {
    /// A project in Rust.
    #[must_use]
    pub fn rust(&self) -> Files {
        let mut files = vec![
            (".gitignore", "target/\n"),
            ("Cargo.toml", text!("rust/Cargo.toml.in")),
            ("README.md", text!("rust/README.md")),
            ("src/lib.rs", self.rust),
        ];
        files.extend(RUST_SDK);
        files
    }

    /// A project in JavaScript.
    #[must_use]
    pub fn javascript(&self) -> Files {
        let mut files = vec![
            (".gitignore", "node_modules/\n"),
            ("README.md", text!("js/README.md")),
            ("package.json", text!("js/package.json.in")),
            ("policy.js", self.javascript),
            ("policy.test.js", self.javascript_tests),
        ];
        files.extend(JAVASCRIPT_SDK);
        files
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The files below a directory of `sdk/templates`, as a project has them below `sdk/`.
    fn below(dir: &Path, prefix: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                found.append(&mut below(&path, &name));
            } else {
                found.insert(name);
            }
        }
        found
    }

    #[test]
    fn a_project_carries_the_whole_sdk() {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let carried =
            |files: &[(&str, &str)]| files.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>();
        let mut rust = BTreeSet::from(["sdk/Cargo.toml".to_owned(), "sdk/wit/policy.wit".to_owned()]);
        rust.append(&mut below(&templates.join("rust/src"), "sdk/src"));
        assert_eq!(carried(&RUST_SDK), rust);
        let mut javascript = below(&templates.join("js/sdk"), "sdk");
        // Older contracts are the host's business; whoever begins takes the newest.
        javascript.retain(|path| !path.starts_with("sdk/wit/0."));
        assert_eq!(carried(&JAVASCRIPT_SDK), javascript);
    }
}
