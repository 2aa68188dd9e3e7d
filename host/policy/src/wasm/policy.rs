//! A policy that is a Wasm component, as the rest of the host sees it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{
    Admission, AdmitPolicy, AlertPolicy, AlertVerdict, Failure, Fault, HostView, Request, RetryPolicy, Snapshot,
    Verdict,
};

use super::call::CallScope;
use super::contract::PolicyInput;
use super::guest::Guests;
use super::versions::HostNeeds;

/// A policy that is a Wasm component.
pub struct WasmPolicy<I: PolicyInput> {
    /// The instances of the component.
    pub guests: Guests<I>,
    /// What the component reads besides its input.
    pub needs: HostNeeds,
}

impl<I: PolicyInput> WasmPolicy<I> {
    /// Returns the verdict on an input. Without a `deadline`, the deadline of the policy applies.
    ///
    /// # Errors
    /// Returns a fault if the policy fails.
    pub fn decide(&self, deadline: Option<Duration>, input: &I, view: &Arc<dyn HostView>) -> Result<I::Verdict, Fault> {
        let verdict = self.guests.decide(deadline, input, |call| {
            if self.needs == HostNeeds::default() {
                return;
            }
            let (platform, endpoint) = input.scope();
            call.begin(CallScope {
                view: Arc::clone(view),
                platform: platform.to_owned(),
                endpoint: endpoint.map(str::to_owned),
                body: input.body().filter(|_| self.needs.body).map(str::to_owned),
            });
        })?;
        I::validate(verdict)
    }
}

impl RetryPolicy for WasmPolicy<Failure> {
    fn classify(&self, failure: &Failure, view: &Arc<dyn HostView>) -> Result<Verdict, Fault> {
        self.decide(None, failure, view)
    }

    fn reads_body(&self) -> bool {
        self.needs.body
    }
}

impl AlertPolicy for WasmPolicy<Snapshot> {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn HostView>) -> Result<AlertVerdict, Fault> {
        self.decide(None, snapshot, view)
    }
}

impl AdmitPolicy for WasmPolicy<Request> {
    fn admit(&self, request: &Request, view: &Arc<dyn HostView>) -> Result<Admission, Fault> {
        self.decide(None, request, view)
    }
}
