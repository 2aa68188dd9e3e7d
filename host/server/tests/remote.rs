//! The commands that send requests to a server or directly to Redis.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

const TOKEN: &str = "hunter2-token";
const PASSWORD: &str = "hunter2-password";

/// A process that is killed at the end of the test.
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server, its Redis if it has one, and the output of all commands.
struct TestServer {
    dir: tempfile::TempDir,
    redis: Option<ChildGuard>,
    server: Option<ChildGuard>,
    url: String,
    output: String,
}

impl TestServer {
    fn in_memory() -> Self {
        Self::serve("", None)
    }

    fn in_redis() -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut redis = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD, "--port", &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("these tests need redis-server 7 (apt-get install redis-server): {error}"));
        let mut lines = BufReader::new(redis.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Ready to accept connections")));
        std::thread::spawn(move || lines.for_each(drop));
        // A long timeout, so that Redis does not count as unavailable on a slow machine.
        let section = format!("[redis]\nurl = 'redis://:{PASSWORD}@127.0.0.1:{port}'\ndecide_within = '3s'\n");
        Self::serve(&section, Some(ChildGuard(redis)))
    }

    fn serve(section: &str, redis: Option<ChildGuard>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = format!("[server]\ntoken = '{TOKEN}'\n");
        std::fs::write(dir.path().join("tidegate.toml"), format!("presets = ['platforms']\n{section}{token}")).unwrap();
        std::fs::create_dir(dir.path().join("policies")).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut server = command(&dir.path().to_owned());
        server.args(["serve", "--listen", "127.0.0.1:0", "--json"]).stdout(Stdio::piped()).stderr(log);
        let mut server = server.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output: Value = serde_json::from_str(&line).unwrap();
        let url = format!("http://{}", output["listening"].as_str().unwrap());
        Self { dir, redis, server: Some(ChildGuard(server)), url, output: String::new() }
    }

    /// Runs a command. Returns exit status, standard output and standard error.
    fn run(&mut self, command_line: &str, more: &[&str]) -> (i32, String, String) {
        let mut command = command(&self.dir.path().to_owned());
        let output = command.args(command_line.split(' ')).args(more).env("TIDEGATE_TOKEN", TOKEN).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        self.output += &format!("{out}{err}");
        (output.status.code().unwrap(), out, err)
    }

    /// Runs a command that sends its request to the server.
    fn run_on_server(&mut self, command_line: &str) -> (i32, String, String) {
        let url = self.url.clone();
        self.run(command_line, &["--server", &url])
    }

    fn json(&mut self, command_line: &str, target: &[&str]) -> Value {
        let (code, out, err) = self.run(command_line, &[target, &["--json"]].concat());
        assert_eq!(code, 0, "{command_line}: {err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Stops the server. Returns its log and the output of all commands.
    fn all_output(&mut self) -> String {
        drop(self.server.take());
        let mut log = String::new();
        std::fs::File::open(self.dir.path().join("log")).unwrap().read_to_string(&mut log).unwrap();
        assert!(!log.is_empty() || self.redis.is_none(), "the server has written a log");
        log + &self.output
    }
}

fn command(dir: &PathBuf) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(dir).stdin(Stdio::null()).env_remove("TIDEGATE_TOKEN");
    command
}

/// Runs every command on one target: a server, or Redis.
fn run_all_commands(server: &mut TestServer, target: &[&str]) {
    assert_eq!(server.json("limits set jd 1/h 9", target)["rate"], "1/h");
    server.json("limits reset jd", target);
    assert_eq!(server.json("limits get jd", target)["available"], 9);
    assert_eq!(server.json("limits get", target)["jd"]["burst"], 9);
    let (code, out, _) = server.run("limits get jd", target);
    assert_eq!((code, out.lines().next()), (0, Some("limit  rate  burst  available  full in")));
    assert!(out.lines().nth(1).unwrap().starts_with("jd     1/h   9      9          0s"), "{out}");
    assert_eq!(server.json("metrics jd --range 5m", target)["count"], 0);
    let (code, out, _) = server.run("metrics jd", target);
    assert!(code == 0 && out.contains("errors     0 (-)"), "{out}");
    assert!(server.json("alerts list", target)["active"].as_array().unwrap().is_empty());
    assert!(server.json("alerts history --platform jd --limit 3", target)["history"].as_array().unwrap().is_empty());
    assert_eq!(server.run("alerts history", target).1, "time  severity  rule  transition  scope  delivered to\n");
    assert!(server.json("locks list", target).is_array());
    server.json("status", target);
    let is_server = target[0] == "--server";
    let rows = [
        ("limits get jdd", 1, "unknown platform \"jdd\""),
        ("limits set jd 5 1", 2, "expected tokens and a period"),
        ("limits set jd 5/s 0", 2, "at least 1"),
        ("limits set jd 5/s -1", 2, "-1"),
        ("limits set jdd 5/s 1", 1, "unknown platform"),
        ("limits reset jdd", 1, "unknown platform"),
        ("metrics jdd", 1, "unknown platform"),
        ("metrics jd --range 1y", 2, "range: "),
        ("alerts history --platform jdd", 1, "unknown platform"),
        ("limits get .", 1 + i32::from(is_server), if is_server { "a URL cannot contain" } else { "unknown platform" }),
        (
            "limits reset j\nd",
            1 + i32::from(is_server),
            if is_server { "a URL cannot contain" } else { "unknown platform" },
        ),
        ("locks release missing", 1, "lock \"missing\" is not held"),
    ];
    for (command_line, expected, message) in rows {
        let (code, out, err) = server.run(command_line, target);
        assert_eq!((code, out.as_str()), (expected, ""), "{command_line}: {err}");
        assert!(err.contains(message), "{command_line}: {err}");
    }
    assert_eq!(server.json("limits get jd", target)["rate"], "1/h", "a failed command changes nothing");
}

