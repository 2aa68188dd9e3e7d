//! From the source of a Wasm policy to the component that a host loads.

mod javascript;
mod rust;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::DecodedWasm;

/// What each world exports, and the directory that a host reads its components from.
const WORLDS: [(&str, &str); 3] = [("classify", "retry"), ("evaluate", "alerts"), ("admit", "admit")];

/// Why there is no component.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// What it takes is not on this machine, or not where it was looked for; the words say how to mend that.
    Missing(String),
    /// The source is no policy; the words say why, or that a compiler has said so.
    Refused(String),
}

/// A component that lies where a host finds it.
#[derive(Debug)]
pub struct Built {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: usize,
    /// Whether it differs from what lay there.
    pub changed: bool,
    /// What built it, for people.
    pub with: String,
}

/// Builds the project in a directory and writes `policies/KIND/NAME.wasm`; the kind is that of the function it exports.
///
/// # Errors
/// Where a tool is missing, or the project is none or does not compile.
pub fn build(project: &Path, name: &str, policies: &Path) -> Result<Built, Failed> {
    let (component, with) = if project.join("Cargo.toml").is_file() {
        rust::component(project)?
    } else if project.join("package.json").is_file() {
        javascript::component(project)?
    } else {
        return Err(Failed::Missing(format!(
            "{}: expected a Cargo.toml or a package.json; `tidegate new retry NAME --lang rust` (or js) makes a project",
            project.display()
        )));
    };
    let kind = kind(&component)?;
    let dir = policies.join(kind);
    let path = dir.join(format!("{name}.wasm"));
    let script = dir.join(format!("{name}.rhai"));
    // Conditions are named with their ending, so two may have one name.
    if kind != "alerts" && script.is_file() {
        let beside = if kind == "retry" {
            format!("build with --name {name}.candidate, which runs beside it, or ")
        } else {
            String::new()
        };
        let (component, script) = (path.display(), script.display());
        return Err(Failed::Refused(format!(
            "{component} would claim the same platform as {script}: {beside}remove the script"
        )));
    }
    let changed = fs::read(&path).map_or(true, |old| old != component);
    if changed {
        write(&dir, name, &component)
            .map_err(|error| Failed::Missing(format!("{} cannot be written: {error}", path.display())))?;
    }
    Ok(Built { path, size: component.len(), changed, with })
}

/// Whole or not at all: a host may be watching, and takes no notice of a name that begins with a dot.
fn write(dir: &Path, name: &str, component: &[u8]) -> std::io::Result<()> {
    let part = dir.join(format!(".{name}.wasm.{}", std::process::id()));
    fs::create_dir_all(dir)?;
    fs::write(&part, component)
        .and_then(|()| fs::rename(&part, dir.join(format!("{name}.wasm"))))
        .inspect_err(|_| drop(fs::remove_file(&part)))
}

/// The directory for components of this component's world.
fn kind(component: &[u8]) -> Result<&'static str, Failed> {
    let decoded = wit_component::decode(component);
    let Ok(DecodedWasm::Component(resolve, world)) = decoded else {
        return Err(Failed::Refused("what was built is no component".to_owned()));
    };
    let exports: Vec<_> = resolve.worlds[world].exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let found = WORLDS.iter().find(|(export, _)| exports.iter().any(|name| name == export));
    found.map(|(_, dir)| *dir).ok_or_else(|| {
        let has = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        let wanted = WORLDS.map(|(export, _)| export).join(", ");
        Failed::Refused(format!(
            "it exports {has}, and a policy exports one of {wanted}: in Rust by `tidegate_sdk::export_retry!(…)` and \
             its like, in JavaScript by a function of that name in policy.js"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_project_is_told_what_makes_one() {
        let dir = tempfile::tempdir().unwrap();
        let failed = build(dir.path(), "shop", dir.path()).unwrap_err();
        let Failed::Missing(message) = failed else { panic!("{failed:?}") };
        assert!(message.contains("expected a Cargo.toml or a package.json"), "{message}");
    }

    #[test]
    fn what_is_written_is_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let retry = dir.path().join("retry");
        for text in ["first", "second"] {
            write(&retry, "shop", text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(retry.join("shop.wasm")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(&retry).unwrap().count(), 1);
        fs::create_dir(retry.join("taken.wasm")).unwrap();
        assert!(write(&retry, "taken", b"x").is_err());
        assert_eq!(fs::read_dir(&retry).unwrap().count(), 2, "nothing half written stays");
    }
}
