//! Admission: a request in, whether and how it goes out.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Admission, AdmitPolicy, Fault, Request, View};

use super::bindings::admit::Admit;
use super::bindings::admit::tidegate::policy::admit_types as wit;
use super::guest::Guests;
use super::{MAX_TEXT, cut};
use crate::admission;

/// An admission policy that runs as Wasm.
pub struct WasmAdmit {
    /// Its instances.
    pub guests: Guests<Admit>,
    /// Whether it asks for metrics or limits.
    pub looks: bool,
}

impl AdmitPolicy for WasmAdmit {
    fn admit(&self, request: &Request, view: &Arc<dyn View>) -> Result<Admission, Fault> {
        self.admit_within(None, request, view)
    }
}

impl WasmAdmit {
    /// Asks about an ordinary request, within a deadline of its own.
    pub fn check(&self, deadline: Duration, view: &Arc<dyn View>) -> Result<Admission, Fault> {
        let sample = Request { platform: "sample".to_owned(), endpoint: "sample".to_owned(), ..Request::default() };
        self.admit_within(Some(deadline), &sample, view)
    }

    fn admit_within(
        &self,
        deadline: Option<Duration>,
        request: &Request,
        view: &Arc<dyn View>,
    ) -> Result<Admission, Fault> {
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let labels: Vec<_> = request.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let asked = wit::Request {
            platform: &request.platform,
            endpoint: &request.endpoint,
            method: &request.method,
            at_ms: request.at_ms,
            headers: &headers,
            labels: &labels,
        };
        let verdict = self.guests.call(deadline, |store, guest| {
            if self.looks {
                store.data_mut().call.begin(view, &request.platform, None);
            }
            guest.call_admit(store, asked)
        })?;
        admission::checked(inbound(verdict))
    }
}

fn inbound(verdict: wit::Verdict) -> Admission {
    match verdict {
        wit::Verdict::Default => Admission::Default,
        wit::Verdict::Allow(wit::Allowance { cost, scope }) => {
            Admission::Allow { cost, scope: scope.into_iter().collect() }
        }
        wit::Verdict::Deny(wit::Denial { reason, status }) => Admission::Deny { reason: cut(reason, MAX_TEXT), status },
    }
}
