//! Getting what cargo cannot build: packages of the system, where whoever runs this may install them.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::run::Result;

/// Some 200 MB from a mirror.
const APT_PATIENCE: Duration = Duration::from_secs(600);

/// Installs packages by apt-get.
pub fn apt(packages: &[&str]) -> Result<()> {
    eprintln!("trying to install {} by apt-get", packages.join(", "));
    run(apt_get(&["update"]), APT_PATIENCE)?;
    let install = [&["install", "-y", "--no-install-recommends"][..], packages].concat();
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
pub fn run(mut command: Command, patience: Duration) -> Result<()> {
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
}
