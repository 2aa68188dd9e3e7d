//! Finds a Rust toolchain that can build Wasm: the active one, or Debian's with the source of the standard library.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::BuildError;

/// The target of Wasm policies, which has no system interface.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Environment variables that the active toolchain may have set, and that another toolchain must not inherit.
const ACTIVE_TOOLCHAIN_VARIABLES: [&str; 4] = ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC", "LD_LIBRARY_PATH"];

/// A cargo that can build for [`TARGET`].
pub struct Toolchain {
    /// The name that is shown to the user.
    pub name: &'static str,
    /// Additional arguments of `cargo build`.
    pub args: &'static [&'static str],
    cargo: OsString,
    env: &'static [(&'static str, &'static str)],
    removed_variables: &'static [&'static str],
}

impl Toolchain {
    /// Returns a cargo command with the toolchain's environment.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for name in self.removed_variables {
            command.env_remove(name);
        }
        command.envs(self.env.iter().copied());
        command
    }
}

/// Finds the first toolchain that can build for [`TARGET`].
pub fn find() -> Result<Toolchain, BuildError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if has_target(&rustc) {
        return Ok(Toolchain { name: "the active toolchain", args: &[], cargo, env: &[], removed_variables: &[] });
    }
    if has_debian_toolchain() {
        return Ok(debian_toolchain());
    }
    let install_rust = if runs(&cargo) { "" } else { "install Rust (https://rustup.rs), then " };
    Err(BuildError::Setup(format!(
        "no Rust toolchain with the target {TARGET} found; {install_rust}run `rustup target add {TARGET}`, or on \
         Debian `apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld`"
    )))
}

/// Returns Debian's toolchain. Debian has no compiled standard library for the target, so cargo builds it too;
/// `RUSTC_BOOTSTRAP` enables that on a stable compiler.
fn debian_toolchain() -> Toolchain {
    Toolchain {
        name: "Debian's Rust",
        args: &["-Zbuild-std=std,panic_abort"],
        cargo: "/usr/bin/cargo".into(),
        env: &[
            ("RUSTC", "/usr/bin/rustc"),
            ("RUSTC_BOOTSTRAP", "1"),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld"),
        ],
        removed_variables: &ACTIVE_TOOLCHAIN_VARIABLES,
    }
}

fn has_target(rustc: &OsStr) -> bool {
    let lib = sysroot(rustc).map(|sysroot| sysroot.join("lib/rustlib").join(TARGET).join("lib"));
    let files = lib.and_then(|lib| lib.read_dir().ok());
    files.is_some_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

fn has_debian_toolchain() -> bool {
    let source =
        sysroot("/usr/bin/rustc".as_ref()).map(|root| root.join("lib/rustlib/src/rust/library/std/Cargo.toml"));
    source.is_some_and(|source| source.is_file())
        && Path::new("/usr/bin/cargo").is_file()
        && Path::new("/usr/bin/wasm-ld").exists()
}

fn sysroot(rustc: &OsStr) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn runs(program: &OsStr) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_toolchain_does_not_inherit_variables_of_the_active_one() {
        let command = debian_toolchain().cargo();
        let env: Vec<_> = command.get_envs().collect();
        assert!(env.contains(&("RUSTUP_TOOLCHAIN".as_ref(), None)));
        assert!(env.contains(&("RUSTC".as_ref(), Some("/usr/bin/rustc".as_ref()))));
    }

    #[test]
    fn missing_compiler_has_no_target() {
        assert!(!has_target("/nonexistent/rustc".as_ref()));
        assert!(!runs("/nonexistent/cargo".as_ref()));
    }
}
