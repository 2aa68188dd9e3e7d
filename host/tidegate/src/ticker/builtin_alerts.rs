//! The conditions of the alerts that tidegate raises about itself.

use std::collections::BTreeMap;

use tidegate_core::store::{AlertChanges, AlertStates};
use tidegate_core::{BuiltinAlert, FleetProcess, StoreError};

use crate::Host;
use crate::alerts::{Alerts, BuiltinCondition, evaluate_builtin};

/// The subject of `redis_unavailable`.
const REDIS: &str = "redis";

/// The subject of `policies_differ`.
const FLEET: &str = "fleet";

/// The maximum number of processes that a detail names for each hash.
const MAX_NAMES: usize = 5;

/// What one tick knows about the condition of each built-in alert. The states of an alert that is missing stay
/// unchanged.
pub struct BuiltinConditions(BTreeMap<BuiltinAlert, BuiltinCondition>);

impl BuiltinConditions {
    /// Returns what this process knows without the others. `store_error` is the error of a request to Redis.
    pub fn of_process(host: &Host, store_error: Option<&StoreError>) -> Self {
        let holding = store_error.map(|error| (REDIS.to_owned(), error.to_string())).into_iter().collect();
        let redis_unavailable = BuiltinCondition { holding, is_complete: true };
        // The same alert may fire because of other processes.
        let policy_quarantined = BuiltinCondition { holding: quarantined(host), is_complete: false };
        Self(
            [
                (BuiltinAlert::RedisUnavailable, redis_unavailable),
                (BuiltinAlert::PolicyQuarantined, policy_quarantined),
            ]
            .into(),
        )
    }

    /// Returns what this process and the others of the fleet know.
    pub async fn of_fleet(host: &Host, store_error: Option<&StoreError>) -> Self {
        let mut conditions = Self::of_process(host, store_error);
        match host.fleet().await {
            Ok(fleet) => conditions.add_fleet(&fleet),
            Err(error) => tracing::warn!(%error, "processes of the fleet unknown"),
        }
        conditions
    }

    /// Adds what the processes say about their policies.
    fn add_fleet(&mut self, fleet: &[FleetProcess]) {
        let quarantined = self.0.entry(BuiltinAlert::PolicyQuarantined).or_default();
        quarantined.is_complete = true;
        for process in fleet.iter().filter(|process| !process.is_self) {
            for path in &process.info.quarantined {
                let reason = || format!("quarantined in process {}", name(process));
                quarantined.holding.entry(path.clone()).or_insert_with(reason);
            }
        }
        let holding = differences(fleet).map(|detail| (FLEET.to_owned(), detail)).into_iter().collect();
        self.0.insert(BuiltinAlert::PoliciesDiffer, BuiltinCondition { holding, is_complete: true });
    }

    /// Evaluates every built-in alert. Without a configured list of channels, an alert has all channels of `alerts`.
    pub fn evaluate(&self, host: &Host, alerts: &Alerts, current: &AlertStates, changes: &mut AlertChanges) {
        let config = host.config();
        for (alert, condition) in &self.0 {
            let channels = config.alerting.channels.get(alert).cloned().unwrap_or_else(|| alerts.channels());
            evaluate_builtin(*alert, condition, &channels, current, changes);
        }
    }
}

/// Returns the quarantined policies of this process by path, each with the reason.
fn quarantined(host: &Host) -> BTreeMap<String, String> {
    let status = host.policies().map(|policies| policies.status()).unwrap_or_default();
    status.into_iter().filter_map(|status| Some((status.path, status.quarantined?))).collect()
}

/// Returns how the policies and rules of the processes differ; `None` if they do not.
fn differences(fleet: &[FleetProcess]) -> Option<String> {
    let differences = [
        difference("policies", fleet, |process| process.info.policies_hash.as_deref()),
        difference("alert rules", fleet, |process| process.info.rules_hash.as_deref()),
    ];
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    (!differences.is_empty()).then(|| differences.join("; "))
}

/// Returns which processes have which hash, such as `policies: 1f on a:7, b:9, 2e on c:4`; `None` if all have the same.
fn difference(kind: &str, fleet: &[FleetProcess], hash: impl Fn(&FleetProcess) -> Option<&str>) -> Option<String> {
    let mut processes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for process in fleet {
        if let Some(hash) = hash(process) {
            processes.entry(hash).or_default().push(name(process));
        }
    }
    let versions = processes.iter().map(|(hash, names)| match names.len().checked_sub(MAX_NAMES) {
        None | Some(0) => format!("{hash} on {}", names.join(", ")),
        Some(more) => format!("{hash} on {} and {more} more", names[..MAX_NAMES].join(", ")),
    });
    (processes.len() > 1).then(|| format!("{kind}: {}", versions.collect::<Vec<_>>().join(", ")))
}

