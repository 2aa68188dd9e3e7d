//! Samples: what a script may be asked, varied one input at a time around the values that it is compared with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Scope};
use tidegate_core::config::{Setting, Settings};
use tidegate_core::units::parse_duration;
use tidegate_core::{LimitState, Stats, View};

use super::fields::{Field, Fields, Value};
use crate::rhai::names::{Contract, FIGURES, Kind};
use crate::rhai::run::Call;

/// One value for each field, in their order.
pub type Sample = Vec<Value>;

/// The figures of windows and limits in one sample.
struct Sight {
    windows: BTreeMap<Duration, Stats>,
    limits: BTreeMap<String, LimitState>,
}

impl View for Sight {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        self.windows.get(&range).cloned().unwrap_or_default()
    }

    fn limit(&self, name: &str) -> Option<LimitState> {
        self.limits.get(name).copied()
    }
}

/// The samples of one script.
pub struct Samples {
    contract: Contract,
    fields: Fields,
    /// What the policy is set to.
    settings: Settings,
}

/// Dice that fall alike each time.
pub struct Dice(u64);

impl Dice {
    /// New ones.
    pub const fn new() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }

    /// A number below this one; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let number = usize::try_from(self.0 >> 33).unwrap_or_default();
        number.checked_rem(end).unwrap_or_default()
    }
}

impl Samples {
    /// Samples over these fields.
    pub const fn new(contract: Contract, fields: Fields, settings: Settings) -> Self {
        Self { contract, fields, settings }
    }

    /// The one that all others vary: an everyday call.
    pub fn first(&self) -> Sample {
        self.fields.all().iter().map(|field| field.usual.clone()).collect()
    }

    /// The samples that differ from this one in one input.
    pub fn around<'a>(&'a self, sample: &'a Sample) -> impl Iterator<Item = Sample> + 'a {
        self.fields.all().iter().enumerate().flat_map(move |(at, field)| {
            let longer = self.fields.longer(&sample[at]);
            let values = field.values.iter().cloned().chain(longer).filter(move |value| *value != sample[at]);
            values.map(move |value| {
                let mut other = sample.clone();
                other[at] = value;
                other
            })
        })
    }

    /// Changes one input of the sample, or makes a text longer.
    pub fn change(&self, sample: &mut Sample, dice: &mut Dice) {
        let at = dice.below(sample.len());
        let (Some(field), Some(value)) = (self.fields.all().get(at), sample.get_mut(at)) else { return };
        let longer = if dice.below(3) == 0 { self.fields.longer(value) } else { vec![] };
        let values = if longer.is_empty() { &field.values } else { &longer };
        if let Some(other) = values.get(dice.below(values.len())) {
            *value = other.clone();
        }
    }

    /// Whether the settings are those that the policy has.
    pub fn is_as_set(&self, sample: &Sample) -> bool {
        self.asked(sample, "setting").all(|(_, value)| *value == Value::Absent)
    }

    /// The sample in words: what is not as in an everyday call.
    pub fn describe(&self, sample: &Sample) -> String {
        let fields = self.fields.all().iter().zip(sample).filter(|(field, value)| field.usual != **value);
        let words: Vec<_> = fields.map(|(field, value)| format!("{} is {value}", field.name)).collect();
        if words.is_empty() { "on an everyday call".to_owned() } else { format!("where {}", words.join(" and ")) }
    }

