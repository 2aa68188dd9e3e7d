//! The scenario of the demo. While traffic runs, an outage fires an alert, the rule is edited, and then an invalid rule
//! is saved.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::gateway::{Gateway, replace_file};
use super::progress::ProgressOutput;
use super::receivers::Inbox;
use super::traffic;
use crate::run::Result;

/// The alert rule that the demo edits.
const RULE: &str = "high_error_rate";
/// The condition of the rule as it ships.
const SHIPPED_CONDITION: &str = "error_rate > 0.1";
/// The condition after the edit.
const EDITED_CONDITION: &str = "error_rate > 0.6";
/// The condition with a misspelled variable.
const INVALID_CONDITION: &str = "eror_rate > 0.6";

/// How long the demo waits for an edit to become active or to be rejected, and for its effect.
const EDIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The parts of the demo that the scenario uses.
pub struct Scenario {
    pub gateway: Gateway,
    pub dingtalk: Arc<Inbox>,
    pub mail: Arc<Inbox>,
    pub output: ProgressOutput,
}

/// The result of each step. An error says why the step failed.
pub struct Observations {
    /// The alert fired and reached both channels.
    pub alert_fired: Result<()>,
    /// The time from saving the edited rule until it was active.
    pub reload_ms: Result<u64>,
    /// The message with which the invalid rule was rejected.
    pub rejection: Result<String>,
}

/// The statistics at the end of the demo.
pub struct DemoStats {
    pub alerts_fired: usize,
    pub notifications_delivered: usize,
    /// The number of evaluations of each retry policy that was evaluated, by its file.
    pub retry_policy_evaluations: Vec<(String, u64)>,
}

impl Scenario {
    /// Runs every step, even if an earlier one failed.
    pub async fn run(&self) -> Observations {
        let alert_fired = self.wait_for_alert().await;
        let reload_ms = self.edit_rule().await;
        let rejection = self.save_invalid_rule().await;
        Observations { alert_fired, reload_ms, rejection }
    }

    /// Reads the number of alerts, notifications and evaluations.
    pub async fn stats(&self) -> Result<DemoStats> {
        let history = list(&self.gateway.status_page("/-/alerts").await?, "history")?;
        let policies = list(&self.gateway.status_page("/-/policies").await?, "policies")?;
        Ok(DemoStats {
            alerts_fired: history.iter().filter(|record| record["transition"] == "firing").count(),
            notifications_delivered: self.dingtalk.count(&[]) + self.mail.count(&[]),
            retry_policy_evaluations: evaluated_retry_policies(&policies),
        })
    }

    /// Waits until the outage has fired the alert and both channels have received the notification.
    async fn wait_for_alert(&self) -> Result<()> {
        let firing = [RULE, "firing", "taobao"];
        for (channel, inbox) in [("DingTalk", &self.dingtalk), ("email", &self.mail)] {
            let event = format!("alert {RULE} ({SHIPPED_CONDITION}) fires, notification received by {channel}");
            wait_until(&event, traffic::DURATION, async || Ok((inbox.count(&firing) > 0).then_some(()))).await?;
            self.output.print_line(&event);
        }
        Ok(())
    }

