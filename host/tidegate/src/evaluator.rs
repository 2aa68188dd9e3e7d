//! Evaluates retry and admission policies. A policy runs on tokio's blocking pool; without a policy, the built-in
//! fallback decides at once.
//!
//! A verdict usually takes 1 µs, but a policy may run until its deadline (5 ms by default). On an async worker it would
//! delay every other task of this worker by that time. `benches/policy_hop.rs` measures what the hop costs.

use std::sync::Arc;

use tidegate_core::{Admission, Failure, Fault, Request, Verdict, fallback};
#[cfg(feature = "policies")]
use tidegate_policy::{Policies, PolicyDecision};

/// The name of the built-in fallback, where the file of a policy is expected.
const FALLBACK: &str = "fallback";

/// The verdict on a failed attempt; see [`Host::classify`](crate::Host::classify).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Classification {
    /// The verdict.
    pub verdict: Verdict,
    /// The file of the policy that returned it, such as `retry/taobao.rhai`, or `fallback`.
    pub policy: Arc<str>,
    /// The fault of a policy, if the fallback decided because of one.
    pub fault: Option<Fault>,
}

/// The verdict on a request.
pub struct AdmissionVerdict {
    pub admission: Admission,
    /// The file of the policy that returned it, or `fallback`.
    pub policy: Arc<str>,
}

impl Classification {
    fn fallback(failure: &Failure, fault: Option<Fault>) -> Self {
        Self { verdict: fallback::classify(failure), policy: FALLBACK.into(), fault }
    }
}

/// The policies of a host. Without policies, the built-in fallback decides.
#[derive(Default)]
pub struct PolicyEvaluator {
    #[cfg(feature = "policies")]
    policies: Option<Arc<Policies>>,
}

#[cfg(not(feature = "policies"))]
impl PolicyEvaluator {
    /// Returns the verdict of the fallback.
    pub async fn classify(&self, failure: Arc<Failure>) -> Classification {
        Classification::fallback(&failure, None)
    }

    /// Admits the request.
    pub async fn admit(&self, _: &Request) -> AdmissionVerdict {
        AdmissionVerdict { admission: Admission::Default, policy: FALLBACK.into() }
    }
}

#[cfg(feature = "policies")]
impl PolicyEvaluator {
    pub fn new(policies: Option<Arc<Policies>>) -> Self {
        Self { policies }
    }

    pub fn policies(&self) -> Option<&Arc<Policies>> {
        self.policies.as_ref()
    }

    /// Returns the verdict of the policies on a failed attempt.
    pub async fn classify(&self, failure: Arc<Failure>) -> Classification {
        let Some(policies) = &self.policies else { return Classification::fallback(&failure, None) };
        let generation = policies.generation();
        if !generation.has_retry_policy(&failure.platform) {
            return generation.classify(&failure).into();
        }
        let input = Arc::clone(&failure);
        match run_blocking(move || generation.classify(&input)).await {
            Ok(decision) => decision.into(),
            Err(fault) => Classification::fallback(&failure, Some(fault)),
        }
    }

    /// Returns the verdict of the policies on a request. Most platforms have no admission policy, so most requests do
    /// not leave the worker.
    pub async fn admit(&self, request: &Request) -> AdmissionVerdict {
        let by_default = || AdmissionVerdict { admission: Admission::Default, policy: FALLBACK.into() };
        let Some(policies) = &self.policies else { return by_default() };
        let generation = policies.generation();
        if !generation.has_admission_policy(&request.platform) {
            return by_default();
        }
        let request = request.clone();
        match run_blocking(move || generation.admit(&request)).await {
            Ok(decision) => AdmissionVerdict { admission: decision.verdict, policy: decision.policy },
            Err(_) => by_default(),
        }
    }
}

#[cfg(feature = "policies")]
impl From<PolicyDecision> for Classification {
    fn from(PolicyDecision { verdict, policy, fault, .. }: PolicyDecision) -> Self {
        Self { verdict, policy, fault }
    }
}

/// Runs an evaluation on tokio's blocking pool. If it panics, or the runtime shuts down first, the result is a fault.
///
/// If the caller is dropped, the evaluation still ends, at the latest at its deadline, and its result is dropped.
#[cfg(feature = "policies")]
async fn run_blocking<T: Send + 'static>(evaluate: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    // The log lines of a policy belong to the span of the call.
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(evaluate)).await.map_err(|error| {
        let reason = if error.is_panic() { "the evaluation panicked" } else { "the runtime has shut down" };
        tracing::error!(reason, "policy not evaluated");
        Fault::new(tidegate_core::FaultKind::Trap, reason)
    })
}

#[cfg(all(test, feature = "policies"))]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn panic_of_an_evaluation_is_a_fault() {
        let fault = run_blocking(|| -> u8 { panic!("on purpose") }).await.unwrap_err();
        assert_eq!(fault.to_string(), "trap: the evaluation panicked");
        assert_eq!(run_blocking(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn evaluation_of_a_dropped_caller_ends_and_drops_its_input() {
        let (release, released) = mpsc::channel::<()>();
        let (input, input_dropped) = mpsc::channel::<()>();
        {
            let mut caller = pin!(run_blocking(move || {
                let _input = input;
                let _ = released.recv_timeout(TIMEOUT);
            }));
            assert!(caller.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        release.send(()).unwrap();
        assert_eq!(input_dropped.recv_timeout(TIMEOUT), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
