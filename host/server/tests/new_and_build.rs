//! From `tidegate new` to a policy in force, in each language.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Each kind, and the folder of its policies.
const KINDS: [(&str, &str); 3] = [("retry", "retry"), ("alert", "alerts"), ("admit", "admit")];

struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The command there, its projects built apart from the workspace and with the crates that it has fetched.
    fn tidegate(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).current_dir(self.0.path()).env("CARGO_TARGET_DIR", workspace().join("target/guests"));
        command
    }

    /// What must succeed.
    fn good(&self, arguments: &[&str]) -> String {
        said(self.tidegate(arguments).output().unwrap(), arguments, 0).0
    }

    /// What must end with this code; tells its standard error.
    fn bad(&self, arguments: &[&str], code: i32) -> String {
        said(self.tidegate(arguments).output().unwrap(), arguments, code).1
    }

    /// Every file below, by its path.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut left = vec![self.0.path().to_owned()];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { left.push(path) } else { assert!(found.insert(path)) }
            }
        }
        found
    }

    /// Programs that stand in for those of the machine: name and script.
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

/// Standard output and error of what must have ended with this code.
fn said(output: Output, arguments: &[&str], code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    (out, err)
}

/// Whether `cargo xtask test` has built guests of this language here, so that its tools are on this machine.
fn built_before(component: &str) -> bool {
    let built = workspace().join(component).is_file();
    if !built {
        eprintln!("{component} is not built (cargo xtask test): nothing is built here either");
    }
    built
}

/// Gives a project what npm has installed for the SDK's example: a test asks no registry.
fn install(scene: &Scene, project: &str) {
    let installed = fs::canonicalize(workspace().join("sdk/js/node_modules")).unwrap();
    std::os::unix::fs::symlink(installed, scene.path(project).join("node_modules")).unwrap();
}

/// Makes, builds and tests a policy of each kind.
fn from_new_to_tested(language: &str, own_tests: impl Fn(&Scene, &str)) {
    for (kind, folder) in KINDS {
        let scene = Scene::new();
        let name = format!("new_{kind}");
        scene.good(&["new", kind, &name, "--lang", language]);
        let project = if kind == "retry" { name.clone() } else { format!("{name}_{folder}") };
        let project = format!("policies/guests/{project}");
        own_tests(&scene, &project);
        let build = ["build", &project, "--name", &name];
        let built = scene.good(&build);
        let component = format!("policies/{folder}/{name}.wasm");
        assert!(built.starts_with(&format!("{component}: ")) && built.contains("written"), "{built}");
        // QuickJS has a seed of its own in every component.
        let again = if language == "rust" { "unchanged" } else { "written" };
        assert!(scene.good(&build).contains(again), "built again it is {again}");
        scene.good(&["check"]);
        scene.good(&["test", &component]);
    }
}

#[test]
fn a_script_holds_its_cases_as_it_comes() {
    for (kind, folder) in KINDS {
        let scene = Scene::new();
        scene.good(&["new", kind, "new_shop", "--lang", "rhai"]);
        scene.good(&["check"]);
        scene.good(&["test", &format!("policies/{folder}/new_shop.rhai")]);
    }
}

#[test]
fn a_rust_project_passes_its_tests_and_becomes_a_component_that_holds_its_cases() {
    if !built_before("policies/retry/pdd.wasm") {
        return;
    }
    from_new_to_tested("rust", |scene, project| {
        // The crates that the workspace has: a test asks no registry.
        fs::copy(workspace().join("Cargo.lock"), scene.path(project).join("Cargo.lock")).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--offline"]).current_dir(scene.path(project));
        cargo.env("CARGO_TARGET_DIR", workspace().join("target/guests"));
        said(cargo.output().unwrap(), &["cargo", "test"], 0);
    });
}

