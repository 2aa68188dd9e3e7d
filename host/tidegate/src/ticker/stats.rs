//! The statistics that the rules of one tick query.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::Stats;
use tidegate_policy::Rule;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::alerts::{KnownEndpoints, StatsSource, scopes};
use crate::metrics::FleetMetrics;

/// The maximum number of concurrent queries: enough to use a round trip well, few enough not to delay limit decisions.
const MAX_CONCURRENT_QUERIES: usize = 64;

/// Platform, endpoint and range of a query.
type StatsQuery = (String, Option<String>, Duration);

/// Runs each query once per tick, so that all rules get the same statistics. No query runs after the tick's deadline.
pub struct TickStats {
    fleet: FleetMetrics,
    deadline: Instant,
    runtime: Handle,
    /// The results so far; `None` for a query that failed.
    results: Mutex<HashMap<StatsQuery, Option<Stats>>>,
}

impl TickStats {
    /// Runs the queries that the rules always need.
    pub async fn fetch(fleet: &FleetMetrics, rules: &[Rule], endpoints: &KnownEndpoints, deadline: Instant) -> Self {
        let (fleet, runtime) = (fleet.clone(), Handle::current());
        let stats = Self { fleet, deadline, runtime, results: Mutex::default() };
        if stats.fleet.shared.is_some() {
            let keys = rules.iter().flat_map(|rule| scopes(rule, endpoints).into_iter().map(|key| (key, rule.window)));
            let queries: BTreeSet<StatsQuery> = keys.map(|(key, range)| (key.platform, key.endpoint, range)).collect();
            stats.fetch_all(queries).await;
        }
        stats
    }

    async fn fetch_all(&self, queries: BTreeSet<StatsQuery>) {
        let mut queries = queries.into_iter();
        let mut running = JoinSet::new();
        loop {
            for query in queries.by_ref().take(MAX_CONCURRENT_QUERIES - running.len()) {
                let (fleet, deadline) = (self.fleet.clone(), self.deadline);
                running.spawn(async move { (fetch_one(&fleet, &query, deadline).await, query) });
            }
            match running.join_next().await {
                Some(Ok((stats, query))) => drop(self.results.lock().insert(query, stats)),
                Some(Err(panic)) => tracing::error!(%panic, "statistics query panicked"),
                None => return,
            }
        }
    }
}

impl StatsSource for TickStats {
    fn get(&self, platform: &str, endpoint: Option<&str>, range: Duration) -> Option<Stats> {
        if self.fleet.shared.is_none() {
            return Some(self.fleet.local.stats(platform, endpoint, range));
        }
        let query = (platform.to_owned(), endpoint.map(str::to_owned), range);
        if let Some(result) = self.results.lock().get(&query) {
            return result.clone();
        }
        let stats = self.runtime.block_on(fetch_one(&self.fleet, &query, self.deadline));
        self.results.lock().insert(query, stats.clone());
        stats
    }
}

/// Runs one query; logs a failure and returns `None`.
async fn fetch_one(fleet: &FleetMetrics, (platform, endpoint, range): &StatsQuery, deadline: Instant) -> Option<Stats> {
    let result = timeout_at(deadline, fleet.stats(platform, endpoint.as_deref(), *range)).await;
    match result {
        Ok(Ok(stats)) => return Some(stats),
        Ok(Err(error)) => tracing::warn!(platform, endpoint, %error, "alert statistics unavailable"),
        Err(_) => tracing::warn!(platform, endpoint, "alert statistics timed out"),
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tidegate_core::store::{MetricDeltas, MetricStore, StoreFuture};

    use super::*;
    use crate::{Metrics, SystemClock};

    /// A store that counts its queries, and replies or hangs.
    struct CountingStore {
        queries: AtomicU32,
        replies: bool,
    }

    impl MetricStore for CountingStore {
        fn add(&self, _: MetricDeltas) -> StoreFuture<'_, ()> {
            unreachable!("rules only read")
        }

        fn stats<'a>(&'a self, _: &'a str, _: Option<&'a str>, range: Duration) -> StoreFuture<'a, Stats> {
            self.queries.fetch_add(1, Ordering::Relaxed);
            let replies = self.replies;
            Box::pin(async move {
                if !replies {
                    std::future::pending::<()>().await;
                }
                let mut stats = Stats::default();
                stats.count = range.as_secs();
                Ok(stats)
            })
        }

        fn endpoints(&self) -> StoreFuture<'_, KnownEndpoints> {
            unreachable!("the test does not fetch endpoints")
        }

        fn roll_up(&self) -> StoreFuture<'_, u64> {
            unreachable!("rules only read")
        }
    }

    /// Queries an hour and a minute twice each. Returns the counts and the number of queries to the store.
    async fn query_twice(replies: bool) -> (Vec<Option<u64>>, u32) {
        let store = Arc::new(CountingStore { queries: 0.into(), replies });
        let local = Metrics::new(9, Arc::new(SystemClock::new()));
        let fleet = FleetMetrics { local, shared: Some(Arc::clone(&store) as Arc<dyn MetricStore>) };
        let deadline = Instant::now() + Duration::from_secs(5);
        let stats = TickStats { fleet, deadline, runtime: Handle::current(), results: Mutex::default() };
        stats.fetch_all([("jd".to_owned(), None, Duration::from_secs(3_600))].into()).await;
        let counts = tokio::task::spawn_blocking(move || {
            let seconds = [3_600, 60, 3_600, 60].map(Duration::from_secs);
            seconds.map(|range| stats.get("jd", None, range).map(|stats| stats.count)).to_vec()
        });
        (counts.await.unwrap(), store.queries.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn each_query_runs_once_per_tick() {
        assert_eq!(query_twice(true).await, (vec![Some(3_600), Some(60), Some(3_600), Some(60)], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_store_delays_the_tick_until_its_deadline_only() {
        let started_at = Instant::now();
        assert_eq!(query_twice(false).await, (vec![None; 4], 2));
        assert_eq!(started_at.elapsed(), Duration::from_secs(5));
    }
}
