//! Builds Wasm components from Rust and JavaScript projects.

mod javascript;
mod rust;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::DecodedWasm;

/// The function that each kind of component exports, and the folder that the server loads that kind from.
const EXPORTS_AND_FOLDERS: [(&str, &str); 3] = [("classify", "retry"), ("evaluate", "alerts"), ("admit", "admit")];

/// Why a build failed.
#[derive(Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A tool, a project file or a permission is missing. The message says how to fix it.
    Setup(String),
    /// The source is not a valid policy. The message gives the reason, or refers to the output of the compiler.
    Source(String),
}

/// A component that has been written to the policy directory.
#[derive(Debug)]
pub struct BuiltComponent {
    /// The path of the component.
    pub path: PathBuf,
    /// The size in bytes.
    pub size: usize,
    /// Whether the component differs from the file that was there before.
    pub changed: bool,
    /// The name of the toolchain that built it.
    pub built_with: String,
}

/// Builds a project and writes `NAME.wasm` to a folder of the policy directory. The function that the component
/// exports determines the folder.
///
/// # Errors
/// Returns an error if a tool is missing, if the directory is not a project, or if the project does not compile.
pub fn build(project: &Path, name: &str, policies: &Path) -> Result<BuiltComponent, BuildError> {
    let (component, built_with) = if project.join("Cargo.toml").is_file() {
        rust::component(project)?
    } else if project.join("package.json").is_file() {
        javascript::component(project)?
    } else {
        return Err(BuildError::Setup(format!(
            "{}: expected a Cargo.toml or a package.json; create a project with `tidegate new retry NAME --lang rust` \
             (or js)",
            project.display()
        )));
    };
    let folder = folder(&component)?;
    let dir = policies.join(folder);
    let path = dir.join(format!("{name}.wasm"));
    let script = dir.join(format!("{name}.rhai"));
    // Rules name their conditions with the file extension, so a script and a component may have the same name.
    if folder != "alerts" && script.is_file() {
        let alternative = if folder == "retry" {
            format!("build it as a candidate with --name {name}.candidate, or ")
        } else {
            String::new()
        };
        let (component, script) = (path.display(), script.display());
        return Err(BuildError::Source(format!(
            "{component} would apply to the same platform as {script}; {alternative}remove the script"
        )));
    }
    let changed = fs::read(&path).map_or(true, |old| old != component);
    if changed {
        write_component(&dir, name, &component)
            .map_err(|error| BuildError::Setup(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(BuiltComponent { path, size: component.len(), changed, built_with })
}

/// Writes the component to a temporary file and renames it, so that a running server never loads a partial file. The
/// server ignores the temporary file because its name begins with a dot.
fn write_component(dir: &Path, name: &str, component: &[u8]) -> std::io::Result<()> {
    let temporary = dir.join(format!(".{name}.wasm.{}", std::process::id()));
    fs::create_dir_all(dir)?;
    fs::write(&temporary, component)
        .and_then(|()| fs::rename(&temporary, dir.join(format!("{name}.wasm"))))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Returns the folder for this component, from the function that it exports.
fn folder(component: &[u8]) -> Result<&'static str, BuildError> {
    let decoded = wit_component::decode(component);
    let Ok(DecodedWasm::Component(resolve, world)) = decoded else {
        return Err(BuildError::Source("the output of the build is not a Wasm component".to_owned()));
    };
    let exports: Vec<_> = resolve.worlds[world].exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let matching = EXPORTS_AND_FOLDERS.iter().find(|(export, _)| exports.iter().any(|name| name == export));
    matching.map(|(_, folder)| *folder).ok_or_else(|| {
        let actual = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        let expected = EXPORTS_AND_FOLDERS.map(|(export, _)| export).join(", ");
        BuildError::Source(format!(
            "the component exports {actual}; a policy must export one of {expected}: in Rust, use a macro such as \
             `tidegate_sdk::export_retry!`; in JavaScript, export a function of that name from policy.js"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_without_a_project_is_a_setup_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = build(dir.path(), "shop", dir.path()).unwrap_err();
        let BuildError::Setup(message) = error else { panic!("{error:?}") };
        assert!(message.contains("expected a Cargo.toml or a package.json"), "{message}");
    }

    #[test]
    fn writing_a_component_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let retry = dir.path().join("retry");
        for text in ["first", "second"] {
            write_component(&retry, "shop", text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(retry.join("shop.wasm")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(&retry).unwrap().count(), 1);
        fs::create_dir(retry.join("taken.wasm")).unwrap();
        assert!(write_component(&retry, "taken", b"x").is_err());
        assert_eq!(fs::read_dir(&retry).unwrap().count(), 2, "no partial file is left");
    }
}