#[test]
fn a_rust_policy_that_panics_says_where_and_why_and_a_script_keeps_its_platform() {
    if !built_before("policies/retry/pdd.wasm") {
        return;
    }
    let scene = Scene::new();
    scene.good(&["new", "retry", "hasty", "--lang", "rust"]);
    let project = "policies/guests/hasty";
    fs::copy(workspace().join("Cargo.lock"), scene.path(project).join("Cargo.lock")).unwrap();
    let policy = "use tidegate_sdk::{Failure, Retry, Verdict};
        struct Hasty;
        impl Retry for Hasty {
            fn classify(failure: Failure) -> Verdict { panic!(\"no words for {}\", failure.platform) }
        }
        tidegate_sdk::export_retry!(Hasty);";
    fs::write(scene.path(project).join("src/lib.rs"), policy).unwrap();
    scene.good(&["build", project]);
    let (out, _) = said(scene.tidegate(&["check"]).output().unwrap(), &["check"], 1);
    assert!(out.contains("panicked at src/lib.rs:4:") && out.contains("no words for sample"), "{out}");
    fs::write(scene.path("tidegate.toml"), "[policy.\"retry/hasty\"]\nsettings = { mst = 1 }\n").unwrap();
    let (out, _) = said(scene.tidegate(&["check"]).output().unwrap(), &["check"], 1);
    assert!(out.contains("hasty.wasm: it refused its settings: ") && out.contains("`mst`"), "{out}");

    fs::remove_file(scene.path("policies/retry/hasty.wasm")).unwrap();
    fs::write(scene.path("policies/retry/hasty.rhai"), "abstain()").unwrap();
    let why = scene.bad(&["build", project], 1);
    assert!(why.contains("would claim the same platform as policies/retry/hasty.rhai"), "{why}");
    assert!(!scene.path("policies/retry/hasty.wasm").exists());
    scene.good(&["build", project, "--name", "hasty.candidate"]);
}

#[test]
fn a_javascript_project_passes_its_tests_and_becomes_a_component_that_holds_its_cases() {
    if !built_before("target/guests/js/retry/pdd.wasm") {
        return;
    }
    from_new_to_tested("js", |scene, project| {
        install(scene, project);
        let tests = Command::new("node").arg("--test").current_dir(scene.path(project)).output().unwrap();
        said(tests, &["node", "--test"], 0);
    });
}

#[test]
fn what_a_javascript_policy_throws_is_told_and_not_only_that_it_trapped() {
    if !built_before("target/guests/js/retry/pdd.wasm") {
        return;
    }
    let scene = Scene::new();
    scene.good(&["new", "retry", "hasty", "--lang", "js"]);
    let project = "policies/guests/hasty";
    install(&scene, project);
    let rows = [
        ("(failure) => failure.nothing.length", "TypeError: cannot read property 'length' of undefined"),
        ("() => ({ action: 'retry', class: 'throttled', afterMs: NaN })", "RangeError: afterMs: expected milliseconds"),
        (
            "() => ({ action: 'retry', class: 'throttled', afterMs: 1 / 0 })",
            "RangeError: afterMs: expected milliseconds",
        ),
        ("() => ({ action: 'retry', class: 'throttled', afterMs: -1 })", "RangeError: afterMs: expected milliseconds"),
        ("async () => ({ action: 'default' })", "TypeError: expected a verdict at once, not a promise"),
    ];
    for (policy, says) in rows {
        fs::write(scene.path(project).join("policy.js"), format!("export const classify = {policy};\n")).unwrap();
        scene.good(&["build", project]);
        let (out, _) = said(scene.tidegate(&["check"]).output().unwrap(), &["check"], 1);
        assert!(out.contains(says), "{policy}: {out}");
    }
}

#[test]
fn a_javascript_policy_gets_its_settings_and_refuses_them_in_its_own_words() {
    if !built_before("target/guests/js/retry/pdd.wasm") {
        return;
    }
    let scene = Scene::new();
    scene.good(&["new", "retry", "patient", "--lang", "js"]);
    let project = "policies/guests/patient";
    install(&scene, project);
    let policy = "let wait = 0;
        export function configure({ wait_ms }) {
            if (typeof wait_ms !== 'number') throw new Error('wait_ms: expected a number');
            wait = wait_ms;
        }
        export const classify = () => ({ action: 'retry', class: 'throttled', afterMs: wait });";
    fs::write(scene.path(project).join("policy.js"), policy).unwrap();
    scene.good(&["build", project]);
    fs::write(scene.path("failure.json"), "{}").unwrap();
    let section = |value| format!("[policy.\"retry/patient\"]\nsettings = {{ wait_ms = {value} }}\n");
    for value in ["\"60\"", "true"] {
        fs::write(scene.path("tidegate.toml"), section(value)).unwrap();
        let (out, _) = said(scene.tidegate(&["check"]).output().unwrap(), &["check"], 1);
        assert!(out.contains("it refused its settings: wait_ms: expected a number"), "{out}");
    }
    fs::write(scene.path("tidegate.toml"), section("60")).unwrap();
    let verdict = scene.good(&["eval", "policies/retry/patient.wasm", "failure.json"]);
    assert!(verdict.contains("after_ms: 60"), "{verdict}");
}

#[test]
fn nothing_is_written_over() {
    for (language, other) in [("rhai", "rust"), ("rust", "js"), ("js", "rhai")] {
        let scene = Scene::new();
        scene.good(&["new", "retry", "shop", "--lang", language]);
        let before = scene.files();
        for again in [language, other] {
            let why = scene.bad(&["new", "retry", "shop", "--lang", again], 2);
            assert!(why.contains("is there already, and nothing was written"), "{why}");
        }
        assert_eq!(scene.files(), before);
    }
}

#[test]
fn a_policy_in_any_language_holds_its_name() {
    let scene = Scene::new();
    fs::create_dir_all(scene.path("elsewhere/retry")).unwrap();
    fs::write(scene.path("elsewhere/retry/shop.wasm"), "").unwrap();
    let why = scene.bad(&["new", "retry", "shop", "--lang", "rhai", "--dir", "elsewhere"], 2);
    assert!(why.starts_with("elsewhere/retry/shop.wasm is there already"), "{why}");
    scene.good(&["new", "admit", "shop", "--lang", "rhai", "--dir", "elsewhere"]);
}

#[test]
fn a_name_that_is_no_name_is_refused() {
    let scene = Scene::new();
    for name in ["Shop", "new-shop", "../shop", ""] {
        let why = scene.bad(&["new", "retry", name, "--lang", "rhai"], 2);
        assert!(why.contains("lower-case letters, digits and _"), "{why}");
    }
    assert!(scene.files().is_empty());
}

#[test]
fn what_was_written_and_what_comes_next_is_told_to_programs_too() {
    let scene = Scene::new();
    let told = scene.good(&["new", "retry", "1688", "--lang", "js", "--dir", "elsewhere", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let written: BTreeSet<_> =
        told["written"].as_array().unwrap().iter().map(|path| scene.path(path.as_str().unwrap())).collect();
    assert_eq!(written, scene.files());
    let next: Vec<_> = told["next"].as_array().unwrap().iter().map(|next| next.as_str().unwrap()).collect();
    let expected = [
        "npm test --prefix elsewhere/guests/1688",
        "tidegate build elsewhere/guests/1688 --policies elsewhere",
        "tidegate test elsewhere/retry/1688.wasm",
        "in tidegate.toml: [limits.1688] with rate = \"10/s\" and burst = 10",
    ];
    assert_eq!(next, expected);
}

#[test]
fn a_platform_may_have_policies_of_every_kind_in_one_language() {
    let scene = Scene::new();
    for (kind, folder) in KINDS {
        let told = scene.good(&["new", kind, "taobao", "--lang", "rust"]);
        let build = if kind == "retry" {
            "tidegate build policies/guests/taobao\n".to_owned()
        } else {
            format!("tidegate build policies/guests/taobao_{folder} --name taobao\n")
        };
        assert!(told.contains(&build), "{told}");
        assert!(!told.contains("[limits."), "the shipped limits know the platform: {told}");
    }
}

#[test]
fn a_source_that_is_no_policy_is_1_and_a_directory_that_is_no_project_is_2() {
    let scene = Scene::new();
    fs::create_dir(scene.path("empty")).unwrap();
    let why = scene.bad(&["build", "empty"], 2);
    assert!(why.contains("expected a Cargo.toml or a package.json"), "{why}");
    let why = scene.bad(&["build", "empty", "--name", "../shop"], 2);
    assert!(why.contains("expected a name as in taobao"), "{why}");
    let why = scene.bad(&["build", "nowhere"], 2);
    assert!(why.starts_with("nowhere: "), "{why}");
    if !built_before("policies/retry/pdd.wasm") {
        return;
    }
    scene.good(&["new", "retry", "not_rust", "--lang", "rust"]);
    let project = "policies/guests/not_rust";
    fs::copy(workspace().join("Cargo.lock"), scene.path(project).join("Cargo.lock")).unwrap();
    let before = scene.files();
    for (source, says) in [("no Rust", "cargo said why above"), ("", "it exports nothing")] {
        fs::write(scene.path(project).join("src/lib.rs"), source).unwrap();
        let why = scene.bad(&["build", project], 1);
        assert!(why.contains(&format!("{project}: {says}")), "{why}");
    }
    assert_eq!(scene.files(), before, "nothing was built");
}

#[test]
fn a_tool_that_is_missing_is_named_with_the_way_to_get_it() {
    let scene = Scene::new();
    scene.good(&["new", "retry", "shop", "--lang", "js"]);
    let rows: [(&[(&str, &str)], &str); 4] = [
        (&[], "node is missing, which builds JavaScript: install Node.js 18 or newer"),
        (&[("node", "echo v17.9.1")], "node is too old, 17.9.1: install Node.js 18 or newer"),
        (&[("node", "echo v20.1.0")], "npm cannot be run"),
        (&[("node", "echo v20.1.0"), ("npm", "exit 1")], "`npm install` failed in policies/guests/shop"),
    ];
    for (programs, says) in rows {
        let mut build = scene.tidegate(&["build", "policies/guests/shop"]);
        let output = build.env("PATH", scene.programs(programs)).output().unwrap();
        let (_, why) = said(output, &["build"], 2);
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn a_project_carries_the_workspaces_choice_of_the_bindings() {
    let line = |path: &str| {
        let text = fs::read_to_string(workspace().join(path)).unwrap();
        text.lines().find(|line| line.starts_with("wit-bindgen = ")).unwrap().to_owned()
    };
    assert_eq!(line("sdk/templates/rust/sdk.toml.in"), line("Cargo.toml"));
}
