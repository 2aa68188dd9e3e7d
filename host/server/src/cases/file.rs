//! A case file as people write it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate::core::config::{PoliciesConfig, PolicyConfig, Settings};
use tidegate::core::{Failure, Request, Snapshot};
use tidegate::policy::PolicyKind;
use toml::Spanned;

use super::find::Tested;
use super::input::{AlertInput, Answer};

/// The cases of one policy.
#[derive(Debug)]
pub struct CaseFile {
    /// What the policy is set to, for all cases.
    pub settings: Option<Settings>,
    /// The cases, in their order.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The line that it begins in.
    pub line: usize,
    /// The rule that is asked, where it is one of `alerts.toml`.
    pub rule: Option<String>,
    /// What must be answered, by field.
    pub expect: Value,
    at_ms: u64,
    input: Option<Value>,
    answer: Option<Answer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    settings: Option<Settings>,
    #[serde(default)]
    case: Vec<Spanned<WrittenCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: String,
    rule: Option<String>,
    at: Option<toml::Value>,
    input: Option<toml::Table>,
    answer: Option<Answer>,
    #[serde(default)]
    windows: toml::Table,
    expect: toml::Table,
}

impl CaseFile {
    /// Reads a case file.
    ///
    /// # Errors
    /// The first mistake as `file:line:column: message`.
    pub fn parse(file: &str, text: &str) -> Result<Self, String> {
        let place = |start: usize| {
            let before = text.get(..start).unwrap_or(text);
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            (before.matches('\n').count() + 1, column)
        };
        let written: Written = toml::from_str(text).map_err(|error| {
            let (line, column) = place(error.span().map_or(text.len(), |span| span.start));
            format!("{file}:{line}:{column}: {}", error.message())
        })?;
        let case = |case: Spanned<WrittenCase>| {
            let (line, column) = place(case.span().start);
            Case::read(case.into_inner(), line).map_err(|message| format!("{file}:{line}:{column}: {message}"))
        };
        let cases: Vec<_> = written.case.into_iter().map(case).collect::<Result<_, _>>()?;
        if cases.is_empty() {
            return Err(format!("{file}:1:1: no case; expected [[case]] with a name, an input and what to expect"));
        }
        Ok(Self { settings: written.settings, cases })
    }

    /// The configuration with the settings of this file.
    pub(super) fn with_settings(&self, tested: &Tested, kind: PolicyKind, config: &PoliciesConfig) -> PoliciesConfig {
        let mut config = config.clone();
        if let Some(settings) = &self.settings {
            let name = format!("{}/{}", kind.folder(), tested.platform());
            let own = PolicyConfig { deadline: None, bounds: config.bounds, settings: Settings::new() };
            config.each.entry(name).or_insert(own).settings.clone_from(settings);
        }
        config
    }
}

impl Case {
    fn read(case: WrittenCase, line: usize) -> Result<Self, String> {
        let WrittenCase { name, rule, at, input, answer, windows, expect } = case;
        if input.is_some() == answer.is_some() {
            return Err(format!("case {name:?}: expected an `input` or an `answer`, and not both"));
        }
        if expect.is_empty() {
            return Err(format!("case {name:?}: `expect` is empty, so it cannot fail"));
        }
        let at_ms =
            at.map(|at| milliseconds(&at)).transpose().map_err(|message| format!("case {name:?}: at: {message}"))?;
        let mut input = input.map(json).transpose()?;
        if let Some(input) = input.as_mut().filter(|_| !windows.is_empty()) {
            input["windows"] = json(windows)?;
        }
        Ok(Self { name, line, rule, expect: json(expect)?, at_ms: at_ms.unwrap_or(0), input, answer })
    }

    /// The failure that a classifier is asked about; `None` where the answer holds none.
    pub(super) fn failure(&self, platform: &str) -> Result<Option<Failure>, String> {
        let failure = match (&self.answer, &self.input) {
            (Some(answer), _) => answer.failure(platform, self.at_ms)?,
            (None, input) => Some(read(input, platform)?),
        };
        Ok(failure.map(|failure: Failure| Failure { at_ms: failure.at_ms.max(self.at_ms), ..failure }))
    }

    /// The request that an admission policy is asked about.
    pub(super) fn request(&self, platform: &str) -> Result<Request, String> {
        let request: Request = read(&self.input, platform)?;
        Ok(Request { at_ms: request.at_ms.max(self.at_ms), ..request })
    }

