//! Wasm admission policies. They receive a request and return an admission.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Admission, AdmitPolicy, Fault, HostView, Request};

use super::bindings::admit::Admit;
use super::bindings::admit::tidegate::policy::admit_types as wit;
use super::guest::Guests;
use super::{MAX_TEXT_SIZE, cut};
use crate::admission;

/// An admission policy that is a Wasm component.
pub struct WasmAdmit {
    /// The instances of the component.
    pub guests: Guests<Admit>,
    /// Whether it imports metrics or limits.
    pub reads_host: bool,
}

impl AdmitPolicy for WasmAdmit {
    fn admit(&self, request: &Request, view: &Arc<dyn HostView>) -> Result<Admission, Fault> {
        self.admit_within(None, request, view)
    }
}

impl WasmAdmit {
    /// Evaluates the policy for a typical request, within this deadline.
    pub fn check(&self, deadline: Duration, view: &Arc<dyn HostView>) -> Result<Admission, Fault> {
        let sample = Request { platform: "sample".to_owned(), endpoint: "sample".to_owned(), ..Request::default() };
        self.admit_within(Some(deadline), &sample, view)
    }

    fn admit_within(
        &self,
        deadline: Option<Duration>,
        request: &Request,
        view: &Arc<dyn HostView>,
    ) -> Result<Admission, Fault> {
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let labels: Vec<_> = request.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let input = wit::Request {
            platform: &request.platform,
            endpoint: &request.endpoint,
            method: &request.method,
            at_ms: request.at_ms,
            headers: &headers,
            labels: &labels,
        };
        let verdict = self.guests.call(deadline, |store, guest| {
            if self.reads_host {
                store.data_mut().call.begin(view, &request.platform, None);
            }
            guest.call_admit(store, input)
        })?;
        admission::validate(admission_from_wit(verdict))
    }
}

fn admission_from_wit(verdict: wit::Verdict) -> Admission {
    match verdict {
        wit::Verdict::Default => Admission::Default,
        wit::Verdict::Allow(wit::Allowance { cost, scope }) => {
            Admission::Allow { cost, scope: scope.into_iter().collect() }
        }
        wit::Verdict::Deny(wit::Denial { reason, status }) => {
            Admission::Deny { reason: cut(reason, MAX_TEXT_SIZE), status }
        }
    }
}
