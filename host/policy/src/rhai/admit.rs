//! Admission scripts: a request as variables, how it goes as the last value.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, Map};
use tidegate_core::config::Terms;
use tidegate_core::config::reader::Problem;
use tidegate_core::{Action, Admission, AdmitPolicy, Fault, Request, Verdict, View};

use super::Tools;
use super::common::{clip, found, mismatch, named, number, text};
use super::names::Contract;
use super::run::{Call, with_call};
use super::script::{Misstep, SAMPLE_DEADLINE, Script};
use crate::origin::Origin;
use crate::{admission, samples};

type Answer = Result<Admission, Box<EvalAltResult>>;

/// The status of a refusal that names none.
const FORBIDDEN: i64 = 403;

/// An admission script.
pub struct AdmitScript(Script);

impl AdmitScript {
    /// Reads a script and tries it on samples.
    ///
    /// # Errors
    /// Every problem, at its place in the script.
    pub fn load(tools: Tools<'_>, text: &str, origin: Origin, terms: &Terms) -> Result<Self, Vec<Problem>> {
        let loaded = Self(Script::parse(tools, text, origin, &Contract::admit(), terms)?);
        for (name, sample) in samples() {
            let answer = loaded.run(&sample, &samples::view(), Some(SAMPLE_DEADLINE));
            answer.map_err(|misstep| vec![misstep.on_sample(name)])?;
        }
        Ok(loaded)
    }

    fn run(&self, request: &Request, view: &Arc<dyn View>, deadline: Option<Duration>) -> Result<Admission, Misstep> {
        let call = self.0.call(|needs| Call {
            headers: if needs.headers { request.headers.clone() } else { vec![] },
            labels: if needs.labels { request.labels.clone().into_iter().collect() } else { vec![] },
            sight: needs.sight.then(|| (Arc::clone(view), request.platform.clone(), None)),
            ..Call::default()
        });
        self.0.run(|at| input(request, at), call, deadline, verdict)
    }
}

impl AdmitPolicy for AdmitScript {
    fn admit(&self, request: &Request, view: &Arc<dyn View>) -> Result<Admission, Fault> {
        admission::checked(self.run(request, view, None).map_err(|misstep| self.0.fault(misstep))?)
    }
}

fn input(request: &Request, at: usize) -> Dynamic {
    match at {
        0 => text(&request.platform),
        1 => text(&request.endpoint),
        2 => text(&request.method),
        _ => Dynamic::from_float(number(request.at_ms)),
    }
}

fn verdict(value: Dynamic) -> Result<Admission, String> {
    let found = value.type_name();
    // No opinion is the same word in every kind of script.
    if value.clone().try_cast::<Verdict>().is_some_and(|verdict| verdict.action == Action::Default) {
        return Ok(Admission::Default);
    }
    value
        .try_cast::<Admission>()
        .ok_or_else(|| format!("expected allow(…), deny(…) or abstain() as the last value, not {}", named(found)))
}

/// The functions that admission scripts call.
pub fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Admission>("an admission")
        .register_fn("allow", || allow(1, Map::new()))
        .register_fn("allow", |cost: i64| allow(cost, Map::new()))
        .register_fn("allow", allow)
        .register_fn("allow", |cost: f64| allow(whole(cost)?, Map::new()))
        .register_fn("allow", |cost: f64, scope: Map| allow(whole(cost)?, scope))
        .register_fn("deny", |reason: &str| deny(reason, FORBIDDEN))
        .register_fn("deny", deny)
        .register_fn("label", |name: &str| {
            found(with_call(|call| call.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())))
        });
}

fn allow(cost: i64, scope: Map) -> Answer {
    let cost = u32::try_from(cost).ok().filter(|cost| *cost > 0);
    let cost = cost.ok_or_else(|| mismatch("a cost of at least 1", "less, or more than a limit can hold"))?;
    let label = |(name, value): (rhai::Identifier, Dynamic)| {
        let given = value.type_name();
        let value = value.into_string().map_err(|_| mismatch("a text as the value of each label", named(given)))?;
        Ok((name.to_string(), value))
    };
    let scope = scope.into_iter().map(label).collect::<Result<_, Box<EvalAltResult>>>()?;
    Ok(Admission::Allow { cost, scope })
}

fn deny(reason: &str, status: i64) -> Answer {
    let status = u16::try_from(status).ok().filter(|status| (400..=599).contains(status));
    let status = status.ok_or_else(|| mismatch("a status of 400 to 599", "another"))?;
    Ok(Admission::Deny { reason: clip(reason).to_owned(), status })
}

#[expect(clippy::cast_possible_truncation, reason = "what is no whole number is refused, and the rest saturates")]
fn whole(number: f64) -> Result<i64, Box<EvalAltResult>> {
    if number.fract() == 0.0 { Ok(number as i64) } else { Err(mismatch("a whole number", &number.to_string())) }
}

/// Requests that every admission script must have an answer to.
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
