//! Admission: the policy's decision on a request, and the limits that then apply to it.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::{Admission, Refusal, Request, ReservationId};

use crate::limiter::Reservation;
use crate::{Host, Limiter, UnknownPlatform};

/// A request that was admitted.
#[derive(Clone)]
pub struct Admitted {
    /// The cost that the request takes from each limit. `None` means that no policy set a cost; the cost is then 1.
    pub cost: Option<u64>,
    /// The limits that apply, with their names. The platform's own limit comes first.
    pub limits: Vec<(String, Limiter)>,
    /// The policy that decided, or `fallback` if no policy did.
    pub by: String,
}

/// A request that an admission policy denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The reason, for the caller.
    pub reason: String,
    /// The HTTP status for the caller, from 400 to 599.
    pub status: u16,
    /// The policy that decided.
    pub by: String,
}

/// The names of the limits from which a request has taken tokens, with the ids of the reservations.
pub type Reservations = Vec<(String, ReservationId)>;

impl Host {
    /// Evaluates the admission policy of the request's platform and selects the limits that apply.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use tidegate::{Config, Host, Request};
    /// let host = Host::builder().config(Config::with_platforms()).build().unwrap();
    /// let request = Request { platform: "pdd".into(), ..Request::default() };
    /// let admitted = host.admit(&request).unwrap().unwrap();
    /// assert_eq!((admitted.cost, admitted.limits.len()), (None, 1));
    /// # });
    /// ```
    ///
    /// # Errors
    /// Returns an error if the configuration has no limit for the platform.
    pub fn admit(&self, request: &Request) -> Result<Result<Admitted, Denied>, UnknownPlatform> {
        let own = self.limiter(&request.platform)?;
        let (verdict, by) = self.evaluate_admission(request);
        let (cost, scope) = match verdict {
            Admission::Default => (None, BTreeMap::new()),
            Admission::Allow { cost, scope } => (Some(cost.into()), scope),
            Admission::Deny { reason, status } => return Ok(Err(Denied { reason, status, by })),
        };
        let mut limits = vec![(request.platform.clone(), own)];
        for name in self.config().scoped_limits(&request.platform, &scope) {
            limits.push((name.to_owned(), self.limiter(name)?));
        }
        Ok(Ok(Admitted { cost, limits, by }))
    }

    /// Returns the decision of the policies, and the name of the policy that decided.
    fn evaluate_admission(&self, request: &Request) -> (Admission, String) {
        #[cfg(feature = "policies")]
        if let Some(policies) = self.policies() {
            let decision = policies.admit(request);
            return (decision.verdict, decision.by.to_string());
        }
        let _ = request;
        (Admission::Default, "fallback".to_owned())
    }
}

impl Admitted {
    /// Takes the cost from every limit and waits at most `wait` in total. Returns the smallest number of tokens that
    /// are left in one of the limits, and the reservations.
    ///
    /// # Errors
    /// Returns the name of the first limit that refused, and its refusal. The reservations at the other limits are
    /// cancelled.
    pub async fn reserve(&self, wait: Duration) -> Result<(u64, Reservations), (String, Refusal)> {
        let until = tokio::time::Instant::now() + wait;
        let (mut reservations, mut min_remaining) = (Reservations::new(), u64::MAX);
        for (name, limiter) in &self.limits {
            let wait = until.saturating_duration_since(tokio::time::Instant::now());
            match limiter.reserve(self.cost.unwrap_or(1), wait).await {
                Ok(Reservation { remaining, id }) => {
                    min_remaining = min_remaining.min(remaining);
                    reservations.extend(id.map(|id| (name.clone(), id)));
                }
                Err(refusal) => {
                    self.cancel(&reservations).await;
                    return Err((name.clone(), refusal));
                }
            }
        }
        Ok((min_remaining, reservations))
    }

    /// Cancels the reservations of a request that is not sent.
    pub async fn cancel(&self, reservations: &Reservations) {
        for (name, id) in reservations {
            let limiter = self.limits.iter().find(|(known, _)| known == name).map(|(_, limiter)| limiter);
            let Some(limiter) = limiter else { continue };
            if let Err(error) = limiter.cancel(id).await {
                tracing::warn!(limit = name, %error, "reservation not cancelled");
            }
        }
    }
}
