//! The functions of admission scripts.

use rhai::{Dynamic, Engine, EvalAltResult, Identifier, Map};
use tidegate_core::Admission;

use crate::rhai::run::with_call;
use crate::rhai::values::{mismatch, string_or_empty, truncate, type_label};

type AdmissionResult = Result<Admission, Box<EvalAltResult>>;

/// The HTTP status of `deny(…)` without a status.
const FORBIDDEN: i64 = 403;

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
            let value =
                with_call(|call| call.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()));
            string_or_empty(value.as_deref())
        });
}

fn allow(cost: i64, scope: Map) -> AdmissionResult {
    let cost = u32::try_from(cost)
        .ok()
        .filter(|cost| *cost > 0)
        .ok_or_else(|| mismatch(&format!("a cost from 1 to {}", u32::MAX), &cost.to_string()))?;
    let label = |(name, value): (Identifier, Dynamic)| {
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
