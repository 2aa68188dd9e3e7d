//! `tidegate new`, `tidegate build` and `tidegate test` in each language.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The kinds of policies, each with its folder.
const KINDS: [(&str, &str); 3] = [("retry", "retry"), ("alert", "alerts"), ("admit", "admit")];

struct TestDir(tempfile::TempDir);

impl TestDir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns a command in the directory. It builds projects outside of the workspace's target directory.
    fn tidegate(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).current_dir(self.0.path()).env("CARGO_TARGET_DIR", workspace().join("target/guests"));
        command
    }

    /// Runs a command that must succeed. Returns its standard output.
    fn succeed(&self, arguments: &[&str]) -> String {
        check_status(self.tidegate(arguments).output().unwrap(), arguments, 0).0
    }

    /// Runs a command that must fail with this exit status. Returns its standard error.
    fn fail(&self, arguments: &[&str], code: i32) -> String {
        check_status(self.tidegate(arguments).output().unwrap(), arguments, code).1
    }

    /// Returns the paths of all files.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut remaining = vec![self.0.path().to_owned()];
        while let Some(dir) = remaining.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { remaining.push(path) } else { assert!(files.insert(path)) }
            }
        }
        files
    }

    /// Creates a directory with replacements for installed programs, from names and shell scripts.
    fn programs(&self, scripts: &[(&str, &str)]) -> PathBuf {
        let dir = self.path("programs");
        fs::create_dir_all(&dir).unwrap();
        for (name, script) in scripts {
            fs::write(dir.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Checks the exit status. Returns standard output and standard error.
fn check_status(output: Output, arguments: &[&str], code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    (out, err)
}

/// Returns whether `cargo xtask test` has built this component, which means that the tools for its language exist.
fn is_built(component: &str) -> bool {
    let built = workspace().join(component).is_file();
    if !built {
        eprintln!("skipped: {component} does not exist; `cargo xtask test` builds it");
    }
    built
}

/// Links the packages of the SDK's example into a project, so that the test needs no registry.
fn link_node_modules(dir: &TestDir, project: &str) {
    let installed = fs::canonicalize(workspace().join("sdk/js/node_modules")).unwrap();
    std::os::unix::fs::symlink(installed, dir.path(project).join("node_modules")).unwrap();
}

/// Creates, builds and tests a policy of each kind.
fn create_build_and_test(language: &str, own_tests: impl Fn(&TestDir, &str)) {
    for (kind, folder) in KINDS {
        let dir = TestDir::new();
        let name = format!("new_{kind}");
        dir.succeed(&["new", kind, &name, "--lang", language]);
        let project = if kind == "retry" { name.clone() } else { format!("{name}_{folder}") };
        let project = format!("policies/guests/{project}");
        own_tests(&dir, &project);
        let build = ["build", &project, "--name", &name];
        let built = dir.succeed(&build);
        let component = format!("policies/{folder}/{name}.wasm");
        assert!(built.starts_with(&format!("{component}: ")) && built.contains("written"), "{built}");
        // QuickJS embeds a random seed in every component, so a second build differs.
        let change = if language == "rust" { "unchanged" } else { "written" };
        assert!(dir.succeed(&build).contains(change), "the second build is {change}");
        dir.succeed(&["check"]);
        dir.succeed(&["test", &component]);
    }
}

#[test]
fn new_script_passes_its_cases() {
    for (kind, folder) in KINDS {
        let dir = TestDir::new();
        dir.succeed(&["new", kind, "new_shop", "--lang", "rhai"]);
        dir.succeed(&["check"]);
        dir.succeed(&["test", &format!("policies/{folder}/new_shop.rhai")]);
    }
}

#[test]
fn new_rust_project_passes_its_tests_and_cases() {
    if !is_built("target/guests/rust/retry/pdd.wasm") {
        return;
    }
    create_build_and_test("rust", |dir, project| {
        // Use the crate versions of the workspace, so that the test needs no registry.
        fs::copy(workspace().join("Cargo.lock"), dir.path(project).join("Cargo.lock")).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--offline"]).current_dir(dir.path(project));
        cargo.env("CARGO_TARGET_DIR", workspace().join("target/guests"));
        check_status(cargo.output().unwrap(), &["cargo", "test"], 0);
    });
}

#[test]
fn panic_in_rust_is_reported_with_its_position_and_a_component_does_not_replace_a_script() {
    if !is_built("target/guests/rust/retry/pdd.wasm") {
        return;
    }
    let dir = TestDir::new();
    dir.succeed(&["new", "retry", "hasty", "--lang", "rust"]);
    let project = "policies/guests/hasty";
    fs::copy(workspace().join("Cargo.lock"), dir.path(project).join("Cargo.lock")).unwrap();
    let policy = "use tidegate_sdk::{Failure, RetryPolicy, Verdict};
        struct Hasty;
        impl RetryPolicy for Hasty {
            fn classify(failure: Failure) -> Verdict { panic!(\"no words for {}\", failure.platform) }
        }
        tidegate_sdk::export_retry!(Hasty);";
    fs::write(dir.path(project).join("src/lib.rs"), policy).unwrap();
    dir.succeed(&["build", project]);
    let (out, _) = check_status(dir.tidegate(&["check"]).output().unwrap(), &["check"], 1);
    assert!(out.contains("panicked at src/lib.rs:4:") && out.contains("no words for sample"), "{out}");
    fs::write(dir.path("tidegate.toml"), "[policy.\"retry/hasty\"]\nsettings = { mst = 1 }\n").unwrap();
    let (out, _) = check_status(dir.tidegate(&["check"]).output().unwrap(), &["check"], 1);
    assert!(out.contains("hasty.wasm: the policy rejected its settings: ") && out.contains("`mst`"), "{out}");

    fs::remove_file(dir.path("policies/retry/hasty.wasm")).unwrap();
    fs::write(dir.path("policies/retry/hasty.rhai"), "abstain()").unwrap();
    let error = dir.fail(&["build", project], 1);
    assert!(error.contains("would apply to the same platform as policies/retry/hasty.rhai"), "{error}");
    assert!(!dir.path("policies/retry/hasty.wasm").exists());
    dir.succeed(&["build", project, "--name", "hasty.candidate"]);
}

#[test]
fn new_javascript_project_passes_its_tests_and_cases() {
    if !is_built("target/guests/js/retry/pdd.wasm") {
        return;
    }
    create_build_and_test("js", |dir, project| {
        link_node_modules(dir, project);
        let tests = Command::new("node").arg("--test").current_dir(dir.path(project)).output().unwrap();
        check_status(tests, &["node", "--test"], 0);
    });
}

#[test]
fn exception_in_javascript_is_reported_with_its_message() {
    if !is_built("target/guests/js/retry/pdd.wasm") {
        return;
    }
    let dir = TestDir::new();
    dir.succeed(&["new", "retry", "hasty", "--lang", "js"]);
    let project = "policies/guests/hasty";
    link_node_modules(&dir, project);
    let rows = [
        ("(failure) => failure.nothing.length", "TypeError: cannot read property 'length' of undefined"),
        (
            "() => ({ action: 'retry', class: 'throttled', afterMs: NaN })",
            "RangeError: afterMs: expected a number of milliseconds",
        ),
        (
            "() => ({ action: 'retry', class: 'throttled', afterMs: 1 / 0 })",
            "RangeError: afterMs: expected a number of milliseconds",
        ),
        (
            "() => ({ action: 'retry', class: 'throttled', afterMs: -1 })",
            "RangeError: afterMs: expected a number of milliseconds",
        ),
        ("async () => ({ action: 'default' })", "TypeError: expected a verdict, not a promise"),
    ];
    for (policy, message) in rows {
        fs::write(dir.path(project).join("policy.js"), format!("export const classify = {policy};\n")).unwrap();
        dir.succeed(&["build", project]);
        let (out, _) = check_status(dir.tidegate(&["check"]).output().unwrap(), &["check"], 1);
        assert!(out.contains(message), "{policy}: {out}");
    }
}

#[test]
fn javascript_policy_can_reject_its_settings_with_its_own_message() {
    if !is_built("target/guests/js/retry/pdd.wasm") {
        return;
    }
    let dir = TestDir::new();
    dir.succeed(&["new", "retry", "patient", "--lang", "js"]);
    let project = "policies/guests/patient";
    link_node_modules(&dir, project);
    let policy = "let wait = 0;
        export function configure({ wait_ms }) {
            if (typeof wait_ms !== 'number') throw new Error('wait_ms: expected a number');
            wait = wait_ms;
        }
        export const classify = () => ({ action: 'retry', class: 'throttled', afterMs: wait });";
    fs::write(dir.path(project).join("policy.js"), policy).unwrap();
    dir.succeed(&["build", project]);
    fs::write(dir.path("failure.json"), "{}").unwrap();
    let section = |value| format!("[policy.\"retry/patient\"]\nsettings = {{ wait_ms = {value} }}\n");
    for value in ["\"60\"", "true"] {
        fs::write(dir.path("tidegate.toml"), section(value)).unwrap();
        let (out, _) = check_status(dir.tidegate(&["check"]).output().unwrap(), &["check"], 1);
        assert!(out.contains("the policy rejected its settings: wait_ms: expected a number"), "{out}");
    }
    fs::write(dir.path("tidegate.toml"), section("60")).unwrap();
    let verdict = dir.succeed(&["eval", "policies/retry/patient.wasm", "failure.json"]);
    assert!(verdict.contains("after_ms: 60"), "{verdict}");
}

#[test]
fn new_never_overwrites_a_file() {
    for (language, other) in [("rhai", "rust"), ("rust", "js"), ("js", "rhai")] {
        let dir = TestDir::new();
        dir.succeed(&["new", "retry", "shop", "--lang", language]);
        let before = dir.files();
        for again in [language, other] {
            let error = dir.fail(&["new", "retry", "shop", "--lang", again], 2);
            assert!(error.contains("already exists; nothing was written"), "{error}");
        }
        assert_eq!(dir.files(), before);
    }
}

#[test]
fn new_fails_if_a_policy_of_that_name_exists_in_any_language() {
    let dir = TestDir::new();
    fs::create_dir_all(dir.path("elsewhere/retry")).unwrap();
    fs::write(dir.path("elsewhere/retry/shop.wasm"), "").unwrap();
    let error = dir.fail(&["new", "retry", "shop", "--lang", "rhai", "--dir", "elsewhere"], 2);
    assert!(error.starts_with("error: elsewhere/retry/shop.wasm already exists"), "{error}");
    dir.succeed(&["new", "admit", "shop", "--lang", "rhai", "--dir", "elsewhere"]);
}

#[test]
fn new_rejects_invalid_names() {
    let dir = TestDir::new();
    for name in ["Shop", "new-shop", "../shop", ""] {
        let error = dir.fail(&["new", "retry", name, "--lang", "rhai"], 2);
        assert!(error.contains("lower-case letters, digits and `_`"), "{error}");
    }
    assert!(dir.files().is_empty());
}

#[test]
fn new_reports_created_files_and_next_steps_as_json() {
    let dir = TestDir::new();
    let output = dir.succeed(&["new", "retry", "1688", "--lang", "js", "--dir", "elsewhere", "--json"]);
    let output: serde_json::Value = serde_json::from_str(&output).unwrap();
    let created: BTreeSet<_> =
        output["created"].as_array().unwrap().iter().map(|path| dir.path(path.as_str().unwrap())).collect();
    assert_eq!(created, dir.files());
    let next_steps: Vec<_> =
        output["next_steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
    let expected = [
        "npm test --prefix elsewhere/guests/1688",
        "tidegate build elsewhere/guests/1688 --policies elsewhere",
        "tidegate test elsewhere/retry/1688.wasm",
        "create tidegate.toml with presets = [\"platforms\"], [channels.log] kind = \"log\", and [limits.1688] \
         rate = \"10/s\" and burst = 10",
        "add [platforms.1688] error to tidegate.toml; it describes where responses contain the error code, for example \
         error = { at = \"/err\", code = \"no\", message = \"text\" }",
    ];
    assert_eq!(next_steps, expected);
}

#[test]
fn next_steps_name_only_what_the_configuration_lacks() {
    let dir = TestDir::new();
    let limit = "[limits.shop]\nrate = '1/s'\nburst = 1\n";
    let rows = [
        ("[limits.a]\nrate = '1/s'\nburst = 1", "retry", vec!["[limits.shop]", "[platforms.shop]"]),
        (limit, "retry", vec!["[platforms.shop]"]),
        (limit, "admit", vec![]),
        (&format!("{limit}[platforms.shop]\nerror = {{ at = '/err', code = 'no' }}"), "retry", vec![]),
    ];
    for (config, kind, expected) in rows {
        fs::write(dir.path("tidegate.toml"), config).unwrap();
        let output = dir.succeed(&["new", kind, "shop", "--lang", "rhai"]);
        let named: Vec<_> =
            ["[limits.shop]", "[platforms.shop]"].into_iter().filter(|name| output.contains(name)).collect();
        assert_eq!(named, expected, "{config} {output}");
        fs::remove_dir_all(dir.path("policies")).unwrap();
    }
}

#[test]
fn platform_can_have_policies_of_all_kinds() {
    let dir = TestDir::new();
    for (kind, folder) in KINDS {
        let output = dir.succeed(&["new", kind, "taobao", "--lang", "rust"]);
        let build = if kind == "retry" {
            "tidegate build policies/guests/taobao\n".to_owned()
        } else {
            format!("tidegate build policies/guests/taobao_{folder} --name taobao\n")
        };
        assert!(output.contains(&build), "{output}");
        assert!(!output.contains("[limits."), "the default limits contain the platform: {output}");
    }
}

#[test]
fn build_returns_1_for_invalid_source_and_2_for_a_directory_without_a_project() {
    let dir = TestDir::new();
    fs::create_dir(dir.path("empty")).unwrap();
    let error = dir.fail(&["build", "empty"], 2);
    assert!(error.contains("expected a Cargo.toml or a package.json"), "{error}");
    let error = dir.fail(&["build", "empty", "--name", "../shop"], 2);
    assert!(error.contains("expected a name such as taobao"), "{error}");
    let error = dir.fail(&["build", "missing"], 2);
    assert!(error.starts_with("error: missing: "), "{error}");
    if !is_built("target/guests/rust/retry/pdd.wasm") {
        return;
    }
    dir.succeed(&["new", "retry", "not_rust", "--lang", "rust"]);
    let project = "policies/guests/not_rust";
    fs::copy(workspace().join("Cargo.lock"), dir.path(project).join("Cargo.lock")).unwrap();
    let before = dir.files();
    for (source, message) in
        [("no Rust", "compilation failed; see the output of cargo above"), ("", "the component exports nothing")]
    {
        fs::write(dir.path(project).join("src/lib.rs"), source).unwrap();
        let error = dir.fail(&["build", project], 1);
        assert!(error.contains(&format!("{project}: {message}")), "{error}");
    }
    assert_eq!(dir.files(), before, "no file was written");
}

#[test]
fn missing_tool_is_reported_with_installation_instructions() {
    let dir = TestDir::new();
    dir.succeed(&["new", "retry", "shop", "--lang", "js"]);
    let rows: [(&[(&str, &str)], &str); 4] = [
        (&[], "node is required to build JavaScript policies but was not found; install Node.js 18 or newer"),
        (&[("node", "echo v17.9.1")], "node 17.9.1 is too old; install Node.js 18 or newer"),
        (&[("node", "echo v20.1.0")], "cannot run npm"),
        (&[("node", "echo v20.1.0"), ("npm", "exit 1")], "`npm install` failed in policies/guests/shop"),
    ];
    for (programs, message) in rows {
        let mut build = dir.tidegate(&["build", "policies/guests/shop"]);
        let output = build.env("PATH", dir.programs(programs)).output().unwrap();
        let (_, error) = check_status(output, &["build"], 2);
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn project_uses_the_wit_bindgen_version_of_the_workspace() {
    let line = |path: &str| {
        let text = fs::read_to_string(workspace().join(path)).unwrap();
        text.lines().find(|line| line.starts_with("wit-bindgen = ")).unwrap().to_owned()
    };
    assert_eq!(line("host/server/templates/rust/sdk.toml.in"), line("Cargo.toml"));
}
