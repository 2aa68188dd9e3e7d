//! The policies of the demo: the shipped ones, with a Wasm component for one platform.

use std::fs;
use std::io;
use std::path::Path;

use crate::run::{Result, root};

/// Copies the shipped policies to `dir`. If there is a component, it replaces the script for Pinduoduo.
pub fn create(dir: &Path, component: Option<&Path>) -> Result<()> {
    create_from(&root().join("policies"), dir, component).map_err(|error| format!("{}: {error}", dir.display()))
}

fn create_from(shipped: &Path, dir: &Path, component: Option<&Path>) -> io::Result<()> {
    copy_directory(shipped, dir)?;
    if let Some(component) = component {
        let script = dir.join("retry/pdd.rhai");
        fs::copy(component, script.with_extension("wasm"))?;
        fs::remove_file(script)?;
    }
    Ok(())
}

/// Copies the rules and policies of a policy directory, without the sources of the guests.
fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.ends_with("guests") {
            continue;
        } else if path.is_dir() {
            copy_directory(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_replaces_the_script_of_its_platform() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("shipped/retry")).unwrap();
        fs::create_dir_all(path("shipped/guests/pdd")).unwrap();
        for file in ["shipped/alerts.toml", "shipped/retry/pdd.rhai", "shipped/retry/taobao.rhai", "pdd.wasm"] {
            fs::write(path(file), file).unwrap();
        }
        let names = |dir: &str| {
            let entries =
                fs::read_dir(path(dir)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = entries.collect();
            names.sort();
            names.join(" ")
        };
        create_from(&path("shipped"), &path("scripts"), None).unwrap();
        assert_eq!(
            (names("scripts").as_str(), names("scripts/retry").as_str()),
            ("alerts.toml retry", "pdd.rhai taobao.rhai")
        );
        create_from(&path("shipped"), &path("mixed"), Some(&path("pdd.wasm"))).unwrap();
        assert_eq!(names("mixed/retry"), "pdd.wasm taobao.rhai");
    }
}