    /// The variables of the script.
    pub fn scope(&self, sample: &Sample) -> Scope<'static> {
        let stats = self.stats(sample, "");
        // What never had an answer has no status and no words of the platform.
        let answered = !matches!(self.get(sample, "kind"), Some(Value::Text(kind)) if kind != "response");
        let mut scope = Scope::new();
        for (name, kind) in &self.contract.inputs {
            let figure = FIGURES.iter().find(|(figure, _)| figure == name);
            let of_answer = ["status", "code", "sub_code", "message", "retry_after_ms"].contains(name);
            let value = self.get(sample, name).filter(|_| answered || !of_answer);
            let value = match (figure, value, kind) {
                (Some((_, read)), ..) => Dynamic::from_float(read(&stats)),
                (None, Some(Value::Number(number)), _) => Dynamic::from_float(*number),
                (None, Some(Value::Text(text)), _) => text.clone().into(),
                (None, _, Kind::Text) => String::new().into(),
                (None, ..) => Dynamic::from_float(0.0),
            };
            scope.push_dynamic(*name, value);
        }
        scope
    }

    /// What the functions of the script answer by.
    pub fn call(&self, sample: &Sample) -> Call {
        let texts = |function: &str| {
            let fields = self.asked(sample, function);
            let given = fields.filter_map(|(name, value)| match value {
                Value::Text(text) if !text.is_empty() => Some((name.to_owned(), text.clone())),
                _ => None,
            });
            given.collect::<Vec<_>>()
        };
        let windows = self.fields.asked("window").filter_map(|range| {
            let stats = self.stats(sample, &format!("window({range:?})."));
            Some((parse_duration(range).ok()?, stats))
        });
        let limits = self.fields.asked("limit").map(|name| (name.to_owned(), self.limit(sample, name)));
        let sight = Sight { windows: windows.collect(), limits: limits.collect() };
        Call {
            headers: texts("header"),
            labels: texts("label"),
            settings: Arc::new(self.settings(sample)),
            sight: Some((Arc::new(sight), String::new(), None)),
            // What it would log is of no interest.
            lines: u32::MAX / 2,
            ..Call::default()
        }
    }

    fn settings(&self, sample: &Sample) -> Settings {
        let given = self.asked(sample, "setting").filter_map(|(name, value)| {
            let setting = match value {
                Value::Absent => return None,
                Value::Flag(flag) => Setting::Flag(*flag),
                Value::Number(number) => Setting::Number(*number),
                Value::Text(text) => Setting::Text(text.clone()),
            };
            Some((name.to_owned(), setting))
        });
        self.settings.clone().into_iter().chain(given).collect()
    }

    /// The fields of a function that is asked by name, as `header("x")`.
    fn asked<'a>(
        &'a self,
        sample: &'a Sample,
        function: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.fields.asked(function).filter_map(move |name| {
            let value = self.get(sample, &format!("{function}({name:?})"))?;
            Some((name, value))
        })
    }

    fn get<'a>(&self, sample: &'a Sample, name: &str) -> Option<&'a Value> {
        sample.get(self.fields.all().iter().position(|field: &Field| field.name == name)?)
    }

    fn number(&self, sample: &Sample, name: &str) -> Option<f64> {
        match self.get(sample, name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Figures that go together, whichever of them the sample gives.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the fields hold no count below zero, and beyond 2^53 the nearest number does as well"
    )]
    fn stats(&self, sample: &Sample, prefix: &str) -> Stats {
        let given = |name: &str| self.number(sample, &format!("{prefix}{name}"));
        let count = given("count").unwrap_or(1_000.0);
        let errors = given("errors").or_else(|| Some((count - given("success")?).max(0.0)));
        let count = count.max(errors.unwrap_or(0.0)).max(given("success").unwrap_or(0.0));
        let errors = errors.unwrap_or_else(|| (count * given("error_rate").unwrap_or(0.01)).round());
        let refused = given("limited_rate").unwrap_or(0.0).min(0.999_999);
        let limited = given("limited").unwrap_or_else(|| (count.max(1.0) * refused / (1.0 - refused)).round());
        let p95 =
            given("p95").unwrap_or_else(|| 300_f64.max(given("p50").unwrap_or(0.0)).min(given("p99").unwrap_or(1e9)));
        let mut times = [given("p50").unwrap_or(100_f64.min(p95)), p95, given("p99").unwrap_or(900_f64.max(p95))];
        times.sort_by(f64::total_cmp);
        let share = |part: f64, whole: f64, none: f64| if whole > 0.0 { part / whole } else { none };
        let any = |figure: f64| if count > 0.0 { figure } else { 0.0 };
        Stats {
            count: count as u64,
            errors: errors as u64,
            success: (count - errors) as u64,
            limited: limited as u64,
            error_rate: share(errors, count, 0.0),
            success_rate: share(count - errors, count, 1.0),
            limited_rate: share(limited, count + limited, 0.0),
            total_ms: any(given("total_ms").unwrap_or(count * times[0])),
            rps: any(given("rps").unwrap_or(count / 300.0)),
            p50: any(times[0]),
            p95: any(times[1]),
            p99: any(times[2]),
            ..Stats::default()
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the fields hold no burst and no time below zero"
    )]
    fn limit(&self, sample: &Sample, name: &str) -> LimitState {
        let given = |level: &str| self.number(sample, &format!("limit({name:?}).{level}"));
        let available = given("available").unwrap_or(10.0).min(given("burst").unwrap_or(f64::MAX));
        let burst = given("burst").unwrap_or_else(|| available.max(10.0));
        LimitState {
            available: available as i64,
            burst: burst as u64,
            rate: given("rate").unwrap_or(10.0),
            full_in_ms: given("full_in_ms").unwrap_or(0.0) as u64,
        }
    }
}
