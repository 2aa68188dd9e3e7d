//! A JavaScript project: its own `sdk/build.mjs` makes the component, with a compiler that npm installs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Failed;

/// The oldest Node.js that the compiler runs on.
const OLDEST_NODE: u32 = 18;
/// What the compiler is called among a project's packages.
const COMPILER: &str = "node_modules/componentize-qjs/package.json";

/// The component of the project in this directory, and what built it.
pub fn component(project: &Path) -> Result<(Vec<u8>, String), Failed> {
    let node = node()?;
    if !project.join("sdk/build.mjs").is_file() {
        return Err(Failed::Missing(format!(
            "{}: expected sdk/build.mjs, tidegate's SDK for JavaScript; `tidegate new retry NAME --lang js` writes one",
            project.display()
        )));
    }
    if !project.join(COMPILER).is_file() {
        install(project)?;
    }
    // Two builds at once do not meet in one file.
    let name = format!(".component.{}.wasm", std::process::id());
    let component = compile(project, &name);
    drop(fs::remove_file(project.join(&name)));
    Ok((component?, format!("Node.js {node}")))
}

/// Has the SDK write the component under this name in the project, and reads it.
fn compile(project: &Path, name: &str) -> Result<Vec<u8>, Failed> {
    let mut build = Command::new("node");
    build.args(["sdk/build.mjs", name]).current_dir(project).stdout(Stdio::null());
    match build.status() {
        Ok(status) if status.success() => {}
        Ok(_) => return Err(Failed::Refused("node said why above".to_owned())),
        Err(error) => return Err(Failed::Missing(format!("node cannot be run: {error}"))),
    }
    fs::read(project.join(name)).map_err(|error| Failed::Refused(format!("{}/{name}: {error}", project.display())))
}

/// The version of the Node.js that is here.
fn node() -> Result<String, Failed> {
    let how = format!(
        "install Node.js {OLDEST_NODE} or newer (https://nodejs.org, or on Debian `apt-get install nodejs npm`)"
    );
    let output = Command::new("node").arg("--version").output();
    let version = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let version = version.ok_or_else(|| Failed::Missing(format!("node is missing, which builds JavaScript: {how}")))?;
    let version = String::from_utf8_lossy(&version).trim().trim_start_matches('v').to_owned();
    if is_old(&version) {
        return Err(Failed::Missing(format!("node is too old, {version}: {how}")));
    }
    Ok(version)
}

/// Whether the compiler does not run on this version; one that cannot be read is given a try.
fn is_old(version: &str) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major < OLDEST_NODE)
}

/// Has npm install what package.json names.
fn install(project: &Path) -> Result<(), Failed> {
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund"]).current_dir(project);
    // What we print ourselves may be read by a program.
    npm.stdout(std::io::stderr());
    match npm.status() {
        Ok(status) if status.success() && project.join(COMPILER).is_file() => Ok(()),
        Ok(status) if status.success() => Err(Failed::Refused(
            "npm has not installed componentize-qjs: package.json needs it among its devDependencies".to_owned(),
        )),
        Ok(_) => Err(Failed::Missing(format!("`npm install` failed in {} and said why above", project.display()))),
        Err(error) => Err(Failed::Missing(format!(
            "npm cannot be run ({error}), which gets the compiler for JavaScript: install npm (https://nodejs.org, or on \
             Debian `apt-get install npm`)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_version_is_old_enough() {
        let rows = [("17.9.1", true), ("18.0.0", false), ("20.20.2", false), ("nightly", false)];
        for (version, old) in rows {
            assert_eq!(is_old(version), old, "{version}");
        }
    }
}
