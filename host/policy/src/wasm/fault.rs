//! Turns the errors of Wasmtime into faults.

use std::time::Duration;

use tidegate_core::units::format_duration;
use tidegate_core::{Fault, FaultKind};
use wasmtime::{Error, Trap, WasmBacktrace};

use super::ticks::TICK;

/// The time that one call may take.
#[derive(Clone, Copy)]
pub struct TimeLimit {
    /// The deadline of the caller.
    pub deadline: Duration,
    /// How long the caller waited for an instance, which counts against the deadline.
    pub waited: Duration,
}

impl TimeLimit {
    /// Returns the time that is left to the guest.
    pub fn available(self) -> Duration {
        self.deadline.saturating_sub(self.waited)
    }

    /// Says that the time is over.
    fn exceeded(self) -> String {
        let deadline = format_duration(self.deadline);
        match format_duration(self.waited) {
            _ if self.waited < TICK => format!("ran longer than {deadline}"),
            waited => format!("ran longer than {deadline}, of which it waited {waited} for an instance"),
        }
    }
}

/// Adds the guest's last warning to a trap. The trap only says where the guest ended; the warning may say why.
pub fn with_warning(mut fault: Fault, warning: Option<String>) -> Fault {
    if let (FaultKind::Trap, Some(line)) = (fault.kind, warning.as_deref().and_then(|text| text.lines().next())) {
        fault.message = format!("{}: {line}", fault.message);
    }
    fault
}

/// Converts a Wasmtime error to a fault. `other` is the kind of an error that is not a trap.
pub fn fault(error: &Error, exceeded: bool, time: TimeLimit, other: FaultKind) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    let kind = match trap {
        Some(Trap::Interrupt) => FaultKind::Deadline,
        Some(Trap::StackOverflow | Trap::AllocationTooLarge) => FaultKind::Memory,
        _ if exceeded => FaultKind::Memory,
        Some(_) => FaultKind::Trap,
        None => other,
    };
    let message = match (kind, trap) {
        (FaultKind::Deadline, _) => time.exceeded(),
        (FaultKind::Memory, Some(Trap::StackOverflow)) => "stack overflow: calls nested too deeply".to_owned(),
        (FaultKind::Memory, _) => "exceeded its memory limit".to_owned(),
        (_, Some(trap)) => trap.to_string(),
        (_, None) => format!("{error:#}"),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let function = backtrace.and_then(|trace| trace.frames().iter().find_map(|frame| frame.func_name()));
    match function {
        Some(name) => Fault::new(kind, format!("{message}, in {name}")),
        None => Fault::new(kind, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_deadline_fault_says_how_long_the_caller_waited() {
        let message = |waited_us| {
            TimeLimit { deadline: Duration::from_millis(5), waited: Duration::from_micros(waited_us) }.exceeded()
        };
        assert_eq!(message(999), "ran longer than 5ms");
        assert_eq!(message(2_500), "ran longer than 5ms, of which it waited 2ms for an instance");
    }
}
