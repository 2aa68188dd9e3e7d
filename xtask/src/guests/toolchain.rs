//! Finding something that builds Wasm: the active toolchain, the same after `rustup target add`, or Debian's own Rust.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::run::Result;

/// What guests are compiled for: no system interface at all.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's Rust with the source of its standard library, and a linker for Wasm.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// rustup waits for ever where it cannot download.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(60);
/// Some 200 MB from a mirror.
const APT_PATIENCE: Duration = Duration::from_secs(600);

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
    let apt = install_debian();
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

fn install_debian() -> Result<()> {
    eprintln!("guests: trying to install {} by apt-get", PACKAGES.join(", "));
    run(apt_get(&["update"]), APT_PATIENCE)?;
    let install = [&["install", "-y", "--no-install-recommends"][..], &PACKAGES].concat();
    run(apt_get(&install), APT_PATIENCE)
}

/// apt-get as root, by sudo where we are not, and never with a question to anyone.
fn apt_get(args: &[&str]) -> Command {
    let id = Command::new("id").arg("-u").output();
    let root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let prefix: &[&str] = if root { &["env"] } else { &["sudo", "-n", "env"] };
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]).args(args);
    command
}

/// Runs a command for so long at most; its output goes where our errors go, since ours may be read by a program.
fn run(mut command: Command, patience: Duration) -> Result<()> {
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot be waited for: {error}"))?.block_on(async {
        // Dropped, as where it is not done in time, it is ended.
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        let mut child = child.map_err(|error| format!("cannot be run: {error}"))?;
        match tokio::time::timeout(patience, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("failed with {status}")),
            Ok(Err(error)) => Err(format!("cannot be waited for: {error}")),
            Err(_) => Err(format!("was not done within {} s", patience.as_secs())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_never_ends_is_given_up() {
        assert!(run(shell("exec sleep 600"), Duration::from_millis(200)).is_err_and(|e| e.contains("not done within")));
    }

    #[test]
    fn a_command_that_fails_says_so_and_one_that_succeeds_is_quiet() {
        assert!(run(shell("exit 3"), Duration::from_secs(30)).is_err_and(|e| e.contains('3')));
        assert_eq!(run(shell("exit 0"), Duration::from_secs(30)), Ok(()));
        assert!(run(Command::new("/nonexistent"), Duration::from_secs(30)).is_err_and(|e| e.contains("cannot be run")));
    }

    #[test]
    fn debian_does_not_inherit_the_active_toolchain() {
        let command = debian("Debian's Rust").cargo();
        let env: Vec<_> = command.get_envs().collect();
        assert!(env.contains(&("RUSTUP_TOOLCHAIN".as_ref(), None)));
        assert!(env.contains(&("RUSTC".as_ref(), Some("/usr/bin/rustc".as_ref()))));
    }
}
