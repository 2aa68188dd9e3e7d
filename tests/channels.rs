//! Channels of a kind that a program registers, with a section of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate::channel::{Channel, ChannelContext, ChannelError, ChannelKinds, Notifier, SendFuture};
use tidegate::config::reader::{Section, integer};
use tidegate::{ConfigFile, Host, Notification, Outcome, Secret};
use tidegate_policy::Policies;
use tokio::sync::mpsc;

/// The pager service of the test: what was sent to which pager, and how often a channel was opened.
struct PagerService {
    messages: mpsc::UnboundedSender<String>,
    opened: AtomicU32,
}

/// The settings of a channel of kind `pager`, and the service that it uses.
#[derive(Clone)]
struct Pager {
    number: u64,
    key: Secret,
    service: Arc<PagerService>,
}

impl Pager {
    fn read(section: &mut Section<'_>, service: &Arc<PagerService>) -> Option<Self> {
        let number = section.required("number", integer(1..=9999));
        let key = section.required_secret("key");
        Some(Self { number: number?, key: key?, service: Arc::clone(service) })
    }
}

/// Compares the settings. The service is the same in all channels of a program.
impl PartialEq for Pager {
    fn eq(&self, other: &Self) -> bool {
        (self.number, &self.key) == (other.number, &other.key)
    }
}

impl std::fmt::Debug for Pager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pager").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Channel for Pager {
    fn open(&self, _: &ChannelContext) -> Result<Arc<dyn Notifier>, ChannelError> {
        if self.number == 13 {
            return Err(ChannelError::new("pager 13 is out of order"));
        }
        self.service.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(self.clone()))
    }
}

impl Notifier for Pager {
    fn send<'a>(&'a self, notification: &'a Notification) -> SendFuture<'a> {
        Box::pin(async {
            // This fails only if the receiver was dropped, which happens at the end of the test.
            let _ = self.service.messages.send(format!("{}: {}", self.number, notification.title()));
            Ok(())
        })
    }
}

struct Fixture {
    file: ConfigFile,
    service: Arc<PagerService>,
    messages: mpsc::UnboundedReceiver<String>,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sender, messages) = mpsc::unbounded_channel();
        let service = Arc::new(PagerService { messages: sender, opened: 0.into() });
        let own = Arc::clone(&service);
        let kinds = ChannelKinds::new().register("pager", move |section| Pager::read(section, &own));
        let file = ConfigFile::new(dir.path().join("tidegate.toml")).channel_kinds(kinds);
        let rule = "[rules.errors]\ncondition = 'error_rate > 0.1'\nwindow = '5m'\nmin_samples = 10\n\
                    channels = ['oncall']\n";
        std::fs::create_dir(dir.path().join("policies")).unwrap();
        std::fs::write(dir.path().join("policies/alerts.toml"), rule).unwrap();
        std::fs::write(dir.path().join("key"), "hunter2\n").unwrap();
        Self { file, service, messages, dir }
    }

    /// Saves a configuration with these lines in `[channels.oncall]`.
    fn save(&self, channel: &str) {
        let text = format!(
            "[limits.shop]\nrate = '10/s'\nburst = 10\n[alerting]\ninterval = '1s'\n[channels.oncall]\n{channel}\n"
        );
        std::fs::write(self.file.path(), text).unwrap();
    }

    fn host(&self) -> Host {
        let config = self.file.read().unwrap();
        let policies = Policies::open(&config.policies);
        Host::builder().config(config).policies(policies).build().unwrap()
    }

    fn opened(&self) -> u32 {
        self.service.opened.load(Ordering::Relaxed)
    }

    /// Returns the path of the file in messages.
    fn name(&self) -> String {
        self.dir.path().join("tidegate.toml").display().to_string()
    }
}

#[test]
fn mistakes_in_the_section_of_an_own_kind_have_positions() {
    let fixture = Fixture::new();
    fixture.save("kind = 'pager'\nnumber = 10000\nkey_file = 'missing'\ntone = 'loud'");
    let error = fixture.file.read().unwrap_err();
    let name = fixture.name();
    let expected = [
        format!("{name}:8:10: channels.oncall.number: expected a whole number from 1 to 9999, found 10000"),
        format!(
            "{name}:9:12: channels.oncall.key_file: the file missing cannot be read: No such file or directory (os error 2)"
        ),
        format!(
            "{name}:10:1: channels.oncall: unknown key `tone`; expected one of `kind`, `number`, `key`, `key_env`, `key_file`"
        ),
    ];
    assert_eq!(error.to_string().lines().collect::<Vec<_>>(), expected);
    assert_eq!(error.diagnostics().len(), 3);
    fixture.save("kind = 'pagr'");
    let expected = format!(
        "{name}:7:8: channels.oncall.kind: unknown channel kind `pagr` (did you mean `pager`?); this program registers \
         only `pager`"
    );
    assert_eq!(fixture.file.read().unwrap_err().to_string(), expected);
}

#[tokio::test(start_paused = true)]
async fn alert_reaches_a_channel_of_an_own_kind_before_and_after_a_reload() {
    let mut fixture = Fixture::new();
    fixture.save("kind = 'pager'\nnumber = 1\nkey_file = 'key'");
    let host = fixture.host();
    let ticker = tokio::spawn(host.clone().run(std::future::pending()));
    let record = |outcome, count| {
        (0..count).for_each(|_| host.metrics().record("shop", "e", outcome, Duration::from_millis(9)));
    };
    record(Outcome::Error, 10);
    assert_eq!(fixture.messages.recv().await.unwrap(), "1: [warning] errors firing: shop");

    fixture.save("kind = 'pager'\nnumber = 2\nkey_file = 'key'");
    host.reload_config(&fixture.file).unwrap();
    record(Outcome::Success, 1000);
    assert_eq!(fixture.messages.recv().await.unwrap(), "2: [warning] errors resolved: shop");
    assert_eq!(fixture.opened(), 2);
    ticker.abort();
}

#[tokio::test(start_paused = true)]
async fn unchanged_channel_stays_open_and_a_channel_that_cannot_be_opened_changes_nothing() {
    let fixture = Fixture::new();
    fixture.save("kind = 'pager'\nnumber = 1\nkey = 'hunter2'");
    let host = fixture.host();
    // The same key from a file, and another limit.
    fixture.save("kind = 'pager'\nnumber = 1\nkey_file = 'key'\n[limits.other]\nrate = '1/s'\nburst = 1");
    host.reload_config(&fixture.file).unwrap();
    assert!(host.limiter("other").is_ok());
    assert_eq!((host.config_status().reloads, fixture.opened()), (1, 1));

    fixture.save("kind = 'pager'\nnumber = 13\nkey = 'hunter2'");
    host.reload_config(&fixture.file).unwrap_err();
    let expected = format!("{}: channels.oncall: pager 13 is out of order", fixture.name());
    assert_eq!(host.config_status().stale, Some(expected));
    assert!(host.limiter("other").is_ok(), "the previous configuration stays active");
    assert_eq!((host.config_status().reloads, fixture.opened()), (1, 1));
    let error = Host::builder().config(fixture.file.read().unwrap()).build().err().unwrap();
    assert_eq!(error.to_string(), "channels.oncall: pager 13 is out of order");
}

#[test]
fn secrets_of_an_own_kind_are_not_shown() {
    let fixture = Fixture::new();
    fixture.save("kind = 'pager'\nnumber = 5\nkey_file = 'key'");
    let shown = format!("{:?}", fixture.file.read().unwrap());
    assert!(shown.contains("number: 5") && !shown.contains("hunter2"), "{shown}");
}
