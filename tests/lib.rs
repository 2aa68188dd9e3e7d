//! What the tests of tidegate share with the programs that they start.

pub mod attack;
pub mod corpus;
