//! Admission scripts: the variables describe a request; the last value of the script is the admission.

use std::sync::Arc;

use rhai::Dynamic;
use tidegate_core::{Action, Admission, AdmitPolicy, Fault, HostView, Request, Verdict};

use super::loader::{CallInput, ScriptKind, ScriptPolicy};
use super::values::{float, string, type_label};
use crate::admission;
use crate::paths::PolicyKind;

/// The kind of admission scripts.
pub struct AdmitKind;

impl ScriptKind for AdmitKind {
    type Input = Request;
    type Output = Admission;

    const KIND: PolicyKind = PolicyKind::Admit;

    fn samples() -> Vec<(&'static str, Request)> {
        let full = Request::new("sample")
            .with_endpoint("orders")
            .with_method("POST")
            .with_at_ms(1_763_913_600_000)
            .with_labels([("seller", "7")])
            .with_headers([("x-tenant", "7")]);
        vec![("an empty request", Request::default()), ("a request with every field", full)]
    }

    fn variable(request: &Request, index: usize) -> Dynamic {
        match index {
            0 => string(&request.platform),
            1 => string(&request.endpoint),
            2 => string(&request.method),
            _ => Dynamic::from_float(float(request.at_ms)),
        }
    }

    fn call_input(request: &Request) -> CallInput<'_> {
        let (headers, labels) = (&request.headers, Some(&request.labels));
        CallInput { platform: &request.platform, endpoint: None, headers, labels }
    }

    fn output(value: Dynamic) -> Result<Admission, String> {
        let type_name = value.type_name();
        // `abstain` returns the same type in every kind of script.
        if value.clone().try_cast::<Verdict>().is_some_and(|verdict| verdict.action == Action::Default) {
            return Ok(Admission::Default);
        }
        value.try_cast::<Admission>().ok_or_else(|| {
            format!("expected allow(…), deny(…) or abstain() as the last value, found {}", type_label(type_name))
        })
    }
}

impl AdmitPolicy for ScriptPolicy<AdmitKind> {
    fn admit(&self, request: &Request, view: &Arc<dyn HostView>) -> Result<Admission, Fault> {
        admission::validate(self.evaluate(request, view)?)
    }
}