    /// The snapshot that a condition is asked about, with its other windows.
    pub(super) fn alert(&self) -> Result<AlertInput, String> {
        let input = self.input.as_ref().ok_or("an alert has an `input` and no `answer`")?;
        refuse_odd_fields(input)?;
        read(&self.input, "")
    }
}

/// What is flattened into a snapshot accepts any name, so names are compared here.
fn refuse_odd_fields(input: &Value) -> Result<(), String> {
    let known = serde_json::to_value(Snapshot::default()).unwrap_or_default();
    let odd = input.as_object().into_iter().flatten().map(|(name, _)| name);
    match odd.into_iter().find(|name| *name != "windows" && known.get(name.as_str()).is_none()) {
        None => Ok(()),
        Some(name) => {
            let names: Vec<_> = known.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            Err(format!("input: no such field `{name}`; {}", tidegate::core::config::reader::suggestion(name, &names)))
        }
    }
}

fn read<T: DeserializeOwned>(input: &Option<Value>, platform: &str) -> Result<T, String> {
    let mut input = input.clone().ok_or("expected an `input`")?;
    if input.get("platform").is_none() && !platform.is_empty() {
        input["platform"] = platform.into();
    }
    // Pairs are how JSON has headers; a table is how people write them.
    if let Some(Value::Object(headers)) = input.get("headers").cloned() {
        input["headers"] = headers.into_iter().map(|(name, value)| Value::from(vec![name.into(), value])).collect();
    }
    serde_json::from_value(input).map_err(|error| format!("input: {error}"))
}

fn json(table: toml::Table) -> Result<Value, String> {
    serde_json::to_value(table).map_err(|error| error.to_string())
}

fn milliseconds(at: &toml::Value) -> Result<u64, String> {
    let text = at.as_str().map_or_else(|| at.to_string(), str::to_owned);
    let time: Result<jiff::Timestamp, _> = text.parse();
    let ms = time.ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    ms.ok_or_else(|| format!("expected a time such as 2026-11-23T15:59:00Z, not {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        CaseFile::parse("x.test.toml", text).unwrap_err()
    }

    #[test]
    fn a_mistake_is_told_at_its_place() {
        let rows = [
            ("", "x.test.toml:1:1: no case; expected [[case]] with a name, an input and what to expect"),
            (
                "[[case]]\nname = 'a'\ninput = {}\nexpect = {}",
                "x.test.toml:1:1: case \"a\": `expect` is empty, so it cannot fail",
            ),
            (
                "[[case]]\nname = 'a'\nexpect = { action = 'retry' }",
                "x.test.toml:1:1: case \"a\": expected an `input` or an `answer`, and not both",
            ),
            (
                "[[case]]\nname = 'a'\nat = 'noon'\ninput = {}\nexpect = { action = 'retry' }",
                "x.test.toml:1:1: case \"a\": at: expected a time such as 2026-11-23T15:59:00Z, not noon",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(refused(text), expected);
        }
        assert!(refused("[[case]]\nnam = 'a'\n").starts_with("x.test.toml:2:1: unknown field `nam`"));
    }

    #[test]
    fn a_field_that_no_input_has_is_a_mistake() {
        let case = |input: &str| {
            let text = format!("[[case]]\nname = 'a'\ninput = {input}\nexpect = {{ x = 1 }}");
            CaseFile::parse("x", &text).unwrap().cases.remove(0)
        };
        assert!(case("{ statsu = 3 }").failure("jd").unwrap_err().contains("unknown field `statsu`"));
        let problem = case("{ error_rte = 0.5 }").alert().err().unwrap();
        assert_eq!(problem, "input: no such field `error_rte`; did you mean `error_rate`?");
        let input = case("{ error_rate = 0.5, windows = { \"1h\" = { count = 7 } } }").alert().unwrap();
        assert_eq!((input.snapshot.stats.error_rate, input.windows["1h"].count), (0.5, 7));
        let headers = case("{ headers = { \"x-a\" = '1' } }").failure("jd").unwrap().unwrap();
        assert_eq!((headers.platform.as_str(), headers.headers), ("jd", vec![("x-a".to_owned(), "1".to_owned())]));
    }
}
