//! Installs system packages for tools that cargo cannot build, if the user has permission to do so.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::run::Result;

/// The timeout of `apt-get`, which downloads about 200 MB.
const APT_TIMEOUT: Duration = Duration::from_secs(600);

/// Installs packages with `apt-get`.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    eprintln!("installing {} with apt-get", packages.join(", "));
    run(apt_get(&["update"]), APT_TIMEOUT)?;
    let install = [&["install", "-y", "--no-install-recommends"][..], packages].concat();
    run(apt_get(&install), APT_TIMEOUT)
}

/// Returns a non-interactive `apt-get` command. It uses `sudo` if the user is not root.
fn apt_get(args: &[&str]) -> Command {
    let id = Command::new("id").arg("-u").output();
    let root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let prefix: &[&str] = if root { &["env"] } else { &["sudo", "-n", "env"] };
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]).args(args);
    command
}

/// Runs a command and kills it after the timeout.
///
/// The output of the command goes to standard error, because another program may read the standard output of xtask.
pub fn run(mut command: Command, timeout: Duration) -> Result<()> {
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start a runtime: {error}"))?.block_on(async {
        // The child is killed when it is dropped, which happens after the timeout.
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        let mut child = child.map_err(|error| format!("cannot run the command: {error}"))?;
        match tokio::time::timeout(timeout, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("failed with {status}")),
            Ok(Err(error)) => Err(format!("cannot wait for the command: {error}")),
            Err(_) => Err(format!("did not finish within {} s", timeout.as_secs())),
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
    fn command_that_does_not_end_is_killed() {
        assert!(
            run(shell("exec sleep 600"), Duration::from_millis(200))
                .is_err_and(|e| e.contains("did not finish within"))
        );
    }

    #[test]
    fn result_of_a_command_is_returned() {
        assert!(run(shell("exit 3"), Duration::from_secs(30)).is_err_and(|e| e.contains('3')));
        assert_eq!(run(shell("exit 0"), Duration::from_secs(30)), Ok(()));
        let missing = run(Command::new("/nonexistent"), Duration::from_secs(30));
        assert!(missing.is_err_and(|e| e.contains("cannot run the command")));
    }
}
