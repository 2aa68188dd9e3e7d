//! tests
mod limits;
