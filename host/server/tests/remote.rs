//! The commands that ask a running server, or look straight into Redis.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const TOKEN: &str = "hunter2-token";
const PASSWORD: &str = "hunter2-password";

/// A child that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server, where its Redis is if it has one, and all that was ever printed.
struct Scene {
    dir: tempfile::TempDir,
    redis: Option<Running>,
    server: Option<Running>,
    url: String,
    printed: String,
}

impl Scene {
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
        // A slow machine is not one whose Redis is away.
        let section = format!("[redis]\nurl = 'redis://:{PASSWORD}@127.0.0.1:{port}'\ndecide_within = '3s'\n");
        let mut scene = Self::serve(&section, Some(Running(redis)));
        // What the server was configured to is news to Redis, and goes ahead of its first answer; were it to come after
        // what a test sets, it would be in force.
        assert_eq!(scene.ask("limits get").0, 0);
        scene
    }

    fn serve(section: &str, redis: Option<Running>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = format!("[server]\ntoken = '{TOKEN}'\n");
        std::fs::write(dir.path().join("tidegate.toml"), format!("{section}{token}")).unwrap();
        std::fs::create_dir(dir.path().join("policies")).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut server = command(&dir.path().to_owned());
        server.args(["serve", "--listen", "127.0.0.1:0", "--json"]).stdout(Stdio::piped()).stderr(log);
        let mut server = server.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let url = format!("http://{}", told["listening"].as_str().unwrap());
        Self { dir, redis, server: Some(Running(server)), url, printed: String::new() }
    }

    /// Runs a command of so many words; tells its exit code, standard output and standard error.
    fn run(&mut self, words: &str, more: &[&str]) -> (i32, String, String) {
        let mut command = command(&self.dir.path().to_owned());
        let output = command.args(words.split(' ')).args(more).env("TIDEGATE_TOKEN", TOKEN).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        self.printed += &format!("{out}{err}");
        (output.status.code().unwrap(), out, err)
    }

    /// The same at the server.
    fn ask(&mut self, words: &str) -> (i32, String, String) {
        let url = self.url.clone();
        self.run(words, &["--server", &url])
    }

    fn json(&mut self, words: &str, place: &[&str]) -> Value {
        let (code, out, err) = self.run(words, &[place, &["--json"]].concat());
        assert_eq!(code, 0, "{words}: {err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Everything that anybody could have read.
    fn all_output(&mut self) -> String {
        drop(self.server.take());
        let mut log = String::new();
        std::fs::File::open(self.dir.path().join("log")).unwrap().read_to_string(&mut log).unwrap();
        assert!(!log.is_empty() || self.redis.is_none(), "the log was looked at");
        log + &self.printed
    }
}

fn command(dir: &PathBuf) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(dir).stdin(Stdio::null()).env_remove("TIDEGATE_TOKEN");
    command
}

/// What every place answers alike.
fn tour(scene: &mut Scene, place: &[&str]) {
    assert_eq!(scene.json("limits set jd 1/h 9", place)["rate"], "1/h");
    scene.json("limits reset jd", place);
    assert_eq!(scene.json("limits get jd", place)["available"], 9);
    assert_eq!(scene.json("limits get", place)["jd"]["burst"], 9);
    let (code, out, _) = scene.run("limits get jd", place);
    assert_eq!((code, out.lines().next()), (0, Some("platform  rate  burst  available  full in")));
    assert!(out.lines().nth(1).unwrap().starts_with("jd        1/h   9      9          0s"), "{out}");
    assert_eq!(scene.json("metrics jd --range 5m", place)["count"], 0);
    let (code, out, _) = scene.run("metrics jd", place);
    assert!(code == 0 && out.contains("errors   0 (0.0 %)"), "{out}");
    assert!(scene.json("alerts list", place)["active"].as_array().unwrap().is_empty());
    assert!(scene.json("alerts history --platform jd --limit 3", place)["history"].as_array().unwrap().is_empty());
    assert_eq!(scene.run("alerts history", place).1, "when  severity  rule  what  scope  told\n");
    assert!(scene.json("locks list", place).is_array());
    scene.json("status", place);
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
        ("locks release nobody", 1, "nobody holds a lock named \"nobody\""),
    ];
    for (words, expected, says) in rows {
        let (code, out, err) = scene.run(words, place);
        assert_eq!((code, out.as_str()), (expected, ""), "{words}: {err}");
        assert!(err.contains(says), "{words}: {err}");
    }
    assert_eq!(scene.json("limits get jd", place)["rate"], "1/h", "what was refused changed nothing");
}

