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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tidegate_core::store::{Answer, Counted, MetricStore};

    use super::*;
    use crate::{Metrics, SystemClock};

    /// A store that counts what it is asked, and answers or does not.
    struct Store {
        asked: AtomicU32,
        answers: bool,
    }

    impl MetricStore for Store {
        fn add(&self, _: Counted) -> Answer<'_, ()> {
            unreachable!("rules only read")
        }

        fn figures<'a>(&'a self, _: &'a str, _: Option<&'a str>, range: Duration) -> Answer<'a, Stats> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answers = self.answers;
            Box::pin(async move {
                if !answers {
                    std::future::pending::<()>().await;
                }
                Ok(Stats { count: range.as_secs(), ..Stats::default() })
            })
        }

        fn endpoints(&self) -> Answer<'_, Measured> {
            unreachable!("rules have their scopes")
        }

        fn roll_up(&self) -> Answer<'_, u64> {
            unreachable!("rules only read")
        }
    }

    /// What rules are told of an hour and a minute, asked for twice each, and how often the store was asked.
    async fn told(answers: bool) -> (Vec<Option<u64>>, u32) {
        let store = Arc::new(Store { asked: 0.into(), answers });
        let local = Metrics::new(9, Arc::new(SystemClock::start()));
        let fleet = Fleet { local, shared: Some(Arc::clone(&store) as Arc<dyn MetricStore>) };
        let until = Instant::now() + Duration::from_secs(5);
        let figures = TickFigures { fleet, until, runtime: Handle::current(), known: Mutex::default() };
        figures.fetch_all([("jd".to_owned(), None, Duration::from_secs(3_600))].into()).await;
        let asked = tokio::task::spawn_blocking(move || {
            let seconds = [3_600, 60, 3_600, 60].map(Duration::from_secs);
            seconds.map(|range| figures.get("jd", None, range).map(|stats| stats.count)).to_vec()
        });
        (asked.await.unwrap(), store.asked.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn each_question_is_asked_once_a_tick() {
        assert_eq!(told(true).await, (vec![Some(3_600), Some(60), Some(3_600), Some(60)], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_costs_no_more_than_the_time_of_the_tick() {
        let begun = Instant::now();
        assert_eq!(told(false).await, (vec![None; 4], 2));
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