/// Returns the host and the process id, by which an operator finds the process.
fn name(process: &FleetProcess) -> String {
    format!("{}:{}", process.info.host, process.info.pid)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_core::{ProcessInfo, Timestamp};

    use super::*;

    /// Returns a fleet from `policies hash`, `rules hash` and `quarantined policy` of each process; "" is none.
    fn fleet(processes: &[[&str; 3]]) -> Vec<FleetProcess> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let process = |(pid, [policies, rules, quarantined]): (u32, &[&str; 3])| {
            let mut info = ProcessInfo::new("a", pid, "");
            info.policies_hash = text(policies);
            info.rules_hash = text(rules);
            info.quarantined = text(quarantined).into_iter().collect();
            FleetProcess::new(pid.to_string(), pid == 1, info)
        };
        (1..).zip(processes).map(process).collect()
    }

    #[test]
    fn differences_name_the_processes_of_each_hash() {
        let rows: [(&[[&str; 3]], Option<&str>); 6] = [
            (&[], None),
            (&[["p", "r", ""]], None),
            (&[["p", "r", ""], ["p", "r", ""]], None),
            // A process without policies has nothing that could differ.
            (&[["p", "r", ""], ["", "", ""]], None),
            (&[["p", "r", ""], ["p", "s", ""]], Some("alert rules: r on a:1, s on a:2")),
            (
                &[["q", "r", ""], ["p", "s", ""], ["q", "s", ""]],
                Some("policies: p on a:2, q on a:1, a:3; alert rules: r on a:1, s on a:2, a:3"),
            ),
        ];
        for (processes, expected) in rows {
            assert_eq!(differences(&fleet(processes)).as_deref(), expected, "{processes:?}");
        }
        let mut many = vec![["p", "r", ""]; 7];
        many.push(["q", "r", ""]);
        let expected = "policies: p on a:1, a:2, a:3, a:4, a:5 and 2 more, q on a:8";
        assert_eq!(differences(&fleet(&many)).as_deref(), Some(expected));
    }

    /// Evaluates once a second for the fleets of each second. Returns the second and the transition of each
    /// notification.
    fn transitions(fleets: &[&[[&str; 3]]]) -> Vec<(usize, String)> {
        let host = Host::builder().build().unwrap();
        let mut current = AlertStates::default();
        let mut transitions = Vec::new();
        for (second, processes) in fleets.iter().enumerate() {
            current.now = Timestamp::default() + Duration::from_secs(second as u64);
            let mut conditions = BuiltinConditions::of_process(&host, None);
            conditions.add_fleet(&fleet(processes));
            let mut changes = AlertChanges::default();
            conditions.evaluate(&host, host.alerts(), &current, &mut changes);
            for (key, entry) in changes.states {
                match entry {
                    Some(entry) => drop(current.states.insert(key, entry)),
                    None => drop(current.states.remove(&key)),
                }
            }
            transitions.extend(changes.notifications.iter().map(|routed| (second, routed.notification.title())));
        }
        transitions
    }

    #[test]
    fn policies_that_differ_for_a_minute_fire() {
        const SAME: &[[&str; 3]] = &[["p", "r", ""], ["p", "r", ""]];
        const DIFFERENT: &[[&str; 3]] = &[["p", "r", ""], ["q", "r", ""]];
        let fleets = |seconds: usize| [vec![SAME; 5], vec![DIFFERENT; seconds], vec![SAME; 5]].concat();
        assert_eq!(transitions(&fleets(60)), [], "a rolling deployment");
        let firing = |second| (second, "[warning] policies_differ firing: fleet".to_owned());
        let resolved = |second| (second, "[warning] policies_differ resolved: fleet".to_owned());
        assert_eq!(transitions(&fleets(61)), [firing(65), resolved(66)]);
        assert_eq!(transitions(&fleets(90)), [firing(65), resolved(95)]);
    }

    #[test]
    fn quarantine_in_any_process_fires_until_it_ends_in_all() {
        const NONE: &[[&str; 3]] = &[["p", "r", ""]; 3];
        const ONE: &[[&str; 3]] = &[["p", "r", ""], ["p", "r", "retry/x.rhai"], ["p", "r", ""]];
        const TWO: &[[&str; 3]] = &[["p", "r", ""], ["p", "r", "retry/x.rhai"], ["p", "r", "retry/x.rhai"]];
        let titles = ["firing", "resolved"].map(|name| format!("[warning] policy_quarantined {name}: retry/x.rhai"));
        let [firing, resolved] = titles;
        assert_eq!(transitions(&[NONE, ONE, TWO, ONE, NONE]), [(1, firing), (4, resolved)]);
    }
}
