//! Builds Rust projects: cargo compiles a core module with embedded WIT metadata, which is then encoded as a component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use wit_component::ComponentEncoder;

use super::BuildError;
use super::toolchain::{self, TARGET, Toolchain};

/// The build profile. Panics abort, because nothing in a policy can catch them. Symbol names are kept for backtraces.
const PROFILE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
];

/// Builds the project and returns the component and the name of the toolchain.
pub fn component(project: &Path) -> Result<(Vec<u8>, String), BuildError> {
    let toolchain = toolchain::find()?;
    let path = compile(&toolchain, project)?;
    let core = fs::read(&path).map_err(|error| BuildError::Source(format!("{}: {error}", path.display())))?;
    let component = ComponentEncoder::default().validate(true).module(&core).and_then(|mut encoder| encoder.encode());
    let component =
        component.map_err(|error| BuildError::Source(format!("cannot encode the module as a component: {error:#}")))?;
    Ok((component, toolchain.name.to_owned()))
}

/// Compiles the project and returns the path of its core module.
fn compile(toolchain: &Toolchain, project: &Path) -> Result<PathBuf, BuildError> {
    let manifest = fs::canonicalize(project.join("Cargo.toml"))
        .map_err(|error| BuildError::Setup(format!("{}: {error}", project.display())))?;
    let output = toolchain
        .cargo()
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .args(toolchain.args)
        .arg("--manifest-path")
        .arg(&manifest)
        .envs(PROFILE)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| BuildError::Setup(format!("cannot run cargo: {error}")))?;
    if !output.status.success() {
        return Err(BuildError::Source("compilation failed; see the output of cargo above".to_owned()));
    }
    core_module(&String::from_utf8_lossy(&output.stdout), &manifest).ok_or_else(|| {
        BuildError::Source(
            "the project builds no cdylib; add `crate-type = [\"cdylib\", \"rlib\"]` to [lib] in Cargo.toml".to_owned(),
        )
    })
}

/// Returns the path of the Wasm file that cargo's JSON messages report for this package.
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
    fn core_module_ignores_artifacts_of_dependencies() {
        let messages = r#"
            {"reason":"compiler-artifact","manifest_path":"/w/sdk/Cargo.toml","filenames":["/t/sdk.wasm"]}
            {"reason":"compiler-artifact","manifest_path":"/w/pdd/Cargo.toml","filenames":["/t/libpdd.rlib","/t/pdd.wasm"]}
            {"reason":"build-finished","success":true}
        "#;
        assert_eq!(core_module(messages, Path::new("/w/pdd/Cargo.toml")), Some("/t/pdd.wasm".into()));
        assert_eq!(core_module(messages, Path::new("/w/none/Cargo.toml")), None);
    }
}
