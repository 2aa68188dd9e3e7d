//! Finding something that builds Wasm from Rust: the active toolchain, or Debian's own with its standard library's source.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Failed;

/// What guests are compiled for: no system interface at all.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Variables of the toolchain that may run this program, which another one must not see.
const ACTIVE: [&str; 4] = ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC", "LD_LIBRARY_PATH"];

/// A cargo that can build for [`TARGET`].
pub struct Toolchain {
    /// What it is, for people.
    pub name: &'static str,
    /// What `cargo build` needs besides the target.
    pub args: &'static [&'static str],
    cargo: OsString,
    env: &'static [(&'static str, &'static str)],
    hidden: &'static [&'static str],
}

impl Toolchain {
    /// A cargo command in the toolchain's environment.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for name in self.hidden {
            command.env_remove(name);
        }
        command.envs(self.env.iter().copied());
        command
    }
}

/// The first toolchain that can build for the target.
pub fn find() -> Result<Toolchain, Failed> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if has_target(&rustc) {
        return Ok(Toolchain { name: "the active toolchain", args: &[], cargo, env: &[], hidden: &[] });
    }
    if debian_is_complete() {
        return Ok(debian());
    }
    let first = if runs(&cargo) { "" } else { "install Rust (https://rustup.rs), then " };
    Err(Failed::Missing(format!(
        "nothing here builds Wasm from Rust: {first}run `rustup target add {TARGET}`, or on Debian `apt-get install -y \
         --no-install-recommends rustc-web cargo-web rust-web-src lld`"
    )))
}

/// Debian ships no standard library for the target, so it is built along, which a stable compiler must be told to do.
fn debian() -> Toolchain {
    Toolchain {
        name: "Debian's Rust",
        args: &["-Zbuild-std=std,panic_abort"],
        cargo: "/usr/bin/cargo".into(),
        env: &[
            ("RUSTC", "/usr/bin/rustc"),
            ("RUSTC_BOOTSTRAP", "1"),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld"),
        ],
        hidden: &ACTIVE,
    }
}

fn has_target(rustc: &OsStr) -> bool {
    let lib = sysroot(rustc).map(|sysroot| sysroot.join("lib/rustlib").join(TARGET).join("lib"));
    let files = lib.and_then(|lib| lib.read_dir().ok());
    files.is_some_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

fn debian_is_complete() -> bool {
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
    fn debian_does_not_inherit_the_active_toolchain() {
        let command = debian().cargo();
        let env: Vec<_> = command.get_envs().collect();
        assert!(env.contains(&("RUSTUP_TOOLCHAIN".as_ref(), None)));
        assert!(env.contains(&("RUSTC".as_ref(), Some("/usr/bin/rustc".as_ref()))));
    }

    #[test]
    fn a_compiler_that_is_not_there_has_no_target() {
        assert!(!has_target("/nonexistent/rustc".as_ref()));
        assert!(!runs("/nonexistent/cargo".as_ref()));
    }
}
