//! Finding something that builds Wasm: the active toolchain, the same after `rustup target add`, or Debian's own Rust.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::install::{apt, run};
use crate::run::Result;

/// What guests are compiled for: no system interface at all.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's Rust with the source of its standard library, and a linker for Wasm.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// rustup waits for ever where it cannot download.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(60);

/// A cargo that can build for [`TARGET`].
pub struct Toolchain {
    /// What it is, for people.
    pub name: &'static str,
    /// What `cargo build` needs besides the target.
    pub args: Vec<&'static str>,
    cargo: OsString,
    env: Vec<(&'static str, &'static str)>,
    /// Variables of the toolchain that runs this program, which another one must not see.
    hidden: &'static [&'static str],
}

impl Toolchain {
    /// A cargo command in the toolchain's environment.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        self.hidden.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(self.env.iter().copied());
        command
    }
}

/// The first toolchain that can be had.
///
/// # Errors
/// What to install, with the reasons why it could not be done here.
pub fn find() -> Result<Toolchain> {
    if active_has_target() {
        return Ok(active("the active toolchain"));
    }
    let rustup = add_target();
    if rustup.is_ok() && active_has_target() {
        return Ok(active("the active toolchain, to which `rustup target add` has added the target"));
    }
    if debian_is_complete() {
        return Ok(debian("Debian's Rust"));
    }
    let apt = apt(&PACKAGES);
    if apt.is_ok() && debian_is_complete() {
        return Ok(debian("Debian's Rust, which apt-get has installed"));
    }
    let said = |outcome: Result<()>| outcome.err().unwrap_or_else(|| "brought nothing".to_owned());
    Err(format!(
        "nothing here builds Wasm: run `rustup target add {TARGET}` (here it {}), or on Debian `apt-get install -y \
         --no-install-recommends {}` (here it {})",
        said(rustup),
        PACKAGES.join(" "),
        said(apt),
    ))
}

fn active(name: &'static str) -> Toolchain {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Toolchain { name, args: Vec::new(), cargo, env: Vec::new(), hidden: &[] }
}

/// Debian ships no standard library for the target, so it is built along, which a stable compiler must be told to do.
fn debian(name: &'static str) -> Toolchain {
    Toolchain {
        name,
        args: vec!["-Zbuild-std=std,panic_abort"],
        cargo: "/usr/bin/cargo".into(),
        env: vec![
            ("RUSTC", "/usr/bin/rustc"),
            ("RUSTC_BOOTSTRAP", "1"),
            ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld"),
        ],
        hidden: &["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC", "LD_LIBRARY_PATH"],
    }
}

fn active_has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let lib = sysroot(&rustc).map(|sysroot| sysroot.join("lib/rustlib").join(TARGET).join("lib"));
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

fn sysroot(rustc: &std::ffi::OsStr) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn add_target() -> Result<()> {
    eprintln!("guests: trying `rustup target add {TARGET}`, for {} s at most", RUSTUP_PATIENCE.as_secs());
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]);
    run(command, RUSTUP_PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_does_not_inherit_the_active_toolchain() {
        let command = debian("Debian's Rust").cargo();
        let env: Vec<_> = command.get_envs().collect();
        assert!(env.contains(&("RUSTUP_TOOLCHAIN".as_ref(), None)));
        assert!(env.contains(&("RUSTC".as_ref(), Some("/usr/bin/rustc".as_ref()))));
    }
}