#[test]
fn a_server_in_memory_answers_every_command() {
    let mut scene = Scene::in_memory();
    let url = scene.url.clone();
    tour(&mut scene, &["--server", &url]);
    assert!(scene.ask("status").1.contains("there is no [redis]"));
    let (code, _, err) = scene.run("limits get --redis", &[]);
    assert_eq!(code, 2);
    assert!(err.contains("tidegate.toml has no [redis]; name one that has with --config"), "{err}");
    let output = scene.all_output();
    assert!(!output.contains(TOKEN), "{output}");
}

#[test]
fn redis_itself_answers_every_command_and_looking_changes_nothing() {
    let mut scene = Scene::in_redis();
    let url = scene.url.clone();
    tour(&mut scene, &["--redis"]);
    tour(&mut scene, &["--server", &url]);
    assert!(scene.run("status --redis", &[]).1.starts_with("redis (single): up for "));
    // A look with another configuration leaves the fleet's limits alone.
    let other = std::fs::read_to_string(scene.dir.path().join("tidegate.toml")).unwrap();
    let other = format!("{other}[limits.jd]\nrate = '3/s'\nburst = 3\n");
    std::fs::write(scene.dir.path().join("other.toml"), other).unwrap();
    assert_eq!(scene.json("limits get jd --config other.toml", &["--redis"])["rate"], "1/h");
    // The leader's own lock is there to be seen, and to be taken away.
    let locks = scene.json("locks list", &["--redis"]);
    let leader = locks[0]["name"].as_str().unwrap().to_owned();
    let released = scene.run("locks release", &[&leader, "--redis"]);
    assert_eq!((released.0, released.1), (0, format!("{leader} is free\n")));
    drop(scene.redis.take());
    for place in [&["--redis"][..], &["--server", &url]] {
        let (code, out, err) = scene.run("limits get jd", place);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains("Redis is away"), "{err}");
    }
    let output = scene.all_output();
    assert!(!output.contains(TOKEN) && !output.contains(PASSWORD), "{output}");
}

#[test]
fn whoever_cannot_be_asked_is_named_in_one_line() {
    let mut scene = Scene::in_memory();
    let url = scene.url.clone();
    let rows: [(&[&str], &str); 7] = [
        (&["--server", "http://127.0.0.1:9"], "http://127.0.0.1:9 gives no answer"),
        (&["--server", "nonsense"], "--server: expected an address such as"),
        (&["--server", "ftp://127.0.0.1"], "--server: expected an address such as"),
        (&["--server", "http://user:hunter2-password@127.0.0.1:9"], "--server: expected an address such as"),
        (&["--server", &url, "--token-env", "NOT_SET"], "expected the header \"Authorization: Bearer TOKEN\""),
        (&["--server", &url, "--token-file", "gone"], "gone: No such file"),
        (&["--server", &url, "--token-file", "tidegate.toml"], "tidegate.toml: expected a token: one word"),
    ];
    for (place, says) in rows {
        let (code, out, err) = scene.run("limits get jd", place);
        assert_eq!((code, out.as_str()), (2, ""), "{place:?}: {err}");
        assert!(err.contains(says) && err.lines().count() == 1, "{place:?}: {err}");
    }
    let output = scene.all_output();
    assert!(!output.contains(TOKEN) && !output.contains(PASSWORD), "{output}");
}