#[test]
fn all_commands_work_on_a_server_without_redis() {
    let mut server = TestServer::in_memory();
    let url = server.url.clone();
    run_all_commands(&mut server, &["--server", &url]);
    assert!(server.run_on_server("status").1.contains("redis: not configured"));
    let (code, _, err) = server.run("limits get --redis", &[]);
    assert_eq!(code, 2);
    assert!(err.contains("tidegate.toml has no [redis] section; use --config to name a file that has one"), "{err}");
    let output = server.all_output();
    assert!(!output.contains(TOKEN), "{output}");
}

#[test]
fn all_commands_work_directly_on_redis_and_do_not_write_the_configured_limits() {
    let mut server = TestServer::in_redis();
    let url = server.url.clone();
    run_all_commands(&mut server, &["--redis"]);
    run_all_commands(&mut server, &["--server", &url]);
    // Only the server is a process of the fleet: the commands neither count nor reduce the local shares.
    for (target, is_self) in [(&["--redis"][..], false), (&["--server", &url], true)] {
        let (code, out, _) = server.run("status", target);
        assert!(code == 0 && out.starts_with("redis (single): up for "), "{out}");
        let status = server.json("status", target);
        assert_eq!((&status["configured"], &status["state"]), (&json!(true), &json!("up")));
        let fleet = status["fleet"].as_array().unwrap();
        let processes: Vec<_> = fleet.iter().map(|process| process["is_self"].clone()).collect();
        assert_eq!(processes, [is_self], "{status}");
    }
    // A command with another configuration does not change the shared limits.
    let other = std::fs::read_to_string(server.dir.path().join("tidegate.toml")).unwrap();
    let other = format!("{other}[limits.jd]\nrate = '3/s'\nburst = 3\n");
    std::fs::write(server.dir.path().join("other.toml"), other).unwrap();
    assert_eq!(server.json("limits get jd --config other.toml", &["--redis"])["rate"], "1/h");
    // The lock of the leader is listed and can be released.
    let locks = server.json("locks list", &["--redis"]);
    let leader = locks[0]["name"].as_str().unwrap().to_owned();
    let released = server.run("locks release", &[&leader, "--redis"]);
    assert_eq!((released.0, released.1), (0, format!("released {leader}\n")));
    drop(server.redis.take());
    for target in [&["--redis"][..], &["--server", &url]] {
        let (code, out, err) = server.run("limits get jd", target);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains("redis unavailable"), "{err}");
        let (code, out, err) = server.run("status", target);
        assert!(code == 2 && out.starts_with("redis (single): unavailable for "), "{code} {out} {err}");
    }
    let output = server.all_output();
    assert!(!output.contains(TOKEN) && !output.contains(PASSWORD), "{output}");
}

#[test]
fn invalid_or_unreachable_target_is_a_one_line_error() {
    let mut server = TestServer::in_memory();
    let url = server.url.clone();
    let rows: [(&[&str], &str); 8] = [
        (&["--server", "http://127.0.0.1:9"], "cannot reach the server at http://127.0.0.1:9: "),
        (&["--server", "nonsense"], "--server: expected a URL such as"),
        (&["--server", "ftp://127.0.0.1"], "--server: expected a URL such as"),
        (&["--server", "http://user:hunter2-password@127.0.0.1:9"], "--server: expected a URL such as"),
        (&["--server", &url, "--token-env", "NOT_SET"], "expected the header `Authorization: Bearer TOKEN`"),
        (&["--server", &url, "--token-file", "gone"], "gone: No such file"),
        (&["--server", &url, "--token-file", "/dev/zero"], "/dev/zero: expected a regular file"),
        (
            &["--server", &url, "--token-file", "tidegate.toml"],
            "tidegate.toml: expected a token of visible ASCII characters",
        ),
    ];
    for (target, message) in rows {
        let (code, out, err) = server.run("limits get jd", target);
        assert_eq!((code, out.as_str()), (2, ""), "{target:?}: {err}");
        assert!(err.contains(message) && err.lines().count() == 1, "{target:?}: {err}");
    }
    let output = server.all_output();
    assert!(!output.contains(TOKEN) && !output.contains(PASSWORD), "{output}");
}
