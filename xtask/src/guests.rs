//! `cargo xtask guests`: from the crates in `policies/guests` to the components that a host loads.

mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toolchain::Toolchain;
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::run::{Result, root};

/// What each world exports, and the directory that a host reads its components from.
const WORLDS: [(&str, &str); 2] = [("classify", "retry"), ("evaluate", "alerts")];

/// Small and self-contained: what a policy panics about cannot be caught by anyone, and names alone tell where.
const PROFILE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
];

/// Builds every guest and writes the components whose bytes have changed.
///
/// # Errors
/// One sentence: what to install where nothing can build Wasm here, or which guest failed and why.
pub fn build() -> Result<()> {
    let root = fs::canonicalize(root()).map_err(|error| format!("the workspace cannot be found: {error}"))?;
    let toolchain = toolchain::find()?;
    eprintln!("guests: building with {}", toolchain.name);
    for guest in guests(&root.join("policies/guests"))? {
        let name = guest.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (path, size, changed) = build_one(&toolchain, &root, &guest, &name)
            .map_err(|error| format!("the guest {name} cannot be built: {error}"))?;
        let shown = path.strip_prefix(&root).unwrap_or(&path).display();
        eprintln!("guests: {shown}, {size} bytes, {}", if changed { "written" } else { "unchanged" });
    }
    Ok(())
}

/// The directories of the guests, in the order of their names.
fn guests(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{} cannot be read: {error}", dir.display()))?;
    let mut found: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join("Cargo.toml").is_file()).collect();
    found.sort();
    Ok(found)
}

/// Builds one guest; returns where its component is, its size, and whether it differs from the one that was there.
fn build_one(toolchain: &Toolchain, root: &Path, guest: &Path, name: &str) -> Result<(PathBuf, usize, bool)> {
    let target = root.join("target/guests");
    let core = compile(toolchain, &target, guest)?;
    let core = fs::read(&core).map_err(|error| format!("{} cannot be read: {error}", core.display()))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("it is no component: {error:#}"))?;
    let dir = root.join("policies").join(kind(&component)?);
    let path = dir.join(format!("{name}.wasm"));
    if fs::read(&path).is_ok_and(|old| old == component) {
        return Ok((path, component.len(), false));
    }
    // Beside the build, not beside the policies: a host that watches those must never see half a component.
    let whole = target.join(format!("{name}.wasm"));
    fs::create_dir_all(&dir)
        .and_then(|()| fs::write(&whole, &component))
        .and_then(|()| fs::rename(&whole, &path))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok((path, component.len(), true))
}

/// Compiles a guest and returns its core module.
fn compile(toolchain: &Toolchain, target: &Path, guest: &Path) -> Result<PathBuf> {
    let manifest = guest.join("Cargo.toml");
    let output = toolchain
        .cargo()
        .args([
            "build",
            "--release",
            "--lib",
            "--target",
            toolchain::TARGET,
            "--message-format=json-render-diagnostics",
        ])
        .args(&toolchain.args)
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target)
        .envs(PROFILE)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err("cargo said why above".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    core_module(&messages, &manifest)
        .ok_or_else(|| "it has no cdylib: its Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]`".to_owned())
}

/// The Wasm file among the messages of cargo about this package.
fn core_module(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_guest = artifacts.filter(|message| message["manifest_path"].as_str().map(Path::new) == Some(manifest));
    let mut files = of_guest.filter_map(|message| message["filenames"].as_array().cloned()).flatten();
    files.find_map(|file| file.as_str().filter(|path| path.ends_with(".wasm")).map(PathBuf::from))
}

/// The directory for components of this component's world.
fn kind(component: &[u8]) -> Result<&'static str> {
    let decoded = wit_component::decode(component).map_err(|error| format!("it is no component: {error:#}"))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err("it is a package of interfaces, not a component".to_owned());
    };
    let exports: Vec<_> = resolve.worlds[world].exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let found = WORLDS.iter().find(|(export, _)| exports.iter().any(|name| name == export));
    found.map(|(_, dir)| *dir).ok_or_else(|| {
        format!("it exports {exports:?}; end it with `tidegate_sdk::export_retry!(…)` or `export_alert!(…)`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_module_is_the_one_of_the_guest_itself() {
        let messages = r#"
            {"reason":"compiler-artifact","manifest_path":"/w/sdk/Cargo.toml","filenames":["/t/sdk.wasm"]}
            {"reason":"compiler-artifact","manifest_path":"/w/pdd/Cargo.toml","filenames":["/t/libpdd.rlib","/t/pdd.wasm"]}
            {"reason":"build-finished","success":true}
        "#;
        assert_eq!(core_module(messages, Path::new("/w/pdd/Cargo.toml")), Some("/t/pdd.wasm".into()));
        assert_eq!(core_module(messages, Path::new("/w/none/Cargo.toml")), None);
    }

    #[test]
    fn only_directories_with_a_manifest_are_guests() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "notes"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        for name in ["b", "a"] {
            fs::write(dir.path().join(name).join("Cargo.toml"), "").unwrap();
        }
        assert_eq!(guests(dir.path()).unwrap(), [dir.path().join("a"), dir.path().join("b")]);
    }
}
