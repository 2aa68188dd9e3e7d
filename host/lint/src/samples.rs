//! Generates samples, which are inputs of a script. Each differs from another in one or several inputs, with values
//! around those that the script compares them with.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Scope};
use tidegate_core::config::{Setting, Settings};
use tidegate_core::units::parse_duration;
use tidegate_core::{HostView, LimitStatus, Quota, Rate, Stats};
use tidegate_policy::scripts::{CallContext, CallView, Contract, STATS, ValueType};

use crate::fields::{SampleField, SampleFields};
use crate::value::SampleValue;

/// The rate and the burst of a limit, unless a sample has others.
const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// A sample: one value for each field, in the order of the fields.
pub type Sample = Vec<SampleValue>;

/// The windows and limits of one sample.
struct SampleView {
    windows: BTreeMap<Duration, Stats>,
    limits: BTreeMap<String, LimitStatus>,
}

impl HostView for SampleView {
    fn window(&self, _: &str, _: Option<&str>, range: Duration) -> Stats {
        self.windows.get(&range).cloned().unwrap_or_default()
    }

    fn limit(&self, name: &str) -> Option<LimitStatus> {
        self.limits.get(name).copied()
    }
}

/// Generates the samples of one script.
pub struct SampleGenerator {
    contract: Contract,
    fields: SampleFields,
    /// The settings of the policy.
    settings: Settings,
}

/// A random number generator with a fixed seed, so that a review has the same result each time.
pub struct SampleRng(u64);

impl SampleRng {
    /// Creates a generator.
    pub const fn new() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let number = usize::try_from(self.0 >> 33).unwrap_or_default();
        number.checked_rem(end).unwrap_or_default()
    }
}

impl SampleGenerator {
    /// Creates a generator of samples with these fields.
    pub const fn new(contract: Contract, fields: SampleFields, settings: Settings) -> Self {
        Self { contract, fields, settings }
    }

    /// Returns the sample of a typical call, from which all others are derived.
    pub fn typical(&self) -> Sample {
        self.fields.all().iter().map(|field| field.typical.clone()).collect()
    }

    /// Returns the samples that differ from `sample` in one input.
    pub fn neighbors<'a>(&'a self, sample: &'a Sample) -> impl Iterator<Item = Sample> + 'a {
        self.fields.all().iter().enumerate().flat_map(move |(index, field)| {
            let extended = self.fields.extended(&sample[index]);
            let values = field.values.iter().cloned().chain(extended).filter(move |value| *value != sample[index]);
            values.map(move |value| {
                let mut neighbor = sample.clone();
                neighbor[index] = value;
                neighbor
            })
        })
    }

    /// Changes one random input of the sample.
    pub fn mutate(&self, sample: &mut Sample, rng: &mut SampleRng) {
        let index = rng.below(sample.len());
        let (Some(field), Some(value)) = (self.fields.all().get(index), sample.get_mut(index)) else { return };
        let extended = if rng.below(3) == 0 { self.fields.extended(value) } else { vec![] };
        let values = if extended.is_empty() { &field.values } else { &extended };
        if let Some(other) = values.get(rng.below(values.len())) {
            *value = other.clone();
        }
    }

    /// Returns whether the sample has the settings that the policy is configured with.
    pub fn has_configured_settings(&self, sample: &Sample) -> bool {
        self.named_values(sample, "setting").all(|(_, value)| *value == SampleValue::Unset)
    }

    /// Describes a sample by the inputs that differ from a typical call.
    pub fn describe(&self, sample: &Sample) -> String {
        let fields = self.fields.all().iter().zip(sample).filter(|(field, value)| field.typical != **value);
        let values: Vec<_> = fields.map(|(field, value)| format!("{} is {value}", field.name)).collect();
        if values.is_empty() { "on a typical call".to_owned() } else { format!("when {}", values.join(" and ")) }
    }

