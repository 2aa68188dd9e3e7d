//! Admission scripts: the variables describe a request; the last value of the script is the admission.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, Map};
use tidegate_core::config::ResolvedPolicyConfig;
use tidegate_core::config::reader::Diagnostic;
use tidegate_core::{Action, Admission, AdmitPolicy, Fault, HostView, Request, Verdict};

use super::EngineParts;
use super::common::{float, mismatch, string, string_or_empty, truncate, type_label};
use super::contract::Contract;
use super::run::{CallContext, with_call};
use super::script::{SAMPLE_DEADLINE, Script, ScriptError};
use crate::origin::Origin;
use crate::{admission, samples};

type AdmissionResult = Result<Admission, Box<EvalAltResult>>;

/// The HTTP status of `deny(…)` without a status.
const FORBIDDEN: i64 = 403;

/// An admission script.
pub struct AdmitScript(Script);

impl AdmitScript {
    /// Parses and checks a script, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load(
        parts: EngineParts<'_>,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<Self, Vec<Diagnostic>> {
        let loaded = Self(Script::parse(parts, text, origin, &Contract::admit(), config)?);
        for (name, sample) in samples() {
            let result = loaded.run(&sample, &samples::view(), Some(SAMPLE_DEADLINE));
            result.map_err(|error| vec![error.on_sample(name)])?;
        }
        Ok(loaded)
    }

    fn run(
        &self,
        request: &Request,
        view: &Arc<dyn HostView>,
        deadline: Option<Duration>,
    ) -> Result<Admission, ScriptError> {
        let call = self.0.call_context(|needs| CallContext {
            headers: if needs.headers { request.headers.clone() } else { vec![] },
            labels: if needs.labels { request.labels.clone().into_iter().collect() } else { vec![] },
            view: needs.view.then(|| (Arc::clone(view), request.platform.clone(), None)),
            ..CallContext::default()
        });
        self.0.run(|index| input(request, index), call, deadline, to_admission)
    }
}

impl AdmitPolicy for AdmitScript {
    fn admit(&self, request: &Request, view: &Arc<dyn HostView>) -> Result<Admission, Fault> {
        admission::validate(self.run(request, view, None).map_err(|error| self.0.fault(error))?)
    }
}

/// Returns the value of the input at an index of the contract.
fn input(request: &Request, index: usize) -> Dynamic {
    match index {
        0 => string(&request.platform),
        1 => string(&request.endpoint),
        2 => string(&request.method),
        _ => Dynamic::from_float(float(request.at_ms)),
    }
}

/// Converts the last value of the script.
fn to_admission(value: Dynamic) -> Result<Admission, String> {
    let type_name = value.type_name();
    // `abstain` returns the same type in every kind of script.
    if value.clone().try_cast::<Verdict>().is_some_and(|verdict| verdict.action == Action::Default) {
        return Ok(Admission::Default);
    }
    value.try_cast::<Admission>().ok_or_else(|| {
        format!("expected allow(…), deny(…) or abstain() as the last value, found {}", type_label(type_name))
    })
}

/// Registers the functions of admission scripts with an engine.
pub fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Admission>("an admission")
        .register_fn("allow", || allow(1, Map::new()))
        .register_fn("allow", |cost: i64| allow(cost, Map::new()))
        .register_fn("allow", allow)
        .register_fn("allow", |cost: f64| allow(integer(cost)?, Map::new()))
        .register_fn("allow", |cost: f64, scope: Map| allow(integer(cost)?, scope))
        .register_fn("deny", |reason: &str| deny(reason, FORBIDDEN))
        .register_fn("deny", deny)
        .register_fn("label", |name: &str| {
            string_or_empty(with_call(|call| {
                call.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }))
        });
}

fn allow(cost: i64, scope: Map) -> AdmissionResult {
    let cost = u32::try_from(cost)
        .ok()
        .filter(|cost| *cost > 0)
        .ok_or_else(|| mismatch(&format!("a cost from 1 to {}", u32::MAX), &cost.to_string()))?;
    let label = |(name, value): (rhai::Identifier, Dynamic)| {
        let type_name = value.type_name();
        let value =
            value.into_string().map_err(|_| mismatch("a string as the value of each label", type_label(type_name)))?;
        Ok((name.to_string(), value))
    };
    let scope = scope.into_iter().map(label).collect::<Result<_, Box<EvalAltResult>>>()?;
    Ok(Admission::Allow { cost, scope })
}

fn deny(reason: &str, status: i64) -> AdmissionResult {
    let status = u16::try_from(status)
        .ok()
        .filter(|status| (400..=599).contains(status))
        .ok_or_else(|| mismatch("a status from 400 to 599", &status.to_string()))?;
    Ok(Admission::Deny { reason: truncate(reason).to_owned(), status })
}

#[expect(clippy::cast_possible_truncation, reason = "a number with a fraction is rejected, and the cast saturates")]
fn integer(number: f64) -> Result<i64, Box<EvalAltResult>> {
    if number.fract() == 0.0 { Ok(number as i64) } else { Err(mismatch("a whole number", &number.to_string())) }
}

/// Returns the requests for which every admission script must return an admission.
fn samples() -> [(&'static str, Request); 2] {
    let full = Request {
        platform: "sample".into(),
        endpoint: "orders".into(),
        method: "POST".into(),
        at_ms: 1_763_913_600_000,
        headers: vec![("x-tenant".into(), "7".into())],
        labels: [("seller".to_owned(), "7".to_owned())].into(),
    };
    [("an empty request", Request::default()), ("a request with every field", full)]
}
