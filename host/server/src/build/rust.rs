//! A Rust project: cargo makes a core module, which carries what it takes to make it a component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use wit_component::ComponentEncoder;

use super::Failed;
use super::toolchain::{self, TARGET, Toolchain};

/// Small and self-contained: what a policy panics about cannot be caught by anyone, and names alone tell where.
const PROFILE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
];

/// The component of the project in this directory, and what built it.
pub fn component(project: &Path) -> Result<(Vec<u8>, String), Failed> {
    let toolchain = toolchain::find()?;
    let path = compile(&toolchain, project)?;
    let core = fs::read(&path).map_err(|error| Failed::Refused(format!("{}: {error}", path.display())))?;
    let component = ComponentEncoder::default().validate(true).module(&core).and_then(|mut encoder| encoder.encode());
    let component = component.map_err(|error| Failed::Refused(format!("it is no component: {error:#}")))?;
    Ok((component, toolchain.name.to_owned()))
}

/// Compiles a project and returns where its core module lies.
fn compile(toolchain: &Toolchain, project: &Path) -> Result<PathBuf, Failed> {
    let manifest = fs::canonicalize(project.join("Cargo.toml"))
        .map_err(|error| Failed::Missing(format!("{}: {error}", project.display())))?;
    let output = toolchain
        .cargo()
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .args(toolchain.args)
        .arg("--manifest-path")
        .arg(&manifest)
        .envs(PROFILE)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failed::Missing(format!("cargo cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(Failed::Refused("cargo said why above".to_owned()));
    }
    core_module(&String::from_utf8_lossy(&output.stdout), &manifest).ok_or_else(|| {
        Failed::Refused("it has no cdylib: its Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]`".to_owned())
    })
}

/// The Wasm file among the messages of cargo about this package.
fn core_module(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_project = artifacts.filter(|message| message["manifest_path"].as_str().map(Path::new) == Some(manifest));
    let mut files = of_project.filter_map(|message| message["filenames"].as_array().cloned()).flatten();
    files.find_map(|file| file.as_str().filter(|path| path.ends_with(".wasm")).map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_module_is_the_one_of_the_project_itself() {
        let messages = r#"
            {"reason":"compiler-artifact","manifest_path":"/w/sdk/Cargo.toml","filenames":["/t/sdk.wasm"]}
            {"reason":"compiler-artifact","manifest_path":"/w/pdd/Cargo.toml","filenames":["/t/libpdd.rlib","/t/pdd.wasm"]}
            {"reason":"build-finished","success":true}
        "#;
        assert_eq!(core_module(messages, Path::new("/w/pdd/Cargo.toml")), Some("/t/pdd.wasm".into()));
        assert_eq!(core_module(messages, Path::new("/w/none/Cargo.toml")), None);
    }
}
