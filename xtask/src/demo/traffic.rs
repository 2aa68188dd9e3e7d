//! The callers: more of them than the limit lets through, so that it is seen to hold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use super::platform::Platform;
use super::report::Screen;

/// How long calls are made.
pub const LENGTH: Duration = Duration::from_secs(24);

/// A caller's own patience, above the gateway's deadline for retries.
const PATIENCE: Duration = Duration::from_secs(25);

/// What became of one call, as its caller saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    First,
    AfterRetry,
    Failed,
    Limited,
}

/// What became of the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Succeeded at the first attempt.
    pub first: u64,
    /// Succeeded at a later one.
    pub after_retry: u64,
    /// Brought no success.
    pub failed: u64,
    /// Refused by the limit; the platform never saw them.
    pub limited: u64,
    /// When the limit first refused and when the last call was made, by the platform's clock: demand exceeded the
    /// rate in between.
    pub saturated_us: Option<(u64, u64)>,
    /// The fields of the first refusal.
    pub refusal: Option<String>,
}

impl Tally {
    /// The calls that the limit let through.
    pub fn calls(&self) -> u64 {
        self.first + self.after_retry + self.failed
    }

    fn add(&mut self, fate: Fate, now_us: u64) {
        *match fate {
            Fate::First => &mut self.first,
            Fate::AfterRetry => &mut self.after_retry,
            Fate::Failed => &mut self.failed,
            Fate::Limited => &mut self.limited,
        } += 1;
        if fate == Fate::Limited {
            self.saturated_us.get_or_insert((now_us, now_us));
        }
    }
}

/// Those who call one platform.
pub struct Callers {
    pub url: String,
    /// Calls a second, whatever becomes of them.
    pub per_second: u32,
    pub platform: Arc<Platform>,
    /// Where their progress is shown, if at all.
    pub screen: Option<Screen>,
}

impl Callers {
    /// Makes calls for [`LENGTH`] and waits for the last answer.
    pub async fn drive(self) -> Tally {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap_or_default();
        let mut calls = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / self.per_second);
        let total = u64::from(self.per_second) * LENGTH.as_secs();
        for made in 1..=total {
            tick.tick().await;
            calls.spawn(make(client.get(&self.url), Arc::clone(&self.platform), Arc::clone(&tally)));
            while calls.try_join_next().is_some() {}
            if let Some(screen) = &self.screen {
                screen.progress(made, total, &lock(&tally));
            }
        }
        let last = self.platform.now_us();
        while calls.join_next().await.is_some() {}
        let mut tally = lock(&tally).clone();
        tally.saturated_us = tally.saturated_us.map(|(first, _)| (first, last));
        tally
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn make(call: RequestBuilder, platform: Arc<Platform>, tally: Arc<Mutex<Tally>>) {
    let (fate, refusal) = judge(call.send().await).await;
    let mut tally = lock(&tally);
    tally.add(fate, platform.now_us());
    tally.refusal = tally.refusal.take().or(refusal);
}

/// Success is HTTP 200 without an error inside.
async fn judge(answer: reqwest::Result<Response>) -> (Fate, Option<String>) {
    let Ok(answer) = answer else { return (Fate::Failed, None) };
    let field = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("?").to_owned();
    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
        let names = ["Retry-After", "RateLimit", "RateLimit-Policy"];
        return (Fate::Limited, Some(names.map(|name| format!("{name}: {}", field(name))).join(" · ")));
    }
    let attempts = field("x-tidegate-attempts");
    let success = answer.status() == StatusCode::OK
        && answer.json().await.is_ok_and(|body: Value| body.get("error_response").is_none());
    let fate = match (success, attempts.as_str()) {
        (true, "1") => Fate::First,
        (true, _) => Fate::AfterRetry,
        (false, _) => Fate::Failed,
    };
    (fate, None)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::demo::listen;

    #[tokio::test]
    async fn success_is_what_the_caller_can_use() {
        let rows = [
            (200, r#"{"order": 1}"#, "1", Fate::First),
            (200, r#"{"order": 1}"#, "3", Fate::AfterRetry),
            (200, r#"{"error_response": {"code": 15}}"#, "1", Fate::Failed),
            (200, "no JSON", "1", Fate::Failed),
            (503, r#"{"order": 1}"#, "6", Fate::Failed),
            (429, "", "0", Fate::Limited),
        ];
        for (status, body, attempts, expected) in rows {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = move || async move { (status, [("x-tidegate-attempts", attempts)], body) };
            let address = listen(Router::new().fallback(get(answer))).await.unwrap();
            let (fate, refusal) = judge(reqwest::get(address).await).await;
            assert_eq!(fate, expected, "{status} {body} after {attempts}");
            assert_eq!(refusal.is_some(), fate == Fate::Limited);
        }
    }

    #[test]
    fn demand_exceeds_the_rate_from_the_first_refusal_on() {
        let mut tally = Tally::default();
        let fates = [Fate::First, Fate::Limited, Fate::AfterRetry, Fate::Limited, Fate::Failed];
        (0..).zip(fates).for_each(|(now_us, fate)| tally.add(fate, now_us));
        assert_eq!((tally.calls(), tally.limited, tally.saturated_us), (3, 2, Some((1, 1))));
    }
}
