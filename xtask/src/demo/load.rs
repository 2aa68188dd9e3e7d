//! The load of the demo.

use super::rate_bound::RateBound;

/// The limit that the demo sets for Taobao.
pub const TAOBAO_LIMIT: RateBound = RateBound { per_second: 60, burst: 30 };

/// The calls per second to Taobao. They exceed its limit.
pub const TAOBAO_CALLS_PER_SECOND: u32 = 110;
/// The calls per second to Pinduoduo. They are far below its limit.
pub const PDD_CALLS_PER_SECOND: u32 = 8;
