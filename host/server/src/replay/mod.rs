//! A decision log, read again through the policies of today and the candidates for their place.

mod asked;
mod line;
mod words;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tidegate::core::View;
use tidegate::core::config::PoliciesConfig;

use crate::cases::Asked;
use asked::{Player, Stage};
use line::Line;
pub use words::Words;

/// What a log came to.
#[derive(Debug, Default, Serialize)]
pub struct Replay {
    /// Decisions that were read.
    pub lines: u64,
    /// Lines that are no decision: `FILE:LINE: message`.
    pub broken: Vec<String>,
    /// Lines on which a policy looked at a window or a limit that was not written down.
    pub beyond: u64,
    /// What each policy says now, in the order of their paths, the one in force before its candidates.
    pub policies: Vec<Tally>,
}

/// What one policy says now.
#[derive(Debug, Serialize)]
pub struct Tally {
    /// Its file.
    pub policy: String,
    /// Lines that it was asked about.
    pub lines: u64,
    /// Those on which it decided as was recorded.
    pub same: u64,
    /// Those on which it decided otherwise.
    pub different: u64,
    /// Those on which it misbehaved.
    pub faults: u64,
    /// The differences, the most frequent first.
    pub differences: Vec<Group>,
}

/// Differences of one kind; the wait and the labels may be others in each.
#[derive(Debug, Serialize)]
pub struct Group {
    /// The rule that was asked, where it is one of `alerts.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How often.
    pub times: u64,
    /// The line of the first.
    pub line: u64,
    /// What was asked there.
    pub input: Value,
    /// What was decided there.
    pub recorded: Value,
    /// What is decided now.
    pub now: Value,
}

/// A policy with what it came to so far.
struct Part {
    player: Player,
    tally: Tally,
    groups: BTreeMap<(Option<String>, String, String), Group>,
}

/// Reads a log through the policies of a directory and these candidates; `name` is what the log is called.
///
/// # Errors
/// A log, a policy or a candidate that cannot be read, and a candidate that no line is about.
pub fn replay(
    log: impl BufRead,
    name: &str,
    config: &PoliciesConfig,
    candidates: &[PathBuf],
) -> Result<Replay, String> {
    let stage = Stage::new(config, candidates)?;
    let (mut replay, mut parts) = (Replay::default(), BTreeMap::<String, Vec<Part>>::new());
    for (bytes, number) in log.split(b'\n').zip(1..) {
        let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let line = match Line::parse(&bytes) {
            Ok(line) => line,
            Err(problem) => {
                replay.broken.push(format!("{name}:{number}: {problem}"));
                continue;
            }
        };
        if !parts.contains_key(&line.policy) {
            let cast = stage.cast(&line.policy)?.into_iter().map(Part::new).collect();
            parts.insert(line.policy.clone(), cast);
        }
        parts.get_mut(&line.policy).into_iter().flatten().for_each(|part| part.ask(&line, number));
        replay.lines += 1;
        replay.beyond += u64::from(line.view.was_beyond());
    }
    replay.policies = parts.into_values().flatten().map(Part::end).collect();
    for (place, file) in stage.named() {
        if !replay.policies.iter().any(|tally| file.to_str() == Some(&tally.policy)) {
            return Err(format!("{}: no line of {name} is about {place}", file.display()));
        }
    }
    Ok(replay)
}

impl Replay {
    /// Whether every policy decided as was recorded.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.policies.iter().all(|tally| tally.different == 0)
    }
}

impl Part {
    fn new(player: Player) -> Self {
        let (policy, differences) = (player.name.clone(), Vec::new());
        let tally = Tally { policy, lines: 0, same: 0, different: 0, faults: 0, differences };
        Self { player, tally, groups: BTreeMap::new() }
    }

    fn ask(&mut self, line: &Line, number: u64) {
        let view: Arc<dyn View> = Arc::clone(&line.view) as _;
        let answer = |asked: &Asked| asked.ask(&line.question, line.rule.as_deref(), &view).ok();
        // A rule that is gone answers as little as a policy that is.
        let now = self.player.asked.as_ref().and_then(answer).unwrap_or_default();
        let (recorded, told) = (Words::of(&line.verdict), Words::of(&now));
        self.tally.lines += 1;
        self.tally.faults += u64::from(now.get("fault").is_some());
        if recorded == told {
            self.tally.same += 1;
            return;
        }
        self.tally.different += 1;
        let group = self.groups.entry((line.rule.clone(), recorded.gist, told.gist)).or_insert_with(|| Group {
            rule: line.rule.clone(),
            times: 0,
            line: number,
            input: line.input.clone(),
            recorded: line.verdict.clone(),
            now,
        });
        group.times += 1;
    }

    fn end(mut self) -> Tally {
        self.tally.differences = self.groups.into_values().collect();
        self.tally.differences.sort_by_key(|group| (std::cmp::Reverse(group.times), group.line));
        self.tally
    }
}
