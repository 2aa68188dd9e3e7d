//! The inputs of policies, each with the world of the contract to which it belongs.

use tidegate_core::{Action, Admission, AlertVerdict, Failure, Fault, FaultKind, Request, Snapshot, Stats, Verdict};

use super::contract::{Bind, ContractVersion, PolicyInput, World};
use crate::admission;

impl PolicyInput for Failure {
    type Verdict = Verdict;

    const WORLD: World = World { name: "retry", export: "classify", input: "failure", has_response: true };

    fn sample() -> Self {
        Self::response(503)
            .with_platform("sample")
            .with_endpoint("sample")
            .with_message("Service Unavailable")
            .with_body(b"{\"message\": \"Service Unavailable\"}")
    }

    fn scope(&self) -> (&str, Option<&str>) {
        (&self.platform, None)
    }

    fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    fn validate(verdict: Verdict) -> Result<Verdict, Fault> {
        if verdict.class.is_none() && verdict.action != Action::Default {
            return Err(Fault::new(FaultKind::Type, "missing class: every verdict except `default` has one"));
        }
        Ok(verdict)
    }

    fn bind(version: &ContractVersion) -> Option<Bind<Self>> {
        version.retry
    }
}

impl PolicyInput for Snapshot {
    type Verdict = AlertVerdict;

    const WORLD: World = World { name: "alert", export: "evaluate", input: "snapshot", has_response: false };

    fn sample() -> Self {
        let mut stats = Stats::default();
        stats.count = 100;
        stats.success = 95;
        stats.errors = 5;
        stats.total_ms = 12_000.0;
        stats.error_rate = 0.05;
        stats.success_rate = 0.95;
        stats.rps = 100.0 / 60.0;
        stats.p50 = 100.0;
        stats.p95 = 300.0;
        stats.p99 = 900.0;
        stats.from_ms = 1_700_000_000_000;
        stats.to_ms = 1_700_000_060_000;
        Self::new("sample", stats)
    }

    fn scope(&self) -> (&str, Option<&str>) {
        (&self.platform, self.endpoint.as_deref())
    }

    fn validate(verdict: AlertVerdict) -> Result<AlertVerdict, Fault> {
        Ok(verdict)
    }

    fn bind(version: &ContractVersion) -> Option<Bind<Self>> {
        version.alert
    }
}

impl PolicyInput for Request {
    type Verdict = Admission;

    const WORLD: World = World { name: "admit", export: "admit", input: "request", has_response: false };

    fn sample() -> Self {
        Self::new("sample").with_endpoint("sample")
    }

    fn scope(&self) -> (&str, Option<&str>) {
        (&self.platform, None)
    }

    fn validate(verdict: Admission) -> Result<Admission, Fault> {
        admission::validate(verdict)
    }

    fn bind(version: &ContractVersion) -> Option<Bind<Self>> {
        version.admit
    }
}
