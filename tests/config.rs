//! Edits of the configuration file while the host runs.

use std::path::PathBuf;
use std::time::Duration;

use tidegate::{ConfigFile, Host, Quota};

struct TestFile(tempfile::TempDir);

impl TestFile {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.save(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("tidegate.toml")
    }

    fn save(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn config(&self) -> ConfigFile {
        ConfigFile::new(self.path())
    }

    fn host(&self) -> Host {
        Host::builder().config(self.config().read().unwrap()).build().unwrap()
    }
}

fn rate(host: &Host, platform: &str) -> String {
    host.limiter(platform).unwrap().quota().to_string()
}

const CONFIG: &str =
    "presets = [\"platforms\"]\n[limits]\njd = { rate = \"7/s\", burst = 7 }\nmine = { rate = \"1/s\", burst = 1 }\n";

#[tokio::test(start_paused = true)]
async fn edited_rate_becomes_active_and_keeps_spent_tokens() {
    let file = TestFile::new(CONFIG);
    let host = file.host();
    assert_eq!(rate(&host, "jd"), "7/s, burst 7");
    assert!(host.limiter("jd").unwrap().check(5).await.is_ok());
    file.save(&CONFIG.replace("7/s", "9/s").replace("burst = 7", "burst = 9"));
    host.reload_config(&file.config()).unwrap();
    assert_eq!(rate(&host, "jd"), "9/s, burst 9");
    assert_eq!(host.limiter("jd").unwrap().cached_status().available, 2);
    assert_eq!(host.config_status().reloads, 1);
}

#[tokio::test(start_paused = true)]
async fn edited_startup_setting_needs_a_restart_until_the_edit_is_reverted() {
    let file = TestFile::new(CONFIG);
    let host = file.host();
    file.save(&format!("{CONFIG}\n[server]\ntoken = \"another\"\n[policies]\ndir = \"elsewhere\"\n"));
    host.reload_config(&file.config()).unwrap();
    assert_eq!(host.config_status().needs_restart, ["[server]", "[policies] dir"]);
    file.save(&CONFIG.replace("7/s", "9/s"));
    host.reload_config(&file.config()).unwrap();
    assert_eq!(host.config_status().needs_restart, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn invalid_file_is_rejected_as_a_whole_with_its_location() {
    let file = TestFile::new(CONFIG);
    let host = file.host();
    file.save(&CONFIG.replace("7/s", "9/s").replace("rate = \"1/s\"", "rate = \"0/s\""));
    host.reload_config(&file.config()).unwrap_err();
    assert_eq!(rate(&host, "jd"), "7/s, burst 7", "no part of the invalid file is applied");
    let stale = host.config_status().stale.unwrap();
    assert!(stale.contains("tidegate.toml:4:17: limits.mine.rate: a rate must be above zero"), "{stale}");
    file.save("");
    host.reload_config(&file.config()).unwrap_err();
    assert!(host.config_status().stale.unwrap().contains("the file is empty"));
    assert_eq!(rate(&host, "jd"), "7/s, burst 7", "the limit is unchanged");
    file.save(CONFIG);
    host.reload_config(&file.config()).unwrap();
    assert_eq!(host.config_status().stale, None);
}

#[tokio::test]
async fn what_is_no_regular_file_is_rejected_at_once() {
    let file = TestFile::new(CONFIG);
    let host = file.host();
    let path = file.config().path().to_owned();
    for command in ["mkfifo", "mkdir"] {
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new(command).arg(&path).status().unwrap().success());
        let error = host.reload_config(&file.config()).unwrap_err().to_string();
        assert!(error.ends_with("tidegate.toml: expected a regular file"), "{command}: {error}");
        assert_eq!(rate(&host, "jd"), "7/s, burst 7");
        if command == "mkfifo" {
            std::fs::remove_file(&path).unwrap()
        } else {
            std::fs::remove_dir(&path).unwrap()
        }
        file.save(CONFIG);
        host.reload_config(&file.config()).unwrap();
        assert_eq!(host.config_status().stale, None);
    }
}

#[tokio::test(start_paused = true)]
async fn runtime_update_survives_an_edit_of_another_limit() {
    let file = TestFile::new(CONFIG);
    let host = file.host();
    host.limiter("jd").unwrap().update(Quota::new("3/s".parse().unwrap(), 3).unwrap()).await.unwrap();
    file.save(&CONFIG.replace("rate = \"1/s\"", "rate = \"2/s\""));
    host.reload_config(&file.config()).unwrap();
    assert_eq!((rate(&host, "jd").as_str(), rate(&host, "mine").as_str()), ("3/s, burst 3", "2/s, burst 1"));
}

#[tokio::test(start_paused = true)]
async fn limits_are_added_and_removed_with_the_file() {
    let file = TestFile::new(CONFIG);
    let host = file.host();
    assert!(host.limiter("mine").unwrap().check(1).await.is_ok());
    file.save("presets = [\"platforms\"]\n[limits]\nyours = { rate = \"1/s\", burst = 1 }\n");
    host.reload_config(&file.config()).unwrap();
    assert!(host.limiter("mine").is_err());
    assert_eq!(rate(&host, "yours"), "1/s, burst 1");
    assert_eq!(
        rate(&host, "jd"),
        tidegate::Config::with_platforms().limits["jd"].quota.to_string(),
        "the limit of the preset applies again"
    );
    file.save(CONFIG);
    host.reload_config(&file.config()).unwrap();
    assert_eq!(
        host.limiter("mine").unwrap().cached_status().available,
        0,
        "a limit that returns keeps its spent tokens"
    );
}

#[tokio::test]
async fn saved_file_is_reloaded_automatically() {
    let slow = "[limits]\njd = { rate = \"1/29s\", burst = 1 }\n";
    let file = TestFile::new(slow);
    let host = file.host();
    let _watch = host.follow_config(&file.config()).unwrap();
    let limiter = host.limiter("jd").unwrap();
    assert!(limiter.check(1).await.is_ok());
    // This caller waits almost 30 seconds, unless the new rate wakes it.
    let waiting = tokio::spawn(async move { limiter.acquire(1, Duration::from_secs(30)).await });
    // This is how many editors save: they write a new file and rename it over the old one.
    let new = file.0.path().join(".tidegate.toml.new");
    std::fs::write(&new, slow.replace("1/29s", "1000/s")).unwrap();
    std::fs::rename(&new, file.path()).unwrap();
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(rate(&host, "jd"), "1000/s, burst 1");
}

#[tokio::test]
async fn file_that_is_created_later_is_activated() {
    let file = TestFile::new("");
    std::fs::remove_file(file.path()).unwrap();
    let host = Host::builder().build().unwrap();
    let _watch = host.follow_config(&file.config()).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(host.config_status().stale, None, "the file is not missing, but awaited");
    std::fs::write(file.path(), "[limits]\njd = { rate = \"7/s\", burst = 1 }\n").unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while host.limiter("jd").is_err() {
        assert!(std::time::Instant::now() < deadline, "{:?}", host.config_status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_file(file.path()).unwrap();
    while host.config_status().stale.is_none() {
        assert!(std::time::Instant::now() < deadline, "a file that was removed is an error");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn platform_that_returns_keeps_its_spent_tokens() {
    const PRESET: &str = "presets = [\"platforms\"]\n";
    let file = TestFile::new(PRESET);
    let host = file.host();
    for without in ["# no preset\n".to_owned(), format!("{PRESET}[platforms]\njd = false\n")] {
        host.limiter("jd").unwrap().reset().await.unwrap();
        assert!(host.limiter("jd").unwrap().check(4).await.is_ok());
        file.save(&without);
        host.reload_config(&file.config()).unwrap();
        assert_eq!(host.config_status().stale, None, "{without}");
        assert!(host.limiter("jd").is_err(), "{without}");
        assert!(host.config().error_shapes("jd").is_empty(), "{without}");
        file.save(PRESET);
        host.reload_config(&file.config()).unwrap();
        assert_eq!(host.limiter("jd").unwrap().cached_status().available, 1, "{without}");
        assert_eq!(host.config().error_shapes("jd").len(), 2, "{without}");
    }
}

#[tokio::test(start_paused = true)]
async fn edited_error_shapes_apply_to_the_next_response() {
    let text = |code: &str| {
        format!(
            "limits.shop = {{ rate = '1/s', burst = 1 }}\nplatforms.shop.error = {{ at = '/err', code = '{code}' }}\n"
        )
    };
    let file = TestFile::new(&text("no"));
    let host = file.host();
    let code = || {
        let body = br#"{"err":{"no":7,"number":8}}"#;
        let failure = host.read_failure("shop", http::StatusCode::OK, &http::HeaderMap::new(), body);
        failure.and_then(|failure| failure.code)
    };
    assert_eq!(code().as_deref(), Some("7"));
    file.save(&text("number"));
    host.reload_config(&file.config()).unwrap();
    assert_eq!(code().as_deref(), Some("8"));
    file.save(&text("/number"));
    host.reload_config(&file.config()).unwrap_err();
    assert_eq!(code().as_deref(), Some("8"), "an invalid shape is rejected");
    assert!(
        host.config_status().stale.unwrap().contains("tidegate.toml:2:46: platforms.shop.error.code: expected a field")
    );
}
