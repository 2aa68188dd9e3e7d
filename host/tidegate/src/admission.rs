//! Admission: what a policy says of a request, and the limits that the request then passes.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::{Admission, Decision, Receipt, Request};

use crate::limiter::Taken;
use crate::{Host, Limiter, UnknownPlatform};

/// How a request goes.
#[derive(Clone)]
pub struct Admitted {
    /// What it costs at each limit; `None` where no policy said, and 1 is meant.
    pub cost: Option<u64>,
    /// The limits that it passes, the platform's own first, by name.
    pub limits: Vec<(String, Limiter)>,
    /// Which policy said so, or `fallback`.
    pub by: String,
}

/// Why a request does not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// A few words for the caller.
    pub reason: String,
    /// The HTTP status for the caller, 400 to 599.
    pub status: u16,
    /// Which policy said so.
    pub by: String,
}

/// What a request took of its limits, to be given back where it is never sent.
pub type Receipts = Vec<(String, Receipt)>;

impl Host {
    /// Asks the admission policy of the request's platform, and finds the limits that its answer picks.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use tidegate::{Host, Request};
    /// let host = Host::builder().build().unwrap();
    /// let request = Request { platform: "pdd".into(), ..Request::default() };
    /// let admitted = host.admit(&request).unwrap().unwrap();
    /// assert_eq!((admitted.cost, admitted.limits.len()), (None, 1));
    /// # });
    /// ```
    ///
    /// # Errors
    /// Where the configuration names no such platform.
    pub fn admit(&self, request: &Request) -> Result<Result<Admitted, Denied>, UnknownPlatform> {
        let own = self.limiter(&request.platform)?;
        let (verdict, by) = self.admission(request);
        let (cost, scope) = match verdict {
            Admission::Default => (None, BTreeMap::new()),
            Admission::Allow { cost, scope } => (Some(cost.into()), scope),
            Admission::Deny { reason, status } => return Ok(Err(Denied { reason, status, by })),
        };
        let mut limits = vec![(request.platform.clone(), own)];
        for name in self.config().picked(&request.platform, &scope) {
            limits.push((name.to_owned(), self.limiter(name)?));
        }
        Ok(Ok(Admitted { cost, limits, by }))
    }

    /// What the policies say of a request, and who said it.
    fn admission(&self, request: &Request) -> (Admission, String) {
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies() {
            let decided = policies.admit(request);
            return (decided.verdict, decided.by.to_string());
        }
        let _ = request;
        (Admission::Default, "fallback".to_owned())
    }
}

impl Admitted {
    /// Takes the cost of every limit, waiting for at most `wait` in all; where one refuses, the others get back what
    /// they gave.
    ///
    /// # Errors
    /// The refusal, with the name of the limit that refused.
    pub async fn take(&self, wait: Duration) -> Result<(u64, Receipts), (String, Decision)> {
        let until = tokio::time::Instant::now() + wait;
        let (mut receipts, mut left) = (Receipts::new(), u64::MAX);
        for (name, limiter) in &self.limits {
            let wait = until.saturating_duration_since(tokio::time::Instant::now());
            match limiter.take(self.cost.unwrap_or(1), wait).await {
                Ok(Taken { remaining, receipt }) => {
                    left = left.min(remaining);
                    receipts.extend(receipt.map(|receipt| (name.clone(), receipt)));
                }
                Err(refusal) => {
                    self.give_back(&receipts).await;
                    return Err((name.clone(), refusal));
                }
            }
        }
        Ok((left, receipts))
    }

    /// Gives back what was taken for a request that is never sent.
    pub async fn give_back(&self, receipts: &Receipts) {
        for (name, receipt) in receipts {
            let limiter = self.limits.iter().find(|(known, _)| known == name).map(|(_, limiter)| limiter);
            let Some(limiter) = limiter else { continue };
            if let Err(error) = limiter.give_back(receipt).await {
                tracing::warn!(limit = name, %error, "a cost was not given back");
            }
        }
    }
}