    /// Returns the variables of the script.
    pub fn scope(&self, sample: &Sample) -> Scope<'static> {
        let stats = self.stats(sample, "");
        // A call without a response has no status, and no code or message of the platform.
        let has_response = !matches!(self.get(sample, "kind"), Some(SampleValue::String(kind)) if kind != "response");
        let mut scope = Scope::new();
        for (name, value_type) in &self.contract.inputs {
            let stat = STATS.iter().find(|(stat, _)| stat == name);
            let of_response = ["status", "code", "sub_code", "message", "body", "retry_after_ms"].contains(name);
            let value = self.get(sample, name).filter(|_| has_response || !of_response);
            let value = match (stat, value, value_type) {
                (Some((_, read)), ..) => Dynamic::from_float(read(&stats)),
                (None, Some(SampleValue::Number(number)), _) => Dynamic::from_float(*number),
                (None, Some(SampleValue::String(text)), _) => text.clone().into(),
                (None, _, ValueType::String) => String::new().into(),
                (None, ..) => Dynamic::from_float(0.0),
            };
            scope.push_dynamic(*name, value);
        }
        scope
    }

    /// Returns the data for the functions of the script.
    pub fn call_context(&self, sample: &Sample) -> CallContext {
        let strings = |function: &str| {
            let values = self.named_values(sample, function).filter_map(|(name, value)| match value {
                SampleValue::String(text) if !text.is_empty() => Some((name.to_owned(), text.clone())),
                _ => None,
            });
            values.collect::<Vec<_>>()
        };
        let windows = self.fields.names("window").filter_map(|range| {
            let stats = self.stats(sample, &format!("window({range:?})."));
            Some((parse_duration(range).ok()?, stats))
        });
        let limits = self.fields.names("limit").map(|name| (name.to_owned(), self.limit(sample, name)));
        let view = SampleView { windows: windows.collect(), limits: limits.collect() };
        CallContext {
            headers: strings("header"),
            labels: strings("label"),
            settings: Arc::new(self.settings(sample)),
            view: Some(CallView { host: Arc::new(view), platform: String::new(), endpoint: None }),
            ..CallContext::default()
        }
    }

    fn settings(&self, sample: &Sample) -> Settings {
        let values = self.named_values(sample, "setting").filter_map(|(name, value)| {
            let setting = match value {
                SampleValue::Unset => return None,
                SampleValue::Bool(flag) => Setting::Flag(*flag),
                SampleValue::Number(number) => Setting::Number(*number),
                SampleValue::String(text) => Setting::Text(text.clone()),
            };
            Some((name.to_owned(), setting))
        });
        self.settings.clone().into_iter().chain(values).collect()
    }

    /// Returns the names that the script passes to a function, as in `header("x")`, with their values in the sample.
    fn named_values<'a>(
        &'a self,
        sample: &'a Sample,
        function: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a SampleValue)> + use<'a> {
        self.fields.names(function).filter_map(move |name| {
            let value = self.get(sample, &format!("{function}({name:?})"))?;
            Some((name, value))
        })
    }

    fn get<'a>(&self, sample: &'a Sample, name: &str) -> Option<&'a SampleValue> {
        sample.get(self.fields.all().iter().position(|field: &SampleField| field.name == name)?)
    }

    fn number(&self, sample: &Sample, name: &str) -> Option<f64> {
        match self.get(sample, name)? {
            SampleValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns consistent statistics: those that the sample sets, and others that agree with them.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the fields have no count below 0, and above 2^53 the nearest number is good enough"
    )]
    fn stats(&self, sample: &Sample, prefix: &str) -> Stats {
        let get = |name: &str| self.number(sample, &format!("{prefix}{name}"));
        let count = get("count").unwrap_or(1_000.0);
        let errors = get("errors").or_else(|| Some((count - get("success")?).max(0.0)));
        let count = count.max(errors.unwrap_or(0.0)).max(get("success").unwrap_or(0.0));
        let errors = errors.unwrap_or_else(|| (count * get("error_rate").unwrap_or(0.01)).round());
        let limited_rate = get("limited_rate").unwrap_or(0.0).min(0.999_999);
        let limited = get("limited").unwrap_or_else(|| (count.max(1.0) * limited_rate / (1.0 - limited_rate)).round());
        let p95 = get("p95").unwrap_or_else(|| 300_f64.max(get("p50").unwrap_or(0.0)).min(get("p99").unwrap_or(1e9)));
        let mut times = [get("p50").unwrap_or(100_f64.min(p95)), p95, get("p99").unwrap_or(900_f64.max(p95))];
        times.sort_by(f64::total_cmp);
        let ratio = |part: f64, whole: f64, default: f64| if whole > 0.0 { part / whole } else { default };
        let if_called = |stat: f64| if count > 0.0 { stat } else { 0.0 };
        let mut stats = Stats::default();
        stats.count = count as u64;
        stats.errors = errors as u64;
        stats.success = (count - errors) as u64;
        stats.limited = limited as u64;
        stats.error_rate = ratio(errors, count, 0.0);
        stats.success_rate = ratio(count - errors, count, 1.0);
        stats.limited_rate = ratio(limited, count + limited, 0.0);
        stats.total_ms = if_called(get("total_ms").unwrap_or(count * times[0]));
        stats.rps = if_called(get("rps").unwrap_or(count / 300.0));
        stats.p50 = if_called(times[0]);
        stats.p95 = if_called(times[1]);
        stats.p99 = if_called(times[2]);
        stats
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the fields have no burst and no time below 0"
    )]
    fn limit(&self, sample: &Sample, name: &str) -> LimitStatus {
        let get = |field: &str| self.number(sample, &format!("limit({name:?}).{field}"));
        let available = get("available").unwrap_or(10.0).min(get("burst").unwrap_or(f64::MAX));
        let burst = get("burst").unwrap_or_else(|| available.max(10.0));
        let mut status = LimitStatus::full(Quota::per_second(TEN));
        status.available = available as i64;
        status.burst = burst as u64;
        // A rate is a whole number of tokens per period; a long period represents fractions of a token per second.
        let rate = get("rate").map(|rate| Rate::new((rate * 1e6) as u64, Duration::from_secs(1_000_000)));
        status.rate = rate.and_then(Result::ok).unwrap_or(status.rate);
        status.full_in = Duration::from_millis(get("full_in_ms").unwrap_or(0.0) as u64);
        status
    }
}
