//! host/policy
