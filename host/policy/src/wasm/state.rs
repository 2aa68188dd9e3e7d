//! The host state of a guest's store.

use super::budget::CpuBudget;
use super::call::GuestCall;
use super::limits::GuestLimits;

/// The host state of a store.
pub struct GuestState {
    /// The resources that the guest may use.
    pub limits: GuestLimits,
    /// The time that the running call may use.
    pub budget: CpuBudget,
    /// The context of the host functions.
    pub call: GuestCall,
}
