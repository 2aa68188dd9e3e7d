//! What people do while calls flow: they are told of the outage, edit the rule, and mistype it.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::gateway::{Gateway, write};
use super::report::Screen;
use super::sinks::Inbox;
use super::traffic;
use crate::run::Result;

/// The rule under show, as it ships …
const RULE: &str = "high_error_rate";
const SHIPPED: &str = "error_rate > 0.1";
/// … as it is edited …
const EDITED: &str = "error_rate > 0.6";
/// … and as it is mistyped.
const MISTYPED: &str = "eror_rate > 0.6";

/// How long an edit may take to be in force or refused, and its effect to be heard of.
const SOON: Duration = Duration::from_secs(10);

/// Those who play in it.
pub struct Story {
    pub gateway: Gateway,
    pub robot: Arc<Inbox>,
    pub mailbox: Arc<Inbox>,
    pub screen: Screen,
}

/// What came of each act; an act that failed says why.
pub struct Told {
    pub fired: Result<()>,
    pub reload_ms: Result<u64>,
    pub refused: Result<String>,
}

/// What was counted in the end.
pub struct Figures {
    pub alerts_fired: usize,
    pub delivered: usize,
    /// How often each classifier was asked, by its file.
    pub verdicts: Vec<(String, u64)>,
}

impl Story {
    /// Plays every act, whatever came of the one before.
    pub async fn tell(&self) -> Told {
        let fired = self.fires().await;
        let reload_ms = self.edit().await;
        let refused = self.mistype().await;
        Told { fired, reload_ms, refused }
    }

    /// How often the rules fired, how many messages the receivers took, and how often each policy was asked.
    pub async fn figures(&self) -> Result<Figures> {
        let history = list(&self.gateway.page("/-/alerts").await?, "history")?;
        let policies = list(&self.gateway.page("/-/policies").await?, "policies")?;
        let classifiers = policies.iter().filter_map(|policy| {
            let path = policy["path"].as_str().filter(|path| path.starts_with("retry/"))?;
            Some((path.to_owned(), policy["evaluations"].as_u64()?))
        });
        Ok(Figures {
            alerts_fired: history.iter().filter(|record| record["transition"] == "firing").count(),
            delivered: self.robot.count(&[]) + self.mailbox.count(&[]),
            verdicts: classifiers.collect(),
        })
    }

    /// The outage makes the rule fire, and both channels carry it.
    async fn fires(&self) -> Result<()> {
        let firing = [RULE, "firing", "taobao"];
        for (who, inbox) in [("the robot", &self.robot), ("the mailbox", &self.mailbox)] {
            let what = format!("{RULE} reaches {who}");
            until(&what, traffic::LENGTH, async || Ok((inbox.count(&firing) > 0).then_some(()))).await?;
            self.screen.say(&format!("{what}: {SHIPPED}"));
        }
        Ok(())
    }

    /// Someone edits the rule: it is in force without a restart, and what it no longer holds for is resolved.
    async fn edit(&self) -> Result<u64> {
        let before = generation(&self.gateway.page("/-/policies").await?)?;
        self.save(SHIPPED, EDITED)?;
        let saved = Instant::now();
        let what = "the edited rule is in force";
        until(what, SOON, async || {
            let generation = generation(&self.gateway.page("/-/policies").await?)?;
            Ok((generation > before).then_some(()))
        })
        .await?;
        let reload_ms = u64::try_from(saved.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.screen.say(&format!("{what} after {reload_ms} ms, no restart: {EDITED}"));
        let what = "the edited rule resolves the alert";
        until(what, SOON, async || Ok((self.robot.count(&[RULE, "resolved", "taobao"]) > 0).then_some(()))).await?;
        self.screen.say(what);
        Ok(reload_ms)
    }

    /// Changes the rules on disk, as an editor does.
    fn save(&self, old: &str, new: &str) -> Result<()> {
        let rules = self.gateway.rules();
        let text = fs::read_to_string(&rules).map_err(|error| format!("{}: {error}", rules.display()))?;
        write(&rules, &replaced(&text, old, new)?)
    }

    /// Someone mistypes the rule: it is refused with its place, and the one before stays.
    async fn mistype(&self) -> Result<String> {
        let before = generation(&self.gateway.page("/-/policies").await?)?;
        self.save(EDITED, MISTYPED)?;
        let told = until("the mistyped rule is refused", SOON, async || {
            let page = self.gateway.page("/-/policies").await?;
            Ok(stale(&page).map(|told| self.gateway.within(&told)))
        })
        .await?;
        self.screen.say(&format!("the mistyped rule is refused: {told}"));
        if !has_place(&told) {
            return Err(format!("the refusal does not say file:line:column: {told}"));
        }
        let after = generation(&self.gateway.page("/-/policies").await?)?;
        if after != before {
            return Err(format!("generation {before} did not stay in force: now it is {after}"));
        }
        Ok(told)
    }
}

fn list(page: &Value, key: &str) -> Result<Vec<Value>> {
    page[key].as_array().cloned().ok_or_else(|| format!("the gateway's page has no list `{key}`: {page}"))
}

/// Looks again and again until there is something to see.
async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let seen = tokio::time::timeout(within, async {
        loop {
            tick.tick().await;
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
        }
    });
    seen.await.unwrap_or_else(|_| Err(format!("waited {within:?} in vain: {what}")))
}

fn generation(page: &Value) -> Result<u64> {
    page["generation"].as_u64().ok_or_else(|| format!("/-/policies has no `generation`: {page}"))
}

/// Why the rules on disk are not those in force, where they are not.
fn stale(page: &Value) -> Option<String> {
    let rules = page["policies"].as_array()?.iter().find(|policy| policy["path"] == "alerts.toml")?;
    rules["stale"].as_str().map(str::to_owned)
}

fn replaced(text: &str, old: &str, new: &str) -> Result<String> {
    if text.contains(old) { Ok(text.replacen(old, new, 1)) } else { Err(format!("alerts.toml does not say `{old}`")) }
}

/// Whether a message begins with `file:line:column`.
fn has_place(message: &str) -> bool {
    let mut parts = message.splitn(4, ':');
    let file = parts.next().is_some_and(|file| file.ends_with("alerts.toml"));
    let mut number = || parts.next().is_some_and(|part| part.parse::<u32>().is_ok_and(|number| number > 0));
    file && number() && number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_a_line_and_a_column() {
        assert!(has_place("policies/alerts.toml:7:13: no such name"));
        for message in ["alerts.toml:7: no such name", "alerts.toml: no such name", "other.toml:7:13: x", "7:13", ""] {
            assert!(!has_place(message), "{message}");
        }
    }

    #[test]
    fn an_edit_that_finds_nothing_to_edit_is_an_error() {
        assert_eq!(replaced("a > 1", "a > 1", "a > 2").unwrap(), "a > 2");
        assert!(replaced("b > 1", "a > 1", "a > 2").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_what_is_seen_or_at_its_bound() {
        let mut looks = 0;
        let seen = until("three looks", SOON, async || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(seen.await, Ok(3));
        let never = until("nothing", SOON, async || Ok(None::<()>)).await;
        assert!(never.unwrap_err().contains("nothing"));
    }
}
