//! host/tidegate
