//! The figures that the rules of one tick look at.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::Stats;
use tidegate_policy::Rule;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::alerts::{Figures, Measured, scopes};
use crate::metrics::Fleet;

/// How many questions go to the store at once: enough to fill a round trip, few enough to leave room for decisions.
const AT_ONCE: usize = 64;

/// Platform, endpoint and range.
type Asked = (String, Option<String>, Duration);

/// Answers each question once a tick, so that all rules judge the same figures, and none after the tick's time is up.
pub struct TickFigures {
    fleet: Fleet,
    until: Instant,
    runtime: Handle,
    known: Mutex<HashMap<Asked, Option<Stats>>>,
}

impl TickFigures {
    /// Fetches what the rules are sure to ask for.
    pub async fn fetch(fleet: &Fleet, rules: &[Rule], measured: &Measured, until: Instant) -> Self {
        let (fleet, runtime) = (fleet.clone(), Handle::current());
        let figures = Self { fleet, until, runtime, known: Mutex::default() };
        if figures.fleet.shared.is_some() {
            let asked = rules.iter().flat_map(|rule| scopes(rule, measured).into_iter().map(|key| (key, rule.window)));
            let asked: BTreeSet<Asked> = asked.map(|(key, range)| (key.platform, key.endpoint, range)).collect();
            figures.fetch_all(asked).await;
        }
        figures
    }

    async fn fetch_all(&self, asked: BTreeSet<Asked>) {
        let mut asked = asked.into_iter();
        let mut asking = JoinSet::new();
        loop {
            for one in asked.by_ref().take(AT_ONCE - asking.len()) {
                let (fleet, until) = (self.fleet.clone(), self.until);
                asking.spawn(async move { (ask(&fleet, &one, until).await, one) });
            }
            match asking.join_next().await {
                Some(Ok((stats, one))) => drop(self.known.lock().insert(one, stats)),
                Some(Err(panic)) => tracing::error!(%panic, "a question for figures failed"),
                None => return,
            }
        }
    }
}

impl Figures for TickFigures {
    fn get(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Option<Stats> {
        if self.fleet.shared.is_none() {
            return Some(self.fleet.local.get(platform, endpoint, range));
        }
        let one = (platform.to_owned(), endpoint.map(str::to_owned), range);
        if let Some(known) = self.known.lock().get(&one) {
            return known.clone();
        }
        let stats = self.runtime.block_on(ask(&self.fleet, &one, self.until));
        self.known.lock().insert(one, stats.clone());
        stats
    }
}

async fn ask(fleet: &Fleet, (platform, endpoint, range): &Asked, until: Instant) -> Option<Stats> {
    let figures = timeout_at(until, fleet.figures(platform, endpoint.as_deref(), *range)).await;
    match figures {
        Ok(Ok(stats)) => return Some(stats),
        Ok(Err(error)) => tracing::warn!(platform, endpoint, %error, "no figures for alert rules"),
        Err(_) => tracing::warn!(platform, endpoint, "no figures for alert rules: the tick took too long"),
    }
    None
}