    /// Edits the rule and waits until it is active. The condition does not hold any more, so the alert is resolved.
    async fn edit_rule(&self) -> Result<u64> {
        let before = generation(&self.gateway.status_page("/-/policies").await?)?;
        self.replace_condition(SHIPPED_CONDITION, EDITED_CONDITION)?;
        let saved_at = Instant::now();
        wait_until("the edited rule is active", EDIT_TIMEOUT, async || {
            let generation = generation(&self.gateway.status_page("/-/policies").await?)?;
            Ok((generation > before).then_some(()))
        })
        .await?;
        let reload_ms = u64::try_from(saved_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.output.print_line(&format!(
            "the edited rule ({EDITED_CONDITION}) is active {reload_ms} ms after the save, without a restart"
        ));
        let event = "the edited rule resolves the alert";
        let resolved = [RULE, "resolved", "taobao"];
        wait_until(event, EDIT_TIMEOUT, async || Ok((self.dingtalk.count(&resolved) > 0).then_some(()))).await?;
        self.output.print_line(event);
        Ok(reload_ms)
    }

    /// Replaces a condition in the file of alert rules.
    fn replace_condition(&self, old: &str, new: &str) -> Result<()> {
        let path = self.gateway.rules_file();
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        replace_file(&path, &replace_once(&text, old, new)?)
    }

    /// Saves an invalid rule and waits until it is rejected with a location. The last good version stays active.
    async fn save_invalid_rule(&self) -> Result<String> {
        let before = generation(&self.gateway.status_page("/-/policies").await?)?;
        self.replace_condition(EDITED_CONDITION, INVALID_CONDITION)?;
        let message = wait_until("the invalid rule is rejected", EDIT_TIMEOUT, async || {
            let page = self.gateway.status_page("/-/policies").await?;
            Ok(rejection(&page).map(|message| self.gateway.with_relative_paths(&message)))
        })
        .await?;
        self.output.print_line(&format!("the invalid rule is rejected: {message}"));
        if !has_location(&message) {
            return Err(format!("expected a message with file:line:column, found: {message}"));
        }
        let after = generation(&self.gateway.status_page("/-/policies").await?)?;
        if after != before {
            return Err(format!("expected generation {before} to stay active, found generation {after}"));
        }
        Ok(message)
    }
}

fn list(page: &Value, key: &str) -> Result<Vec<Value>> {
    page[key].as_array().cloned().ok_or_else(|| format!("the status page has no list `{key}`: {page}"))
}

/// Returns the retry policies that were evaluated at least once, with the number of evaluations.
fn evaluated_retry_policies(policies: &[Value]) -> Vec<(String, u64)> {
    let retry_policies = policies.iter().filter_map(|policy| {
        let path = policy["path"].as_str().filter(|path| path.starts_with("retry/"))?;
        let evaluations = policy["evaluations"].as_u64().filter(|evaluations| *evaluations > 0)?;
        Some((path.to_owned(), evaluations))
    });
    retry_policies.collect()
}

/// Polls until `poll` returns a value, for at most `timeout`.
async fn wait_until<T>(event: &str, timeout: Duration, mut poll: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let result = tokio::time::timeout(timeout, async {
        loop {
            tick.tick().await;
            if let Some(value) = poll().await? {
                return Ok(value);
            }
        }
    });
    result.await.unwrap_or_else(|_| Err(format!("did not happen within {timeout:?}: {event}")))
}

fn generation(page: &Value) -> Result<u64> {
    page["generation"].as_u64().ok_or_else(|| format!("the page /-/policies has no `generation`: {page}"))
}

/// Returns the message with which the current rules file was rejected, or `None` if it is active.
fn rejection(page: &Value) -> Option<String> {
    let rules = page["policies"].as_array()?.iter().find(|policy| policy["path"] == "alerts.toml")?;
    rules["stale"].as_str().map(str::to_owned)
}

fn replace_once(text: &str, old: &str, new: &str) -> Result<String> {
    if text.contains(old) {
        Ok(text.replacen(old, new, 1))
    } else {
        Err(format!("alerts.toml does not contain `{old}`"))
    }
}

/// Returns whether a message starts with `file:line:column`.
fn has_location(message: &str) -> bool {
    let mut parts = message.splitn(4, ':');
    let file = parts.next().is_some_and(|file| file.ends_with("alerts.toml"));
    let mut number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok_and(|number| number > 0));
    file && number() && number()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_evaluated_retry_policies_are_listed() {
        let policies = [
            json!({"path": "alerts/burn_rate.rhai", "evaluations": 5}),
            json!({"path": "retry/jd.rhai", "evaluations": 0}),
            json!({"path": "retry/taobao.rhai", "evaluations": 7}),
        ];
        assert_eq!(evaluated_retry_policies(&policies), [("retry/taobao.rhai".to_owned(), 7)]);
    }

    #[test]
    fn location_consists_of_file_line_and_column() {
        assert!(has_location("policies/alerts.toml:7:13: unknown variable"));
        for message in ["alerts.toml:7: no column", "alerts.toml: no line", "other.toml:7:13: x", "7:13", ""] {
            assert!(!has_location(message), "{message}");
        }
    }

    #[test]
    fn replacing_missing_text_is_an_error() {
        assert_eq!(replace_once("a > 1", "a > 1", "a > 2").unwrap(), "a > 2");
        assert!(replace_once("b > 1", "a > 1", "a > 2").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_a_value_or_with_the_timeout() {
        let mut polls = 0;
        let third_poll = wait_until("third poll", EDIT_TIMEOUT, async || {
            polls += 1;
            Ok((polls == 3).then_some(polls))
        });
        assert_eq!(third_poll.await, Ok(3));
        let timed_out = wait_until("no event", EDIT_TIMEOUT, async || Ok(None::<()>)).await;
        assert!(timed_out.unwrap_err().contains("no event"));
    }
}
