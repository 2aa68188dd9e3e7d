//! `tidegate replay`: what was decided before, and what would be decided now.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tidegate::core::config::PoliciesConfig;

use super::{Usage, answer, complain, config_file, configuration, show};
use crate::replay::{Group, Replay as Replayed, Tally, Words, replay};

/// The most lines that are no decision that are told one by one.
const TOLD: usize = 20;
/// The longest input in the table, in characters.
const WIDTH: usize = 100;
/// What an input is known by comes first …
const FIRST: [&str; 3] = ["status", "code", "sub_code"];
/// … and when it was, is told by its line.
const TIMES: [&str; 4] = ["at_ms", "elapsed_ms", "from_ms", "to_ms"];

/// Read a decision log again through the policies of today.
#[derive(Args)]
pub struct Replay {
    /// The decision log; - reads standard input.
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// A policy for the place that its folder and name say (new/retry/jd.rhai is for retry/jd); may be repeated.
    #[arg(long = "candidate", value_name = "FILE")]
    candidates: Vec<PathBuf>,
    /// The directory of policies instead of the configured one.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// The configuration, for deadlines, limits and settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Replay {
    /// Prints who decides otherwise; 1 where anybody does, 2 where a line could not be read.
    ///
    /// # Errors
    /// A configuration, a log or a policy that cannot be read.
    pub fn run(self) -> Result<ExitCode, Usage> {
        let config = configuration(config_file(self.config.clone()).as_deref())?.policies;
        let dir = self.policies.clone().unwrap_or_else(|| config.dir.clone());
        if !dir.is_dir() {
            return Err(Usage(format!("{}: no such directory of policies", dir.display())));
        }
        let found = self.read(&PoliciesConfig { dir, ..config }).map_err(Usage)?;
        found.broken.iter().take(TOLD).for_each(|problem| complain(problem));
        if let Some(more @ 1..) = found.broken.len().checked_sub(TOLD) {
            complain(&format!("… and {more} more lines that are no decision"));
        }
        if found.lines == 0 && found.broken.is_empty() {
            return Err(Usage(format!("{}: there is no decision in it", self.log.display())));
        }
        answer(self.json, &json!(found), &text(&found));
        Ok(match (found.broken.is_empty(), found.is_same()) {
            (false, _) => ExitCode::from(2),
            (true, false) => ExitCode::from(1),
            (true, true) => ExitCode::SUCCESS,
        })
    }

    fn read(&self, config: &PoliciesConfig) -> Result<Replayed, String> {
        if self.log == Path::new("-") {
            return replay(io::stdin().lock(), "standard input", config, &self.candidates);
        }
        let name = self.log.display().to_string();
        let log = File::open(&self.log).map_err(|error| format!("{name}: {error}"))?;
        replay(BufReader::new(log), &name, config, &self.candidates)
    }
}

fn text(found: &Replayed) -> String {
    let totals = found.policies.iter().map(|tally| {
        let counts = [tally.lines, tally.same, tally.different, tally.faults].map(|count| count.to_string());
        std::iter::once(tally.policy.clone()).chain(counts).collect()
    });
    let mut parts = vec![show::table(&["policy", "lines", "same", "different", "faults"], totals)];
    if !found.is_same() {
        let groups =
            found.policies.iter().flat_map(|tally| tally.differences.iter().map(move |group| row(tally, group)));
        parts.push(show::table(&["policy", "recorded", "now", "times", "first", "input"], groups));
    }
    if found.beyond > 0 {
        let words = "lines on which a policy looked at a window or a limit that the log does not have (such a window of \
                     a condition was as the rule's own, all else empty)";
        parts.push(format!("note: {words}: {}", found.beyond));
    }
    parts.join("\n\n")
}

fn row(tally: &Tally, group: &Group) -> Vec<String> {
    let verdict = |verdict| Words::of(verdict).all();
    vec![
        group.rule.as_ref().map_or_else(|| tally.policy.clone(), |rule| format!("{}: {rule}", tally.policy)),
        verdict(&group.recorded),
        verdict(&group.now),
        group.times.to_string(),
        format!("line {}", group.line),
        input(&group.input),
    ]
}

/// What was asked, without what is as always.
fn input(input: &Value) -> String {
    let usual = |name: &str, value: &Value| match value {
        Value::Number(number) => number.as_f64() == Some(if name == "attempt" { 1.0 } else { 0.0 }),
        Value::String(text) => ["", "response", "GET"].contains(&text.as_str()),
        _ => false,
    };
    let fields = input.as_object().into_iter().flatten();
    let mut fields: Vec<_> =
        fields.filter(|(name, value)| !TIMES.contains(&name.as_str()) && !usual(name, value)).collect();
    fields.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
    let shown = |value: &Value| if value.is_string() { show::text(value) } else { value.to_string() };
    let shown: Vec<_> = fields.into_iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
    let mut text = shown.join(", ");
    if let Some((end, _)) = text.char_indices().nth(WIDTH) {
        text.truncate(end);
        text.push('…');
    }
    text
}
