//! The templates of `tidegate new`: the files of `host/server/templates`, and the SDKs that projects contain.

/// Includes a file of `host/server/templates`.
macro_rules! template {
    ($($path:literal)+) => { include_str!(concat!("../templates/", $($path),+)) };
}

/// Includes the templates of one kind of policy.
macro_rules! policy_templates {
    ($kind:literal) => {
        PolicyTemplates {
            cases: template!($kind "/policy.test.toml"),
            rhai: template!($kind "/policy.rhai"),
            rust: template!($kind "/policy.rs"),
            javascript: template!($kind "/policy.js"),
            javascript_tests: template!($kind "/policy.test.js"),
        }
    };
}

/// The paths and texts of a project's files. The texts contain placeholders such as `{{name}}`.
pub type ProjectFiles = Vec<(&'static str, &'static str)>;

/// The templates of one kind of policy, in all languages.
pub struct PolicyTemplates {
    /// The case file for `tidegate test`, which is the same for all languages.
    pub cases: &'static str,
    /// The Rhai script.
    pub rhai: &'static str,
    rust: &'static str,
    javascript: &'static str,
    javascript_tests: &'static str,
}

/// The templates of retry policies.
pub const RETRY: PolicyTemplates = policy_templates!("retry");
/// The templates of alert conditions.
pub const ALERT: PolicyTemplates = policy_templates!("alert");
/// The templates of admission policies.
pub const ADMIT: PolicyTemplates = policy_templates!("admit");

/// The Rust SDK. Projects contain a copy, so that they can be built without this repository.
const RUST_SDK: [(&str, &str); 9] = [
    ("sdk/Cargo.toml", template!("rust/sdk.toml.in")),
    ("sdk/src/__private.rs", template!("rust/src/__private.rs")),
    ("sdk/src/bindings.rs", template!("rust/src/bindings.rs")),
    ("sdk/src/host.rs", template!("rust/src/host.rs")),
    ("sdk/src/lib.rs", template!("rust/src/lib.rs")),
    ("sdk/src/allocator.rs", template!("rust/src/allocator.rs")),
    ("sdk/src/settings.rs", template!("rust/src/settings.rs")),
    ("sdk/src/verdict.rs", template!("rust/src/verdict.rs")),
    ("sdk/wit/policy.wit", template!("wit/policy.wit")),
];

/// The JavaScript SDK.
const JAVASCRIPT_SDK: [(&str, &str); 12] = [
    ("sdk/admit.js", template!("js/sdk/admit.js")),
    ("sdk/alert.js", template!("js/sdk/alert.js")),
    ("sdk/build.mjs", template!("js/sdk/build.mjs")),
    ("sdk/contract.d.ts", template!("js/sdk/contract.d.ts")),
    ("sdk/retry.js", template!("js/sdk/retry.js")),
    ("sdk/wit/policy.wit", template!("wit/policy.wit")),
    ("sdk/worlds/admit.js", template!("js/sdk/worlds/admit.js")),
    ("sdk/worlds/alert.js", template!("js/sdk/worlds/alert.js")),
    ("sdk/worlds/classify.js", template!("js/sdk/worlds/classify.js")),
    ("sdk/worlds/host.js", template!("js/sdk/worlds/host.js")),
    ("sdk/worlds/retry-with-response.js", template!("js/sdk/worlds/retry-with-response.js")),
    ("sdk/worlds/retry.js", template!("js/sdk/worlds/retry.js")),
];

impl PolicyTemplates {
    /// Returns the files of a Rust project.
    #[must_use]
    pub fn rust(&self) -> ProjectFiles {
        let mut files = vec![
            (".gitignore", "target/\n"),
            ("Cargo.toml", template!("rust/Cargo.toml.in")),
            ("README.md", template!("rust/README.md")),
            ("src/lib.rs", self.rust),
        ];
        files.extend(RUST_SDK);
        files
    }

    /// Returns the files of a JavaScript project.
    #[must_use]
    pub fn javascript(&self) -> ProjectFiles {
        let mut files = vec![
            (".gitignore", "node_modules/\n"),
            ("README.md", template!("js/README.md")),
            ("package.json", template!("js/package.json.in")),
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

    /// Returns the paths of all files below a directory, with `prefix` in front.
    fn files_below(dir: &Path, prefix: &str) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                files.append(&mut files_below(&path, &name));
            } else {
                files.insert(name);
            }
        }
        files
    }

    #[test]
    fn projects_contain_the_whole_sdk() {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let paths = |files: &[(&str, &str)]| files.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>();
        let contract = files_below(&templates.join("wit"), "sdk/wit");
        let mut rust = files_below(&templates.join("rust/src"), "sdk/src");
        rust.insert("sdk/Cargo.toml".to_owned());
        assert_eq!(paths(&RUST_SDK), &rust | &contract);
        let javascript = files_below(&templates.join("js/sdk"), "sdk");
        assert_eq!(paths(&JAVASCRIPT_SDK), &javascript | &contract);
    }
}
