//! Builds JavaScript projects with the project's `sdk/build.mjs` and a compiler that npm installs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::BuildError;

/// The oldest major version of Node.js that the compiler supports.
const MIN_NODE_VERSION: u32 = 18;
/// The file that exists in a project when the compiler is installed.
const COMPILER: &str = "node_modules/componentize-qjs/package.json";

/// Builds the project and returns the component and the name of the toolchain.
pub fn component(project: &Path) -> Result<(Vec<u8>, String), BuildError> {
    let node = node_version()?;
    if !project.join("sdk/build.mjs").is_file() {
        return Err(BuildError::Setup(format!(
            "{}: sdk/build.mjs is missing; create a project that contains it with `tidegate new retry NAME --lang js`",
            project.display()
        )));
    }
    if !project.join(COMPILER).is_file() {
        install(project)?;
    }
    // The file name contains the process id, so that concurrent builds do not overwrite each other's file.
    let name = format!(".component.{}.wasm", std::process::id());
    let component = compile(project, &name);
    drop(fs::remove_file(project.join(&name)));
    Ok((component?, format!("Node.js {node}")))
}

/// Runs the SDK's build script, which writes the component to the file `name`, and returns the component.
fn compile(project: &Path, name: &str) -> Result<Vec<u8>, BuildError> {
    let mut build = Command::new("node");
    build.args(["sdk/build.mjs", name]).current_dir(project).stdout(Stdio::null());
    match build.status() {
        Ok(status) if status.success() => {}
        Ok(_) => {
            return Err(BuildError::Source("the JavaScript build failed; see the output of node above".to_owned()));
        }
        Err(error) => return Err(BuildError::Setup(format!("cannot run node: {error}"))),
    }
    fs::read(project.join(name)).map_err(|error| BuildError::Source(format!("{}/{name}: {error}", project.display())))
}

/// Returns the version of the installed Node.js.
fn node_version() -> Result<String, BuildError> {
    let instructions = format!(
        "install Node.js {MIN_NODE_VERSION} or newer (https://nodejs.org, or on Debian `apt-get install nodejs npm`)"
    );
    let output = Command::new("node").arg("--version").output();
    let version = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let version = version.ok_or_else(|| {
        BuildError::Setup(format!("node is required to build JavaScript policies but was not found; {instructions}"))
    })?;
    let version = String::from_utf8_lossy(&version).trim().trim_start_matches('v').to_owned();
    if is_too_old(&version) {
        return Err(BuildError::Setup(format!("node {version} is too old; {instructions}")));
    }
    Ok(version)
}

/// Returns whether the compiler does not support this version. A version that cannot be parsed is accepted.
fn is_too_old(version: &str) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major < MIN_NODE_VERSION)
}

/// Installs the packages of package.json with npm.
fn install(project: &Path) -> Result<(), BuildError> {
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund"]).current_dir(project);
    // Standard output is reserved for the result, which programs may read.
    npm.stdout(std::io::stderr());
    match npm.status() {
        Ok(status) if status.success() && project.join(COMPILER).is_file() => Ok(()),
        Ok(status) if status.success() => Err(BuildError::Source(
            "npm did not install componentize-qjs; add it to devDependencies in package.json".to_owned(),
        )),
        Ok(_) => Err(BuildError::Setup(format!("`npm install` failed in {}; see its output above", project.display()))),
        Err(error) => Err(BuildError::Setup(format!(
            "cannot run npm, which installs the JavaScript compiler: {error}; install npm (https://nodejs.org, or on \
             Debian `apt-get install npm`)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_the_minimum_are_too_old() {
        let rows = [("17.9.1", true), ("18.0.0", false), ("20.20.2", false), ("nightly", false)];
        for (version, too_old) in rows {
            assert_eq!(is_too_old(version), too_old, "{version}");
        }
    }
}
